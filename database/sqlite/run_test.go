package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func guard(t testing.TB, db database.Database) database.Run {
	t.Helper()
	r, _, err := db.Guard(bg, "app", patient)
	must(t, err)
	t.Cleanup(func() { r.Close(bg) })
	return r
}

func execAll(t testing.TB, r database.Run, script string) {
	t.Helper()
	s := text(script)
	for _, st := range statements(t, script) {
		if st.Kind == sqltext.SQL {
			must(t, r.Exec(bg, s, st, nil, nil))
		}
	}
}

func TestHolderOfARun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{App: "the app"})
	r := guard(t, db)
	var reported database.Holder
	_, _, err := db.Begin(bg, "app", database.LockOptions{Waiting: func(h database.Holder) { reported = h }})
	var locked *database.LockedError
	if !errors.As(err, &locked) {
		t.Errorf("Begin: %v, and Waiting got %+v", err, reported)
	} else if locked.Holder != reported {
		t.Errorf("Begin: locked.Holder = %v, want %v", locked.Holder, reported)
	} else if reported.App != "the app" {
		t.Errorf("Begin: reported.App = %v, want %v", reported.App, "the app")
	} else if reported.PID == 0 {
		t.Error("Begin: reported.PID is 0")
	} else if reported.Since.IsZero() {
		t.Error("Begin: reported.Since is zero")
	}
	must(t, r.Close(bg))
	if files := sideFiles(t, path); len(files) != 0 {
		t.Errorf("%q are left", files)
	}
}

func TestRunOfWhatCannotBeInATransaction(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	r := guard(t, db)
	execAll(t, r, "VACUUM; PRAGMA journal_mode = wal; PRAGMA foreign_keys = ON; BEGIN; INSERT INTO t VALUES (1)")
	if _, err := r.Record(bg, event(2)); err == nil {
		t.Error("Record in the script's transaction succeeded")
	}
	execAll(t, r, "COMMIT; VACUUM; PRAGMA journal_mode = delete; PRAGMA journal_mode = wal")
	recorded, err := r.Record(bg, event(2))
	must(t, err)
	if e := recorded.Entries[0]; e.ID == 0 {
		t.Error("e.ID is 0")
	} else if recorded.Head != e.ID {
		t.Errorf("recorded.Head = %v, want %v", recorded.Head, e.ID)
	}
	execAll(t, r, "BEGIN; INSERT INTO t VALUES (2)")
	must(t, r.Close(bg))
	must(t, r.Close(bg))
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	if mode := scan[string](t, path, "PRAGMA journal_mode"); mode != "wal" {
		t.Errorf("the journal mode is %s, want wal", mode)
	}
}

// Between two statements of a run, Whimbrel writes rows of its own. last_insert_rowid() is that of
// the script nevertheless.
func TestRowidInARun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	set, err := migration.NewSet("app", migration.Migration{Version: 1, Up: migration.Text("1.sql", `-- whimbrel: no-transaction
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (parent INTEGER);
INSERT INTO parent VALUES (41, 'a');
INSERT INTO child VALUES (last_insert_rowid());
INSERT INTO parent VALUES (42, 'b');
VACUUM;
INSERT INTO child VALUES (last_insert_rowid());
BEGIN;
INSERT INTO parent VALUES (43, 'c');
COMMIT;
INSERT INTO child VALUES (last_insert_rowid());`)})
	must(t, err)
	must(t, up(bg, whimbrel.New(db, set, whimbrel.Options{})))
	if got := scan[string](t, path, "SELECT group_concat(parent) FROM child"); got != "41,42,43" {
		t.Errorf("the parents are %s", got)
	}
}

// TestRunsAndTransactionsExclude: Runs and Txs each increment a counter with a read and a write.
func TestRunsAndTransactionsExclude(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	apply(t, connect(t, "sqlite:"+path, database.Options{}), 1, "CREATE TABLE t (x); INSERT INTO t VALUES (0)")
	var all sync.WaitGroup
	var mu sync.Mutex
	var inside int
	work := func(do func() error) error {
		mu.Lock()
		inside++
		alone := inside == 1
		mu.Unlock()
		err := do()
		mu.Lock()
		inside--
		mu.Unlock()
		if !alone {
			err = errors.Join(err, errors.New("two have the lock"))
		}
		return err
	}
	for i := range 6 {
		all.Go(func() {
			db := connect(t, "sqlite:"+path, database.Options{})
			for range 5 {
				var err error
				if i%2 == 0 {
					err = once(db.Guard(bg, "app", patient))(func(r database.Run) error {
						return work(func() error {
							s := text("UPDATE t SET x = x + 1")
							return r.Exec(bg, s, statements(t, "UPDATE t SET x = x + 1")[0], nil, nil)
						})
					}, func(r database.Run) error { return r.Close(bg) })
				} else {
					err = once(db.Begin(bg, "app", patient))(func(b database.Tx) error {
						return work(func() error { return b.Exec(bg, text("UPDATE t SET x = x + 1")) })
					}, func(b database.Tx) error { return errOf(b.Commit(bg)) })
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := scan[int](t, path, "SELECT x FROM t"); n != 30 {
		t.Errorf("counted to %d, want 30", n)
	}
}

func once[T any](v T, _ database.Found, err error) func(do, end func(T) error) error {
	return func(do, end func(T) error) error {
		if err != nil {
			return err
		}
		return errors.Join(do(v), end(v))
	}
}

func TestSettingDuringARun(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	r, found, err := db.Guard(bg, "app", database.LockOptions{})
	must(t, err)
	defer r.Close(bg)
	must(t, database.UpdateSetting(bg, db, database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "stop"}))
	st, err := r.State(bg)
	must(t, err)
	if !st.Settings.Bool(database.Frozen) {
		t.Error("st.Settings.Bool(database.Frozen) is false, want true")
	} else if st.Head == found.Head {
		t.Errorf("st.Head = %v, want another value", st.Head)
	}
}

func TestRunIsCancelled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	r := guard(t, db)
	endless := "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	var ctx context.Context
	var e *database.StatementError
	// On a busy machine the context may end before the statement begins.
	for limit := 20 * time.Millisecond; limit < time.Minute && (e == nil || e.Code != "SQLITE_INTERRUPT"); limit *= 2 {
		var cancel func()
		ctx, cancel = context.WithTimeout(bg, limit)
		err := r.Exec(ctx, text(endless), statements(t, endless)[0], nil, nil)
		cancel()
		if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Exec: %v, want a *StatementError that is the context's", err)
		}
	}
	if e.Code != "SQLITE_INTERRUPT" {
		t.Errorf("Exec: e.Code = %v, want %v", e.Code, "SQLITE_INTERRUPT")
	}
	execAll(t, r, "INSERT INTO t VALUES (1)")
	must(t, r.Close(ctx))
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// A script can't switch to a journal mode in which a crash would damage the file.
func TestJournalModesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{"PRAGMA journal_mode = off", "pragma main.journal_mode('MEMORY')", "PRAGMA /* a */ \"Journal_Mode\" = -- b\n memory"} {
		path := filepath.Join(t.TempDir(), "app.db")
		db := connect(t, "sqlite:"+path, database.Options{})
		set, err := migration.NewSet("app", migration.Migration{Version: 1, Name: "m", Up: migration.Text("1.up.sql", "CREATE TABLE t (x);\n"+statement+";")})
		must(t, err)
		_, err = whimbrel.New(db, set, whimbrel.Options{}).Up(bg)
		if err == nil {
			t.Errorf("%s: %v", statement, err)
		} else if !strings.Contains(err.Error(), "1.up.sql:2:1: ") {
			t.Errorf("%s: the error is %q, want a text with %q", statement, err, "1.up.sql:2:1: ")
		} else if !strings.Contains(err.Error(), "damage the file") {
			t.Errorf("%s: the error is %q, want a text with %q", statement, err, "damage the file")
		}
		r, _, err := db.Guard(bg, "app", patient) // where nobody has asked before
		must(t, err)
		err = r.Exec(bg, text(statement), sqltext.Statement{Text: statement, Tx: sqltext.TxNever}, nil, nil)
		var e *database.StatementError
		if !errors.As(err, &e) {
			t.Errorf("%s: Exec: %v", statement, err)
		} else if !strings.Contains(e.Message, "damage the file") {
			t.Errorf("%s: e.Message = %q, want a text with %q", statement, e.Message, "damage the file")
		}
		must(t, r.Close(bg))
	}
}
