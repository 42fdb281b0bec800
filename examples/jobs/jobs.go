// Package jobs is an example of a library that brings its own schema: the caller passes a database,
// and New updates the library's tables.
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

// New updates the library's tables in the database and returns the queue. All pending migrations
// run in one transaction: either the schema is what this build needs, or nothing changed. Any
// number of processes may call it at once. The caller keeps ownership of the database.
func New(ctx context.Context, db database.Database) (*Queue, error) {
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		return nil, err
	}
	// The set's name separates the library's versions from the application's.
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

// Uninstall drops the library's tables.
func (q *Queue) Uninstall(ctx context.Context) error {
	_, err := q.migrator.Migrate(ctx, whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
	return err
}
