package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// reader is a session that blocks.
var reader = database.Blockage{
	Lock: "AccessExclusiveLock", Object: "public.t1", Queued: 3,
	Blockers: []database.Blocker{{Holder: database.Holder{PID: 4711, User: "app", App: "report", Query: "SELECT 'secret of others'"}, Kind: database.BlockerSession}},
}

// bubble runs a test with a clock of its own, on a target whose version 1 is applied.
func bubble(t *testing.T, test func(t *testing.T, target *memdb.Target)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		mustUp(t, migrator(t, target, newSet(t, plain(1)...)))
		test(t, target)
	})
}

// observed is what a Migrator reports.
type observed struct{ all []whimbrel.Event }

func (o *observed) observe(_ context.Context, e whimbrel.Event) { o.all = append(o.all, e) }

// eventsOf returns the events of a type.
func eventsOf[E whimbrel.Event](o *observed) (all []E) {
	for _, e := range o.all {
		if e, ok := e.(E); ok {
			all = append(all, e)
		}
	}
	return all
}

// blockedFor blocks a table for a time.
func blockedFor(target *memdb.Target, table string, d time.Duration) {
	time.AfterFunc(d, target.Block(table, reader))
}

// entriesOf returns the history entries of a version, as "direction retries".
func entriesOf(t *testing.T, target *memdb.Target, version int64) (all []string) {
	t.Helper()
	for e, err := range open(t, target).History(t.Context(), database.HistoryQuery{Set: "shop", Version: &version}) {
		noError(t, err)
		all = append(all, fmt.Sprintf("%s %d", e.Direction, e.Retries))
	}
	return all
}

// lastEntry returns the newest entry of the set.
func lastEntry(t *testing.T, target *memdb.Target) (last database.Entry) {
	t.Helper()
	for e, err := range open(t, target).History(t.Context(), database.HistoryQuery{Set: "shop", Newest: true, Limit: 1, Texts: true}) {
		noError(t, err)
		last = e
	}
	return last
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// withRetried returns a set of version 1 and of others, whose texts begin with directives.
func withRetried(t *testing.T, others ...script) *migration.Set {
	t.Helper()
	ms := newSet(t, append(plain(1), others...)...).All()
	for i := range ms {
		text, _, err := ms[i].Up.Text(migration.KeepInMemory)
		noError(t, err)
		for line := range strings.Lines(text) {
			if directive, ok := strings.CutPrefix(strings.TrimSpace(line), "-- whimbrel: "); ok {
				noError(t, ms[i].Up.Direct(directive))
			}
		}
	}
	set, err := migration.NewSet("shop", ms...)
	noError(t, err)
	return set
}

// end returns the COMMIT that a script needs which begins so.
func end(begin string) string {
	if strings.Contains(begin, "BEGIN") {
		return ";\nCOMMIT"
	}
	return ""
}

const blockedSQL = "CREATE INDEX i ON t1 (x)"

// retried are the ways in which a step executes a statement that waits. Each is tried again until
// the reader is gone, and its entry says how often.
func TestRetryUntilTheReaderIsGone(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		opts         whimbrel.Options
		statement    int // that the run executes again in place
	}{
		{name: "a transaction", script: "CREATE TABLE a (x);\n" + blockedSQL},
		{name: "an atomic plan", script: "CREATE TABLE a (x);\n" + blockedSQL, opts: whimbrel.Options{Atomic: true}},
		{name: "a run, in a transaction of its own", script: "-- whimbrel: no-transaction\nCREATE TABLE a (x);\n" + blockedSQL, statement: 2},
		{name: "a run, first statement", script: "-- whimbrel: no-transaction\n" + blockedSQL + ";\nCREATE TABLE a (x)", statement: 1},
		{name: "a run, in the script's transaction", script: "-- whimbrel: no-transaction\nCREATE TABLE a (x);\nBEGIN;\nCREATE TABLE b (x);\n" + blockedSQL + ";\nCOMMIT"},
		{name: "a run, COPY", script: "-- whimbrel: no-transaction\nCREATE TABLE a (x);\nCOPY t1 FROM stdin;\n1\n\\.\n" + blockedSQL},
		{name: "a run, after SET", script: "-- whimbrel: no-transaction\nSET mode = 'x';\nBEGIN;\n" + blockedSQL + ";\nINSERT INTO t1 VALUES (1) WHERE mode = 'x';\nCOMMIT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				var seen observed
				tt.opts.Observe = seen.observe
				set := withRetried(t, script{2, tt.script, "-"}, script{3, "CREATE TABLE t3 (x)", "-"})
				m := whimbrel.New(open(t, target), set, tt.opts)
				const held = 20 * time.Second
				begun := time.Now()
				blockedFor(target, "t1", held)
				r := mustUp(t, m)
				retries := eventsOf[whimbrel.Retrying](&seen)
				if len(retries) < 2 {
					t.Fatalf("%d retries, want at least 2", len(retries))
				}
				longest := 50 * time.Millisecond
				for i, e := range retries {
					if e.Attempt != i+2 || !errors.Is(e.Err, database.ErrLockTimeout) || e.Statement != tt.statement {
						t.Errorf("retry %d is %+v", i, e)
					}
					if e.Step.Version != 2 {
						t.Errorf("retry %d is of version %d, want 2", i, e.Step.Version)
					}
					const rest = 2 * time.Second // as long as the statement waited
					if e.Pause < rest || e.Pause > rest+longest {
						t.Errorf("pause %d is %v, want %v and at most %v more", i, e.Pause, rest, longest)
					}
					longest = min(2*longest, 30*time.Second)
					b := e.Blockage
					if len(b.Blockers) != 1 || b.Blockers[0].PID != 4711 || b.Waited < 1600*time.Millisecond || b.Waited > 2*time.Second {
						t.Errorf("retry %d has the blockage %+v", i, b)
					}
				}
				if retries[0].Left != 10*time.Minute {
					t.Errorf("%v are left at first, want 10m", retries[0].Left)
				}
				step := r.Applied[0]
				// The last attempt may have waited too; that is a part of its duration.
				if step.Retries != len(retries) || step.LockWait < held-2*time.Second || step.LockWait > time.Since(begun) {
					t.Errorf("the result has %d retries and %v, want %d and about %v", step.Retries, step.LockWait, len(retries), held)
				}
				same(t, "the entries of version 2", entriesOf(t, target, 2), []string{fmt.Sprintf("up %d", len(retries))})
				same(t, "the entries of version 3", entriesOf(t, target, 3), []string{"up 0"})
				same(t, "runs that were resumed", len(r.Resumed)+len(eventsOf[whimbrel.Resumed](&seen)), 0)
				if st := mustStatus(t, m); st.Version != 3 || st.Interrupted != nil {
					t.Errorf("the status is %+v", st)
				}
			})
		})
	}
}

// A statement outside a transaction is executed again only if nothing of it remains.
func TestRetryOutsideATransaction(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		outcome error // of asking for the outcome
		retries int
	}{
		{"with a clean outcome", nil, 2},
		{"with an unclear outcome", errors.New("can't tell"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				var seen observed
				db := open(t, target)
				failAt(db, memdb.OpRunOutcome, tt.outcome)
				target.Deadlock("t1", 2)
				set := withRetried(t, script{2, "CREATE INDEX CONCURRENTLY i ON t1 (x)", "-"})
				err := tryUp(t, whimbrel.New(db, set, whimbrel.Options{Observe: seen.observe}))
				same(t, "the number of retries", len(eventsOf[whimbrel.Retrying](&seen)), tt.retries)
				if tt.outcome == nil {
					noError(t, err)
					same(t, "the entries", entriesOf(t, target, 2), []string{"up 2"})
					return
				}
				failed := wantError[*whimbrel.MigrationError](t, err)
				if !errors.Is(err, database.ErrDeadlock) || failed.Retries != 0 || failed.Journal == nil || failed.Journal.Begun == "" {
					t.Errorf("the error is %+v", failed)
				}
			})
		})
	}
}

// CONCURRENTLY waits without a limit, since its wait blocks nobody.
func TestNoTimeoutForAWaitThatBlocksNobody(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, target *memdb.Target) {
		var seen observed
		set := withRetried(t, script{2, "CREATE INDEX CONCURRENTLY i ON t1 (x)", "-"})
		blockedFor(target, "t1", 10*time.Minute)
		mustUp(t, whimbrel.New(open(t, target), set, whimbrel.Options{Observe: seen.observe}))
		same(t, "the number of retries", len(eventsOf[whimbrel.Retrying](&seen)), 0)
		waits := eventsOf[whimbrel.StatementWaiting](&seen)
		if len(waits) < 500 || waits[0].Blockage.Waited != time.Second {
			t.Errorf("%d reports, the first after %v; want one after each second", len(waits), waits[0].Blockage.Waited)
		}
	})
}

// A repeatable script, a seed, a rollback and a reset are tried again, too.
func TestRetryOfEveryKindOfStep(t *testing.T) {
	t.Parallel()
	set, err := migration.Contents{
		Migrations:  newSet(t, plain(1)...).All(),
		Repeatables: namedScripts("views", "DELETE FROM t1"),
	}.Set("shop")
	noError(t, err)
	for _, tt := range []struct {
		name      string
		direction database.Direction
		do        func(*testing.T, *whimbrel.Migrator) error
	}{
		{"a repeatable script", database.Repeat, func(t *testing.T, m *whimbrel.Migrator) error { return tryUp(t, m) }},
		{"a seed", database.Seed, func(t *testing.T, m *whimbrel.Migrator) error {
			_, err := m.Seed(t.Context(), namedScripts("users", "INSERT INTO t1 VALUES (1)"), whimbrel.SeedOptions{})
			return err
		}},
		{"a rollback", database.Down, func(t *testing.T, m *whimbrel.Migrator) error { return tryMigrate(t, m, whimbrel.By(-1)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				target.Deadlock("t1", 3)
				noError(t, tt.do(t, migrator(t, target, set)))
				var got []string
				for e, err := range open(t, target).History(t.Context(), database.HistoryQuery{Set: "shop"}) {
					noError(t, err)
					if e.Direction == tt.direction {
						got = append(got, fmt.Sprint(e.Retries))
					}
				}
				same(t, "the retries of its entries", got, []string{"3"})
			})
		})
	}
}

func TestRetryOfAReset(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, target *memdb.Target) {
		var seen observed
		m := whimbrel.New(open(t, target), newSet(t, plain(1)...), whimbrel.Options{Observe: seen.observe, RetryFor: time.Minute})
		reset := func() error {
			_, err := m.Reset(t.Context(), whimbrel.ResetOptions{Confirm: memdb.Name})
			return err
		}
		release := target.Block("t1", reader)
		blocked := wantError[*whimbrel.BlockedError](t, reset())
		if blocked.Retries == 0 || blocked.Retries != len(eventsOf[whimbrel.Retrying](&seen)) || len(blocked.Blockage.Blockers) != 1 || !errors.Is(blocked, database.ErrLockTimeout) {
			t.Errorf("the error is %+v", blocked)
		}
		time.AfterFunc(10*time.Second, release)
		noError(t, reset())
		tables, err := target.Tables(t.Context())
		noError(t, err)
		same(t, "the number of tables", len(tables), 0)
	})
}

// The error of a step that gave up says how often and how long it was tried, and what blocked it.
// The history has one entry for all its attempts.
func TestRetryGivesUpAfterTheBudget(t *testing.T) {
	for _, tt := range []struct {
		name, directives string
		opts             whimbrel.Options
		setting          string
		want             time.Duration // 0: no retry
	}{
		{name: "the default", want: 10 * time.Minute},
		{name: "the setting", setting: "3m", want: 3 * time.Minute},
		{name: "the option precedes the setting", setting: "3m", opts: whimbrel.Options{RetryFor: time.Minute}, want: time.Minute},
		{name: "the directive precedes the option", directives: "-- whimbrel: retry-for 30s\n", setting: "3m", opts: whimbrel.Options{RetryFor: time.Minute}, want: 30 * time.Second},
		{name: "NoTimeout never retries", opts: whimbrel.Options{RetryFor: whimbrel.NoTimeout}},
		{name: "the setting 0 never retries", setting: "0s"},
		{name: "the directive 0 never retries", directives: "-- whimbrel: retry-for 0\n"},
		{name: "a run", directives: "-- whimbrel: no-transaction\n", opts: whimbrel.Options{RetryFor: time.Minute}, want: time.Minute},
		{name: "a run's transaction", directives: "-- whimbrel: no-transaction\nCREATE TABLE a (x);\nBEGIN;\n", opts: whimbrel.Options{RetryFor: time.Minute}, want: time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				if tt.setting != "" {
					noError(t, database.UpdateSetting(t.Context(), open(t, target), database.SettingUpdate{Name: database.RetryFor, Value: tt.setting, At: time.Now()}))
				}
				target.Block("t1", reader)
				set := withRetried(t, script{2, tt.directives + blockedSQL + end(tt.directives), "-"})
				begun := time.Now()
				err := tryUp(t, whimbrel.New(open(t, target), set, tt.opts))
				took := time.Since(begun)
				failed := wantError[*whimbrel.MigrationError](t, err)
				if !errors.Is(err, database.ErrLockTimeout) || (failed.Retries > 0) != (tt.want > 0) {
					t.Errorf("the error is %+v", failed)
				}
				// The budget counts from the first failure, and the last attempt begins within it.
				if took < tt.want || took > tt.want+4*time.Second {
					t.Errorf("it gave up after %v, want %v and the wait of two attempts at most", took, tt.want)
				}
				if failed.LockWait != took {
					t.Errorf("LockWait is %v, want %v", failed.LockWait, took)
				}
				for _, part := range []string{"canceling statement due to lock timeout", "it waited for public.t1, blocked by pid 4711, user app", "queued behind it: 3"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error lacks %q: %v", part, err)
					}
				}
				if tt.want > 0 && !strings.Contains(err.Error(), fmt.Sprintf("tried %d times", failed.Retries+1)) {
					t.Errorf("the error does not say how often it was tried: %v", err)
				}
				same(t, "the entries", entriesOf(t, target, 2), []string{fmt.Sprintf("failed %d", failed.Retries)})
				if e := lastEntry(t, target); e.LockWait != failed.LockWait.Truncate(time.Microsecond) {
					t.Errorf("the entry has the wait %v, want %v", e.LockWait, failed.LockWait)
				}
			})
		})
	}
}

// The lock timeout is the script's, or else the option's, or else the setting's.
func TestLockTimeoutOfAStatement(t *testing.T) {
	for _, tt := range []struct {
		name, directives, setting string
		opts                      whimbrel.Options
		want                      time.Duration // 0: it waits without a limit
	}{
		{name: "the default", want: 2 * time.Second},
		{name: "the setting", setting: "7s", want: 7 * time.Second},
		{name: "the option precedes the setting", setting: "7s", opts: whimbrel.Options{LockTimeout: 5 * time.Second}, want: 5 * time.Second},
		{name: "the directive precedes the option", directives: "-- whimbrel: lock-timeout 3s\n", opts: whimbrel.Options{LockTimeout: 5 * time.Second}, want: 3 * time.Second},
		{name: "NoTimeout", opts: whimbrel.Options{LockTimeout: whimbrel.NoTimeout}},
		{name: "the setting 0", setting: "0s"},
		{name: "the directive 0", directives: "-- whimbrel: lock-timeout 0\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				if tt.setting != "" {
					noError(t, database.UpdateSetting(t.Context(), open(t, target), database.SettingUpdate{Name: database.LockTimeout, Value: tt.setting, At: time.Now()}))
				}
				blockedFor(target, "t1", 7*time.Hour)
				tt.opts.RetryFor = whimbrel.NoTimeout
				set := withRetried(t, script{2, tt.directives + blockedSQL + end(tt.directives), "-"})
				begun := time.Now()
				err := tryUp(t, whimbrel.New(open(t, target), set, tt.opts))
				if tt.want == 0 {
					noError(t, err)
					same(t, "the wait", time.Since(begun), 7*time.Hour)
					return
				}
				if !errors.Is(err, database.ErrLockTimeout) {
					t.Errorf("the error is %v, want ErrLockTimeout", err)
				}
				same(t, "the wait", time.Since(begun), tt.want)
			})
		})
	}
}

// A call that is cancelled while it pauses says so, and which error the last attempt had.
func TestRetryIsCancelledInThePause(t *testing.T) {
	for name, directives := range map[string]string{"a transaction": "", "a run": "-- whimbrel: no-transaction\n", "a run's transaction": "-- whimbrel: no-transaction\nSELECT 1;\nBEGIN;\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				target.Block("t1", reader)
				set := withRetried(t, script{2, directives + blockedSQL + end(directives), "-"})
				_, err := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
					if r, ok := e.(whimbrel.Retrying); ok && r.Pause > time.Millisecond {
						time.AfterFunc(r.Pause/2, cancel)
					}
				}}).Up(ctx)
				failed := wantError[*whimbrel.MigrationError](t, err)
				if !errors.Is(err, context.Canceled) || !errors.Is(err, database.ErrLockTimeout) || failed.Retries == 0 || len(failed.Blockage.Blockers) != 1 {
					t.Errorf("the error is %v: %+v", err, failed)
				}
				same(t, "the entries", entriesOf(t, target, 2), []string{fmt.Sprintf("failed %d", failed.Retries)})
				same(t, "the error in the history", lastEntry(t, target).Error, "cancelled")
				if held := target.Locked(); len(held) > 0 {
					t.Errorf("locks are left: %v", held)
				}
			})
		})
	}
}

// at calls do when the nth retry is announced.
func atRetry(n int, do func()) func(context.Context, whimbrel.Event) {
	return func(_ context.Context, e whimbrel.Event) {
		if r, ok := e.(whimbrel.Retrying); ok && r.Attempt == n+1 {
			do()
		}
	}
}

// While a process has released the lock for a retry, another may do the step.
func TestAnotherProcessDoesTheStepDuringARetry(t *testing.T) {
	for name, directives := range map[string]string{"a transaction": "", "a run's transaction": "-- whimbrel: no-transaction\nCREATE TABLE a (x);\nBEGIN;\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				release := target.Block("t1", reader)
				set := withRetried(t, script{2, directives + blockedSQL + end(directives), "-"})
				other := migrator(t, target, set)
				done := make(chan error, 1)
				r, err := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: atRetry(2, func() {
					release()
					go func() {
						_, err := other.Up(t.Context())
						done <- err
					}()
					synctest.Wait()
				})}).Up(t.Context())
				noError(t, err)
				noError(t, <-done)
				if len(r.Applied)+len(r.Skipped) != 1 {
					t.Errorf("the result is %+v, want one step applied or skipped", r)
				}
				indexes, err := target.Indexes(t.Context())
				noError(t, err)
				same(t, "the indexes", indexes, []string{"i"})
				n := 0
				for _, e := range entriesOf(t, target, 2) {
					if strings.HasPrefix(e, "up") {
						n++
					}
				}
				same(t, "how often version 2 is recorded as applied", n, 1)
			})
		})
	}
}

// A database that is frozen while a process pauses ends the retries. Freeze does not wait longer
// than for the pause.
func TestDatabaseIsFrozenDuringAPause(t *testing.T) {
	for name, directives := range map[string]string{"a transaction": "", "a run": "-- whimbrel: no-transaction\n", "a run's transaction": "-- whimbrel: no-transaction\nSELECT 1;\nBEGIN;\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				target.Block("t1", reader)
				set := withRetried(t, script{2, directives + blockedSQL + end(directives), "-"})
				frozen := make(chan error, 1)
				freezer := migrator(t, target, set)
				_, err := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: atRetry(3, func() {
					go func() {
						_, err := freezer.Freeze(t.Context(), "a release", time.Time{})
						frozen <- err
					}()
					synctest.Wait()
				})}).Up(t.Context())
				wantError[*whimbrel.FrozenError](t, err)
				noError(t, <-frozen)
				if held := target.Locked(); len(held) > 0 {
					t.Errorf("locks are left: %v", held)
				}
				same(t, "the entries", entriesOf(t, target, 2), []string{"failed 3"})
			})
		})
	}
}

// A Go function runs again in another transaction.
func TestRetryOfAGoFunction(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, target *memdb.Target) {
		calls := 0
		fn := memdb.Func("fn", func(ctx context.Context, tx memdb.Tx) error {
			calls++
			return tx.Exec(ctx, "INSERT INTO t1 VALUES (1)")
		})
		ms := newSet(t, plain(1)...).All()
		set, err := migration.NewSet("shop", append(ms, migration.Migration{Version: 2, Name: "fn", Up: fn})...)
		noError(t, err)
		target.Deadlock("t1", 2)
		mustUp(t, migrator(t, target, set))
		same(t, "the number of calls", calls, 3)
		rows, err := target.Rows(t.Context(), "t1")
		noError(t, err)
		same(t, "the rows", rows, []string{"1"})
	})
}

// A lost answer to COMMIT has one more attempt, as ever, however often a lock was waited for.
func TestRetryAndALostCommit(t *testing.T) {
	t.Parallel()
	for _, answer := range []error{memdb.ErrCommitted, memdb.ErrNotCommitted} {
		t.Run(answer.Error(), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				var seen observed
				db := open(t, target)
				failAt(db, memdb.OpTxCommit, answer)
				target.Deadlock("t1", 2)
				set := withRetried(t, script{2, blockedSQL, "-"})
				err := tryUp(t, whimbrel.New(db, set, whimbrel.Options{Observe: seen.observe}))
				lost := 0
				for _, e := range eventsOf[whimbrel.Retrying](&seen) {
					if errors.As(e.Err, new(*database.CommitUnknownError)) {
						lost++
						same(t, "the pause", e.Pause, time.Duration(0))
					}
				}
				same(t, "attempts after a lost answer", lost, 1)
				if answer == memdb.ErrCommitted {
					noError(t, err)
					same(t, "the entries", entriesOf(t, target, 2), []string{"up 2"})
					return
				}
				wantError[*database.CommitUnknownError](t, err)
			})
		})
	}
}

// A step that nothing blocks costs no call more than before, and pauses nowhere.
func TestNoCostWithoutContention(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, target *memdb.Target) {
		db := open(t, target)
		set := withRetried(t, script{2, blockedSQL, "-"})
		m := whimbrel.New(db, set, whimbrel.Options{TerminateBlockersAfter: time.Minute})
		plan := mustPlan(t, m, whimbrel.Latest())
		calls := recordCalls(db)
		begun := time.Now()
		_, err := m.Apply(t.Context(), plan, whimbrel.ApplyOptions{})
		noError(t, err)
		same(t, "the calls", *calls, []string{memdb.OpBegin, memdb.OpTxExec, memdb.OpTxRecord, memdb.OpTxCommit, memdb.OpTxRollback})
		same(t, "the time", time.Since(begun), time.Duration(0))
	})
}

// Sessions are terminated once the step has waited long enough, and not before. The step records
// them.
func TestTerminateBlockers(t *testing.T) {
	exempt := reader.Blockers[0]
	exempt.PID, exempt.Exempt = 4712, "a superuser's session"
	for _, tt := range []struct {
		name, script string
		after        time.Duration
		queue        bool
	}{
		{name: "a transaction", script: blockedSQL, after: 30 * time.Second},
		{name: "a transaction that is queued", script: blockedSQL, after: 30 * time.Second, queue: true},
		{name: "a run", script: "-- whimbrel: no-transaction\n" + blockedSQL, after: 30 * time.Second},
		{name: "the first attempt", script: "-- whimbrel: lock-timeout 1m\n" + blockedSQL, after: 50 * time.Second},
		{name: "no limit", script: "-- whimbrel: lock-timeout 0\n" + blockedSQL, after: 5 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				var seen observed
				target.Queue(tt.queue)
				target.Block("t1", reader)
				set := withRetried(t, script{2, tt.script, "-"})
				begun := time.Now()
				mustUp(t, whimbrel.New(open(t, target), set, whimbrel.Options{TerminateBlockersAfter: tt.after, Observe: seen.observe}))
				all := eventsOf[whimbrel.Terminated](&seen)
				if len(all) != 1 || all[0].Blocker.PID != 4711 || all[0].Step.Version != 2 {
					t.Fatalf("the events are %+v", all)
				}
				if took := time.Since(begun); took < tt.after {
					t.Errorf("it took %v, less than %v", took, tt.after)
				}
				e := lastEntry(t, target)
				if e.Direction != database.Terminate || e.Version != 2 || e.UpText != "SELECT 'secret of others'" || e.Name != "pid 4711, user app, application report" {
					t.Errorf("the last entry is %+v", e)
				}
				if st := mustStatus(t, migrator(t, target, set)); st.Version != 2 {
					t.Errorf("the version is %d, want 2", st.Version)
				}
			})
		})
	}
	t.Run("it fails anyway", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, target *memdb.Target) {
			both := reader
			both.Blockers = append([]database.Blocker{exempt}, both.Blockers...)
			target.Block("t1", both)
			set := withRetried(t, script{2, blockedSQL, "-"})
			err := tryUp(t, whimbrel.New(open(t, target), set, whimbrel.Options{TerminateBlockersAfter: 30 * time.Second, RetryFor: time.Minute}))
			failed := wantError[*whimbrel.MigrationError](t, err)
			if len(failed.Blockage.Blockers) != 1 || failed.Blockage.Blockers[0].PID != 4712 {
				t.Errorf("the blockers are %+v", failed.Blockage.Blockers)
			}
			same(t, "the entries", entriesOf(t, target, 2), []string{fmt.Sprintf("failed %d", failed.Retries), "terminate 0"})
		})
	})
	t.Run("nothing is terminated unless asked", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, target *memdb.Target) {
			var seen observed
			target.Block("t1", reader)
			set := withRetried(t, script{2, blockedSQL, "-"})
			if err := tryUp(t, whimbrel.New(open(t, target), set, whimbrel.Options{Observe: seen.observe})); err == nil {
				t.Error("Up of a blocked script succeeded")
			}
			same(t, "the number of terminated sessions", len(eventsOf[whimbrel.Terminated](&seen)), 0)
		})
	})
}

// The statement that waits is shown without its passwords.
func TestWaitingStatementIsMasked(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, target *memdb.Target) {
		var seen observed
		set := withRetried(t, script{2, "-- whimbrel: secret\nINSERT INTO t1 VALUES ('hunter2')", "-"})
		blockedFor(target, "t1", 10*time.Second)
		mustUp(t, whimbrel.New(open(t, target), set, whimbrel.Options{Observe: seen.observe}))
		waits := eventsOf[whimbrel.StatementWaiting](&seen)
		if len(waits) == 0 || !strings.Contains(waits[0].Blockage.SQL, "INSERT INTO t1") {
			t.Fatalf("the events are %+v", waits)
		}
		if text := fmt.Sprintf("%+v", []any{waits, eventsOf[whimbrel.Retrying](&seen)}); strings.Contains(text, "hunter2") {
			t.Errorf("an event has the secret: %s", text)
		}
	})
}

// Retries, and sessions that are terminated, are at level Warn.
func TestLogOfRetries(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, target *memdb.Target) {
		var log strings.Builder
		target.Block("t1", reader)
		opts := logger(&log)
		opts.TerminateBlockersAfter = 5 * time.Second
		mustUp(t, whimbrel.New(open(t, target), withRetried(t, script{2, blockedSQL, "-"}), opts))
		for _, want := range []string{
			`level=WARN msg="a statement waits for another session" set=shop lock=AccessExclusiveLock object=public.t1 holder="pid 4711`,
			`level=WARN msg="trying again" set=shop attempt=2 error="migration 2 m2 (up) failed: `,
			`level=WARN msg="terminated a session that blocked a migration" set=shop version=2 name=m2 direction=up session="pid 4711`,
			`level=INFO msg="migration done" set=shop version=2 name=m2 direction=up retries=`,
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, &log)
			}
		}
	})
}

// Of many processes, one does the step that a reader blocks. The others wait for it, or give up
// because they see no progress.
func TestManyProcessesRetryOneAtATime(t *testing.T) {
	t.Parallel()
	for name, directives := range map[string]string{"a transaction": "", "a run": "-- whimbrel: no-transaction\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				const processes = 8
				blockedFor(target, "t1", 40*time.Second)
				set := withRetried(t, script{2, directives + "INSERT INTO t1 VALUES (1)", "-"})
				errs := make(chan error, processes)
				for range processes {
					m := migrator(t, target, set)
					go func() {
						_, err := m.Up(t.Context())
						errs <- err
					}()
				}
				gaveUp := 0
				for range processes {
					switch err := <-errs; {
					case errors.Is(err, database.ErrLocked):
						gaveUp++
					case err != nil:
						t.Error(err)
					}
				}
				if gaveUp == processes {
					t.Error("every process gave up")
				}
				rows, err := target.Rows(t.Context(), "t1")
				noError(t, err)
				same(t, "the rows", rows, []string{"1"})
			})
		})
	}
}
