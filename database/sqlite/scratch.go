package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/whimbrel-db/whimbrel/database"
)

// Scratch implements database.Scratcher: the database is a file in a temporary folder.
func (d *db) Scratch(ctx context.Context) (database.Database, func(context.Context) error, error) {
	return d.scratch(ctx, func(string) error { return nil })
}

// CopyScratch implements database.ScratchCopier. SQLite writes the copy, since its file alone may
// not have everything.
func (d *db) CopyScratch(ctx context.Context) (database.Database, func(context.Context) error, error) {
	if !d.owned || d.path == "" {
		return nil, nil, &database.PowerError{Power: database.PowerCopy, Driver: "sqlite"}
	}
	return d.scratch(ctx, func(file string) error {
		if d.absent() {
			return nil
		}
		return d.read(ctx, func(ctx context.Context) error {
			c, err := d.reader(ctx)
			if err != nil {
				return err
			}
			defer c.release()
			_, err = c.ExecContext(ctx, "VACUUM INTO ?", file)
			return err
		})
	})
}

// scratch opens a file in a temporary folder, after fill.
func (d *db) scratch(ctx context.Context, fill func(file string) error) (database.Database, func(context.Context) error, error) {
	dir, err := os.MkdirTemp("", "whimbrel-scratch-")
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "scratch.db")
	if err := fill(file); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	scratch, err := driver{}.Open(ctx, "sqlite:"+filepath.ToSlash(file), d.opts)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	drop := func(context.Context) error {
		return errors.Join(scratch.Close(), os.RemoveAll(dir))
	}
	return scratch, drop, nil
}
