package schemafile_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/schemafile"
)

// years returns n migrations as an application collects them: of ten, two create a table, four add
// a column, two create an index, one creates a view, one fills rows.
func years(tb testing.TB, n int) *migration.Set {
	tb.Helper()
	var all []migration.Migration
	tables := 0
	for i := range n {
		var sql string
		table := func(back int) string { return fmt.Sprintf("t%d", max(tables-back, 1)) }
		switch i % 10 {
		case 0:
			tables++
			sql = fmt.Sprintf("CREATE TABLE t%d (id bigint NOT NULL PRIMARY KEY, name varchar(80) NOT NULL, made date)", tables)
		case 1:
			tables++
			sql = fmt.Sprintf("CREATE TABLE t%d (id bigint NOT NULL PRIMARY KEY, parent bigint, FOREIGN KEY (parent) REFERENCES t%d (id))", tables, tables-1)
		case 2, 3, 4, 5:
			sql = fmt.Sprintf("ALTER TABLE %s ADD COLUMN c%d integer", table(i%2), i)
		case 6, 7:
			sql = fmt.Sprintf("CREATE INDEX i%d ON %s (c%d)", i, table(i%2), i-4)
		case 8:
			sql = fmt.Sprintf("CREATE VIEW v%d AS SELECT id FROM %s WHERE c%d > 1", i, table(0), i-6)
		case 9:
			sql = fmt.Sprintf("INSERT INTO %s (id, name) VALUES (%d, 'x')", table(1), i)
		}
		file := fmt.Sprintf("%04d_step.up.sql", i+1)
		all = append(all, migration.Migration{Version: int64(i + 1), Name: "step", Up: migration.Text(file, sql)})
	}
	set, err := migration.NewSet("", all...)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// kinds are the kinds of databases: each returns the URL of an empty one.
var kinds = map[string]func(testing.TB) string{
	"sqlite":   func(tb testing.TB) string { return "sqlite:" + filepath.Join(tb.TempDir(), "app.db") },
	"postgres": testdb.Postgres,
	"mariadb":  testdb.MariaDB,
}

func open(tb testing.TB, url string) database.Database {
	tb.Helper()
	db, err := database.Open(tb.Context(), url, database.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// BenchmarkLoad creates a database of 500 migrations by loading the schema file, and by applying
// the migrations.
func BenchmarkLoad(b *testing.B) {
	for kind, create := range kinds {
		set := years(b, 500)
		b.Run(kind, func(b *testing.B) {
			from := open(b, create(b))
			if _, err := whimbrel.New(from, set, whimbrel.Options{}).Up(b.Context()); err != nil {
				b.Fatal(err)
			}
			taken, err := schemafile.Take(b.Context(), from)
			if err != nil {
				b.Fatal(err)
			}
			text := taken.Text()
			b.Run("take", func(b *testing.B) {
				for b.Loop() {
					if _, err := schemafile.Take(b.Context(), from); err != nil {
						b.Fatal(err)
					}
				}
			})
			each := func(name string, do func(database.Database) error) {
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						b.StopTimer()
						url := create(b)
						b.StartTimer()
						db := open(b, url)
						if err := do(db); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			each("load", func(db database.Database) error {
				f, err := schemafile.Parse("schema.sql", text)
				if err == nil {
					_, err = schemafile.Load(b.Context(), db, set, f, schemafile.Options{})
				}
				return err
			})
			each("up", func(db database.Database) error {
				_, err := whimbrel.New(db, set, whimbrel.Options{}).Up(b.Context())
				return err
			})
		})
	}
}
