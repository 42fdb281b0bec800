package memdb

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
)

// Scratch implements database.Scratcher: it opens a Target of its own.
func (d *Database) Scratch(ctx context.Context) (database.Database, func(context.Context) error, error) {
	db, err := New().Open(ctx, d.opts)
	if err != nil {
		return nil, nil, err
	}
	return db, func(context.Context) error { return db.Close() }, nil
}

// CopyScratch implements database.ScratchCopier.
func (d *Database) CopyScratch(ctx context.Context) (database.Database, func(context.Context) error, error) {
	if err := d.err(); err != nil {
		return nil, nil, err
	}
	db, err := d.target.copy().Open(ctx, d.opts)
	if err != nil {
		return nil, nil, err
	}
	return db, func(context.Context) error { return db.Close() }, nil
}
