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
	dir, err := os.MkdirTemp("", "whimbrel-scratch-")
	if err != nil {
		return nil, nil, err
	}
	scratch, err := driver{}.Open(ctx, "sqlite:"+filepath.ToSlash(filepath.Join(dir, "scratch.db")), d.opts)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	drop := func(context.Context) error {
		return errors.Join(scratch.Close(), os.RemoveAll(dir))
	}
	return scratch, drop, nil
}
