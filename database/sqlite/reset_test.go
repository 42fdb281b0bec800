package sqlite_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

// everything has tables that prevent each other's deletion while foreign keys are enforced.
const everything = `
CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, b int REFERENCES b ON DELETE RESTRICT);
CREATE TABLE b (id INTEGER PRIMARY KEY, a int REFERENCES a ON DELETE RESTRICT);
CREATE TABLE "it's ""one""" (x int) STRICT;
CREATE INDEX a_b ON a (b);
CREATE VIRTUAL TABLE words USING fts5(word);
CREATE VIEW both AS SELECT a.id FROM a JOIN b ON a.b = b.id;
CREATE VIEW broken AS SELECT * FROM missing;
CREATE TRIGGER seen INSTEAD OF DELETE ON both BEGIN DELETE FROM a WHERE id = OLD.id; END;
CREATE TRIGGER never BEFORE DELETE ON a BEGIN SELECT RAISE(ABORT, 'never'); END;
INSERT INTO a (id) VALUES (1); INSERT INTO b VALUES (1, 1); UPDATE a SET b = 1;
INSERT INTO words VALUES ('whimbrel');
ANALYZE;
`

func TestResetOfEverything(t *testing.T) {
	t.Parallel()
	for _, keys := range []string{"0", "1"} {
		path := filepath.Join(t.TempDir(), "app.db")
		pool := open(t, path, "_pragma=foreign_keys("+keys+")")
		db, err := sqlite.New(pool, database.Options{})
		must(t, err)
		for range 2 {
			apply(t, db, 1, everything)
			_, err = pool.Exec(`CREATE TRIGGER noticed AFTER INSERT ON whimbrel_history BEGIN DELETE FROM "it's ""one"""; END`)
			must(t, err)
			b, _, err := db.Begin(bg, "s", database.LockOptions{})
			must(t, err)
			e, err := database.TxReset(bg, b, nil, database.Entry{})
			must(t, err)
			must(t, errOf(b.Commit(bg)))
			var names []string
			for _, o := range e.Dropped {
				names = append(names, o.String())
			}
			want := []string{"view both", "view broken", "virtual table words", "table a", "table b", `table it's "one"`, "trigger noticed"}
			if !slices.Equal(names, want) {
				t.Errorf("dropped %q, want %q", names, want)
			}
			if left := column(t, pool, "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' AND tbl_name NOT LIKE 'whimbrel%'"); left != "" {
				t.Errorf("left: %s", left)
			}
			if on := column(t, pool, "PRAGMA foreign_keys"); on != keys {
				t.Errorf("foreign_keys is %s, was %s", on, keys)
			}
			if seq := column(t, pool, "SELECT name FROM sqlite_sequence"); seq != "whimbrel_history" {
				t.Errorf("sqlite_sequence has %q", seq)
			}
		}
	}
}

// column joins the values of a query's only column.
func column(t *testing.T, pool *sql.DB, query string) string {
	t.Helper()
	rows, err := pool.Query(query)
	must(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		must(t, rows.Scan(&s))
		all = append(all, s)
	}
	must(t, rows.Err())
	return strings.Join(all, " ")
}

// A set in its first Run has no entries yet, but a mark.
func TestResetDuringTheFirstRunOfAnotherSet(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := sqlite.New(open(t, path, ""), database.Options{App: "other"})
	must(t, err)
	r, _, err := db.Guard(bg, "other", database.LockOptions{})
	must(t, err)
	b, _, err := db.Begin(bg, "s", database.LockOptions{})
	must(t, err)
	_, err = database.TxReset(bg, b, nil, database.Entry{})
	var locked *database.LockedError
	if !errors.As(err, &locked) {
		t.Errorf("got %v", err)
	} else if locked.Set != "other" {
		t.Errorf("locked.Set = %v, want %v", locked.Set, "other")
	} else if locked.Holder.App != "other" {
		t.Errorf("locked.Holder.App = %v, want %v", locked.Holder.App, "other")
	}
	must(t, b.Rollback(bg))
	must(t, r.Close(bg))
}

func TestResetIsAlone(t *testing.T) {
	t.Parallel()
	db, err := sqlite.New(open(t, filepath.Join(t.TempDir(), "app.db"), ""), database.Options{})
	must(t, err)
	b, _, err := db.Begin(bg, "s", database.LockOptions{})
	must(t, err)
	must(t, b.Exec(bg, migration.Text("1.sql", "CREATE TABLE t (x)")))
	if _, err := database.TxReset(bg, b, nil, database.Entry{}); err == nil {
		t.Error("Reset after Run returned no error")
	}
	must(t, b.Rollback(bg))
}

func TestDatabasesName(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"sqlite:" + filepath.Join(t.TempDir(), "shop.db"): "shop.db",
		"sqlite::memory:": ":memory:",
	} {
		db, err := database.Open(bg, url, database.Options{})
		must(t, err)
		name := func(when string) {
			st, err := db.State(bg, "s")
			must(t, err)
			if st.Database != want {
				t.Errorf("%s, %s: the name is %q, want %q", url, when, st.Database, want)
			}
		}
		name("untouched")
		apply(t, db, 1, "CREATE TABLE t (x)")
		name("with tables")
		must(t, db.Close())
	}
}
