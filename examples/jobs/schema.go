package jobs

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/backfill"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// setName separates the library's versions from those of the application. It never changes.
const setName = "example.com/jobs"

//go:embed schema
var files embed.FS

// riverVersions is how many versions of River's schema are migrations of this library, under the
// same versions. If a later River has another one, it gets the library's next free version.
const riverVersions = 8

// readSet returns the library's migrations: its own files, and those of River, for tables in a
// schema.
func readSet(d sqltext.Dialect, schema string) (*migration.Set, error) {
	folder, err := fs.Sub(files, "schema/"+strings.ToLower(d.String()))
	if err != nil {
		return nil, err
	}
	own, err := source.Read(folder, source.Options{Dialect: d})
	if err != nil {
		return nil, err
	}
	river, err := backfill.River(d, schema)
	if err != nil {
		return nil, err
	}
	all := own.All()
	for m := range river.Each() {
		if m.Version > riverVersions {
			continue
		}
		if m.Up, err = withEnumFromTheStart(m.Up); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return migration.NewSet(setName, all...)
}

// pending adds a value to an enum where it is created, instead of later.
var pending = strings.NewReplacer(
	"'discarded',\n  'retryable',", "'discarded',\n  'pending',\n  'retryable',",
	`ALTER TYPE "jobs".river_job_state ADD VALUE IF NOT EXISTS 'pending' AFTER 'discarded';`, "",
)

// withEnumFromTheStart adapts a script of River. River's version 4 adds a value to an enum type,
// and version 6 uses it, which takes two transactions before PostgreSQL 17. Here the type has the
// value from version 2 on, so one transaction can contain all versions.
func withEnumFromTheStart(script *migration.Script) (*migration.Script, error) {
	text, _, err := script.Text(whimbrel.DefaultTextLimit)
	if err != nil {
		return nil, err
	}
	if adapted := pending.Replace(text); adapted != text {
		return migration.Text(script.File, adapted), nil
	}
	return script, nil
}

// Migrations are the versions of the library's schema, ascending.
type Migrations struct {
	Known   []int64 // those of this build
	Applied []int64 // those of the database
}

// Migrations returns the versions that this build knows and those that are applied. A newer build
// may have applied more than this one knows.
func (q *Queue[Tx]) Migrations(ctx context.Context) (Migrations, error) {
	status, err := q.migrator.Status(ctx)
	if err != nil {
		return Migrations{}, fmt.Errorf("jobs: %w", err)
	}
	return Migrations{Known: status.KnownVersions(), Applied: status.AppliedVersions()}, nil
}

// Rollback stops the work of this process, and rolls back every version above the target, newest
// first, in one transaction. It verifies checksums as Start does. whimbrel.NilVersion removes all
// tables of the library. The history keeps the down scripts, so Rollback also reverts the versions
// of a newer build. Afterwards only Migrations, Rollback and Stop can be called.
func (q *Queue[Tx]) Rollback(ctx context.Context, target int64) error {
	if err := q.stopWork(ctx); err != nil {
		return fmt.Errorf("jobs: stop before the rollback: %w", err)
	}
	if _, err := q.migrator.Migrate(ctx, whimbrel.DownTo(target), whimbrel.ApplyOptions{}); err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	return nil
}
