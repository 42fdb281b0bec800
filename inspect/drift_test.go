package inspect_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// TestDriftOfAnyHistory covers the ways in which a schema can come about.
func TestDriftOfAnyHistory(t *testing.T) {
	t.Parallel()
	set := setOf(t,
		step{"CREATE TABLE a (id integer, n text DEFAULT 'x')", "DROP TABLE a"},
		step{"CREATE TABLE b (id integer)", "DROP TABLE b"},
		step{"CREATE VIEW v AS SELECT id FROM a", "DROP VIEW v"})
	const first, second = "CREATE TABLE a (id integer, n text DEFAULT 'x')", "CREATE TABLE b (id integer)"
	type do = func(*testing.T, database.Database, *whimbrel.Migrator)
	up := func(g whimbrel.Goal) do {
		return func(t *testing.T, _ database.Database, m *whimbrel.Migrator) {
			if _, err := m.Migrate(t.Context(), g, whimbrel.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	hand := func(sql string) do {
		return func(t *testing.T, db database.Database, _ *whimbrel.Migrator) { byHand(t, db, sql) }
	}
	mark := func(v int64) do {
		return func(t *testing.T, _ database.Database, m *whimbrel.Migrator) {
			if err := m.Mark(t.Context(), "", v); err != nil {
				t.Fatal(err)
			}
		}
	}
	base := func(v int64) do {
		return func(t *testing.T, _ database.Database, m *whimbrel.Migrator) {
			if _, err := m.Baseline(t.Context(), v, whimbrel.BaselineOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	accept := func(t *testing.T, db database.Database, _ *whimbrel.Migrator) {
		if err := inspect.AcceptDrift(t.Context(), db, "s", "it is so"); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		do   []do
		want string // "" for no difference
	}{
		{"applied", []do{up(whimbrel.Latest())}, ""},
		{"marked, and it is there", []do{hand(first), mark(1)}, ""},
		{"marked, and it is not there", []do{up(whimbrel.UpTo(1)), mark(2)}, "b removed"},
		{"a baseline of what is there", []do{hand(first), hand(second), base(2), up(whimbrel.Latest())}, ""},
		{"a baseline of something else", []do{hand("CREATE TABLE a (id integer, n text)"), hand(second), base(2), up(whimbrel.Latest())}, "a.n: default"},
		{"a baseline of something else, accepted", []do{hand("CREATE TABLE a (id integer, n text)"), hand(second), base(2), accept, up(whimbrel.Latest())}, ""},
		{"accepted, and taken back below it", []do{up(whimbrel.Latest()), accept, up(whimbrel.DownTo(1))}, ""},
		{"accepted, taken back, applied again", []do{up(whimbrel.Latest()), hand("CREATE TABLE more (id integer)"), accept, up(whimbrel.DownTo(1)), up(whimbrel.Latest())}, ""},
		{"changed after it was accepted", []do{up(whimbrel.UpTo(1)), accept, hand("ALTER TABLE a ADD COLUMN z integer")}, "a.z added"},
		{"accepted twice", []do{up(whimbrel.UpTo(1)), accept, hand("ALTER TABLE a ADD COLUMN z integer"), accept, up(whimbrel.Redo(0))}, ""},
		{"accepted, and undone by hand", []do{up(whimbrel.UpTo(2)), accept, hand("DROP TABLE b")}, "b removed"},
	}
	eachKind(t, func(t *testing.T, db database.Database) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				scratch := onScratch(t, db)
				m := whimbrel.New(scratch, set, whimbrel.Options{})
				for _, do := range tt.do {
					do(t, scratch, m)
				}
				changes, err := inspect.Drift(t.Context(), scratch, inspect.Beside(db), nil)
				if got := words(changes); err != nil {
					t.Error(err)
				} else if (got == "") != (tt.want == "") {
					t.Errorf("(got == \"\") = %v, want %v", (got == ""), (tt.want == ""))
				} else if !strings.Contains(got, tt.want) {
					t.Errorf("got %q, want a text containing %q", got, tt.want)
				}
			})
		}
	})
}

// A script too large for the history is read from the folder if its checksum is the same.
func TestDriftTakesLargeTextsFromFiles(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		c := migration.Contents{
			Migrations:  setOf(t, step{"CREATE TABLE a (id integer)", "-"}, step{"CREATE TABLE b (id integer)", "DROP TABLE b"}).All(),
			Repeatables: []migration.Named{{Name: "r", Script: migration.Text("R__r.sql", "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT id FROM a")}},
		}
		set, err := c.Set("s")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := whimbrel.New(db, set, whimbrel.Options{TextLimit: -1}).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		drift := func(files *migration.Set) (string, error) {
			changes, err := inspect.Drift(t.Context(), db, inspect.Beside(db), files)
			return words(changes), err
		}
		if got, err := drift(set); got != "" {
			t.Errorf("got %q, want %q", got, "")
		} else if err != nil {
			t.Error(err)
		}
		byHand(t, db, "CREATE TABLE more (id integer)")
		if got, err := drift(set); !strings.Contains(got, "more added") {
			t.Errorf("got %q, want a text containing %q", got, "more added")
		} else if err != nil {
			t.Error(err)
		}
		var missing *inspect.NoTextError
		edited := setOf(t, step{"CREATE TABLE a (id integer)", "-"}, step{"CREATE TABLE b (id bigint)", "DROP TABLE b"})
		if _, err := drift(edited); !errors.As(err, &missing) {
			t.Errorf("got %v, want a %T", err, missing)
		} else if missing.Event.Version != 2 {
			t.Errorf("missing.Event.Version = %v, want 2", missing.Event.Version)
		}
		if _, err := drift(nil); !errors.As(err, &missing) {
			t.Errorf("got %v, want a %T", err, missing)
		} else if missing.Event.Version != 1 {
			t.Errorf("missing.Event.Version = %v, want 1", missing.Event.Version)
		}
	})
}

func TestDriftIsNotAcceptedWhileFrozen(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		if err := database.UpdateSetting(t.Context(), db, database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "a busy day"}); err != nil {
			t.Fatal(err)
		}
		var off *whimbrel.FrozenError
		if err := inspect.AcceptDrift(t.Context(), db, "s", "it is so"); !errors.As(err, &off) {
			t.Errorf("got %v, want a %T", err, off)
		} else if off.Reason != "a busy day" {
			t.Errorf("off.Reason = %q, want %q", off.Reason, "a busy day")
		}
	})
}

// TestDriftInAnotherSchema: Whimbrel's tables share a schema with others, and the search path has
// no match in a new database.
func TestDriftInAnotherSchema(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, parameter, schema string }{
		{"named", "", "app"},
		{"of the search path", "&search_path=app", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(t.Context())
			if _, err := c.Exec(t.Context(), "CREATE SCHEMA app"); err != nil {
				t.Fatal(err)
			}
			db, err := database.Open(t.Context(), url+tt.parameter, database.Options{Schema: tt.schema})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			set := setOf(t, step{"CREATE TABLE app.a (id integer)", "DROP TABLE app.a"})
			if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			drift := func(want string) {
				t.Helper()
				changes, err := inspect.Drift(t.Context(), db, inspect.Beside(db), nil)
				if got := words(changes); err != nil {
					t.Error(err)
				} else if got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			}
			drift("")
			byHand(t, db, "CREATE TABLE app.b (id integer)")
			drift("table app.b added")
			if err := inspect.AcceptDrift(t.Context(), db, "s", "it is so"); err != nil {
				t.Fatal(err)
			}
			drift("")
			if v, err := inspect.Verify(t.Context(), set, inspect.Beside(db)); err != nil {
				t.Error(err)
			} else if !v.OK() {
				t.Error("v.OK() = false, want true")
			}
			now, err := database.Snapshot(t.Context(), db, catalog.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := inspect.Rebuild(t.Context(), "now.sql", now.Text(), inspect.Beside(db))
			if err != nil {
				t.Fatal(err)
			}
			if words(catalog.Compare(now, again)) != "" {
				t.Errorf("words(catalog.Compare(now, again)) = %q, want %q", words(catalog.Compare(now, again)), "")
			}
		})
	}
}

// TestDriftOfSetsThatNeedEachOther: one set needed an object that another has dropped since.
func TestDriftOfSetsThatNeedEachOther(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		up := func(name string, scripts ...string) {
			t.Helper()
			var all []migration.Migration
			for i, sql := range scripts {
				all = append(all, migration.Migration{Version: int64(i + 1), Name: "m", Up: migration.Text("m", sql)})
			}
			set, err := migration.NewSet(name, all...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		const table, view, noView, noColumn = "CREATE TABLE a (x integer, y integer)", "CREATE VIEW v AS SELECT x FROM a", "DROP VIEW v", "ALTER TABLE a DROP COLUMN x"
		up("tables", table)
		up("views", view, noView)
		up("tables", table, noColumn)
		changes, err := inspect.Drift(t.Context(), db, inspect.Beside(db), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) > 0 {
			t.Errorf("len(changes) = %v, want at most %v", len(changes), 0)
		}
		byHand(t, db, "CREATE TABLE more (x integer)")
		changes, err = inspect.Drift(t.Context(), db, inspect.Beside(db), nil)
		if got := words(changes); err != nil {
			t.Error(err)
		} else if !strings.HasSuffix(got, "more added") {
			t.Errorf("got %q, want a text ending with %q", got, "more added")
		} else if len(changes) != 1 {
			t.Errorf("len(changes) = %v, want 1", len(changes))
		}
	})
}

// TestDriftRunsAScriptAsItRan: the texts alone don't show that the scripts must run outside a
// transaction.
func TestDriftRunsAScriptAsItRan(t *testing.T) {
	t.Parallel()
	const procedure = "CREATE TABLE a (x int);\nCREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO a VALUES (1); COMMIT; END $$;\n"
	alone := func(name, sql string) *migration.Script {
		s := migration.Text(name, sql)
		s.NoTransaction = true
		return s
	}
	for _, tt := range []struct {
		name     string
		baseline bool
		back     bool
	}{
		{name: "an up script"},
		{name: "a baseline, and the down script of what it covers", baseline: true, back: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, testdb.Postgres(t))
			up, down := alone("1.up.sql", procedure+"CALL p();"), alone("1.down.sql", "CALL p();\nDROP PROCEDURE p;\nDROP TABLE a;")
			all := []migration.Migration{{Version: 1, Name: "m", Up: up, Down: down}}
			set, err := migration.NewSet("s", all...)
			if tt.baseline {
				set, err = migration.Contents{Migrations: all, Baselines: []migration.Migration{{Version: 1, Name: "all", Up: migration.Text("B1.sql", procedure)}}}.Set("s")
			}
			if err != nil {
				t.Fatal(err)
			}
			m := whimbrel.New(db, set, whimbrel.Options{})
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tt.back {
				if _, err := m.Migrate(t.Context(), whimbrel.By(-1), whimbrel.ApplyOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if changes, err := inspect.Drift(t.Context(), db, inspect.Beside(db), nil); err != nil {
				t.Error(err)
			} else if len(changes) > 0 {
				t.Errorf("len(changes) = %v, want at most %v", len(changes), 0)
			}
		})
	}
}
