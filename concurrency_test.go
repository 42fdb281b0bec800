package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Several sets live in one database and do not see each other.
func TestSetsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	other, err := migration.NewSet("queue", migration.Migration{Version: 1, Up: migration.Text("q", "CREATE TABLE q (x)"), Down: migration.Text("q", "DROP TABLE q")})
	noError(t, err)
	var wg sync.WaitGroup
	for _, set := range []*migration.Set{newSet(t, plain(5)...), other} {
		wg.Go(func() {
			if err := tryUp(t, migrator(t, target, set)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mustMigrate(t, whimbrel.New(db, newSet(t, plain(5)...), whimbrel.Options{}), whimbrel.DownTo(whimbrel.NilVersion))
	wantTables(t, target, "q")
}

// Twenty processes that start at once all succeed, and each migration runs once.
func TestTwentyAtOnce(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		target := memdb.New()
		var wg sync.WaitGroup
		var mu sync.Mutex
		ran := map[int64]int{}
		for range 20 {
			db := open(t, target)
			wg.Go(func() {
				r, err := whimbrel.New(db, newSet(t, plain(8)...), whimbrel.Options{Atomic: atomic, MigrationLockTimeout: time.Minute}).Up(context.Background())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, d := range r.Applied {
					ran[d.Version]++
				}
			})
		}
		wg.Wait()
		for v := int64(1); v <= 8; v++ {
			if ran[v] != 1 {
				t.Errorf("atomic=%v: version %d was applied %d times", atomic, v, ran[v])
			}
		}
	}
}

// A process that finds under the lock that others have done several steps skips them without taking
// the lock again, and keeps it for the run that remains.
func TestStepsOfOthersTakeNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scripts := []script{{1, "CREATE TABLE t ()", "-"}}
		for v := int64(2); v <= 6; v++ {
			scripts = append(scripts, script{v, fmt.Sprintf("CREATE INDEX CONCURRENTLY i%d ON t (x)", v), "-"})
		}
		set, target := newSet(t, scripts...), memdb.New()
		db, other := open(t, target), open(t, target)
		mustMigrate(t, whimbrel.New(other, set, whimbrel.Options{}), whimbrel.Version(1))
		locks := 0
		db.SetHook(func(op string) error {
			if op != memdb.OpGuard {
				return nil
			}
			if locks++; locks > 1 {
				return nil
			}
			return tryMigrate(t, whimbrel.New(other, set, whimbrel.Options{}), whimbrel.Version(4))
		})
		r := mustUp(t, whimbrel.New(db, set, whimbrel.Options{}))
		wantSkipped(t, r, 2, 3, 4)
		wantApplied(t, r, 5, 6)
		wantEqual(t, "how often it took the lock", locks, 1)
	})
}

func TestLostCommitIsLookedUp(t *testing.T) {
	t.Parallel()
	for _, answer := range []error{memdb.ErrCommitted, memdb.ErrNotCommitted} {
		t.Run(answer.Error(), func(t *testing.T) {
			target := memdb.New()
			db := open(t, target)
			once := true
			db.SetHook(func(op string) error {
				if op == memdb.OpTxCommit && once {
					once = false
					return answer
				}
				return nil
			})
			mustUp(t, whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{}))
			wantTables(t, target, "t1", "t2", "t3")
			wantHistory(t, db, "up 1", "up 2", "up 3")
		})
	}
}

func TestLockTimeout(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	tx := begin(t, target, "shop")
	defer tx.Rollback(t.Context())
	waited := 0
	m := whimbrel.New(open(t, target), newSet(t, plain(1)...), whimbrel.Options{MigrationLockTimeout: whimbrel.TryOnce, Observe: func(_ context.Context, e whimbrel.Event) {
		if w, ok := e.(whimbrel.LockWaiting); ok && w.Holder.PID != 0 {
			waited++
		}
	}})
	err := tryUp(t, m)
	wantErrorIs(t, err, database.ErrLocked)
	if locked := wantError[*database.LockedError](t, err); locked.Holder.PID == 0 {
		t.Errorf("%v: the error does not name the holder's process", err)
	}
	if waited == 0 {
		t.Error("no LockWaiting event names the holder's process")
	}
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	ctx, cancel := context.WithCancel(t.Context())
	m := whimbrel.New(open(t, target), newSet(t, append(plain(1), script{2, "CREATE TABLE t2 (x); SELECT forever()", "-"})...), whimbrel.Options{
		Observe: func(_ context.Context, e whimbrel.Event) {
			if s, ok := e.(whimbrel.StepStarted); ok && s.Step.Version == 2 {
				cancel()
			}
		},
	})
	r, err := m.Up(ctx)
	wantErrorIs(t, err, context.Canceled)
	wantApplied(t, r, 1)
	wantTables(t, target, "t1")
	wantUnlocked(t, target)
}

// The lock timeout starts again whenever another process makes progress.
func TestWaitingWhileOthersMakeProgress(t *testing.T) {
	t.Parallel()
	locked := &database.LockedError{Set: "shop"}

	t.Run("with migrations in transactions", func(t *testing.T) {
		target := memdb.New()
		other := migrator(t, target, newSet(t, plain(4)...))
		db := open(t, target)
		m := whimbrel.New(db, newSet(t, plain(4)...), whimbrel.Options{})
		attempts := 0
		db.SetHook(func(op string) error {
			if op != memdb.OpBegin || attempts == 3 {
				return nil
			}
			attempts++
			if err := tryMigrate(t, other, whimbrel.By(1)); err != nil {
				t.Error(err)
			}
			return locked
		})
		r := mustUp(t, m)
		wantSkipped(t, r, 1, 2, 3)
		wantApplied(t, r, 4)

		// Now no other process makes progress.
		attempts = 0
		db.SetHook(func(op string) error {
			if op == memdb.OpBegin {
				attempts++
				return locked
			}
			return nil
		})
		wantErrorIs(t, tryMigrate(t, m, whimbrel.By(-1)), database.ErrLocked)
		wantEqual(t, "attempts while no other process makes progress", attempts, 2) // the first, of a sequence, does not wait
	})

	t.Run("with the statements of a run", func(t *testing.T) {
		target := memdb.New()
		set := newSet(t, script{1, "CREATE TABLE a (); CREATE TABLE b (); CREATE INDEX CONCURRENTLY i ON a (x); SELECT 1", "-"})
		begun, wait := make(chan bool), make(chan bool)
		running := open(t, target)
		running.SetHook(func(op string) error {
			if op == memdb.OpRunExec {
				begun <- true
				<-wait
			}
			return nil
		})
		done := make(chan error)
		go func() {
			_, err := whimbrel.New(running, set, whimbrel.Options{}).Up(t.Context())
			done <- err
		}()
		<-begun // the first statement
		attempts := 0
		waiting := open(t, target)
		waiting.SetHook(func(op string) error {
			if op != memdb.OpGuard {
				return nil
			}
			if attempts++; attempts <= 3 {
				wait <- true
				<-begun
				return locked
			}
			wait <- true
			return <-done
		})
		wantSkipped(t, mustUp(t, whimbrel.New(waiting, set, whimbrel.Options{})), 1)
		wantEqual(t, "attempts while the other process executes statements", attempts, 4)
	})
}

// A transaction that the database rolled back because of another one is tried again, but not for
// ever.

func TestConflictsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for conflicts, want := range map[int]error{3: nil, 100: database.ErrConflict} {
		target := memdb.New()
		db := open(t, target)
		n := 0
		db.SetHook(func(op string) error {
			if op == memdb.OpTxCommit || op == memdb.OpRunRecord {
				if n++; n <= conflicts {
					return fmt.Errorf("deadlock: %w", database.ErrConflict)
				}
			}
			return nil
		})
		set := newSet(t, script{1, "CREATE TABLE t ()", "-"}, script{2, "CREATE INDEX CONCURRENTLY i ON t (x)", "-"})
		wantErrorIs(t, tryUp(t, whimbrel.New(db, set, whimbrel.Options{})), want)
		if n > 10 {
			t.Errorf("%d conflicts: there were %d attempts, want at most 10", conflicts, n)
		}
	}
}

// A transaction that lost its lock begins again. If another process applied the same migration
// meanwhile, it skips that migration and applies the rest. The migration is reported as skipped
// once, however often the transaction begins again.
func TestAChangedHeadIsTriedAgain(t *testing.T) {
	t.Parallel()
	atomicAndNot(t, func(t *testing.T, opts whimbrel.Options) {
		target := memdb.New()
		db, other := open(t, target), open(t, target)
		set := newSet(t, script{1, "CREATE TABLE a ()", "-"}, script{2, "CREATE TABLE b ()", "-"})
		changed := 0
		db.SetHook(func(op string) error {
			switch {
			case op == memdb.OpTxExec && changed < 20:
				changed++
				return fmt.Errorf("a new transaction was needed: %w", database.ErrHeadChanged)
			case op == memdb.OpBegin && changed == 10:
				return tryMigrate(t, whimbrel.New(other, set, whimbrel.Options{}), whimbrel.Version(1))
			}
			return nil
		})
		r := mustUp(t, whimbrel.New(db, set, opts))
		wantEqual(t, "changes of the head", changed, 20)
		wantSkipped(t, r, 1)
		wantApplied(t, r, 2)
	})
}

// If the answer to COMMIT is lost and no later attempt can read the history, the error says that
// the outcome is unknown, and why.
func TestLostCommitStaysUnknownWithoutTheHistory(t *testing.T) {
	t.Parallel()
	gone := errors.New("the server is gone")
	for name, after := range map[string][]error{
		"the server is gone":                  {gone},
		"a conflict, then the server is gone": {fmt.Errorf("deadlock: %w", database.ErrConflict), gone},
		"the lock is taken for too long":      {&database.LockedError{Set: "shop"}},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, memdb.New())
			lost := false
			db.SetHook(func(op string) error {
				switch {
				case op == memdb.OpTxCommit:
					lost = true
					return memdb.ErrNotCommitted
				case op == memdb.OpBegin && lost && len(after) > 0:
					err := after[0]
					after = after[1:]
					return err
				}
				return nil
			})
			err := tryUp(t, whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{}))
			wantError[*database.CommitUnknownError](t, err)
			wantErrorText(t, err, "checking the history failed")
		})
	}
}
