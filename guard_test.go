package whimbrel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/source"
)

// indexes returns migrations with one statement each that can't be in a transaction, after one that
// creates their table.
func indexes(n int) []script {
	all := []script{{1, "CREATE TABLE t (x int)", "-"}}
	for v := 2; v <= n+1; v++ {
		all = append(all, script{int64(v), fmt.Sprintf("CREATE INDEX CONCURRENTLY i%d ON t (x)", v), "-"})
	}
	return all
}

// counter counts the calls of a process.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) of(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[op]
}

func calls(db *memdb.Database, also func(op string)) *counter {
	c := &counter{n: map[string]int{}}
	db.SetHook(func(op string) error {
		c.mu.Lock()
		c.n[op]++
		c.mu.Unlock()
		also(op)
		return nil
	})
	return c
}

// Runs that follow each other share one guard. Each executes its statement and records it, together
// with the announcement of the next one, and nothing more.
func TestRunsShareTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db := open(t, target)
		count := calls(db, func(string) {})
		wantApplied(t, mustUp(t, whimbrel.New(db, newSet(t, indexes(9)...), whimbrel.Options{})), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		for op, want := range map[string]int{
			memdb.OpGuard: 1, memdb.OpRunAnnounce: 1, memdb.OpRunExec: 9, memdb.OpRunRecord: 9, memdb.OpRunJournal: 0, memdb.OpRunState: 0, memdb.OpRunClose: 1,
			memdb.OpState: 1, memdb.OpBegin: 1,
		} {
			wantEqual(t, op, count.of(op), want)
		}
		wantUnlocked(t, target)
		wantNotInterrupted(t, whimbrel.New(db, newSet(t), whimbrel.Options{}))
	})
}

// between returns migrations of which some are runs, with short transactions around them.
func between() (all []script) {
	for v, up := range []string{
		"CREATE TABLE t (x int)", "CREATE INDEX CONCURRENTLY i ON t (x)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)",
		"CREATE INDEX CONCURRENTLY j ON t (x)", "INSERT INTO t VALUES (4)", "CREATE INDEX CONCURRENTLY k ON t (x)", "INSERT INTO t VALUES (5)",
	} {
		all = append(all, script{int64(v + 1), up, "-"})
	}
	return all
}

// Short transactions between runs share the guard of the first. Those before it and after the last
// one take the lock by themselves.
func TestRunsAndTransactionsShareTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db := open(t, target)
		count := calls(db, func(string) {})
		wantApplied(t, mustUp(t, whimbrel.New(db, newSet(t, between()...), whimbrel.Options{})), 1, 2, 3, 4, 5, 6, 7, 8, 9)
		for op, want := range map[string]int{
			memdb.OpGuard: 1, memdb.OpRunExec: 3, memdb.OpRunRecord: 3, memdb.OpRunClose: 1, memdb.OpTxCommit: 6, memdb.OpState: 1, memdb.OpBegin: 2,
		} {
			wantEqual(t, op, count.of(op), want)
		}
		wantUnlocked(t, target)
	})
}

// A transaction under the guard that fails, or that waits too long for a lock, is done by itself,
// without the guard.
func TestTransactionUnderTheGuardFails(t *testing.T) {
	t.Run("a mistake", func(t *testing.T) {
		target := memdb.New()
		all := between()
		all[3].up = "INSERT INTO missing VALUES (2)"
		m := whimbrel.New(open(t, target), newSet(t, all...), whimbrel.Options{})
		r, err := m.Up(t.Context())
		wantEqual(t, "the version that failed", wantError[*whimbrel.MigrationError](t, err).Version, 4)
		wantEqual(t, "what is applied", versions(r.Applied), []int64{1, 2, 3})
		wantEqual(t, "the entries of version 4", entriesOf(t, target, 4), []string{"failed 0"})
		wantUnlocked(t, target)
		wantApplied(t, mustUp(t, whimbrel.New(open(t, target), newSet(t, between()...), whimbrel.Options{})), 4, 5, 6, 7, 8, 9)
	})
	t.Run("a lock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			target := memdb.New()
			db := open(t, target)
			all := between()
			mustUp(t, whimbrel.New(db, newSet(t, all[:1]...), whimbrel.Options{}))
			blockedFor(target, "t", 5*time.Second)
			r := mustUp(t, whimbrel.New(db, newSet(t, append(all[:1:1], all[2:]...)...), whimbrel.Options{LockTimeout: time.Second, RetryFor: time.Minute}))
			wantEqual(t, "the number of migrations applied", len(r.Applied), 7)
			wantUnlocked(t, target)
		})
	})
}

// A database that is frozen while the guard is kept stops the migration at the next transaction.
func TestFrozenUnderTheGuard(t *testing.T) {
	target := memdb.New()
	db, other := open(t, target), open(t, target)
	m := whimbrel.New(db, newSet(t, between()...), whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
		if done, ok := e.(whimbrel.StepDone); ok && done.Step.Version == 2 {
			setting(t, other, database.Frozen, "true")
		}
	}})
	r, err := m.Up(t.Context())
	wantError[*whimbrel.FrozenError](t, err)
	wantEqual(t, "what is applied", versions(r.Applied), []int64{1, 2})
	wantUnlocked(t, target)
}

// A run that may have left something in its session ends with its session. So does one that failed,
// or was resumed.
func TestRunsThatDoNotShareTheGuard(t *testing.T) {
	for name, tc := range map[string]struct {
		second string
		guards int
	}{
		"a setting":                  {"SET search_path = public; CREATE INDEX CONCURRENTLY j ON t (x)", 2},
		"a statement of the session": {"CREATE INDEX CONCURRENTLY j ON t (x); SELECT set_config('a.b', '1', false)", 2},
		"nothing":                    {"INSERT INTO t VALUES (1); CREATE INDEX CONCURRENTLY j ON t (x); INSERT INTO t VALUES (2)", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := memdb.New()
				db := open(t, target)
				count := calls(db, func(string) {})
				set := newSet(t, script{1, "CREATE TABLE t (x int)", "-"}, script{2, tc.second, "-"}, script{3, "CREATE INDEX CONCURRENTLY k ON t (x)", "-"})
				wantApplied(t, mustUp(t, whimbrel.New(db, set, whimbrel.Options{})), 1, 2, 3)
				wantEqual(t, "guards", count.of(memdb.OpGuard), tc.guards)
				wantEqual(t, "open runs", count.of(memdb.OpRunClose), tc.guards)
				wantUnlocked(t, target)
			})
		})
	}
}

// The end of a run announces the next one's statement. If that can't begin, since its file has
// changed meanwhile, nothing stays announced.
func TestAnAnnouncementIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db := open(t, target)
		long := "CREATE INDEX CONCURRENTLY j ON t (x); -- " + strings.Repeat("long ", 200_000) + "\n"
		files := fstest.MapFS{
			"1_a.up.sql": mapFile("CREATE TABLE t (x int)"), "2_b.up.sql": mapFile("CREATE INDEX CONCURRENTLY i ON t (x)"), "3_c.up.sql": mapFile(long),
		}
		set, err := source.Read(files, source.Options{})
		noError(t, err)
		ops := recordCalls(db)
		m := whimbrel.New(db, set, whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
			if done, ok := e.(whimbrel.StepDone); ok && done.Step.Version == 2 {
				st, err := db.State(t.Context(), set.Name())
				noError(t, err)
				wantEqual(t, "what is announced", st.Interrupted.Begun, "CREATE INDEX CONCURRENTLY j ON t (x)")
				files["3_c.up.sql"] = mapFile("-- changed" + long)
			}
		}})
		if err := tryUp(t, m); err == nil {
			t.Fatal("a changed file was executed")
		}
		wantNotInterrupted(t, m)
		wantEqual(t, "announcements", len(slices.DeleteFunc(slices.Clone(*ops), func(op string) bool { return op != memdb.OpRunAnnounce })), 1)
	})
}

// A statement that is not announced follows one that is: the journal first says that the latter is
// done, since the former may take long.
func TestTheMarkIsWrittenBeforeATransaction(t *testing.T) {
	target := memdb.New()
	db := open(t, target)
	ops := recordCalls(db)
	set := newSet(t, script{1, "CREATE TABLE t (x int); CREATE INDEX CONCURRENTLY i ON t (x); CREATE INDEX CONCURRENTLY j ON t (x); INSERT INTO t VALUES (1)", "-"})
	wantApplied(t, mustUp(t, whimbrel.New(db, set, whimbrel.Options{})), 1)
	got := slices.DeleteFunc(slices.Clone(*ops), func(op string) bool { return !strings.HasPrefix(op, "Run.") })
	wantEqual(t, "calls of the run", got, []string{
		memdb.OpRunExec, memdb.OpRunAnnounce, memdb.OpRunExec, memdb.OpRunAnnounce, memdb.OpRunExec, memdb.OpRunJournal, memdb.OpRunExec, memdb.OpRunRecord, memdb.OpRunClose,
	})
}

// The guard is not kept for longer than a second. So a process that waits for the lock gets it, and
// freezing the database stops an Up of many runs.
func TestFreezingStopsRunsThatShareTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db := open(t, target)
		other := whimbrel.New(open(t, target), newSet(t), whimbrel.Options{})
		count := calls(db, func(op string) {
			if op == memdb.OpRunExec {
				time.Sleep(300 * time.Millisecond)
			}
		})
		done := make(chan error)
		go func() { done <- tryUp(t, whimbrel.New(db, newSet(t, indexes(100)...), whimbrel.Options{})) }()
		time.Sleep(10 * time.Second)
		if count.of(memdb.OpRunRecord) == 0 {
			t.Fatal("no run has ended")
		}
		_, err := other.Freeze(t.Context(), "a test", time.Time{})
		noError(t, err)
		frozen := count.of(memdb.OpRunRecord)
		wantError[*whimbrel.FrozenError](t, <-done)
		if n := count.of(memdb.OpRunRecord) - frozen; n > 4 {
			t.Errorf("%d runs ended after the database was frozen", n)
		}
	})
}
