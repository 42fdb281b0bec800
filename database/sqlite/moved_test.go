package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
)

// deletions are ways to lose a file while it is open.
var deletions = map[string]func(t *testing.T, path string){
	"deleted": func(t *testing.T, path string) { must(t, os.Remove(path)) },
	"replaced": func(t *testing.T, path string) {
		must(t, os.Remove(path))
		must(t, os.WriteFile(path, nil, 0o600))
	},
	"renamed over": func(t *testing.T, path string) {
		must(t, os.WriteFile(path+".new", nil, 0o600))
		must(t, os.Rename(path+".new", path))
	},
}

// A file that is deleted or replaced while a migration runs is detected: its changes are not
// reported as applied.
func TestFilesThatAreReplaced(t *testing.T) {
	t.Parallel()
	for what, do := range deletions {
		for _, journal := range []string{"delete", "wal"} {
			for _, kind := range []string{"opened", "handed in"} {
				t.Run(what+" "+journal+" "+kind, func(t *testing.T) {
					t.Parallel()
					path := filepath.Join(t.TempDir(), "app.db")
					fresh := func() database.Database {
						if kind == "opened" {
							return connect(t, "sqlite:"+path+"?_pragma=journal_mode("+journal+")", database.Options{})
						}
						db, err := sqlite.New(open(t, path, "_pragma=journal_mode("+journal+")"), database.Options{})
						must(t, err)
						return db
					}
					noticed := func(when string, err error) {
						if err == nil {
							t.Errorf("%s: %v", when, err)
						} else if !strings.Contains(err.Error(), "replaced while it was open") {
							t.Errorf("%s: the error is %q, want a text with %q", when, err, "replaced while it was open")
						}
					}
					db := fresh()
					apply(t, db, 1, "CREATE TABLE t (x)")
					b := begin(t, db)
					must(t, b.Exec(bg, text("INSERT INTO t VALUES (1)")))
					must(t, b.Record(bg, event(2)))
					do(t, path)
					noticed("in a transaction", errOf(b.Commit(bg)))
					must(t, db.Close())

					os.Remove(path)
					os.Remove(path + "-wal")
					os.Remove(path + "-shm")
					db = fresh()
					r, _, err := db.Guard(bg, "app", patient)
					must(t, err)
					execAll(t, r, "CREATE TABLE t (x)")
					do(t, path)
					_, err = r.Record(bg, event(1))
					if err == nil {
						t.Error("in a run: it was not noticed")
					}
					r.Close(bg)
				})
			}
		}
	}
}

// A file that was replaced after its connection was opened is detected before anything runs.
func TestAFileThatWasReplacedBefore(t *testing.T) {
	t.Parallel()
	for what, do := range deletions {
		if what == "deleted" {
			continue // a missing file is created
		}
		path := filepath.Join(t.TempDir(), "app.db")
		pool := open(t, path, "_pragma=journal_mode(wal)")
		pool.SetMaxOpenConns(1)
		_, err := pool.Exec("CREATE TABLE t (x)")
		must(t, err)
		do(t, path)
		db, err := sqlite.New(pool, database.Options{})
		must(t, err)
		_, _, err = db.Begin(bg, "app", patient)
		if err == nil {
			t.Errorf("%s: %v", what, err)
		} else if !strings.Contains(err.Error(), "replaced while it was open") {
			t.Errorf("%s: the error is %q, want a text with %q", what, err, "replaced while it was open")
		}
	}
}

// A caller's connection without locks is refused: two of them would damage the file.
func TestConnectionsWithoutLocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	apply(t, connect(t, "sqlite:"+path, database.Options{}), 1, "CREATE TABLE t (x)")
	for _, params := range []string{"nolock=1", "vfs=unix-none"} {
		db, err := sqlite.New(open(t, path, params), database.Options{})
		must(t, err)
		_, _, err = db.Begin(bg, "app", patient)
		if err == nil {
			t.Errorf("%s: Begin: %v", params, err)
		} else if !strings.Contains(err.Error(), "excludes nobody") {
			t.Errorf("%s: the error is %q, want a text with %q", params, err, "excludes nobody")
		}
		_, _, err = db.Guard(bg, "app", patient)
		if err == nil {
			t.Errorf("%s: Guard: %v", params, err)
		} else if !strings.Contains(err.Error(), "excludes nobody") {
			t.Errorf("%s: the error is %q, want a text with %q", params, err, "excludes nobody")
		}
	}
}
