package jobs

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// setName separates the library's versions from those of the application. It never changes.
const setName = "example.com/jobs"

//go:embed schema
var files embed.FS

// carried are the versions of River's schema that are migrations of this library, under the same
// versions. River's version 1 is its own table of versions, which Whimbrel's history replaces; on
// SQLite its version 5 can't do without it. If a later River has a version 9, it is added under the
// library's next free version.
var carried = map[string][]int{
	"postgres": {2, 3, 4, 5, 6, 7, 8},
	"sqlite":   {1, 2, 3, 4, 5, 6, 7, 8},
}

// enumInOneTransaction adapts River's texts for PostgreSQL. River's version 4 adds a value to an enum
// type, and version 6 uses it. Before PostgreSQL 17 that requires two transactions, so here the type
// has the value from version 2 on.
var enumInOneTransaction = strings.NewReplacer(
	"  'discarded',\n  'retryable',", "  'discarded',\n  'pending',\n  'retryable',",
	"ALTER TYPE /* TEMPLATE: schema */river_job_state ADD VALUE IF NOT EXISTS 'pending' AFTER 'discarded';\n", "",
)

// readSet returns the library's migrations: the files of its own, and River's.
func readSet[Tx any](driver riverdriver.Driver[Tx], dialect, schema string) (*migration.Set, error) {
	folder, err := fs.Sub(files, "schema/"+dialect)
	if err != nil {
		return nil, err
	}
	own, err := source.Read(folder, source.Options{})
	if err != nil {
		return nil, err
	}
	bundle, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	all := own.All()
	for _, version := range carried[dialect] {
		m, err := bundle.GetVersion(version)
		if err != nil {
			return nil, err
		}
		all = append(all, riverMigration(m, schema))
	}
	return migration.NewSet(setName, all...)
}

// riverMigration returns a migration of River for tables in a schema.
func riverMigration(m rivermigrate.Migration, schema string) migration.Migration {
	prefix := ""
	if schema != "" {
		prefix = schema + "."
	}
	script := func(direction, text string) *migration.Script {
		text = strings.ReplaceAll(enumInOneTransaction.Replace(text), "/* TEMPLATE: schema */", prefix)
		return migration.Text(fmt.Sprintf("river/%03d.%s.sql", m.Version, direction), text)
	}
	return migration.Migration{
		Version: int64(m.Version),
		Name:    "river " + m.Name,
		Up:      script("up", m.SQLUp),
		Down:    script("down", m.SQLDown),
	}
}

// schema is the library's part of a database.
type schema struct{ migrator *whimbrel.Migrator }

func newSchema(db database.Database, set *migration.Set) schema {
	return schema{whimbrel.New(db, set, whimbrel.Options{Atomic: true})}
}

// update verifies the checksums of all applied migrations, and then applies the pending ones in one
// transaction.
func (s schema) update(ctx context.Context) error {
	_, err := s.migrator.Up(ctx)
	return err
}

// Migrations are the versions of the library's schema, ascending.
type Migrations struct {
	Known   []int64 // those of this build
	Applied []int64 // those of the database; a newer build may have applied more than are known
}

func (s schema) migrations(ctx context.Context) (Migrations, error) {
	status, err := s.migrator.Status(ctx)
	if err != nil {
		return Migrations{}, err
	}
	return Migrations{Known: status.KnownVersions(), Applied: status.AppliedVersions()}, nil
}

// rollback rolls back every version above the target, newest first, in one transaction. The history
// keeps the down scripts, so it also rolls back the versions of a newer build.
func (s schema) rollback(ctx context.Context, target int64) error {
	_, err := s.migrator.Migrate(ctx, whimbrel.DownTo(target), whimbrel.ApplyOptions{})
	return err
}
