package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
)

// openFile is the file that a connection has open, by its name and by what had that name when it was looked at last.
type openFile struct {
	path string
	is   os.FileInfo
}

// errMoved is the error of a file that was deleted or replaced while a connection had it open: what is written goes to a file without a name.
var errMoved = errors.New("the file was deleted, or replaced by another one, while it was open here")

// still is an error when the name is another file's now, or nobody's.
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
		Hint: "what was done here since then, or would be done, is in no file of this name; look who has replaced it, and run the command again",
	}
}

// identify looks, in a transaction that has the write lock, whether the connection's file is the one that has its name, and whether
// its locks hold. It does so once for each connection, and compares the file afterwards.
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
		if len(d.files) >= manyFiles { // of connections that are closed by now
			clear(d.files)
		}
		d.files[client] = f
		d.mu.Unlock()
	}
	c.file = f
	return f.still()
}

const manyFiles = 32

// prove proves that another connection, which opens the file by its name, is kept out by the write lock of this one. The answer is nil
// where there is no file: in memory, or in a file system of the client's own.
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
	f := &openFile{path, is}
	if err != nil {
		return f, f.still()
	}
	switch err := writeLock(ctx, path); {
	case isBusy(err):
		return f, nil
	case err == nil:
		return nil, &database.ConnectError{
			Target: path, Err: errors.New("the write lock of this connection keeps nobody out: the file was replaced by another one while it was open here, or was opened without locks (nolock, or a file system that has none)"),
			Hint: "open it anew, with locks",
		}
	case code(err)&0xff == lib.SQLITE_CANTOPEN:
		return f, f.still()
	}
	return f, nil // it is encrypted, say: nothing is known
}

// writeLock tries to take the write lock of a file, and lets go of it.
func writeLock(ctx context.Context, path string) error {
	pool, err := sql.Open(clientName, fileURI(path, "rw", url.Values{"_pragma": {"busy_timeout(0)"}}))
	if err != nil {
		return err
	}
	defer pool.Close()
	c, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err = c.ExecContext(ctx, "BEGIN IMMEDIATE"); err == nil {
		_, err = c.ExecContext(bg, "ROLLBACK")
	}
	return err
}
