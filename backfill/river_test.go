package backfill_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/backfill"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// target is a database of a kind that River works in.
type target struct {
	url     string
	db      database.Database
	migrate func(t *testing.T, version int) // with River's own migrator
	valid   func(t *testing.T) string       // what River's own migrator finds wrong
	exec    func(t *testing.T, statement string)
}

// eachTarget runs a test on PostgreSQL and SQLite.
func eachTarget(t *testing.T, test func(t *testing.T, new func(t *testing.T) target)) {
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, func(t *testing.T) target { return postgresTarget(t, testdb.Postgres(t), "") })
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, sqliteTarget)
	})
}

func postgresTarget(t *testing.T, url, schema string) target {
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return target{
		url: url, db: open(t, url),
		migrate: func(t *testing.T, version int) { riverMigrate(t, riverpgxv5.New(pool), schema, version) },
		valid:   func(t *testing.T) string { return riverValidate(t, riverpgxv5.New(pool), schema) },
		exec: func(t *testing.T, statement string) {
			t.Helper()
			if _, err := pool.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func sqliteTarget(t *testing.T) target {
	path := filepath.Join(t.TempDir(), "app.db")
	pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(300000)")
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { pool.Close() })
	return target{
		url: "sqlite:" + path, db: open(t, "sqlite:"+path),
		migrate: func(t *testing.T, version int) { riverMigrate(t, riversqlite.New(pool), "", version) },
		valid:   func(t *testing.T) string { return riverValidate(t, riversqlite.New(pool), "") },
		exec: func(t *testing.T, statement string) {
			t.Helper()
			if _, err := pool.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func open(t *testing.T, url string) database.Database {
	t.Helper()
	db, err := database.Open(t.Context(), url, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestRiverAppliesWhatRiverWould(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		ours, theirs := newTarget(t), newTarget(t)
		result, err := backfill.MigrateRiver(t.Context(), ours.db, backfill.RiverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(result.Applied); got != 8 {
			t.Errorf("%d steps were applied; want 8", got)
		}
		if problem := ours.valid(t); problem != "" {
			t.Errorf("River's migrator says: %s", problem)
		}
		theirs.migrate(t, 0)
		equal(t, "schema of River's tables", riverSchema(t, ours.db), riverSchema(t, theirs.db))
		equal(t, "rows of river_migration", migrationRows(t, ours.db), migrationRows(t, theirs.db))

		again, err := backfill.MigrateRiver(t.Context(), ours.db, backfill.RiverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Applied) != 0 {
			t.Errorf("a second call applied %d steps; want none", len(again.Applied))
		}
	})
}

func TestRiverRollsBack(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		ours, theirs := newTarget(t), newTarget(t)
		if _, err := backfill.MigrateRiver(t.Context(), ours.db, backfill.RiverOptions{}); err != nil {
			t.Fatal(err)
		}
		set, err := backfill.River(ours.db.Dialect(), "")
		if err != nil {
			t.Fatal(err)
		}
		m := whimbrel.New(ours.db, set, whimbrel.Options{})
		for _, version := range []int64{6, 5, 4, 3, 2, 1} {
			if _, err := m.Migrate(t.Context(), whimbrel.DownTo(version), whimbrel.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			if version > 1 {
				if got := len(migrationRows(t, ours.db)); got != int(version) {
					t.Errorf("at version %d, river_migration has %d rows", version, got)
				}
			}
		}
		if _, err := m.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := riverSchema(t, ours.db); got != "" {
			t.Errorf("after a rollback of everything, these remain:\n%s", got)
		}
		theirs.migrate(t, 4)
	})
}

func TestRiverUsesExistingTables(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		for _, version := range []int{1, 4, 5, 8} {
			old := newTarget(t)
			old.migrate(t, version)
			result, err := backfill.MigrateRiver(t.Context(), old.db, backfill.RiverOptions{})
			if err != nil {
				t.Fatalf("from version %d: %v", version, err)
			}
			if got, want := len(result.Applied), 8-version; got != want {
				t.Errorf("from version %d, %d steps were applied; want %d", version, got, want)
			}
			if problem := old.valid(t); problem != "" {
				t.Errorf("from version %d, River's migrator says: %s", version, problem)
			}
		}
	})
}

func TestRiverRefusesTablesThatDoNotFit(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		for _, c := range []struct {
			name    string
			spoil   func(target)
			problem backfill.RiverProblem
			message string
		}{
			{
				name: "newer",
				spoil: func(x target) {
					x.migrate(t, 0)
					x.exec(t, "INSERT INTO river_migration (line, version) VALUES ('main', 9)")
				},
				problem: backfill.RiverNewer, message: "River's tables have version 9, and River in this program knows versions up to 8",
			},
			{
				name:    "no versions",
				spoil:   func(x target) { x.migrate(t, 0); x.exec(t, "DROP TABLE river_migration") },
				problem: backfill.RiverUnversioned,
				message: "River's tables exist, but river_migration, which says what version they have, does not",
			},
			{
				name:    "a gap",
				spoil:   func(x target) { x.migrate(t, 0); x.exec(t, "DELETE FROM river_migration WHERE version IN (3, 4)") },
				problem: backfill.RiverGap, message: "River's tables have version 8, but river_migration lacks versions 3, 4",
			},
			{
				name: "rolled back by River",
				spoil: func(x target) {
					if _, err := backfill.MigrateRiver(t.Context(), x.db, backfill.RiverOptions{}); err != nil {
						t.Fatal(err)
					}
					x.exec(t, "DELETE FROM river_migration WHERE version = 8")
				},
				problem: backfill.RiverRolledBack,
				message: `the history has version 8 of the set "river" as applied, but river_migration lacks it: another tool has rolled it back`,
			},
		} {
			x := newTarget(t)
			c.spoil(x)
			before := riverSchema(t, x.db)
			_, err := backfill.MigrateRiver(t.Context(), x.db, backfill.RiverOptions{})
			var unfit *backfill.RiverError
			if !errors.As(err, &unfit) || unfit.Problem != c.problem || strings.Replace(err.Error(), "River "+unfit.Library+" in", "River in", 1) != c.message {
				t.Errorf("%s: the error is %v; want %s", c.name, err, c.message)
			}
			equal(t, c.name+": schema after the refusal", riverSchema(t, x.db), before)
		}
	})
}

// Other lines belong to River Pro.
func TestRiverIgnoresOtherLines(t *testing.T) {
	t.Parallel()
	x := postgresTarget(t, testdb.Postgres(t), "")
	x.migrate(t, 0)
	x.exec(t, "INSERT INTO river_migration (line, version) VALUES ('workflow', 12)")
	if _, err := backfill.MigrateRiver(t.Context(), x.db, backfill.RiverOptions{}); err != nil {
		t.Error(err)
	}
}

func TestRiverInASchema(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	x := postgresTarget(t, url, "queue")
	opts := backfill.RiverOptions{Schema: "queue"}
	_, err := backfill.MigrateRiver(t.Context(), x.db, opts)
	var unfit *backfill.RiverError
	if !errors.As(err, &unfit) || unfit.Problem != backfill.RiverNoSchema {
		t.Errorf("without the schema, the error is %v; want RiverNoSchema", err)
	}
	x.exec(t, "CREATE SCHEMA queue")
	if _, err := backfill.MigrateRiver(t.Context(), x.db, opts); err != nil {
		t.Fatal(err)
	}
	if problem := x.valid(t); problem != "" {
		t.Errorf("River's migrator says: %s", problem)
	}
	rows, err := database.ReadQuery(t.Context(), x.db, "SELECT count(*) FROM pg_class WHERE relname ~ '^river_' AND relnamespace <> 'queue'::regnamespace")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "River's tables outside the schema", rows.Rows[0][0], any(int64(0)))
}

func TestRiverRefusesSchemaNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d      sqltext.Dialect
		schema string
		want   string
	}{
		{sqltext.PostgreSQL, `a"; DROP TABLE x; --`, "River accepts letters, digits and underscores"},
		{sqltext.PostgreSQL, strings.Repeat("a", 47), "46 at most"},
		{sqltext.SQLite, "queue", "a SQLite database has no schemas"},
		{sqltext.MySQL, "", "River supports PostgreSQL and SQLite"},
	} {
		_, err := backfill.River(c.d, c.schema)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, schema %q: the error is %v; want one with %q", c.d, c.schema, err, c.want)
		}
	}
	if _, err := backfill.River(sqltext.MySQL, ""); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the error is %v; want errors.ErrUnsupported", err)
	}
}

func TestManyProcessesMigrateRiverAtOnce(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		for _, version := range []int{-1, 5} {
			x := newTarget(t)
			if version > 0 {
				x.migrate(t, version)
			}
			var all sync.WaitGroup
			for i := range 20 {
				db := open(t, x.url)
				all.Go(func() {
					if _, err := backfill.MigrateRiver(t.Context(), db, backfill.RiverOptions{Migrator: whimbrel.Options{MigrationLockTimeout: 1 << 40}}); err != nil {
						t.Errorf("process %d: %v", i, err)
					}
				})
			}
			all.Wait()
			if problem := x.valid(t); problem != "" {
				t.Errorf("River's migrator says: %s", problem)
			}
		}
	})
}

// TestRiverChecksums fails if the texts change with which databases were migrated: then Whimbrel
// would report that a file was edited. A new version of River adds lines.
func TestRiverChecksums(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect sqltext.Dialect
		schema  string
		want    []string
	}{
		{sqltext.PostgreSQL, "", []string{
			"4c6125536050 3516c1ff6208", "4bfb9095476b c90f0ca696ac", "0dd28eb95912 822e51d0d2b2", "64dc963fd39d 160887da4a21",
			"9b5d7b10cc64 086966aa384a", "167f6d88c202 ed0f449c2513", "1ed9170ca5c8 145fd0e030a7", "8a6dbe05fdcb 4ab767a92172",
		}},
		{sqltext.PostgreSQL, "queue", []string{
			"bc45678314c4 89779705dc22", "9b8d66a134f4 953288de2a64", "48afeaf5210e 3da3397b8878", "9b334c799394 8377ed1c33bc",
			"44298a7b8c78 a6c8eb6cfe79", "be1619bf422c d5d0f3f38f89", "1c0048d86344 712a3e5bfb06", "50b416a28edf 29b01056f80a",
		}},
		{sqltext.SQLite, "", []string{
			"185ad4a42508 3516c1ff6208", "750aa8ef49ea b2edf1e2f0c6", "43571997b8ba 929955b56cea", "75f41cef38b0 18d149ebb75c",
			"252140500da3 339f677b0467", "b0644346e3be 3658fe38ed07", "f1253e000eca 838b4c4bf7d9", "b2a1d0f16cde a51580d6c2a1",
		}},
	} {
		set, err := backfill.River(c.dialect, c.schema)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for m := range set.Each() {
			got = append(got, m.Up.Checksum.String()[:12]+" "+m.Down.Checksum.String()[:12])
		}
		equal(t, fmt.Sprintf("checksums for %s, schema %q", c.dialect, c.schema), got, c.want)
	}
}

func riverMigrate[T any](t *testing.T, driver riverdriver.Driver[T], schema string, version int) {
	t.Helper()
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Migrate(context.Background(), rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: version}); err != nil {
		t.Fatal(err)
	}
}

func riverValidate[T any](t *testing.T, driver riverdriver.Driver[T], schema string) string {
	t.Helper()
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	result, err := m.Validate(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(result.Messages, "; ")
}

// riverSchema describes River's tables.
func riverSchema(t *testing.T, db database.Database) string {
	t.Helper()
	snapshot, err := database.Snapshot(t.Context(), db, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(snapshot.Statements(), "\n")
}

// migrationRows returns the lines and versions of river_migration, before version 5 its versions.
func migrationRows(t *testing.T, db database.Database) (found []string) {
	t.Helper()
	rows, err := database.ReadQuery(t.Context(), db, "SELECT * FROM river_migration ORDER BY version")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows.Rows {
		var values []string
		for i, v := range r {
			if name := rows.Columns[i]; name == "line" || name == "version" {
				values = append(values, fmt.Sprint(v))
			}
		}
		found = append(found, strings.Join(values, " "))
	}
	return found
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
