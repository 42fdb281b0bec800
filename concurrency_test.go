package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
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
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, set := range []*migration.Set{newSet(t, plain(5)...), other} {
		wg.Go(func() {
			if _, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Up(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := whimbrel.New(db, newSet(t, plain(5)...), whimbrel.Options{}).Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
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
				r, err := whimbrel.New(db, newSet(t, plain(8)...), whimbrel.Options{Atomic: atomic, LockTimeout: time.Minute}).Up(context.Background())
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

func TestLostCommitIsLookedUp(t *testing.T) {
	t.Parallel()
	for _, cut := range []error{memdb.ErrCommitted, memdb.ErrNotCommitted} {
		target := memdb.New()
		db := open(t, target)
		once := true
		db.SetHook(func(op string) error {
			if op == memdb.OpTxCommit && once {
				once = false
				return cut
			}
			return nil
		})
		m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatalf("%v: %v", cut, err)
		}
		wantTables(t, target, "t1", "t2", "t3")
		n := 0
		for range m.History(t.Context()) {
			n++
		}
		if n != 3 {
			t.Errorf("%v: the history has %d events, want 3", cut, n)
		}
	}
}

func TestLockTimeout(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	other := open(t, target)
	b, _, err := other.Begin(t.Context(), "shop", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback(t.Context())
	waited := 0
	m := whimbrel.New(open(t, target), newSet(t, plain(1)...), whimbrel.Options{LockTimeout: whimbrel.TryOnce, Observe: func(e whimbrel.Event) {
		if w, ok := e.(whimbrel.LockWaiting); ok && w.Holder.PID != 0 {
			waited++
		}
	}})
	_, err = m.Up(t.Context())
	var locked *database.LockedError
	if !errors.Is(err, database.ErrLocked) || !errors.As(err, &locked) || locked.Holder.PID == 0 || waited == 0 {
		t.Errorf("got %v after %d words about who holds it", err, waited)
	}
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	ctx, cancel := context.WithCancel(t.Context())
	m := whimbrel.New(open(t, target), newSet(t, append(plain(1), script{2, "CREATE TABLE t2 (x); SELECT forever()", "-"})...), whimbrel.Options{
		Observe: func(e whimbrel.Event) {
			if s, ok := e.(whimbrel.StepStarted); ok && s.Step.Version == 2 {
				cancel()
			}
		},
	})
	r, err := m.Up(ctx)
	if !errors.Is(err, context.Canceled) || !slices.Equal(versions(r.Applied), []int64{1}) {
		t.Errorf("got %+v, %v", r, err)
	}
	wantTables(t, target, "t1")
	if len(target.Locked()) > 0 {
		t.Error("the lock is still held")
	}
}

// Who waits while others get on waits longer than the timeout, which is for those who
// don't.
func TestWaitingWhileOthersGetOn(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	other := whimbrel.New(open(t, target), newSet(t, plain(4)...), whimbrel.Options{})
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(4)...), whimbrel.Options{})
	locked := 0
	db.SetHook(func(op string) error {
		if op != memdb.OpBegin || locked == 3 {
			return nil
		}
		locked++
		if _, err := other.Migrate(t.Context(), whimbrel.By(1), whimbrel.ApplyOptions{}); err != nil {
			t.Error(err)
		}
		return &database.LockedError{Set: "shop"}
	})
	r, err := m.Up(t.Context())
	if err != nil || !slices.Equal(r.Skipped, []int64{1, 2, 3}) || !slices.Equal(versions(r.Applied), []int64{4}) {
		t.Errorf("got %+v, %v; it was to wait on while the other applied 1, 2 and 3", r, err)
	}

	// A run gets on with each of its statements.
	target = memdb.New()
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
	locked = 0
	waiting := open(t, target)
	waiting.SetHook(func(op string) error {
		if op != memdb.OpGuard {
			return nil
		}
		if locked++; locked <= 3 {
			wait <- true
			<-begun
			return &database.LockedError{Set: "shop"}
		}
		wait <- true
		return <-done
	})
	r, err = whimbrel.New(waiting, set, whimbrel.Options{}).Up(t.Context())
	if err != nil || !slices.Equal(r.Skipped, []int64{1}) || locked != 4 {
		t.Errorf("got %+v, %v after %d attempts; it was to wait on while the other ran its statements", r, err, locked)
	}

	locked = 0
	db.SetHook(func(op string) error {
		if op == memdb.OpBegin {
			locked++
			return &database.LockedError{Set: "shop"}
		}
		return nil
	})
	if _, err := m.Migrate(t.Context(), whimbrel.By(-1), whimbrel.ApplyOptions{}); !errors.Is(err, database.ErrLocked) || locked != 1 {
		t.Errorf("got %v after %d attempts; nobody got on", err, locked)
	}
}

// What a database takes back for another transaction's sake is tried again, and not for ever.
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
		_, err := whimbrel.New(db, newSet(t, script{1, "CREATE TABLE t ()", "-"}, script{2, "CREATE INDEX CONCURRENTLY i ON t (x)", "-"}), whimbrel.Options{}).Up(t.Context())
		if !errors.Is(err, want) || n > 10 {
			t.Errorf("%d conflicts: got %v after %d tries", conflicts, err, n)
		}
	}
}

// A transaction that lost its lock, while another process applied the same migration, begins again. It
// skips the migration and does the rest, and reports it once, however often it has to begin again.
func TestAChangedHeadIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
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
				if _, err := whimbrel.New(other, set, whimbrel.Options{}).Migrate(t.Context(), whimbrel.Version(1), whimbrel.ApplyOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
		r, err := whimbrel.New(db, set, whimbrel.Options{Atomic: atomic}).Up(t.Context())
		if err != nil || changed != 20 {
			t.Errorf("atomic %v: %v after %d changes", atomic, err, changed)
		}
		if !slices.Equal(r.Skipped, []int64{1}) {
			t.Errorf("atomic %v: skipped %v, want 1", atomic, r.Skipped)
		}
		if !slices.Equal(versions(r.Applied), []int64{2}) {
			t.Errorf("atomic %v: applied %v, want 2", atomic, r.Applied)
		}
	}
}

// The answer to a COMMIT is lost, and no later attempt gets as far as to read the history: the error
// says that the outcome is unknown, and why it could not be found out.
func TestLostCommitStaysUnknownUntilItIsLookedUp(t *testing.T) {
	t.Parallel()
	gone := errors.New("the server is gone")
	for name, after := range map[string][]error{
		"the server is gone":             {gone},
		"a conflict before, and gone":    {fmt.Errorf("deadlock: %w", database.ErrConflict), gone},
		"the lock is taken for too long": {&database.LockedError{Set: "shop"}},
	} {
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
		_, err := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{}).Up(t.Context())
		var unknown *database.CommitUnknownError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "checking the history failed") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
