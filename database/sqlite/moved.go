package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
)

// openFile is the file that a connection has open: its name, and the file of that name when it was
// last checked.
type openFile struct {
	path    string
	is      os.FileInfo
	journal string // as SQLite names it; "" until a connection keeps it open
}

// errMoved reports that a file was deleted or replaced while a connection had it open: writes go to
// a file without a name.
var errMoved = errors.New("the file was deleted or replaced while it was open")

// still returns an error if another file, or none, has the name now.
func (f *openFile) still() error {
	if f == nil {
		return nil
	}
	now, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &database.ConnectError{Target: f.path, Err: err}
	}
	if err == nil && os.SameFile(now, f.is) {
		return nil
	}
	return &database.ConnectError{
		Target: f.path, Err: errMoved,
		Hint: "changes since then are not in the file of this name; find out who replaced it, then try again",
	}
}

// identify checks, in a transaction with the write lock, that the connection's file is the one of
// its name, and that its locks work. It does so once per connection, and later compares the file.
func (d *db) identify(ctx context.Context, c *conn) error {
	client := c.client()
	d.mu.Lock()
	f, known := d.files[client]
	d.mu.Unlock()
	if !known {
		var err error
		if f, err = d.prove(ctx, c); err != nil {
			return err
		}
		d.mu.Lock()
		if len(d.files) >= manyFiles { // most are of closed connections
			clear(d.files)
		}
		d.files[client] = f
		d.mu.Unlock()
	}
	c.file = f
	return f.still()
}

const manyFiles = 32

// prove checks that the write lock of this connection excludes another connection, which opens the
// file by name. The result is nil if there is no file: in memory, or in a custom file system of the
// client.
func (d *db) prove(ctx context.Context, c *conn) (*openFile, error) {
	path := d.path
	if path == "" {
		var err error
		if path, err = c.mainFile(ctx); err != nil || path == "" {
			return nil, d.connectError(err)
		}
	}
	is, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && d.path == "" {
		return nil, nil
	}
	f := &openFile{path: path, is: is}
	if err != nil {
		return f, f.still()
	}
	other, err := lockFile(ctx, path, "rw", "busy_timeout(0)", "BEGIN IMMEDIATE")
	switch {
	case other != nil:
		other.release()
		return nil, &database.ConnectError{
			Target: path, Err: errors.New("the write lock of this connection excludes nobody: the file was replaced while it was open, or was opened without locks (nolock, or a file system without locks)"),
			Hint: "open it again, with locks",
		}
	case code(err)&0xff == lib.SQLITE_CANTOPEN:
		return f, f.still()
	}
	return f, nil // locked, or for example encrypted: then nothing is known
}
