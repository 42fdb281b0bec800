package memdb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, target *memdb.Target) *memdb.Database {
	t.Helper()
	db, err := target.Open(t.Context(), database.Options{App: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func begin(t *testing.T, db *memdb.Database, set string) database.Tx {
	t.Helper()
	tx, _, err := db.Begin(t.Context(), set, database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tables(t *testing.T, target *memdb.Target) []string {
	t.Helper()
	names, err := target.Tables(t.Context())
	ok(t, err)
	return names
}

// inTx executes a text in a transaction of its own.
func inTx(t *testing.T, db *memdb.Database, set, text string) error {
	t.Helper()
	tx := begin(t, db, set)
	defer tx.Rollback(t.Context())
	if err := tx.Exec(t.Context(), migration.Text("a.sql", text)); err != nil {
		return err
	}
	return errOf(tx.Commit(t.Context()))
}

func TestStatements(t *testing.T) {
	tests := []struct {
		text, code string
		tables     string
		rows       string // of table t
	}{
		{text: "create table t (x int); INSERT INTO t VALUES (1); insert into T values ('a;b')", tables: "t", rows: "1 'a;b'"},
		{text: `CREATE TABLE "T ""1""" (); CREATE TABLE t ();`, tables: `T "1",t`},
		{text: "CREATE TABLE t (); CREATE TABLE t ()", code: "42P07"},
		{text: "CREATE TABLE t (); DROP TABLE t"},
		{text: "DROP TABLE t", code: "42P01"},
		{text: "INSERT INTO t VALUES (1)", code: "42P01"},
		{text: "CREATE TABLE t (); INSERT INTO t VALUES (1); DELETE FROM t; INSERT INTO t VALUES (2)", tables: "t", rows: "2"},
		{text: "CREATE TABLE t (); COPY t FROM stdin;\na\tb\nc\n\\.\nSELECT 1", tables: "t", rows: "a\tb c"},
		{text: "CREATE TABLE t (); CREATE INDEX i ON t (x); CREATE INDEX i ON t (x)", code: "42P07"},
		{text: "CREATE TABLE t (); CREATE INDEX CONCURRENTLY i ON t (x)", code: "25001"},
		{text: "SET a = 1; CREATE TABLE t (); INSERT INTO t VALUES (1) WHERE a = 1; INSERT INTO t VALUES (2) WHERE a = 2", tables: "t", rows: "1"},
		{text: "SELECT 1; SELECT now()"},
		{text: "BEGIN; CREATE TABLE t (); COMMIT;", tables: "t"},
		{text: "CREATE TABLE t (); COMMIT; CREATE TABLE u ()", code: "2D000"},
		{text: "CREAT TABLE t ()", code: "42601"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			target := memdb.New()
			err := inTx(t, open(t, target), "s", tt.text)
			code := ""
			var st *database.StatementError
			if errors.As(err, &st) {
				code = st.Code
			} else {
				ok(t, err)
			}
			if code != tt.code {
				t.Fatalf("got the code %q (%v), want %q", code, err, tt.code)
			}
			if got := strings.Join(tables(t, target), ","); got != tt.tables {
				t.Errorf("tables %s, want %s", got, tt.tables)
			}
			if tt.rows != "" {
				rows, err := target.Rows(t.Context(), "t")
				ok(t, err)
				if got := strings.Join(rows, " "); got != tt.rows {
					t.Errorf("rows %q, want %q", got, tt.rows)
				}
			}
		})
	}
}

// Two sets write at the same time: changes that don't collide are kept, others fail as a whole.
func TestConcurrentSets(t *testing.T) {
	target := memdb.New()
	ok(t, inTx(t, open(t, target), "a", "CREATE TABLE shared (x)"))
	a, tx := begin(t, open(t, target), "a"), begin(t, open(t, target), "b")
	ctx := t.Context()
	ok(t, a.Exec(ctx, migration.Text("a.sql", "INSERT INTO shared VALUES (1); CREATE TABLE of_a ()")))
	ok(t, tx.Exec(ctx, migration.Text("b.sql", "INSERT INTO shared VALUES (2); CREATE TABLE of_b ()")))
	ok(t, errOf(a.Commit(ctx)))
	ok(t, errOf(tx.Commit(ctx)))
	if rows, _ := target.Rows(ctx, "shared"); !slices.Equal(rows, []string{"1", "2"}) {
		t.Errorf("rows %v", rows)
	}
	a, tx = begin(t, open(t, target), "a"), begin(t, open(t, target), "b")
	ok(t, a.Exec(ctx, migration.Text("a.sql", "CREATE TABLE twice ()")))
	ok(t, tx.Exec(ctx, migration.Text("b.sql", "CREATE TABLE before (); CREATE TABLE twice ()")))
	ok(t, errOf(a.Commit(ctx)))
	var st *database.StatementError
	if _, err := tx.Commit(ctx); !errors.As(err, &st) {
		t.Errorf("tx.Commit(ctx): got %v, want a %T", err, st)
	} else if st.Index != 1 {
		t.Errorf("tx.Commit(ctx): st.Index = %v, want 1", st.Index)
	}
	if got := tables(t, target); !slices.Equal(got, []string{"of_a", "of_b", "shared", "twice"}) {
		t.Errorf("tables %v", got)
	}
}

// A process that is killed before any of its calls leaves no lock, and only what it committed.
func TestKillBeforeEveryCall(t *testing.T) {
	process := func(ctx context.Context, db *memdb.Database) error {
		tx, _, err := db.Begin(ctx, "s", database.LockOptions{})
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx)
		if err := tx.Exec(ctx, migration.Text("1.sql", "CREATE TABLE t ()")); err != nil {
			return err
		}
		if err := tx.Record(ctx, database.Entry{Version: 1, Direction: database.Up}); err != nil {
			return err
		}
		return errOf(tx.Commit(ctx))
	}
	for n := range 5 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			target := memdb.New()
			db := open(t, target)
			calls := 0
			db.SetHook(func(op string) error {
				if calls++; calls > n {
					return memdb.ErrKilled
				}
				return nil
			})
			err := process(t.Context(), db)
			var want error
			if n < 4 { // the number of its calls
				want = memdb.ErrKilled
			}
			if !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
			if _, err := db.State(t.Context(), "s"); !errors.Is(err, memdb.ErrKilled) {
				t.Errorf("a call after the kill returned %v", err)
			}
			if held := target.Locked(); len(held) > 0 {
				t.Errorf("locks are held: %v", held)
			}
			st, err := open(t, target).State(t.Context(), "s")
			ok(t, err)
			committed := n / 4 // by the last call
			if got := st.Applied.Len(); got != committed {
				t.Errorf("%d versions are applied, want %d", got, committed)
			}
			if got := len(tables(t, target)); got != committed {
				t.Errorf("there are %d tables, want %d", got, committed)
			}
		})
	}
}

func TestLostCommit(t *testing.T) {
	for _, lost := range []error{memdb.ErrCommitted, memdb.ErrNotCommitted} {
		target := memdb.New()
		db := open(t, target)
		db.SetHook(func(op string) error {
			if op == memdb.OpTxCommit {
				return lost
			}
			return nil
		})
		var unknown *database.CommitUnknownError
		if err := inTx(t, db, "s", "CREATE TABLE t ()"); !errors.As(err, &unknown) {
			t.Errorf("%v: error %v", lost, err)
		}
		if got := len(tables(t, target)) == 1; got != (lost == memdb.ErrCommitted) {
			t.Errorf("%v: committed %v", lost, got)
		}
		if held := target.Locked(); len(held) > 0 {
			t.Errorf("%v: locks are held: %v", lost, held)
		}
	}
}

// In a synctest bubble, waiting takes no time and is exact.
func TestWaitingForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		holder := begin(t, open(t, target), "s")
		var waiting []database.Holder
		opts := database.LockOptions{Timeout: time.Minute, Waiting: func(h database.Holder) { waiting = append(waiting, h) }}
		_, _, err := open(t, target).Begin(t.Context(), "s", opts)
		var locked *database.LockedError
		if !errors.As(err, &locked) {
			t.Fatalf("got %v, want a %T", err, locked)
		}
		if locked.Waited != time.Minute {
			t.Errorf("locked.Waited = %v, want %v", locked.Waited, time.Minute)
		}
		if locked.Holder.PID != 1 {
			t.Errorf("locked.Holder.PID = %v, want 1", locked.Holder.PID)
		}
		if len(waiting) != 1 {
			t.Fatalf("len(waiting) = %v, want 1", len(waiting))
		}
		if waiting[0].App != t.Name() {
			t.Errorf("waiting[0].App = %v, want %v", waiting[0].App, t.Name())
		}
		go func() {
			time.Sleep(30 * time.Second)
			ok(t, holder.Rollback(t.Context()))
		}()
		tx, _, err := open(t, target).Begin(t.Context(), "s", opts)
		ok(t, err)
		ok(t, tx.Rollback(t.Context()))
	})
}

func TestKillEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		begin(t, open(t, target), "s")
		waiter := open(t, target)
		go func() {
			time.Sleep(time.Second)
			waiter.Kill()
		}()
		if _, _, err := waiter.Begin(t.Context(), "s", database.LockOptions{Timeout: time.Hour}); !errors.Is(err, memdb.ErrKilled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestQueueReportsAtCommit(t *testing.T) {
	target := memdb.New()
	target.Queue(true)
	tx := begin(t, open(t, target), "s")
	ok(t, tx.Exec(t.Context(), migration.Text("a.sql", "CREATE TABLE t ();\nCREAT;")))
	ok(t, tx.Record(t.Context(), database.Entry{Version: 1, Direction: database.Up}))
	var st *database.StatementError
	if _, err := tx.Commit(t.Context()); !errors.As(err, &st) {
		t.Errorf("tx.Commit(t.Context()): got %v, want a %T", err, st)
	} else if st.Pos.String() != "a.sql:2:1" {
		t.Errorf("tx.Commit(t.Context()): st.Pos.String() = %q, want %q", st.Pos.String(), "a.sql:2:1")
	}
	if got := tables(t, target); len(got) > 0 {
		t.Errorf("tables %v", got)
	}
}

func TestFunc(t *testing.T) {
	target := memdb.New()
	db := open(t, target)
	tx := begin(t, db, "s")
	ok(t, tx.Exec(t.Context(), memdb.Func("f", func(ctx context.Context, tx memdb.Tx) error {
		if err := tx.Exec(ctx, "CREATE TABLE t (); INSERT INTO t VALUES (7)"); err != nil {
			return err
		}
		rows, err := tx.Rows("t")
		if len(rows) != 1 {
			t.Errorf("rows %v", rows)
		}
		return err
	})))
	ok(t, errOf(tx.Commit(t.Context())))
	if got := tables(t, target); !slices.Equal(got, []string{"t"}) {
		t.Errorf("tables %v", got)
	}
}

// errOf returns the error of a call, without its result.
func errOf[T any](_ T, err error) error { return err }
