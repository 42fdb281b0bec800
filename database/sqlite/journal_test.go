package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// journal returns a journal with n completed statements of version 1.
func journal(n int) *database.Journal {
	return &database.Journal{Version: 1, Name: "step", Direction: database.Up, Of: 9, Done: n, DoneSum: migration.Sum("x")}
}

// marked executes one statement with its mark.
func marked(t testing.TB, r database.Run, statement string, j *database.Journal) error {
	t.Helper()
	return r.Exec(bg, text(statement), statements(t, statement)[0], nil, j)
}

// statementsDone returns the number of completed statements that another process reads.
func statementsDone(t testing.TB, path string) int {
	t.Helper()
	st, err := connect(t, "sqlite:"+path, database.Options{}).State(bg, "app")
	must(t, err)
	if st.Interrupted == nil {
		return 0
	}
	return st.Interrupted.Done
}

func TestACommitThatFailsLeavesNoMark(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 7, "CREATE TABLE p (x PRIMARY KEY); CREATE TABLE c (x REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
	r := guard(t, db)
	must(t, r.Journal(bg, journal(1)))
	execAll(t, r, "PRAGMA foreign_keys = ON; BEGIN; INSERT INTO c VALUES (1)")
	var e *database.StatementError
	if err := marked(t, r, "COMMIT", journal(3)); !errors.As(err, &e) {
		t.Errorf("COMMIT: %v, want a *StatementError", err)
	} else if e.Code != "SQLITE_CONSTRAINT_FOREIGNKEY" {
		t.Errorf("COMMIT: e.Code = %v, want %v", e.Code, "SQLITE_CONSTRAINT_FOREIGNKEY")
	}
	if err := marked(t, r, "COMMIT", journal(4)); !errors.As(err, &e) {
		t.Errorf("COMMIT without a transaction: %v, want a *StatementError", err)
	}
	if n := statementsDone(t, path); n != 1 {
		t.Errorf("%d statements stand, want 1", n)
	}
	must(t, marked(t, r, "INSERT INTO p VALUES (1)", journal(5))) // no transaction is left open
	if n := scan[int](t, path, "SELECT (SELECT count(*) FROM c) * 10 + (SELECT count(*) FROM p)"); n != 1 {
		t.Errorf("n = %v, want %v", n, 1)
	} else if statementsDone(t, path) != 5 {
		t.Errorf("statementsDone(t, path) = %v, want %v", statementsDone(t, path), 5)
	}
}

func TestAMarkLeavesTheScriptsTransactionAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 7, "CREATE TABLE t (x)")
	r := guard(t, db)
	execAll(t, r, "BEGIN; INSERT INTO t VALUES (1)")
	if err := marked(t, r, "INSERT INTO t VALUES (2)", journal(2)); err == nil {
		t.Errorf("a mark inside of the script's transaction: %v", err)
	} else if !strings.Contains(err.Error(), "left a transaction open") {
		t.Errorf("a mark inside of the script's transaction: the error is %q, want a text with %q", err, "left a transaction open")
	}
	must(t, marked(t, r, "COMMIT", journal(3)))
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("n = %v, want %v", n, 1)
	} else if statementsDone(t, path) != 3 {
		t.Errorf("statementsDone(t, path) = %v, want %v", statementsDone(t, path), 3)
	}
}

func TestWhatHasNoMark(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 7, "CREATE TABLE t (x)")
	r := guard(t, db)
	for _, st := range []string{
		"VACUUM", "VACUUM INTO '" + path + ".copy'", "PRAGMA journal_mode = wal", "PRAGMA foreign_keys = ON", "PRAGMA synchronous = 0",
		"PRAGMA wal_checkpoint", "DETACH other",
	} {
		if err := marked(t, r, st, journal(1)); !errors.Is(err, database.ErrNoTransaction) {
			t.Errorf("%s: %v, want ErrNoTransaction", st, err)
		}
	}
	if _, err := os.Stat(path + ".copy"); err == nil {
		t.Error("something of what was refused has happened")
	} else if scan[string](t, path, "PRAGMA journal_mode") != "delete" {
		t.Errorf(`scan[string](t, path, "PRAGMA journal_mode") = %v, want %v`, scan[string](t, path, "PRAGMA journal_mode"), "delete")
	}
}

// A statement with its mark waits for other writers outside SQLite.
func TestAMarkWaitsForOtherWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 7, "CREATE TABLE t (x)")
	r := guard(t, db)
	writer := open(t, path, "")
	c, err := writer.Conn(bg)
	must(t, err)
	_, err = c.ExecContext(bg, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
	must(t, err)

	const insert = "INSERT INTO t VALUES (2)"
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	if err := r.Exec(ctx, text(insert), statements(t, insert)[0], nil, journal(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Exec: %v, want context.DeadlineExceeded", err)
	}
	s := text(insert)
	s.LockTimeout = 50 * time.Millisecond
	var e *database.StatementError
	if err := r.Exec(bg, s, statements(t, insert)[0], nil, journal(1)); !errors.As(err, &e) {
		t.Errorf("Exec beyond the lock timeout: %v, want a *StatementError", err)
	} else if !strings.HasPrefix(e.Code, "SQLITE_BUSY") || !errors.Is(err, database.ErrLockTimeout) {
		t.Errorf("Exec beyond the lock timeout: e.Code = %q, want a text that begins with %q", e.Code, "SQLITE_BUSY")
	}
	if n := statementsDone(t, path); n != 0 {
		t.Errorf("%d statements stand", n)
	}
	done := make(chan error)
	go func() { done <- marked(t, r, insert, journal(1)) }()
	_, err = c.ExecContext(bg, "COMMIT")
	must(t, err)
	must(t, <-done)
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("n = %v, want %v", n, 2)
	} else if statementsDone(t, path) != 1 {
		t.Errorf("statementsDone(t, path) = %v, want %v", statementsDone(t, path), 1)
	}
}

// The entry of applying a version doesn't end a run that rolls it back.
func TestOlderEventsDoNotEndARun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	j := journal(2)
	j.Direction = database.Down
	r := guard(t, db)
	must(t, r.Journal(bg, j))
	must(t, r.Close(bg))
	if n := statementsDone(t, path); n != 2 {
		t.Errorf("%d statements stand, want 2", n)
	}
	b, found, err := db.Begin(bg, "app", database.LockOptions{})
	must(t, err)
	defer b.Rollback(bg)
	st, err := b.State(bg)
	must(t, err)
	if st.Interrupted == nil {
		t.Error("st.Interrupted is nil")
	} else if !found.Interrupted {
		t.Error("found.Interrupted is false, want true")
	}
}

func TestOutcomeOfVacuumInto(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		if content != "" {
			must(t, os.WriteFile(name, []byte(content), 0o600))
		}
		return name
	}
	r := guard(t, connect(t, "sqlite:"+filepath.Join(dir, "app.db"), database.Options{}))
	for _, tc := range []struct {
		into   string // the statement's end
		during func() // executed after it was begun
		want   database.Verdict
	}{
		{"'" + file("absent", "") + "'", func() {}, database.NotHappened},
		{"'" + file("made's", "")[:len(dir)] + "/made''s'", func() { file("made's", "half of it") }, database.Unclear},
		{"'" + file("there", "something else") + "'", func() {}, database.NotHappened},
		{"'" + dir + "/' || 'computed'", func() {}, database.Unclear},
	} {
		st := statements(t, "VACUUM main INTO "+tc.into)[0]
		j := journal(1)
		j.Begun = st.Text
		must(t, r.Announce(bg, st, j))
		tc.during()
		o, err := r.Outcome(bg, st, j.Before, database.LockOptions{})
		must(t, err)
		if o.Verdict != tc.want {
			t.Errorf("%s: %q (%s), want %q", st.Text, o.Verdict, o.Why, tc.want)
		}
	}
}

func TestTablesOfAnotherVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	apply(t, connect(t, "sqlite:"+path, database.Options{}), 1, "CREATE TABLE t (x)")
	_, err := open(t, path, "").Exec("DROP TABLE whimbrel_journal")
	must(t, err)
	db := connect(t, "sqlite:"+path, database.Options{})
	_, serr := db.State(bg, "app")
	_, _, berr := db.Begin(bg, "app", patient)
	_, _, gerr := db.Guard(bg, "app", patient)
	for _, err := range []error{serr, berr, gerr} {
		if err == nil {
			t.Errorf("got %v", err)
		} else if !strings.Contains(err.Error(), "whimbrel_journal") {
			t.Errorf("the error is %q, want a text with %q", err, "whimbrel_journal")
		} else if !strings.Contains(err.Error(), "another version of Whimbrel") {
			t.Errorf("the error is %q, want a text with %q", err, "another version of Whimbrel")
		}
	}
}

// A process that resumes a run attaches its databases again.
func TestARunResumesWithAttachedDatabases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "app.db")
	migrate := func(end string) (*whimbrel.Result, error) {
		set, err := migration.NewSet("app", migration.Migration{Version: 1, Name: "a", Up: migration.Text("1_a.up.sql", `-- whimbrel: no-transaction
ATTACH '`+filepath.Join(dir, "other.db")+`' AS other;
ATTACH ':memory:' AS gone;
CREATE TABLE other.t (x);
VACUUM;
DETACH gone;
INSERT INTO other.t VALUES (1);
`+end)})
		must(t, err)
		return whimbrel.New(connect(t, url, database.Options{}), set, whimbrel.Options{}).Up(bg)
	}
	_, err := migrate("INSERT INTO other.missing VALUES (2);")
	var failed *whimbrel.MigrationError
	if !errors.As(err, &failed) {
		t.Fatalf("Up: %v, want six statements standing", err)
	} else if failed.Executed != 6 {
		t.Fatalf("Up: failed.Executed = %v, want %v", failed.Executed, 6)
	}
	res, err := migrate("INSERT INTO other.t VALUES (2);")
	must(t, err)
	if len(res.Resumed) != 1 {
		t.Errorf("res.Resumed = %v, want %d of them", res.Resumed, 1)
	} else if res.Resumed[0].FromStatement != 7 {
		t.Errorf("res.Resumed[0].FromStatement = %v, want %v", res.Resumed[0].FromStatement, 7)
	}
	if n := scan[int](t, filepath.Join(dir, "other.db"), "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// A reader of an interrupted run sees whether a process is at work on it.
func TestStateShowsARunAtWork(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"a file": "sqlite:" + filepath.Join(t.TempDir(), "a.db"), "in memory": "sqlite::memory:"} {
		db, err := database.Open(bg, url, database.Options{})
		must(t, err)
		t.Cleanup(func() { db.Close() })
		r := guard(t, db)
		must(t, r.Journal(bg, &database.Journal{Version: 1, Direction: database.Up, Of: 2, Done: 1}))
		look := func(db database.Database) bool {
			t.Helper()
			st, err := db.State(bg, "app")
			must(t, err)
			return st.Interrupted.Held
		}
		if name == "a file" && !look(db) {
			t.Errorf("%s: it is not seen at work", name)
		}
		must(t, r.Close(bg))
		if look(db) {
			t.Errorf("%s: it is seen at work after it", name)
		}
	}
}
