package inspect_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/migration"
)

// contents returns three migrations without a baseline, a squash or repeatable scripts.
func contents(db database.Database) migration.Contents {
	text := migration.Text
	return migration.Contents{Migrations: []migration.Migration{
		{Version: 1, Name: "a", Up: text("1.up.sql", "CREATE TABLE a (id integer, n varchar(20))"), Down: text("1.down.sql", "DROP TABLE a")},
		{Version: 3, Name: "b", Up: text("3.up.sql", "CREATE TABLE b (id integer)"), Down: text("3.down.sql", "DROP TABLE b")},
		{Version: 4, Name: "c", Up: text("4.up.sql", "CREATE INDEX i ON a (n)"), Down: text("4.down.sql", dropIndex(db, "i", "a"))},
	}}
}

func baseline(version int64, sql string) migration.Migration {
	return migration.Migration{Version: version, Name: "base", Up: migration.Text(fmt.Sprintf("B%d.sql", version), sql)}
}

func verify(t *testing.T, db database.Database, c migration.Contents) *inspect.Verified {
	t.Helper()
	set, err := c.Set("s")
	if err != nil {
		t.Fatal(err)
	}
	v, err := inspect.Verify(t.Context(), set, inspect.Beside(db))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wayWords(ways []inspect.Way) string {
	var all []string
	for _, w := range ways {
		all = append(all, fmt.Sprintf("%d at %d: %v %s", w.Version, w.At, w.Err, words(w.Differences)))
	}
	return strings.Join(all, "; ")
}

// A baseline must lead to the same schema as the migrations.
func TestBaselinesAreProved(t *testing.T) {
	t.Parallel()
	const whole = "CREATE TABLE a (id integer, n varchar(20)); CREATE TABLE b (id integer)"
	tests := []struct {
		name      string
		baselines []migration.Migration
		drop      int // how many of the oldest migrations have no files
		want      string
		ok        bool
	}{
		{name: "right", baselines: []migration.Migration{baseline(3, whole)}, ok: true, want: "3 at 4: <nil> "},
		{name: "between two versions", baselines: []migration.Migration{baseline(2, "CREATE TABLE a (id integer, n varchar(20))")}, ok: true, want: "2 at 4: <nil> "},
		{name: "above all", baselines: []migration.Migration{baseline(9, whole+"; CREATE INDEX i ON a (n)")}, ok: true, want: "9 at 9: <nil> "},
		{name: "something forgotten", baselines: []migration.Migration{baseline(3, "CREATE TABLE a (id integer, n varchar(20))")}, want: "b removed"},
		{name: "another order of columns", baselines: []migration.Migration{baseline(3, "CREATE TABLE a (n varchar(20), id integer); CREATE TABLE b (id integer)")}, want: "order of columns"},
		{name: "something too many", baselines: []migration.Migration{baseline(3, whole+"; CREATE TABLE more (id integer)")}, want: "3 at 3: <nil> table "},
		{name: "what runs twice", baselines: []migration.Migration{baseline(3, whole+"; CREATE INDEX i ON a (n)")}, want: "i added"},
		{name: "it fails", baselines: []migration.Migration{baseline(3, "CREATE TABEL a (id integer)")}, want: "3 at 3: migration 3 base"},
		{name: "one of two", baselines: []migration.Migration{baseline(1, "CREATE TABLE a (id integer, n varchar(20))"), baseline(3, "SELECT 1")}, want: "1 at 4: <nil> ; 3 at 3: <nil> table "},
		{name: "the older files are gone", baselines: []migration.Migration{baseline(3, whole)}, drop: 2, ok: true, want: "3 at 0: <nil> "},
		{name: "they are, and it is wrong", baselines: []migration.Migration{baseline(3, "CREATE TABLE b (id integer)")}, drop: 2, want: "3 at 0: <nil> "},
		{name: "they are, and it fails", baselines: []migration.Migration{baseline(3, "CREATE TABEL b (id integer)")}, drop: 2, want: "3 at 0: migration 3 base"},
		{name: "older than what is there", baselines: []migration.Migration{baseline(1, "CREATE TABLE old (id integer)"), baseline(3, whole)}, drop: 2, ok: true, want: "3 at 0: <nil> ; 1 at 1: <nil> "},
	}
	eachKind(t, func(t *testing.T, db database.Database) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := contents(db)
				c.Migrations, c.Baselines = c.Migrations[tt.drop:], tt.baselines
				v := verify(t, db, c)
				if got := wayWords(v.Baselines); !strings.Contains(got, tt.want) {
					t.Errorf("got %q, want a text containing %q", got, tt.want)
				}
				if v.OK() != tt.ok {
					t.Errorf("whether the set is OK: %v, want %v", v.OK(), tt.ok)
				}
				if tt.drop == 0 {
					wantLastInverse(t, v)
				}
			})
		}
	})
}

// An edited squash must still lead to the schema of its originals.
func TestSquashesAreProvedAgainstTheirOriginals(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		for up, want := range map[string]string{
			"CREATE TABLE a (id integer, n varchar(20)); CREATE TABLE b (id integer)":                             "3 at 4: <nil> ",
			"CREATE TABLE a (id integer, n varchar(20)); CREATE TABLE b (id integer); CREATE TABLE x (y integer)": "x removed",
		} {
			c := contents(db)
			q := migration.Migration{Version: 3, Name: "squash", Up: migration.Text("3_squash.up.sql", up)}
			for _, m := range c.Migrations[:2] {
				q.Up.Replaces = append(q.Up.Replaces, migration.Replaced{Version: m.Version, Checksum: m.Up.Checksum})
			}
			c.Migrations = append(c.Migrations, q)
			v := verify(t, db, c)
			if got := wayWords(v.Originals); !strings.Contains(got, want) {
				t.Errorf("got %q, want a text containing %q", got, want)
			} else if got, want := v.OK(), strings.HasSuffix(want, "<nil> "); got != want {
				t.Errorf("v.OK() = %v, want %v", got, want)
			}
			// Without the originals there is nothing to compare with.
			c.Migrations = c.Migrations[2:]
			if v := verify(t, db, c); len(v.Originals) > 0 {
				t.Errorf("got %+v", v.Originals)
			}
		}
	})
}

func TestRepeatablesAreRunTwice(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, sql, want string }{
		{"a view", "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT id FROM a", "<nil> <nil> "},
		{"rows", "DELETE FROM b; INSERT INTO b VALUES (1)", "<nil> <nil> "},
		{"without DROP", "CREATE VIEW v AS SELECT id FROM a", "already exists"},
		{"it fails", "CREATE VIEW v AS SELECT nothing FROM a", "nothing"},
		{"in another order of columns", "ALTER TABLE a DROP COLUMN id; ALTER TABLE a ADD COLUMN id integer", "<nil> <nil> "},
	}
	eachKind(t, func(t *testing.T, db database.Database) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := contents(db)
				c.Repeatables = []migration.Named{{Name: "r", Script: migration.Text("R__r.sql", tt.sql)}}
				v := verify(t, db, c)
				r := v.Repeatables[0]
				got := fmt.Sprint(r.Run, " ", r.Again, " ", words(r.Differences))
				if !strings.Contains(got, tt.want) {
					t.Errorf("got %q, want a text containing %q", got, tt.want)
				}
				if got, want := v.OK(), (got == "<nil> <nil> "); got != want {
					t.Errorf("v.OK() = %v, want %v", got, want)
				}
			})
		}
		t.Run("each time something else", func(t *testing.T) {
			c := contents(db)
			c.Repeatables = []migration.Named{
				{Name: "a view", Script: migration.Text("R__a.sql", "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT id FROM a")},
				{Name: "b", Script: migration.Text("R__b.sql", "DROP VIEW v; CREATE VIEW v AS SELECT n FROM a")},
				{Name: "c uses it", Script: migration.Text("R__c.sql", "DROP VIEW IF EXISTS w; CREATE VIEW w AS SELECT n FROM v")},
			}
			v := verify(t, db, c)
			if v.OK() {
				t.Error("v.OK() = true, want false")
			}
			if v.Repeatables[0].OK() {
				t.Error("v.Repeatables[0].OK() = true, want false")
			}
			if v.Repeatables[2].Run != nil {
				t.Errorf("v.Repeatables[2].Run = %+v, want nil", v.Repeatables[2].Run)
			}
			if !v.Repeatables[2].OK() {
				t.Error("v.Repeatables[2].OK() = false, want true")
			}
		})
	})
}

// TestACorrectFolderOfEverything: a correct folder that uses every feature has no problems.
func TestACorrectFolderOfEverything(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		partial := " WHERE a > 0"
		if isMySQL(db) {
			partial = ""
		}
		steps := []step{
			{"CREATE TABLE a (id integer PRIMARY KEY, n varchar(20) NOT NULL DEFAULT 'x', CHECK (n <> ''))", "DROP TABLE a"},
			{"CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a (id) ON DELETE CASCADE); CREATE UNIQUE INDEX b_a ON b (a)" + partial, "DROP TABLE b"},
			{"ALTER TABLE a ADD COLUMN more integer DEFAULT 0", "ALTER TABLE a DROP COLUMN more"},
			{"ALTER TABLE a RENAME COLUMN n TO name", "ALTER TABLE a RENAME COLUMN name TO n"},
			{"CREATE VIEW v AS SELECT id, name FROM a", "DROP VIEW v"},
			{"INSERT INTO a (id) VALUES (1); DELETE FROM a", "SELECT 1"},
		}
		if isPostgres(db) {
			steps = append(steps, []step{
				{"CREATE SCHEMA x; CREATE SEQUENCE x.q AS integer START 5 OWNED BY NONE", "DROP SEQUENCE x.q; DROP SCHEMA x"},
				{"CREATE TYPE mood AS ENUM ('odd', 'even'); ALTER TABLE a ADD mood mood DEFAULT 'odd'", "ALTER TABLE a DROP mood; DROP TYPE mood"},
				{"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", "DROP TRIGGER t ON a; DROP FUNCTION f"},
				{"COMMENT ON TABLE a IS 'all'; COMMENT ON COLUMN a.id IS 'which'; GRANT SELECT, UPDATE (name) ON a TO pg_monitor", "REVOKE SELECT, UPDATE (name) ON a FROM pg_monitor; COMMENT ON COLUMN a.id IS NULL; COMMENT ON TABLE a IS NULL"},
				{"ALTER TABLE a ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON a USING (id > 0)", "DROP POLICY p ON a; ALTER TABLE a DISABLE ROW LEVEL SECURITY"},
				{"CREATE TABLE part (id bigint GENERATED ALWAYS AS IDENTITY, at date) PARTITION BY RANGE (at); CREATE TABLE part1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01'); CREATE INDEX ON part (at)", "DROP TABLE part"},
				{"CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM a; CREATE INDEX m_c ON m (count)", "DROP MATERIALIZED VIEW m"},
				{"CREATE EXTENSION citext; ALTER TABLE b ADD c citext", "ALTER TABLE b DROP c; DROP EXTENSION citext"},
				{"ALTER TABLE a ALTER more TYPE bigint, ALTER more SET NOT NULL", "ALTER TABLE a ALTER more DROP NOT NULL, ALTER more TYPE integer"},
			}...)
		}
		if isMySQL(db) {
			steps = append(steps, []step{
				{"CREATE SEQUENCE q START 5", "DROP SEQUENCE q"},
				{"CREATE FUNCTION f(x integer) RETURNS integer DETERMINISTIC BEGIN IF x > 1 THEN RETURN 2; END IF; RETURN 1; END; CREATE PROCEDURE p() DELETE FROM b", "DROP PROCEDURE p; DROP FUNCTION f"},
				{"CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.name = coalesce(NEW.name, 'it''s; #1')", "DROP TRIGGER t"},
				{"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM b", "DROP EVENT e"},
				{"ALTER TABLE a COMMENT 'all', MODIFY more bigint NOT NULL DEFAULT 0 COMMENT 'which'", "ALTER TABLE a COMMENT '', MODIFY more integer DEFAULT 0"},
				{"CREATE TABLE part (id bigint AUTO_INCREMENT, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (year(at)) (PARTITION p0 VALUES LESS THAN (2020))", "DROP TABLE part"},
				{"DELIMITER //\nCREATE PROCEDURE d() BEGIN SELECT 1; END //\nDELIMITER ;\n", "DROP PROCEDURE d"},
			}...)
		}
		set := setOf(t, steps...)
		full, err := reach(t, db, set)
		if err != nil {
			t.Fatal(err)
		}
		c := migration.Contents{Migrations: set.All(), Baselines: []migration.Migration{baseline(int64(len(steps)), full.Text())}}
		c.Repeatables = []migration.Named{{Name: "r", Script: migration.Text("R__r.sql", "DROP VIEW IF EXISTS r; CREATE VIEW r AS SELECT id FROM b")}}
		v := verify(t, db, c)
		for _, p := range v.Migrations {
			if !p.Inverse() {
				t.Errorf("%d: %v, %v, %s", p.Version, p.Up, p.Down, words(p.Differences))
			}
		}
		if !v.OK() {
			t.Errorf("left: %s; again: %s; baselines: %s; repeatables: %+v", words(v.Left), words(v.Again), wayWords(v.Baselines), v.Repeatables)
		}
	})
}

// A proof doesn't change the database, and leaves no scratch database behind.
func TestVerifyLeavesNothing(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		c := contents(db)
		c.Baselines = []migration.Migration{baseline(3, "CREATE TABLE x (id integer)")}
		var open int
		scratch := inspect.Beside(db)
		scratch.Make = func(ctx context.Context) (database.Database, func(context.Context) error, error) {
			s, drop, err := database.Scratch(ctx, db)
			if open++; open > 1 {
				t.Errorf("%d scratch databases are there at one time", open)
			}
			return s, func(ctx context.Context) error { open--; return drop(ctx) }, err
		}
		set, err := c.Set("s")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := inspect.Verify(t.Context(), set, scratch); err != nil {
			t.Error(err)
		} else if open != 0 {
			t.Errorf("open = %v, want 0", open)
		}
		if st, err := whimbrel.New(db, set, whimbrel.Options{}).Status(t.Context()); err != nil {
			t.Error(err)
		} else if len(st.AppliedVersions()) > 0 {
			t.Errorf("len(st.AppliedVersions()) = %v, want at most %v", len(st.AppliedVersions()), 0)
		}
		if now, err := database.Snapshot(t.Context(), db, catalog.Options{}); err != nil {
			t.Error(err)
		} else if now.Find("table a") != nil {
			t.Errorf("now.Find(\"table a\") = %+v, want nil", now.Find("table a"))
		} else if now.Find("table public.a") != nil {
			t.Errorf("now.Find(\"table public.a\") = %+v, want nil", now.Find("table public.a"))
		}
	})
}
