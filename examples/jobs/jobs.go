// Package jobs is an example of a library that carries its own tables: the program gives it a
// database, and New migrates the library's tables.
package jobs

import (
	"context"
	"embed"
	"fmt"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

//go:embed schema
var schema embed.FS

// setName separates the library's versions from those of the application.
const setName = "example.com/jobs"

// Queue keeps jobs in a database.
type Queue struct{ db database.Database }

// New returns the queue of a database. First it applies all pending migrations in one transaction,
// so that the schema is either what this build needs or unchanged. Any number of processes may call
// it at once. The caller closes the database.
func New(ctx context.Context, db database.Database) (*Queue, error) {
	opts := whimbrel.UpOptions{Dir: "schema", Set: setName, Options: whimbrel.Options{Atomic: true}}
	if _, err := whimbrel.Up(ctx, db, schema, opts); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &Queue{db: db}, nil
}

// Uninstall drops the library's tables. The history keeps the down scripts, so it needs no files.
func (q *Queue) Uninstall(ctx context.Context) error {
	set, err := migration.NewSet(setName)
	if err != nil {
		return err
	}
	m := whimbrel.New(q.db, set, whimbrel.Options{Atomic: true})
	_, err = m.Migrate(ctx, whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
	return err
}
