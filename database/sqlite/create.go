package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/whimbrel-db/whimbrel/database"
)

// Create implements database.Creator: it creates an empty file, which is an empty database.
func (driver) Create(_ context.Context, url string, _ database.Options) (bool, error) {
	path, _, err := filePath(url)
	if err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, &database.ConnectError{Target: path, Err: fmt.Errorf("folder %s does not exist", filepath.Dir(path)), Hint: "create the folder first"}
	case err != nil:
		return false, &database.ConnectError{Target: path, Err: errors.Unwrap(err)}
	}
	return true, f.Close()
}

// Drop implements database.Creator: it removes the file, if it is a database, and the files that
// belong to it. It holds the database's exclusive lock meanwhile. SQLite does not know of clients
// that have opened the file and hold no lock, except with a write-ahead log.
func (driver) Drop(ctx context.Context, url string, opts database.DropOptions) (bool, error) {
	path, t, err := filePath(url)
	if err != nil {
		return false, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	d, err := driver{}.Open(ctx, url, opts.Options) // an error if the file is something else
	if err != nil {
		return false, err
	}
	if err := d.Close(); err != nil {
		return false, err
	}
	if !opts.Force {
		pool, err := sql.Open(clientName, t.dsn(path))
		if err != nil {
			return false, err
		}
		defer pool.Close()
		c, err := pool.Conn(ctx)
		if err != nil {
			return false, err
		}
		defer c.Close()
		// Leaving the write-ahead log requires to be the only client.
		for _, lock := range []string{"PRAGMA journal_mode = delete", "BEGIN EXCLUSIVE"} {
			if _, err := c.ExecContext(ctx, lock); isBusy(err) {
				return false, &database.OccupiedError{Name: filepath.Base(path)}
			} else if err != nil {
				return false, err
			}
		}
	}
	beside, err := filepath.Glob(globEscape(path) + "-whimbrel-*")
	if err != nil {
		return false, err
	}
	if err := os.Remove(path); err != nil {
		return false, err
	}
	for _, more := range append(beside, path+"-wal", path+"-shm", path+"-journal") {
		if err := os.Remove(more); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, err
		}
	}
	return true, nil
}

// globEscape quotes the characters that have a meaning in a pattern of filepath.Glob.
func globEscape(path string) string {
	var b []rune
	for _, r := range path {
		switch r {
		case '*', '?', '[', '\\':
			if filepath.Separator != '\\' {
				b = append(b, '\\')
			}
		}
		b = append(b, r)
	}
	return string(b)
}

// filePath returns the path of the file that a URL names.
func filePath(url string) (string, target, error) {
	t, err := parseURL(url)
	if err != nil {
		return "", t, err
	}
	if t.memory {
		return "", t, database.NewURLError(url, "a database in memory is neither created nor dropped")
	}
	path, err := filepath.Abs(t.path)
	return path, t, err
}
