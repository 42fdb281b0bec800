package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Every call on a file locked by another process ends after the lock timeout, and reports the lock.
func TestEverythingOnALockedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	apply(t, connect(t, "sqlite:"+path, database.Options{}), 1, "CREATE TABLE t (x)")
	opts := database.Options{MigrationLockTimeout: 20 * time.Millisecond}
	// the caller's value must not decide
	handed, err := sqlite.New(open(t, path, "_pragma=busy_timeout(600000)"), opts)
	must(t, err)
	opened := connect(t, "sqlite:"+path+"?_pragma=busy_timeout(600000)", opts)

	other := open(t, path, "")
	other.SetMaxOpenConns(1)
	_, err = other.Exec("BEGIN EXCLUSIVE")
	must(t, err)
	set, err := migration.NewSet("app", migration.Migration{Version: 1, Name: "m", Up: text("CREATE TABLE t (x)")})
	must(t, err)
	calls := map[string]func(database.Database) error{
		"State":    func(db database.Database) error { _, err := db.State(bg, "app"); return err },
		"Metadata": func(db database.Database) error { _, err := database.ReadMetadata(bg, db); return err },
		"Query":    func(db database.Database) error { _, err := database.ReadQuery(bg, db, "SELECT * FROM t"); return err },
		"Snapshot": func(db database.Database) error { _, err := database.Snapshot(bg, db, catalog.Options{}); return err },
		"UpdateSetting": func(db database.Database) error {
			return database.UpdateSetting(bg, db, database.SettingUpdate{Name: database.Order, Value: database.OrderAny, At: time.Now()})
		},
		"Begin": func(db database.Database) error {
			b, _, err := db.Begin(bg, "app", database.LockOptions{})
			if err == nil {
				err = b.Rollback(bg)
			}
			return err
		},
		"Guard": func(db database.Database) error {
			r, _, err := db.Guard(bg, "app", database.LockOptions{})
			if err == nil {
				err = r.Close(bg)
			}
			return err
		},
		"Up": func(db database.Database) error {
			return up(bg, whimbrel.New(db, set, whimbrel.Options{MigrationLockTimeout: time.Millisecond}))
		},
		"History": func(db database.Database) error {
			for _, err := range db.History(bg, database.HistoryQuery{}) {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		for kind, db := range map[string]database.Database{"opened": opened, "handed in": handed} {
			var locked *database.LockedError
			if err := call(db); !errors.As(err, &locked) {
				t.Errorf("%s of a database that is %s: %v, want a *LockedError", name, kind, err)
			} else if !errors.Is(err, database.ErrLocked) {
				t.Errorf("%s of a database that is %s: the error is %v, want one that is %v", name, kind, err, database.ErrLocked)
			}
		}
	}
	_, err = database.Open(bg, "sqlite:"+path, opts)
	if !errors.Is(err, database.ErrLocked) {
		t.Errorf("Open: %v, want ErrLocked", err)
	}
	_, err = other.Exec("ROLLBACK")
	must(t, err)
	for name, call := range calls {
		if err := call(opened); errors.Is(err, database.ErrLocked) {
			t.Errorf("%s when the file is free: %v", name, err)
		}
	}
}

// A COMMIT that readers block fails after the lock timeout, and is rolled back.
func TestCommitBesideAReader(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x); INSERT INTO t VALUES (1)")
	reader := open(t, path, "")
	reader.SetMaxOpenConns(1)
	_, err := reader.Exec("BEGIN; SELECT * FROM t")
	must(t, err)
	b, _, err := db.Begin(bg, "app", database.LockOptions{Timeout: time.Millisecond})
	must(t, err)
	must(t, b.Exec(bg, text("INSERT INTO t VALUES (2)")))
	must(t, b.Record(bg, event(2)))
	if _, err := b.Commit(bg); !errors.Is(err, database.ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	} else if !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("the error is %q, want a text with %q", err, "nothing was changed")
	}
	_, err = reader.Exec("COMMIT")
	must(t, err)
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	st, err := db.State(bg, "app")
	must(t, err)
	if got := st.Applied.Versions(); !slices.Equal(got, []int64{1}) {
		t.Errorf("applied: %v", got)
	}
}

// A waiting reader continues to wait while others finish one transaction after the other.
func TestReadersOutlastManyTransactions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	busy := busyError(t, path)
	tries := 0
	try := func() error {
		if tries++; tries <= 100 {
			return busy
		}
		return nil
	}
	must(t, sqlite.PollWatching(bg, time.Nanosecond, try, func() bool { return true }))
	tries = 0
	if err := sqlite.PollWatching(bg, time.Nanosecond, try, func() bool { return tries < 50 }); !errors.Is(err, database.ErrLocked) {
		t.Errorf("after %d tries, of which 49 saw others get on: %v, want ErrLocked", tries, err)
	} else if tries < 50 {
		t.Errorf("tries = %v, want at least %v", tries, 50)
	}

	write := func(number, pages string) {
		must(t, os.WriteFile(path+"-journal", []byte(strings.Repeat("\x00", 12)+number+pages), 0o600))
	}
	progressed := sqlite.JournalWatch(connect(t, "sqlite:"+path, database.Options{}))
	for _, step := range []struct {
		what string
		do   func()
		want bool
	}{
		{"nobody is there", func() {}, false},
		{"a transaction begins", func() { write("1234", "pages") }, false},
		{"it grows", func() { write("1234", "more pages") }, false},
		{"another follows it", func() { write("1235", "more pages") }, true},
		{"it is ended, and the journal kept", func() { write("\x00\x00\x00\x00", "more pages") }, true},
		{"nothing comes", func() {}, false},
		{"a transaction uses the journal", func() { write("1236", "more pages") }, false},
		{"it is ended, and the journal truncated", func() { must(t, os.Truncate(path+"-journal", 0)) }, true},
		{"another transaction begins", func() { write("1237", "pages") }, false},
		{"it is ended, and the journal deleted", func() { must(t, os.Remove(path+"-journal")) }, true},
		{"nothing comes again", func() {}, false},
	} {
		if step.do(); progressed() != step.want {
			t.Errorf("%s: others got on: %t", step.what, !step.want)
		}
	}
}

// busyError returns SQLite's error for a locked file.
func busyError(t *testing.T, path string) error {
	t.Helper()
	other, pool := open(t, path, ""), open(t, path, "")
	other.SetMaxOpenConns(1)
	_, err := other.Exec("BEGIN EXCLUSIVE")
	must(t, err)
	_, busy := pool.Exec("BEGIN EXCLUSIVE")
	_, err = other.Exec("ROLLBACK")
	must(t, err)
	return busy
}

// With these parameters, locks and journals would not keep Whimbrel's guarantees.
func TestURLsThatBreakPromises(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	for _, params := range []string{
		"nolock=1", "nolock=0", "immutable=1", "mode=ro&immutable=1", "vfs=unix-none", "cache=shared", "_pragma=locking_mode(exclusive)", "_pragma=main.locking_mode%3Dexclusive",
		"_pragma=journal_mode(off)", "_pragma=journal_mode%20%3D%20'Memory'", "_pragma=writable_schema(1)", "_pragma=schema_version(7)", "_pragma=query_only(1)",
		"_pragma=foreign_keys(1)%3B%20DROP%20TABLE%20t", "_pragma=", "_pragma=journal_mode(wal)&_pragma=JOURNAL_MODE(OFF)",
	} {
		_, err := database.Open(bg, "sqlite:"+path+"?"+params, database.Options{})
		var e *database.URLError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, want a *URLError", params, err)
		}
	}
	for _, params := range []string{"_pragma=journal_mode(wal)", "_pragma=synchronous(0)&_pragma=foreign_keys%3Don", "_pragma=busy_timeout(7)", "_pragma=optimize", "_pragma=locking_mode(normal)", "_pragma=cache_size(-2000)"} {
		db, err := database.Open(bg, "sqlite:"+path+"?"+params, database.Options{})
		must(t, err)
		must(t, db.Close())
	}
}
