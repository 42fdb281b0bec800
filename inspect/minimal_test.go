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
	if strings.Contains(got.Up, "tmp") || strings.Contains(got.Up, "later") || len(got.Dropped) > 0 {
		t.Errorf("up is %s", got.Up)
	}
	if !got.HasDown || got.NoDown != "" {
		t.Fatalf("there is no down script: %s", got.NoDown)
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
		if strings.Contains(got.Up, "TABLE a") || strings.Count(strings.ReplaceAll(got.Up, "SET ", ";"), ";") < 2 || !got.HasDown || strings.Count(got.Down, ";") != 2 {
			t.Errorf("got %+v", got)
		}
		var same *inspect.NotSameError
		_, err = inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 3, To: 4}, inspect.Beside(db))
		if !errors.As(err, &same) || !same.Before || len(same.Changes) == 0 || !strings.Contains(err.Error(), "migrations 3 to 4 alter objects that existed before them") {
			t.Errorf("got %v", err)
		}
		if text := words(same.Changes); !strings.Contains(text, "a.more added") || !strings.Contains(text, "b.n added") || strings.Contains(text, "a_n") {
			t.Errorf("the changes are %s", text)
		}
	})
}

func TestMinimalNoDown(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		set := setOf(t, step{"CREATE TABLE a (id integer)", "DROP TABLE a"}, step{"CREATE TABLE b (id integer)", "-"})
		got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 2}, inspect.Beside(db))
		if err != nil || got.HasDown || got.NoDown != "2.up.sql has no down script" {
			t.Errorf("%+v, %v", got, err)
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
			if err != nil || got.HasDown || !strings.Contains(got.NoDown, want) {
				t.Errorf("%s: %+v, %v", up, got, err)
			}
		}
	})
}

func TestMinimalOfNothing(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		set := setOf(t, step{"CREATE TABLE a (id integer)", "DROP TABLE a"}, step{"DROP TABLE a", "CREATE TABLE a (id integer)"})
		got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 2}, inspect.Beside(db))
		if err != nil || got.Up != "" || got.Down != "" || !got.HasDown {
			t.Errorf("%+v, %v", got, err)
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
		if err != nil || !strings.Contains(got.Up, "CREATE VIEW") || strings.Contains(got.Up, "CREATE TABLE a") {
			t.Errorf("%+v, %v", got, err)
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
		if err != nil || len(m.Dropped) != 3 || strings.Contains(m.Up, "INSERT") {
			t.Errorf("%+v, %v", m, err)
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
		if !errors.As(err, &failed) || failed.Version != 2 {
			t.Errorf("got %v", err)
		}
		_, err = inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 3, To: 3}, inspect.Beside(db))
		if !errors.As(err, &failed) || failed.Version != 2 || !strings.Contains(err.Error(), "before the range") {
			t.Errorf("got %v", err)
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
		if err != nil || got.HasDown != (tt.noDown == "") || !strings.Contains(got.NoDown, tt.noDown) || got.HasDown && got.Down != tt.downs {
			t.Errorf("%s: %+v, %v", tt.downs, got, err)
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
	if !errors.As(err, &same) || len(same.Omitted) != 1 || !strings.Contains(err.Error(), "user mapping of ") {
		t.Errorf("got %v", err)
	}
	// A later range isn't affected.
	if got, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 3, To: 4}, scratch); err != nil || !strings.Contains(got.Up, "CREATE TABLE") || strings.Contains(got.Up, "mapping") {
		t.Errorf("%+v, %v", got, err)
	}
}
