package whimbrel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// The COMMIT of a step begins the transaction of the next, for at most a second. Then the lock is
// free when the step is reported, as after the last step.
func TestCommitBeginsTheNextTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db, other := open(t, target), open(t, target)
		db.SetHook(func(op string) error {
			if op == memdb.OpTxExec {
				time.Sleep(400 * time.Millisecond)
			}
			return nil
		})
		var held []bool
		observe := func(_ context.Context, e whimbrel.Event) {
			if _, done := e.(whimbrel.StepDone); done {
				_, is, err := other.LockHolder(t.Context(), "shop")
				noError(t, err)
				held = append(held, is)
			}
		}
		mustUp(t, whimbrel.New(db, newSet(t, plain(6)...), whimbrel.Options{Observe: observe}))
		wantEqual(t, "whether the lock was held after each step", held, []bool{true, true, false, true, true, false})
	})
}

// After a second, a process that waits for the lock gets a turn, between transactions as between
// runs.
func TestOthersGetATurn(t *testing.T) {
	for name, scripts := range map[string][]script{"transactions": plain(6), "runs": indexes(6)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := memdb.New()
				db, other := open(t, target), open(t, target)
				slow := func(op string) error {
					if op == memdb.OpTxExec || op == memdb.OpRunExec {
						time.Sleep(400 * time.Millisecond)
					}
					return nil
				}
				db.SetHook(slow)
				turn := make(chan int, 1)
				go func() {
					time.Sleep(100 * time.Millisecond)
					tx, _, err := other.Begin(t.Context(), "shop", database.LockOptions{Timeout: time.Minute})
					if err != nil {
						t.Error(err)
						turn <- 0
						return
					}
					st, err := tx.State(t.Context())
					noError(t, err)
					noError(t, tx.Rollback(t.Context()))
					turn <- st.Applied.Len()
				}()
				mustUp(t, whimbrel.New(db, newSet(t, scripts...), whimbrel.Options{}))
				if n := <-turn; n == 0 || n > 4 {
					t.Errorf("the other process had the lock after %d migrations, want at most 4", n)
				}
			})
		})
	}
}

// A database that is frozen between COMMIT and the next transaction stops the migration there.
func TestFrozenBetweenTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db, other := open(t, target), open(t, target)
		begun := 0
		db.SetHook(func(op string) error {
			if op == memdb.OpBegin {
				if begun++; begun == 2 {
					setting(t, other, database.Frozen, "true")
				}
			}
			return nil
		})
		m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
		wantError[*whimbrel.FrozenError](t, tryUp(t, m))
		// The second is with the COMMIT, and the third would begin a sequence.
		wantEqual(t, "the number of attempts to begin", begun, 4)
		wantTables(t, target, "t1")
	})
}

// If the next transaction can't begin together with COMMIT, the step is done all the same, and
// Begin tries again.
func TestCommitBeginsNothing(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]int{"once": 2, "always": 100} {
		t.Run(name, func(t *testing.T) {
			target := memdb.New()
			db := open(t, target)
			broken, begun := errors.New("the wire broke"), 0
			db.SetHook(func(op string) error {
				if op == memdb.OpBegin {
					if begun++; begun > 1 && begun <= fails {
						return broken
					}
				}
				return nil
			})
			err := tryUp(t, whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}))
			if name == "once" {
				noError(t, err)
				wantTables(t, target, "t1", "t2")
				return
			}
			wantErrorIs(t, err, broken)
			wantTables(t, target, "t1")
		})
	}
}
