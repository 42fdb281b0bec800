package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// refusing returns a Scratch that fails the test if it creates a database.
func refusing(t *testing.T, db database.Database) inspect.Scratch {
	s := inspect.Beside(db)
	s.Make = func(context.Context) (database.Database, func(context.Context) error, error) {
		t.Error("a scratch database was made")
		return nil, nil, errors.New("none is made")
	}
	return s
}

// places returns the places of an OutsideError, and what they reach.
func places(t *testing.T, err error) string {
	t.Helper()
	var outside *inspect.OutsideError
	if !errors.As(err, &outside) {
		t.Fatalf("%v is no *OutsideError", err)
	}
	var all []string
	for _, s := range outside.Statements {
		all = append(all, fmt.Sprintf("%s %s", s.Pos, s.Effects[0].Outer))
		if !strings.Contains(err.Error(), s.Pos.String()) {
			t.Errorf("%v doesn't say where", err)
		}
	}
	return strings.Join(all, ", ")
}

// outsiders returns a script for each dialect that affects something outside its database, and the
// expected places.
func outsiders(t *testing.T, db database.Database) (script, where string) {
	switch db.Dialect() {
	case sqltext.PostgreSQL:
		return "CREATE TABLE a (x int);\nDO $$ BEGIN\n CREATE TABLE b (x int); CREATE ROLE whimbrel_never; END $$;\nALTER SYSTEM SET work_mem = '5MB';", "3:26 roles, FILE4:1 settings"
	case sqltext.MySQL:
		return "CREATE TABLE a (x int);\nUSE mysql;\n\nINSERT INTO never.there VALUES (1)", "2:1 databases, FILE4:13 databases"
	}
	return "CREATE TABLE a (x int);\nATTACH '" + filepath.Join(t.TempDir(), "other.db") + "' AS other; VACUUM INTO 'copy.db'", "2:1 files, FILE2:" + "*" + " files"
}

// TestWhatReachesOutIsRefused: with each place, before a scratch database is created, whichever
// function runs the script.
func TestWhatReachesOutIsRefused(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		script, where := outsiders(t, db)
		check := func(file string, err error) {
			t.Helper()
			got, want := places(t, err), strings.ReplaceAll("FILE"+where, "FILE", file+":")
			if before, _, ok := strings.Cut(want, "*"); got != want && (!ok || !strings.HasPrefix(got, before)) {
				t.Errorf("%s: %s, want %s", file, got, want)
			}
		}
		scratch := refusing(t, db)
		set := setOf(t, step{"CREATE TABLE z (x int)", script})
		_, err := inspect.Verify(t.Context(), set, scratch)
		check("1.down.sql", err)
		set = setOf(t, step{script, "-"})
		_, err = inspect.Verify(t.Context(), set, scratch)
		check("1.up.sql", err)
		_, err = inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 1, DropData: true}, scratch)
		check("1.up.sql", err)
		_, err = inspect.Rebuild(t.Context(), "x.sql", script, scratch)
		check("x.sql", err)

		for _, c := range []migration.Contents{
			{Baselines: []migration.Migration{{Version: 1, Up: migration.Text("b", script)}}},
			{Repeatables: []migration.Named{{Name: "r", Script: migration.Text("r", script)}}},
		} {
			set, err := c.Set("")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := inspect.Verify(t.Context(), set, scratch); !errors.As(err, new(*inspect.OutsideError)) {
				t.Errorf("%+v: %v", c, err)
			}
		}
	})
}

// TestDriftOfAHistoryThatReachesOut: statements that only manage outside objects are left out. Any
// other is refused, with its place in the history.
func TestDriftOfAHistoryThatReachesOut(t *testing.T) {
	t.Parallel()
	role := fmt.Sprintf("whimbrel_test_%016x", rand.Uint64())
	eachKind(t, func(t *testing.T, db database.Database) {
		if db.Dialect() == sqltext.SQLite {
			t.Skip("it has nothing that belongs to a server")
		}
		up := "CREATE ROLE " + role + ";\nCREATE TABLE a (x int);\nGRANT SELECT ON a TO " + role
		down := "DROP TABLE a; DROP ROLE " + role
		set := setOf(t, step{up, down})
		m := whimbrel.New(db, set, whimbrel.Options{})
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		scratch := inspect.Beside(db)
		var begun []inspect.Begun
		scratch.Observe = func(b inspect.Begun) { begun = append(begun, b) }
		var tried []inspect.Trying
		scratch.Progress = func(p inspect.Trying) { tried = append(tried, p) }
		changes, err := inspect.Drift(t.Context(), db, scratch, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) > 0 {
			t.Errorf("len(changes) = %v, want at most %v", len(changes), 0)
		}
		if len(begun) != 1 {
			t.Fatalf("len(begun) = %v, want 1", len(begun))
		}
		if len(tried) != 1 || tried[0].Index != 0 || tried[0].Of != 1 {
			t.Errorf("tried = %+v, want one migration, 1 of 1", tried)
		}
		if begun[0].Scripts != 1 {
			t.Errorf("begun[0].Scripts = %v, want 1", begun[0].Scripts)
		}
		if len(begun[0].Skipped) == 0 {
			t.Error("len(begun[0].Skipped) is 0")
		}
		if !strings.Contains(begun[0].Where, "whimbrel_scratch_") {
			t.Errorf("begun[0].Where = %q, want a text containing %q", begun[0].Where, "whimbrel_scratch_")
		}

		// On a separate server the role doesn't exist, so the statement runs. Here it exists.
		scratch = inspect.Beside(db)
		scratch.Apart = func(context.Context) (bool, string) { return true, "" }
		if _, err := inspect.Drift(t.Context(), db, scratch, nil); !errors.As(err, new(*database.StatementError)) {
			t.Errorf("got %v, want a %T", err, new(*database.StatementError))
		} else if !strings.Contains(err.Error(), role) {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), role)
		}
		// drops the role
		if _, err := m.Migrate(context.WithoutCancel(t.Context()), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
			t.Error(err)
		}

		script, where := outsiders(t, db)
		e := database.Entry{Set: "s", Version: 7, Name: "out", Direction: database.Up, UpText: script, Checksum: migration.Sum(script)}
		b, _, err := db.Begin(t.Context(), "s", database.LockOptions{})
		if err != nil {
			t.Fatal(err)
		}
		err = b.Record(t.Context(), e)
		if err == nil {
			_, err = b.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = inspect.Drift(t.Context(), db, refusing(t, db), nil)
		got := places(t, err)
		if !strings.HasPrefix(got, "history entry ") {
			t.Errorf("got %q, want a text beginning with %q", got, "history entry ")
		}
		if !strings.Contains(got, ":"+strings.Split(where, ",")[0]) {
			t.Errorf("got %q, want a text containing %q", got, ":"+strings.Split(where, ",")[0])
		}
	})
}

// TestWhatMayBeReached covers the ways to permit, skip or refuse outside effects.
func TestWhatMayBeReached(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	const marked = "-- whimbrel: skip-on-scratch\nALTER SYSTEM SET whimbrel_never = 'x';\nCREATE TABLE a (x int)"
	const plain = "ALTER SYSTEM SET whimbrel_never = 'x';\nCREATE TABLE a (x int)"
	yes := func(context.Context) (bool, string) { return true, "" }
	no := func(context.Context) (bool, string) { return false, "they look alike" }
	for _, tt := range []struct {
		name, text string
		change     func(*inspect.Scratch)
		skipped    int
		want       string // in the error
	}{
		{"a directive", marked, func(*inspect.Scratch) {}, 1, ""},
		{"all are left out", plain, func(s *inspect.Scratch) { s.Skip = true }, 1, ""},
		{"a kind is allowed", plain, func(s *inspect.Scratch) { s.Allow = []sqltext.Outer{sqltext.ServerSettings} }, 0, "unrecognized configuration parameter"},
		{"a directive where it is allowed", marked, func(s *inspect.Scratch) { s.Allow = []sqltext.Outer{sqltext.ServerSettings} }, 0, "unrecognized configuration parameter"},
		{"another kind is", plain, func(s *inspect.Scratch) { s.Allow = []sqltext.Outer{sqltext.Roles, sqltext.Files} }, 0, "nothing was run"},
		{"the server is apart", plain, func(s *inspect.Scratch) { s.Apart = yes }, 0, "unrecognized configuration parameter"},
		{"the server is not", plain, func(s *inspect.Scratch) { s.Apart = no }, 0, "nothing was run"},
		{"a server apart confines no file", "COPY (SELECT 1) TO '/nowhere/x'", func(s *inspect.Scratch) { s.Apart = yes }, 0, "nothing was run"},
		{"it is the scratch database itself", "ALTER DATABASE mine SET work_mem = '5MB'", func(s *inspect.Scratch) { s.Name = "mine" }, 0, `database "mine" does not exist`},
	} {
		scratch := inspect.Beside(db)
		tt.change(&scratch)
		skipped := -1
		scratch.Observe = func(b inspect.Begun) { skipped = len(b.Skipped) }
		_, err := inspect.Rebuild(t.Context(), "x.sql", tt.text, scratch)
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "nothing was run" && skipped != tt.skipped:
			t.Errorf("%s: %d are left out, want %d", tt.name, skipped, tt.skipped)
		}
		var outside *inspect.OutsideError
		if errors.As(err, &outside) && tt.name == "the server is not" && outside.Why != "they look alike" {
			t.Errorf("%s: %q", tt.name, outside.Why)
		}
	}
}

// TestMinimalKeepsWhatItCannotHold: a statement left out on scratch is data that a squash would
// lose. The joined down script leaves it out, too.
func TestMinimalKeepsWhatItCannotHold(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	set := setOf(t, step{"CREATE TABLE a (x int);\n-- whimbrel: skip-on-scratch\nALTER SYSTEM SET whimbrel_never = 'x'", "DROP TABLE a"})
	var data *inspect.DataError
	if _, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 1}, inspect.Beside(db)); !errors.As(err, &data) {
		t.Errorf("got %v, want a %T", err, data)
	} else if len(data.Statements) != 1 {
		t.Errorf("len(data.Statements) = %v, want 1", len(data.Statements))
	}
	m, err := inspect.Minimal(t.Context(), set, inspect.MinimalOptions{From: 1, To: 1, DropData: true}, inspect.Beside(db))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Dropped) != 1 {
		t.Fatalf("len(m.Dropped) = %v, want 1", len(m.Dropped))
	}
	if !m.HasDown {
		t.Error("m.HasDown = false, want true")
	}
	if strings.Contains(m.Up, "SYSTEM") {
		t.Errorf("m.Up = %q, want a text without %q", m.Up, "SYSTEM")
	}
}

// TestServersApart: servers are compared by what they report, not by their addresses.
func TestServersApart(t *testing.T) {
	t.Parallel()
	majors := testdb.PostgresMajors(t)
	urls := []string{majors[0].New(t), majors[0].New(t), majors[1].New(t)}
	dbs := []database.Database{open(t, urls[0]), open(t, urls[1]), open(t, urls[2]), open(t, testdb.MariaDB(t)), open(t, testdb.MariaDB(t)), open(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))}
	var got []string
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {0, 2}, {3, 4}, {0, 3}, {0, 5}, {5, 5}} {
		apart, why := database.Apart(t.Context(), dbs[pair[0]], dbs[pair[1]])
		if apart == (why != "") {
			t.Errorf("%d: apart %v, since %q", pair, apart, why)
		}
		got = append(got, fmt.Sprint(apart))
	}
	if want := []string{"false", "false", "true", "false", "true", "false", "false"}; !slices.Equal(got, want) {
		t.Errorf("apart: %s, want %s", got, want)
	}
}

// Progress counts the migrations of a proof, not the steps of each attempt.
func TestProgressOfAProof(t *testing.T) {
	t.Parallel()
	set := setOf(t, step{"CREATE TABLE a (x int)", "DROP TABLE a"}, step{"CREATE TABLE b (x int)", "DROP TABLE b"})
	eachKind(t, func(t *testing.T, db database.Database) {
		scratch := inspect.Beside(db)
		var tried []string
		scratch.Progress = func(p inspect.Trying) {
			tried = append(tried, fmt.Sprintf("%s %d: %d of %d", p.Direction, p.Version, p.Index+1, p.Of))
		}
		if _, err := inspect.Verify(t.Context(), set, scratch); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"up 1: 1 of 2", "down 1: 1 of 2", "up 1: 1 of 2",
			"up 2: 2 of 2", "down 2: 2 of 2", "up 2: 2 of 2",
			"down 2: 1 of 2", "down 1: 2 of 2", "up 1: 1 of 2", "up 2: 2 of 2",
		}
		if diff := cmp.Diff(want, tried); diff != "" {
			t.Errorf("not as wanted (-want +got):\n%s", diff)
		}
	})
}
