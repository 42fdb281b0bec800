package inspect_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestMinimal(t *testing.T) {
	t.Parallel()
	steps := []step{
		{"CREATE TABLE a (id integer PRIMARY KEY, gone text); CREATE TABLE tmp (id integer)", "DROP TABLE tmp; DROP TABLE a"},
		{`ALTER TABLE a ADD COLUMN "order" varchar(20) DEFAULT 'x'; DROP TABLE tmp`, "SELECT 1"},
		{`ALTER TABLE a DROP COLUMN gone; CREATE INDEX a_order ON a ("order"); CREATE VIEW v AS SELECT id FROM a`, "DROP VIEW v"},
		{"CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a (id)); ALTER TABLE a ADD COLUMN b integer REFERENCES b (id)", "DROP TABLE b"},
		{"CREATE TABLE later (id integer)", "DROP TABLE later"},
	}
	eachKind(t, func(t *testing.T, db database.Database) {
		steps := slices.Clone(steps)
		switch {
		case isMySQL(db):
			for i := range steps {
				steps[i].up = strings.ReplaceAll(steps[i].up, `"`, "`")
			}
			steps[2].up += "; CREATE TABLE `o``dd's` (`i``d` integer PRIMARY KEY, up integer, CONSTRAINT `k``ey` FOREIGN KEY (up) REFERENCES `o``dd's` (`i``d`))"
			steps[2].up += "; CREATE SEQUENCE q; CREATE VIEW `v``v` AS SELECT `i``d` FROM `o``dd's`"
			steps[3].up += "; CREATE PROCEDURE p() BEGIN INSERT INTO b VALUES (1, NULL); DELETE FROM b; END; CREATE FUNCTION `f``f`() RETURNS integer DETERMINISTIC RETURN 1"
			steps[3].up += "; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.`order` = concat(NEW.`order`, '; ''\"'); CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM b"
			steps[3].up += "; SET sql_mode = 'ORACLE';\nDELIMITER //\nCREATE PACKAGE `pa'ck` AS FUNCTION f RETURN integer; END //\nCREATE PACKAGE BODY `pa'ck` AS FUNCTION f RETURN integer AS BEGIN RETURN 1; END; END //\nDELIMITER ;\n"
		case isPostgres(db):
			steps[2].up += `; CREATE TYPE mood AS ENUM ('odd'); CREATE SCHEMA "In"; CREATE TABLE "In".t (m mood, n bigserial)`
			steps[3].up += `; ALTER TYPE mood ADD VALUE 'even'; CREATE EXTENSION citext; GRANT SELECT ON a TO pg_monitor; COMMENT ON TABLE a IS 'it''s'`
			steps[3].up += `; CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO b VALUES (1); RETURN NEW; END $$`
			steps[3].up += `; CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION g()`
		}
		testMinimal(t, db, steps)
	})
}

func testMinimal(t *testing.T, db database.Database, steps []step) {
	got, err := inspect.Minimal(t.Context(), setOf(t, steps...), inspect.MinimalOptions{From: 1, To: 4}, inspect.Beside(db))
	if err != nil {
		t.Fatal(err)
	}
	want, err := reach(t, db, setOf(t, steps[:4]...))
	if err != nil {
		t.Fatal(err)
	}
	made := onScratch(t, db)
	if _, err := whimbrel.New(made, setOf(t, step{got.Up, got.Down}), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	isLike(t, made, want)
	if strings.Contains(got.Up, "tmp") {
		t.Errorf("got.Up = %q, want a text without %q", got.Up, "tmp")
	}
	if strings.Contains(got.Up, "later") {
		t.Errorf("got.Up = %q, want a text without %q", got.Up, "later")
	}
	if len(got.Dropped) > 0 {
		t.Errorf("len(got.Dropped) = %v, want at most %v", len(got.Dropped), 0)
	}
	if !got.HasDown {
		t.Fatal("got.HasDown = false, want true")
	}
	if got.NoDown != "" {
		t.Fatalf("got.NoDown = %q, want %q", got.NoDown, "")
	}
	empty, err := database.Snapshot(t.Context(), db, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// The down script works with rows in the tables, too, in any order.
	whole := setOf(t, step{got.Up, got.Down})
	if _, err := whimbrel.New(db, whole, whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	byHand(t, db, "INSERT INTO a (id) VALUES (1); INSERT INTO b VALUES (2, 1); UPDATE a SET b = 2")
	if _, err := whimbrel.New(db, whole, whimbrel.Options{}).Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	left, err := database.Snapshot(t.Context(), db, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if changes := catalog.Compare(empty, left); len(changes) > 0 {
		t.Errorf("left: %s", words(changes))
	}
}

// A range in the middle is reduced to its difference, if it alters no older object.
func TestMinimalInTheMiddle(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		added, dropped := "CREATE INDEX a_n ON a (n)", "DROP INDEX a_n"
		if isMySQL(db) { // there an index is part of its table
			added, dropped = "CREATE TRIGGER a_n BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 'x'", "DROP TRIGGER a_n"
		}
		set := setOf(t,
			step{"CREATE TABLE a (id integer PRIMARY KEY, n varchar(20))", "DROP TABLE a"},
			step{"CREATE TABLE b (id integer)", "DROP TABLE b"},
			step{"ALTER TABLE b ADD COLUMN n text; " + added, "ALTER TABLE b DROP COLUMN n; " + dropped},
			step{"ALTER TABLE a ADD COLUMN more text", "ALTER TABLE a DROP COLUMN more"},
		)
		got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 2, To: 3}, inspect.Beside(db))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.Up, "TABLE a") {
			t.Errorf("got.Up = %q, want a text without %q", got.Up, "TABLE a")
		}
		if strings.Count(strings.ReplaceAll(got.Up, "SET ", ";"), ";") < 2 {
			t.Errorf("strings.Count(strings.ReplaceAll(got.Up, \"SET \", \";\"), \";\") = %v, want at least %v", strings.Count(strings.ReplaceAll(got.Up, "SET ", ";"), ";"), 2)
		}
		if !got.HasDown {
			t.Error("got.HasDown = false, want true")
		}
		if strings.Count(got.Down, ";") != 2 {
			t.Errorf("strings.Count(got.Down, \";\") = %v, want 2", strings.Count(got.Down, ";"))
		}
		var same *inspect.NotSameError
		_, err = inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 3, To: 4}, inspect.Beside(db))
		if !errors.As(err, &same) {
			t.Fatalf("got %v, want a %T", err, same)
		}
		if !same.Before {
			t.Error("same.Before = false, want true")
		}
		if len(same.Changes) == 0 {
			t.Error("len(same.Changes) is 0")
		}
		if !strings.Contains(err.Error(), "migrations 3 to 4 alter objects that existed before them") {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "migrations 3 to 4 alter objects that existed before them")
		}
		if text := words(same.Changes); !strings.Contains(text, "a.more added") {
			t.Errorf("text = %q, want a text containing %q", text, "a.more added")
		} else if !strings.Contains(text, "b.n added") {
			t.Errorf("text = %q, want a text containing %q", text, "b.n added")
		} else if strings.Contains(text, "a_n") {
			t.Errorf("text = %q, want a text without %q", text, "a_n")
		}
	})
}

func TestMinimalNoDown(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		set := setOf(t, step{"CREATE TABLE a (id integer)", "DROP TABLE a"}, step{"CREATE TABLE b (id integer)", "-"})
		got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 2}, inspect.Beside(db))
		if err != nil {
			t.Fatal(err)
		}
		if got.HasDown {
			t.Error("got.HasDown = true, want false")
		}
		if got.NoDown != "2.up.sql has no down script" {
			t.Errorf("got.NoDown = %q, want %q", got.NoDown, "2.up.sql has no down script")
		}
		if !isPostgres(db) {
			return // only PostgreSQL has objects without a name
		}
		for up, want := range map[string]string{
			"CREATE CAST (text AS integer) WITH INOUT":                                    "a cast can't be dropped by its name alone",
			"GRANT CREATE ON SCHEMA public TO pg_monitor":                                 "the range adds to an existing object: schema public",
			"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO pg_monitor": "a default privileges can't be dropped by its name alone",
		} {
			set := setOf(t, step{up, "SELECT 1"}, step{"CREATE TABLE b (id integer)", "DROP TABLE b"})
			got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 2}, inspect.Beside(db))
			if err != nil {
				t.Fatalf("%s: %v", up, err)
			}
			if got.HasDown {
				t.Errorf("%s: got.HasDown = true, want false", up)
			}
			if !strings.Contains(got.NoDown, want) {
				t.Errorf("%s: got.NoDown = %q, want a text containing %q", up, got.NoDown, want)
			}
		}
	})
}

func TestMinimalOfNothing(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		set := setOf(t, step{"CREATE TABLE a (id integer)", "DROP TABLE a"}, step{"DROP TABLE a", "CREATE TABLE a (id integer)"})
		got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 2}, inspect.Beside(db))
		if err != nil {
			t.Fatal(err)
		}
		if got.Up != "" {
			t.Errorf("got.Up = %q, want %q", got.Up, "")
		}
		if got.Down != "" {
			t.Errorf("got.Down = %q, want %q", got.Down, "")
		}
		if !got.HasDown {
			t.Error("got.HasDown = false, want true")
		}
	})
}

// If the files start with a baseline, the range runs from there.
func TestMinimalBehindABaseline(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		set, err := migration.Contents{
			Baselines:  []migration.Migration{{Version: 4, Name: "b", Up: migration.Text("B4.sql", "CREATE TABLE a (id integer)")}},
			Migrations: []migration.Migration{{Version: 5, Up: migration.Text("5.up.sql", "CREATE VIEW v AS SELECT id FROM a")}, {Version: 6, Up: migration.Text("6.up.sql", "CREATE TABLE z (id integer)")}},
		}.Set("s")
		if err != nil {
			t.Fatal(err)
		}
		got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 5, To: 6}, inspect.Beside(db))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.Up, "CREATE VIEW") {
			t.Errorf("got.Up = %q, want a text containing %q", got.Up, "CREATE VIEW")
		}
		if strings.Contains(got.Up, "CREATE TABLE a") {
			t.Errorf("got.Up = %q, want a text without %q", got.Up, "CREATE TABLE a")
		}
	})
}

func TestMinimalRefusesData(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		set := setOf(t,
			step{"CREATE TABLE a (id integer);\n  INSERT INTO a VALUES (1)", "DROP TABLE a"},
			step{"-- words\nUPDATE a SET id = 2; DELETE FROM a", "SELECT 1"})
		opts := inspect.MinimalOptions{From: 1, To: 2}
		var data *inspect.DataError
		if _, err := inspect.Minimal(t.Context(), set, opts, inspect.Beside(db)); !errors.As(err, &data) {
			t.Fatalf("got %v", err)
		}
		var got []string
		for _, s := range data.Statements {
			got = append(got, s.String())
		}
		want := []string{"1.up.sql:2:3: writes rows: INSERT INTO a VALUES (1)", "2.up.sql:2:1: writes rows: UPDATE a SET id = 2", "2.up.sql:2:22: writes rows: DELETE FROM a"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", got, want)
		}
		opts.DropData = true
		m, err := inspect.Minimal(t.Context(), set, opts, inspect.Beside(db))
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Dropped) != 3 {
			t.Fatalf("len(m.Dropped) = %v, want 3", len(m.Dropped))
		}
		if strings.Contains(m.Up, "INSERT") {
			t.Errorf("m.Up = %q, want a text without %q", m.Up, "INSERT")
		}
	})
}

// A script that fails on scratch is reported as such.
func TestMinimalOfWhatDoesNotRun(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		set := setOf(t, step{"CREATE TABLE a (id integer)", "-"}, step{"CREATE TABLE a (id integer)", "-"}, step{"CREATE TABLE b (id integer)", "-"})
		_, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 2}, inspect.Beside(db))
		var failed *whimbrel.MigrationError
		if !errors.As(err, &failed) {
			t.Fatalf("got %v, want a %T", err, failed)
		}
		if failed.Version != 2 {
			t.Errorf("failed.Version = %v, want 2", failed.Version)
		}
		_, err = inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 3, To: 3}, inspect.Beside(db))
		if !errors.As(err, &failed) {
			t.Fatalf("got %v, want a %T", err, failed)
		}
		if failed.Version != 2 {
			t.Errorf("failed.Version = %v, want 2", failed.Version)
		}
		if !strings.Contains(err.Error(), "before the range") {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "before the range")
		}
	})
}

// If drops aren't enough, Minimal tries the down scripts of the range. Only PostgreSQL can add to
// an existing object without creating a named one.
func TestMinimalWithTheDownScripts(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	set := setOf(t,
		step{"CREATE TABLE a (id integer)", "DROP TABLE a"},
		step{"CREATE TABLE b (id integer)", "DROP TABLE b"},
		step{"COMMENT ON TABLE a IS 'x'", "COMMENT ON TABLE a IS NULL"})
	opts := inspect.MinimalOptions{From: 2, To: 3}
	for _, tt := range []struct{ downs, noDown string }{
		{"COMMENT ON TABLE a IS NULL; DROP TABLE b", ""},
		{"DROP TABLE b", "the range adds to an existing object: table public.a; and with the down scripts joined the down script leaves a difference: table public.a: comment none"},
		{"DROP TABLE x", "; and with the down scripts joined the down script fails: migration 3 minimal (down) failed: "},
		{"", "; and the down scripts can't be joined: not today"},
	} {
		opts.Downs = func() (string, error) {
			if tt.downs == "" {
				return "", errors.New("not today")
			}
			return tt.downs, nil
		}
		got, err := inspect.Minimal(t.Context(), set, opts, inspect.Beside(db))
		if err != nil {
			t.Fatalf("%s: %v", tt.downs, err)
		}
		if got.HasDown != (tt.noDown == "") {
			t.Errorf("%q: whether there is a down script: %v, want %v", tt.downs, got.HasDown, tt.noDown == "")
		}
		if !strings.Contains(got.NoDown, tt.noDown) {
			t.Errorf("%q: the reason for no down script is %q, want a text with %q", tt.downs, got.NoDown, tt.noDown)
		}
		if got.HasDown && got.Down != tt.downs {
			t.Errorf("the down script is %q, want %q", got.Down, tt.downs)
		}
	}
}

// A range that creates what a snapshot can't represent is refused.
func TestMinimalOfWhatNoSnapshotHolds(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	set := setOf(t,
		step{"CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w", "-"},
		step{"CREATE USER MAPPING FOR CURRENT_USER SERVER far", "-"},
		step{"CREATE TABLE a (id integer)", "-"}, step{"CREATE TABLE b (id integer)", "-"})
	scratch := inspect.Beside(db)
	scratch.Allow = []sqltext.Outer{sqltext.OtherServers} // "far" leads to no server
	var same *inspect.NotSameError
	_, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 2}, scratch)
	if !errors.As(err, &same) {
		t.Fatalf("got %v, want a %T", err, same)
	}
	if len(same.Omitted) != 1 {
		t.Fatalf("len(same.Omitted) = %v, want 1", len(same.Omitted))
	}
	if !strings.Contains(err.Error(), "user mapping of ") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "user mapping of ")
	}
	// A later range isn't affected.
	if got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 3, To: 4}, scratch); err != nil {
		t.Error(err)
	} else if !strings.Contains(got.Up, "CREATE TABLE") {
		t.Errorf("got.Up = %q, want a text containing %q", got.Up, "CREATE TABLE")
	} else if strings.Contains(got.Up, "mapping") {
		t.Errorf("got.Up = %q, want a text without %q", got.Up, "mapping")
	}
}
