package inspect_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// step is a migration's up and down text; down "-" means no down script.
type step struct{ up, down string }

func setOf(t *testing.T, steps ...step) *migration.Set {
	t.Helper()
	var all []migration.Migration
	for i, s := range steps {
		m := migration.Migration{Version: int64(i + 1), Name: "m", Up: migration.Text(fmt.Sprintf("%d.up.sql", i+1), s.up)}
		if s.down != "-" {
			m.Down = migration.Text(fmt.Sprintf("%d.down.sql", i+1), s.down)
		}
		all = append(all, m)
	}
	set, err := migration.NewSet("s", all...)
	if err != nil {
		t.Fatal(err)
	}
	return set
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

// eachKind runs a test on every kind of database.
func eachKind(t *testing.T, test func(t *testing.T, db database.Database)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, testdb.Postgres(t)))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, testdb.MariaDB(t)))
	})
}

func isPostgres(db database.Database) bool { return db.Dialect() == sqltext.PostgreSQL }

func isMySQL(db database.Database) bool { return db.Dialect() == sqltext.MySQL }

// dropIndex returns the DROP INDEX statement: MySQL needs the table's name.
func dropIndex(db database.Database, name, table string) string {
	if isMySQL(db) {
		return "DROP INDEX " + name + " ON " + table
	}
	return "DROP INDEX " + name
}

func words(changes []catalog.Change) string {
	var all []string
	for _, c := range changes {
		all = append(all, c.String())
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func TestACorrectFolderIsVerified(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		v, err := inspect.Verify(t.Context(), setOf(t,
			step{"CREATE TABLE a (id integer PRIMARY KEY, n varchar(20) DEFAULT 'x'); CREATE INDEX a_n ON a (n)", "DROP TABLE a"},
			step{"CREATE VIEW v AS SELECT id FROM a", "DROP VIEW v"},
			step{"ALTER TABLE a ADD COLUMN extra integer", "ALTER TABLE a DROP COLUMN extra"},
		), inspect.Beside(db))
		if err != nil {
			t.Fatal(err)
		}
		if !v.OK() {
			t.Fatal("v.OK() = false, want true")
		}
		if len(v.Migrations) != 3 {
			t.Fatalf("len(v.Migrations) = %v, want 3", len(v.Migrations))
		}
		for _, p := range v.Migrations {
			if !p.Inverse() {
				t.Errorf("%+v", p)
			}
		}
		// The database itself was not touched.
		if st, err := db.State(t.Context(), "s"); err != nil {
			t.Error(err)
		} else if st.Head != 0 {
			t.Errorf("st.Head = %v, want 0", st.Head)
		}
	})
}

func TestIrreversibleIsNoFault(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		v, err := inspect.Verify(t.Context(), setOf(t, step{"CREATE TABLE a (id integer)", "-"}), inspect.Beside(db))
		if err != nil {
			t.Fatal(err)
		}
		if !v.OK() {
			t.Error("v.OK() = false, want true")
		}
		if v.Migrations[0].Inverse() {
			t.Error("v.Migrations[0].Inverse() = true, want false")
		}
		if !v.Migrations[0].NoDown {
			t.Error("v.Migrations[0].NoDown = false, want true")
		}
	})
}

func TestPlantedFaultsAreFound(t *testing.T) {
	t.Parallel()
	const base = "CREATE TABLE a (id integer PRIMARY KEY, n varchar(20), m text)"
	tests := []struct {
		name     string
		up, down string
		want     string // in the differences or errors
		only     sqltext.Dialect
	}{
		{name: "a table", up: "CREATE TABLE b (id integer); CREATE TABLE c (id integer)", down: "DROP TABLE b", want: "c added"},
		{name: "an index", up: "CREATE INDEX i ON a (n)", down: "SELECT 1", want: "i added"},
		{name: "the order of columns", up: "ALTER TABLE a DROP COLUMN n", down: "ALTER TABLE a ADD COLUMN n varchar(20)", want: "order"},
		{name: "a default", up: "ALTER TABLE a ALTER n SET DEFAULT 'x'", down: "SELECT 1", want: "a.n: default", only: sqltext.PostgreSQL},
		{name: "a sequence", up: "CREATE SEQUENCE q; CREATE TABLE b (id integer)", down: "DROP TABLE b", want: "sequence public.q added", only: sqltext.PostgreSQL},
		{name: "a comment", up: "COMMENT ON TABLE a IS 'all of them'", down: "SELECT 1", want: "comment", only: sqltext.PostgreSQL},
		{name: "a grant", up: "GRANT SELECT ON a TO pg_monitor", down: "SELECT 1", want: "pg_monitor", only: sqltext.PostgreSQL},
		{name: "an enum", up: "CREATE TYPE mood AS ENUM ('odd'); ALTER TABLE a ADD mood mood", down: "ALTER TABLE a DROP mood", want: "enum public.mood added", only: sqltext.PostgreSQL},
		{name: "a trigger", up: "CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 'x'", down: "SELECT 1", want: "trigger a.tr added", only: sqltext.MySQL},
		{name: "a routine", up: "CREATE FUNCTION f() RETURNS integer DETERMINISTIC RETURN 1; CREATE TABLE b (id integer)", down: "DROP TABLE b", want: "function f added", only: sqltext.MySQL},
		{name: "the index of a key", up: "ALTER TABLE a ADD p integer, ADD CONSTRAINT k FOREIGN KEY (p) REFERENCES a (id)", down: "ALTER TABLE a DROP FOREIGN KEY k; ALTER TABLE a MODIFY p integer", want: "index a.k added", only: sqltext.MySQL},
		{name: "what MODIFY leaves out", up: "ALTER TABLE a MODIFY n varchar(30) NOT NULL", down: "ALTER TABLE a MODIFY n varchar(20) NOT NULL", want: "a.n", only: sqltext.MySQL},
		{name: "a down that fails half-way", up: "CREATE TABLE b (id integer); CREATE TABLE c (id integer)", down: "DROP TABLE b; DROP TABLE cc", want: "cc", only: sqltext.MySQL},
		{name: "an up that fails half-way", up: "CREATE TABLE b (id integer); CREATE TABEL c (id integer)", down: "DROP TABLE b", want: "TABEL", only: sqltext.MySQL},
		{name: "a down that fails", up: "CREATE TABLE b (id integer)", down: "DROP TABLE bb", want: "bb"},
		{name: "an up that fails", up: "CREATE TABLE a (id integer)", down: "DROP TABLE a", want: "already exists"},
	}
	eachKind(t, func(t *testing.T, db database.Database) {
		for _, tt := range tests {
			if tt.only != 0 && tt.only != db.Dialect() {
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				set := setOf(t, step{base, "DROP TABLE a"}, step{tt.up, tt.down}, step{"CREATE TABLE z (id integer)", "DROP TABLE z"})
				v, err := inspect.Verify(t.Context(), set, inspect.Beside(db))
				if err != nil {
					t.Fatal(err)
				}
				p := v.Migrations[1]
				got := fmt.Sprint(p.Up, p.Down, words(p.Differences))
				if v.OK() {
					t.Error("the set is OK")
				}
				if p.OK() {
					t.Error("the migration is OK")
				}
				if !strings.Contains(got, tt.want) {
					t.Errorf("got %q, want a text containing %q", got, tt.want)
				}
				if !v.Migrations[0].OK() {
					t.Errorf("the first migration is not OK: %+v", v.Migrations[0])
				}
				if p.Up == nil {
					wantLastInverse(t, v)
				}
			})
		}
	})
}

// wantLastInverse expects that the last of three migrations was checked, and is undone by its down
// script.
func wantLastInverse(t *testing.T, v *inspect.Verified) {
	t.Helper()
	if len(v.Migrations) != 3 {
		t.Fatalf("%d migrations were checked, want 3", len(v.Migrations))
	}
	if !v.Migrations[2].Inverse() {
		t.Errorf("the down script of the last migration is not its inverse: %+v", v.Migrations[2])
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		ctx := t.Context()
		drift := func() string {
			t.Helper()
			changes, err := inspect.Drift(ctx, db, inspect.Beside(db), nil)
			if err != nil {
				t.Fatal(err)
			}
			return words(changes)
		}
		by := func(set *migration.Set) *whimbrel.Migrator { return whimbrel.New(db, set, whimbrel.Options{}) }
		set := setOf(t, step{"CREATE TABLE a (id integer)", "DROP TABLE a"}, step{"CREATE TABLE b (id integer)", "DROP TABLE b"})
		if _, err := by(set).Up(ctx); err != nil {
			t.Fatal(err)
		}
		if got := drift(); got != "" {
			t.Fatalf("drift: %s", got)
		}
		byHand(t, db, "CREATE INDEX by_hand ON a (id)")
		if got := drift(); !strings.Contains(got, "by_hand added") {
			t.Errorf("got %q, want a text containing %q", got, "by_hand added")
		} else if strings.Contains(got, ";") {
			t.Errorf("got %q, want a text without %q", got, ";")
		}
		if err := inspect.AcceptDrift(ctx, db, "s", ""); err == nil {
			t.Error("AcceptDrift took no reason")
		}
		if err := inspect.AcceptDrift(ctx, db, "s", "it is needed"); err != nil {
			t.Fatal(err)
		}
		if got := drift(); got != "" {
			t.Errorf("after it was accepted: %s", got)
		}
		// Later migrations are applied on top, and a rollback removes its objects.
		set = setOf(t, step{"CREATE TABLE a (id integer)", "DROP TABLE a"}, step{"CREATE TABLE b (id integer)", "DROP TABLE b"}, step{"CREATE TABLE c (id integer)", "DROP TABLE c"})
		if _, err := by(set).Up(ctx); err != nil {
			t.Fatal(err)
		}
		if got := drift(); got != "" {
			t.Errorf("after one more: %s", got)
		}
		if _, err := by(set).Migrate(ctx, whimbrel.DownTo(1), whimbrel.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := drift(); got != "" {
			t.Errorf("after a rollback: %s", got)
		}
	})
}

// byHand changes the database outside of the set, under a history of another name.
func byHand(t *testing.T, db database.Database, sql string) {
	t.Helper()
	if isMySQL(db) {
		onItsOwn(t, db, sql)
		return
	}
	b, _, err := db.Begin(t.Context(), "by hand", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback(context.Background())
	if err := b.Exec(t.Context(), migration.Text("by hand", sql)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// onItsOwn executes statements that can't run in a transaction.
func onItsOwn(t *testing.T, db database.Database, sql string) {
	t.Helper()
	r, _, err := db.Guard(t.Context(), "by hand", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	s := migration.Text("by hand", sql)
	a, err := s.Analyze(db.Dialect(), db.Tables())
	if err != nil {
		t.Fatal(err)
	}
	for st, err := range a.All() {
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Exec(t.Context(), s, st, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDriftOfWhatIsNotMigrated(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		changes, err := inspect.Drift(t.Context(), db, inspect.Beside(db), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) > 0 {
			t.Errorf("len(changes) = %v, want at most %v", len(changes), 0)
		}
	})
}

func TestDriftNeedsTheTexts(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		m := whimbrel.New(db, setOf(t, step{"CREATE TABLE a (id integer)", "-"}), whimbrel.Options{TextLimit: -1})
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := inspect.Drift(t.Context(), db, inspect.Beside(db), nil)
		if err == nil {
			t.Fatal("got no error")
		}
		if !strings.Contains(err.Error(), "does not keep the text of migration 1 m") {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "does not keep the text of migration 1 m")
		}
	})
}
