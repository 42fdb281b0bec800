// Package jobs is an example of a library that carries its own schema: whoever uses
// it hands it a database, and New brings the library's tables up to date.
package jobs

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/source"
)

//go:embed schema
var schema embed.FS

// Queue keeps jobs in a database.
type Queue struct{ migrator *whimbrel.Migrator }

// New returns the queue of a database, whose tables it brings up to date first: all
// pending migrations in one transaction, so that either the schema is what this build
// needs or nothing has changed. Any number of processes may call it at once. The
// database stays the caller's.
func New(ctx context.Context, db database.Database) (*Queue, error) {
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		return nil, err
	}
	// The set's name keeps the library's versions apart from the application's own.
	set, err := source.Read(files, source.Options{Set: "example.com/jobs"})
	if err != nil {
		return nil, err
	}
	m := whimbrel.New(db, set, whimbrel.Options{Atomic: true})
	if _, err := m.Up(ctx); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &Queue{migrator: m}, nil
}

// Uninstall takes the library's tables away again.
func (q *Queue) Uninstall(ctx context.Context) error {
	_, err := q.migrator.Rollback(ctx, whimbrel.NilVersion)
	return err
}
