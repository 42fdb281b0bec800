package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const touchUsers = "UPDATE users SET n = n + 1 WHERE id BETWEEN :first AND :last"

// filled returns migrations: 1 creates the table users, 2 is a backfill of it with these
// directives, 3 is an ordinary migration.
func filled(t testing.TB, directives ...string) *migration.Set {
	t.Helper()
	return withBackfill(t, 2, directives,
		script{1, "CREATE TABLE users (id integer)", "DROP TABLE users"}, script{2, touchUsers, "DELETE FROM users"}, script{3, "CREATE TABLE last (x)", "DROP TABLE last"})
}

// withBackfill returns a set in which a migration is a backfill of the table users.
func withBackfill(t testing.TB, version int64, directives []string, scripts ...script) *migration.Set {
	t.Helper()
	all := newSet(t, scripts...).All()
	for i := range all {
		text, _, err := all[i].Up.Text(1 << 20)
		noError(t, err)
		if all[i].Version == version {
			for _, d := range slices.Backward(append([]string{"backfill users"}, directives...)) {
				text = "-- whimbrel: " + d + "\n" + text
			}
			all[i].Up, err = migration.ParseBackfill(fmt.Sprintf("%d_m%[1]d.backfill.sql", version), text, sqltext.PostgreSQL)
			noError(t, err)
		}
		if before, after, ok := strings.Cut(text, "-- whimbrel: after "); ok && before == "" {
			line, _, _ := strings.Cut(after, "\n")
			v, err := strconv.ParseInt(line, 10, 64)
			noError(t, err)
			all[i].Up.After = []int64{v}
		}
	}
	set, err := migration.NewSet("shop", all...)
	noError(t, err)
	return set
}

// users creates the table users with rows 1 … n, as migration 1 does.
func users(t testing.TB, target *memdb.Target, set *migration.Set, n int) {
	t.Helper()
	mustMigrate(t, migrator(t, target, set), whimbrel.UpTo(1))
	var rows []string
	for i := range n {
		rows = append(rows, strconv.Itoa(i+1))
	}
	noError(t, target.Insert("users", rows...))
}

// wantTouched checks that each row was changed so often.
func wantTouched(t testing.TB, target *memdb.Target, rows, times int) {
	t.Helper()
	for _, problem := range wrongTouches(target, rows, times) {
		t.Error(problem)
	}
}

func wrongTouches(target *memdb.Target, rows, times int) (problems []string) {
	counts := target.Touched("users")
	if len(counts) != rows {
		problems = append(problems, fmt.Sprintf("the table has %d rows, want %d", len(counts), rows))
	}
	for _, row := range slices.Sorted(maps.Keys(counts)) {
		if counts[row] != times {
			problems = append(problems, fmt.Sprintf("row %s was changed %d times, want %d", row, counts[row], times))
		}
	}
	return problems
}

func wantBackfill(t testing.TB, m *whimbrel.Migrator, version int64, state database.BackfillState) whimbrel.BackfillStatus {
	t.Helper()
	for _, b := range must(t, m.Backfills) {
		if b.Version == version {
			wantEqual(t, "state of the backfill", b.State, state)
			return b
		}
	}
	t.Fatalf("the database has no backfill %d", version)
	return whimbrel.BackfillStatus{}
}

// directionsOf returns what happened, oldest first: "start 2".
func directionsOf(t testing.TB, m *whimbrel.Migrator) (all []string) {
	t.Helper()
	for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
		noError(t, err)
		all = append(all, fmt.Sprintf("%s %d", e.Direction, e.Version))
	}
	return all
}

// filling runs a test in a bubble with a table of rows 1 … n whose backfill is pending.
func filling(t *testing.T, n int, test func(t *testing.T, target *memdb.Target, set *migration.Set), directives ...string) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target, set := memdb.New(), filled(t, directives...)
		users(t, target, set, n)
		target.SlowRows("users", time.Millisecond)
		test(t, target, set)
	})
}

func TestUpExecutesABackfill(t *testing.T) {
	filling(t, 2500, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		events := &observed{}
		m := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: events.observe})
		p := mustPlan(t, m, whimbrel.Latest())
		wantEqual(t, "mode", p.Steps[0].Mode, whimbrel.InBatches)
		wantEqual(t, "direction", p.Steps[0].Direction, database.Start)
		wantEqual(t, "table", p.Steps[0].Backfill.Table, "users")
		r := mustUp(t, m)
		wantApplied(t, r, 2, 3)
		wantEqual(t, "finished", versions(r.Finished), []int64{2})
		wantEqual(t, "started and not finished", len(r.Started), 0)
		wantTouched(t, target, 2500, 1)
		b := wantBackfill(t, m, 2, database.BackfillDone)
		wantEqual(t, "rows", b.RowsDone, 2500)
		wantEqual(t, "percent", b.Percent, 100)
		var done []int64
		for _, e := range eventsOf[whimbrel.StepDone](events) {
			done = append(done, e.Step.Version)
		}
		wantEqual(t, "steps done", done, []int64{2, 3})
		if len(eventsOf[whimbrel.BackfillProgress](events)) == 0 {
			t.Error("no progress was reported")
		}
		wantEqual(t, "history", directionsOf(t, m), []string{"up 1", "start 2", "finish 2", "up 3"})
		wantEqual(t, "steps of the next plan", len(mustPlan(t, m, whimbrel.Latest()).Steps), 0)
	}, "batch 100", "parallel 3")
}

// An interrupted call commits its batches and gives its lanes back. The next one continues first.
func TestAnInterruptedBackfillContinues(t *testing.T) {
	filling(t, 5000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		ctx, cancel := context.WithTimeout(t.Context(), 1260*time.Millisecond)
		defer cancel()
		m := migrator(t, target, set)
		r, err := m.Up(ctx)
		stopped := wantError[*whimbrel.BackfillError](t, err)
		wantErrorIs(t, err, context.DeadlineExceeded)
		wantEqual(t, "state", stopped.State, database.BackfillRunning)
		done := stopped.Backfill.RowsDone
		if done < 2500 || done > 2900 {
			t.Errorf("%d rows are done, want about 2700: each worker completes its batch", done)
		}
		wantErrorText(t, err, fmt.Sprintf("backfill 2 m2 of set \"shop\" was interrupted; %d of about 5000 rows are done", done))
		wantEqual(t, "started", versions(r.Started), []int64{2})
		for _, l := range stopped.Backfill.Lanes {
			wantEqual(t, "the worker of a lane", l.Worker, "")
		}
		s := mustStatus(t, m)
		wantEqual(t, "unfinished", s.Migrations[1].Unfinished, true)
		wantEqual(t, "rows done, by the status", s.Migrations[1].Backfill.RowsDone, done)
		p := mustPlan(t, m, whimbrel.Latest())
		wantEqual(t, "direction", p.Steps[0].Direction, database.Finish)
		wantEqual(t, "rows done, by the plan", p.Steps[0].Continued.RowsDone, done)
		r = mustUp(t, m)
		wantEqual(t, "finished", versions(r.Finished), []int64{2})
		wantApplied(t, r, 3)
		wantTouched(t, target, 5000, 1)
		wantEqual(t, "history", directionsOf(t, m), []string{"up 1", "start 2", "finish 2", "up 3"})
	}, "batch 100", "parallel 2")
}

func TestSeveralUpsExecuteABackfillTogether(t *testing.T) {
	filling(t, 8000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		workers := map[string]bool{}
		for range 6 {
			db := open(t, target)
			m := whimbrel.New(db, set, whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
				mu.Lock()
				defer mu.Unlock()
				if p, ok := e.(whimbrel.BackfillProgress); ok {
					for _, l := range p.Backfill.Lanes {
						if l.Worker != "" {
							workers[l.Worker] = true
						}
					}
				}
			}})
			wg.Go(func() {
				if _, err := m.Up(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantTouched(t, target, 8000, 1)
		wantEqual(t, "history", directionsOf(t, migrator(t, target, set)), []string{"up 1", "start 2", "finish 2", "up 3"})
		if len(workers) < 2 {
			t.Errorf("only these workers had a lane: %v", workers)
		}
	}, "batch 50", "parallel 4")
}

// A process that is killed leaves its lanes leased. The next one takes them over when the leases
// have ended.
func TestAKilledProcessLosesItsLanes(t *testing.T) {
	filling(t, 3000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		db := open(t, target)
		batches := 0
		db.SetHook(func(op string) error {
			if op == memdb.OpLaneBatch {
				if batches++; batches == 5 {
					return memdb.ErrDone
				}
			}
			return nil
		})
		wantErrorIs(t, tryUp(t, whimbrel.New(db, set, whimbrel.Options{})), memdb.ErrKilled)
		m := migrator(t, target, set)
		if b := wantBackfill(t, m, 2, database.BackfillRunning); b.RowsDone == 0 || b.Lanes[0].Worker == "" {
			t.Errorf("the killed process has left %+v, want a lane with a worker", b)
		}
		start := time.Now()
		mustUp(t, m)
		wantTouched(t, target, 3000, 1)
		if took := time.Since(start); took < 10*time.Second {
			t.Errorf("the lane was taken over after %s, before its lease had ended", took)
		}
	}, "batch 100")
}

func TestBackfillsThatStop(t *testing.T) {
	t.Parallel()
	change := func(a database.BackfillAction) func(*testing.T, *whimbrel.Migrator) {
		return func(t *testing.T, m *whimbrel.Migrator) {
			_, err := m.ChangeBackfill(t.Context(), database.BackfillChange{BackfillID: database.BackfillID{Version: 2}, Action: a, Reason: "too hot"})
			noError(t, err)
		}
	}
	for _, tt := range []struct {
		name           string
		stop, proceed  func(*testing.T, *whimbrel.Migrator)
		state          database.BackfillState
		text           string
		nextUp, nextOK bool // whether the next up, before it may proceed, has a step for it, and succeeds
	}{
		{"paused", change(database.ActionPause), change(database.ActionResume), database.BackfillPaused, "is paused by memory since", true, false},
		{"cancelled", change(database.ActionCancel), change(database.ActionRetry), database.BackfillCancelled, "is cancelled by memory since", false, true},
		{"frozen", func(t *testing.T, m *whimbrel.Migrator) {
			_, err := m.Freeze(t.Context(), "too hot", time.Time{})
			noError(t, err)
		}, func(t *testing.T, m *whimbrel.Migrator) {
			_, err := m.Thaw(t.Context(), "")
			noError(t, err)
		}, database.BackfillRunning, "stopped: the database is frozen by memory since", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			filling(t, 3000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
				operator := migrator(t, target, set)
				time.AfterFunc(1100*time.Millisecond, func() { tt.stop(t, operator) })
				m := migrator(t, target, set)
				r, err := m.Up(t.Context())
				stopped := wantError[*whimbrel.BackfillError](t, err)
				wantEqual(t, "state", stopped.State, tt.state)
				wantErrorText(t, err, tt.text)
				wantErrorText(t, err, "(too hot)")
				wantEqual(t, "started", versions(r.Started), []int64{2})
				if done := stopped.Backfill.RowsDone; done < 900 || done > 1300 {
					t.Errorf("it stopped after %d rows, want about 1100", done)
				}
				if tt.state != database.BackfillRunning {
					wantEqual(t, "the reason of the entry", stopped.Entry.Reason, "too hot")
				}
				continues := slices.ContainsFunc(mustPlan(t, m, whimbrel.Latest()).Steps, func(s whimbrel.Step) bool { return s.Continued != nil })
				wantEqual(t, "the next plan continues it", continues, tt.nextUp)
				err = tryUp(t, m)
				wantEqual(t, "the next up succeeds", err == nil, tt.nextOK)
				tt.proceed(t, operator)
				mustUp(t, m)
				wantTouched(t, target, 3000, 1)
				wantBackfill(t, m, 2, database.BackfillDone)
			}, "batch 100")
		})
	}
}

// A change of a backfill takes effect in the pause between two batches, too.
func TestChangesInThePauseBetweenBatches(t *testing.T) {
	t.Parallel()
	for action, want := range map[database.BackfillAction]database.BackfillState{
		database.ActionPause: database.BackfillPaused,
		database.ActionSet:   database.BackfillDone,
	} {
		t.Run(string(action), func(t *testing.T) {
			filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
				m, begun := migrator(t, target, set), time.Now()
				time.AfterFunc(30*time.Second, func() {
					b := wantBackfill(t, m, 2, database.BackfillRunning)
					wantEqual(t, "rows done before the change", b.RowsDone, 100)
					b.Pause = time.Second
					_, err := m.ChangeBackfill(t.Context(), database.BackfillChange{BackfillID: b.BackfillID, Action: action, Limits: b.BackfillLimits})
					noError(t, err)
				})
				if _, err := m.Up(t.Context()); (err == nil) != (want == database.BackfillDone) {
					t.Errorf("up ends with %v", err)
				}
				wantBackfill(t, m, 2, want)
				if took := time.Since(begun); took < 30*time.Second || took > time.Minute {
					t.Errorf("it took %s, although the pause was changed after 30s", took)
				}
			}, "batch 100", "pause 1h")
		})
	}
}

// Rows that fail are narrowed down. Their lane is tried again, while the others continue; when the
// attempts are used up, the backfill has failed, and a retry continues at these rows.
func TestRowsThatFail(t *testing.T) {
	filling(t, 4000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		target.FailRow("users", "1234", -1)
		events := &observed{}
		m := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: events.observe})
		_, err := m.Up(t.Context())
		failed := wantError[*whimbrel.BackfillError](t, err)
		wantEqual(t, "state", failed.State, database.BackfillFailed)
		wantErrorText(t, err, "backfill 2 m2 of set \"shop\" has failed: row 1234: ")
		retries := eventsOf[whimbrel.BackfillRetrying](events)
		wantEqual(t, "retries", len(retries), 2)
		wantEqual(t, "the row", retries[0].First, database.Key{"1234"})
		wantEqual(t, "pauses", []time.Duration{retries[0].Pause, retries[1].Pause}, []time.Duration{time.Second, 2 * time.Second})
		b := wantBackfill(t, m, 2, database.BackfillFailed)
		wantEqual(t, "lanes", len(b.Lanes), 1)
		wantEqual(t, "position", b.Lanes[0].At, database.Key{"1233"})
		wantErrorText(t, tryUp(t, m), "has failed")
		target.FailRow("users", "1234", 0)
		_, err = m.ChangeBackfill(t.Context(), database.BackfillChange{BackfillID: database.BackfillID{Version: 2}, Action: database.ActionRetry})
		noError(t, err)
		mustUp(t, m)
		wantTouched(t, target, 4000, 1)
	}, "batch 100", "parallel 2", "attempts 3")
}

// Rows that fail only once are tried again within their batch.
func TestRowsThatFailOnce(t *testing.T) {
	filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		for _, row := range []string{"1", "77", "500", "1000"} {
			target.FailRow("users", row, 1)
		}
		mustUp(t, migrator(t, target, set))
		wantTouched(t, target, 1000, 1)
	}, "batch 100")
}

// A batch that takes too long is halved. Without a fixed size, batches take the time of the target.
func TestTheSizeOfBatchesIsSteered(t *testing.T) {
	t.Run("too slow", func(t *testing.T) {
		filling(t, 4000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			m := migrator(t, target, set)
			mustUp(t, m)
			wantTouched(t, target, 4000, 1)
			if b := wantBackfill(t, m, 2, database.BackfillDone); b.Batches < 4000/500 || b.Batches > 40 {
				t.Errorf("%d batches were committed, want some of 250 to 500 rows", b.Batches)
			}
		}, "batch 1000", "timeout 500ms")
	})
	t.Run("target", func(t *testing.T) {
		filling(t, 20_000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			events := &observed{}
			m := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: events.observe})
			mustUp(t, m)
			wantTouched(t, target, 20_000, 1)
			b := wantBackfill(t, m, 2, database.BackfillDone)
			if b.Batches < 20_000/300 || b.Batches > 20_000/150 {
				t.Errorf("%d batches were committed, want about %d", b.Batches, 20_000/250)
			}
			for _, p := range eventsOf[whimbrel.BackfillProgress](events)[5:] {
				if p.Backfill.RowsPerSecond < 700 || p.Backfill.RowsPerSecond > 1300 {
					t.Errorf("it reports %.0f rows a second, want about 1000", p.Backfill.RowsPerSecond)
					break
				}
			}
		}, "target 250ms")
	})
}

func TestAnOperatorChangesLimits(t *testing.T) {
	filling(t, 20_000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		m := migrator(t, target, set)
		time.AfterFunc(2*time.Second, func() {
			b := wantBackfill(t, m, 2, database.BackfillRunning)
			limits := b.BackfillLimits
			limits.Parallel, limits.Batch = 8, 50
			_, err := m.ChangeBackfill(t.Context(), database.BackfillChange{BackfillID: b.BackfillID, Action: database.ActionSet, Limits: limits})
			noError(t, err)
		})
		start := time.Now()
		mustUp(t, m)
		wantTouched(t, target, 20_000, 1)
		if took := time.Since(start); took > 9*time.Second {
			t.Errorf("it took %s, want about 5s: 2s with one worker, and then eight", took)
		}
		wantEqual(t, "history", directionsOf(t, m)[1:4], []string{"start 2", "backfill 2", "finish 2"})
	}, "batch 100")
}

// A signal holds a backfill back until it is gone; what can't be measured does, too.
func TestSignalsHoldABackfillBack(t *testing.T) {
	filling(t, 2000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		begun := time.Now()
		target.SetSignals(func(limits migration.Throttle) []database.Signal {
			wantEqual(t, "the limit", limits.Lag, 10*time.Second)
			switch since := time.Since(begun); {
			case since < time.Second:
				return nil
			case since < 20*time.Second:
				return []database.Signal{{Name: "max-lag", Over: true, Text: "replica b is 12s behind"}}
			case since < 60*time.Second:
				return []database.Signal{{Name: "max-lag", Err: errors.New("no permission")}}
			}
			return []database.Signal{{Name: "max-lag", Text: "replica b is 1s behind"}}
		})
		events := &observed{}
		m := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: events.observe})
		time.AfterFunc(10*time.Second, func() {
			b := wantBackfill(t, m, 2, database.BackfillWaiting)
			wantEqual(t, "why it waits", b.ThrottledBy, "max-lag: replica b is 12s behind")
			if b.RowsDone > 1200 {
				t.Errorf("%d rows were changed although the replica is behind", b.RowsDone)
			}
		})
		mustUp(t, m)
		wantTouched(t, target, 2000, 1)
		if took := time.Since(begun); took < 60*time.Second || took > 125*time.Second {
			t.Errorf("it took %s", took)
		}
		waits := eventsOf[whimbrel.BackfillWaiting](events)
		wantEqual(t, "first pauses", []time.Duration{waits[0].Pause, waits[1].Pause, waits[2].Pause}, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second})
		wantErrorText(t, waits[len(waits)-1].Signals[0].Err, "no permission")
		wantEqual(t, "history", directionsOf(t, m), []string{"up 1", "start 2", "finish 2", "up 3"})
	}, "batch 100", "max-lag 10s")
}

func TestABatchWaitsForALock(t *testing.T) {
	filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		blockedFor(target, "users", 30*time.Second)
		target.Deadlock("users", 2)
		events := &observed{}
		m := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: events.observe})
		mustUp(t, m)
		wantTouched(t, target, 1000, 1)
		retries := eventsOf[whimbrel.BackfillRetrying](events)
		if len(retries) < 3 || !errors.Is(retries[0].Err, database.ErrLockTimeout) {
			t.Errorf("retries: %+v", retries)
		}
	}, "batch 100", "attempts 1")
}

// An error that has nothing to do with the rows is tried a few times, and then ends the call.
func TestBatchesThatNeverSucceed(t *testing.T) {
	filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		db := open(t, target)
		broken, calls := errors.New("the history is gone"), 0
		db.SetHook(func(op string) error {
			if op == memdb.OpLaneBatch {
				calls++
				return broken
			}
			return nil
		})
		_, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context())
		if !errors.Is(err, broken) || calls > 10 {
			t.Errorf("after %d calls, the error is %v", calls, err)
		}
		db.SetHook(nil)
		mustUp(t, whimbrel.New(db, set, whimbrel.Options{}))
		wantTouched(t, target, 1000, 1)
	}, "batch 100")
}

// The check must return 0 at the end. With recheck, rows are taken again until it does.
func TestTheCheckOfABackfill(t *testing.T) {
	t.Run("it is not 0", func(t *testing.T) {
		filling(t, 500, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			time.AfterFunc(450*time.Millisecond, func() { noError(t, target.Insert("users", "-1", "-2", "77.5")) })
			m := migrator(t, target, set)
			wantErrorText(t, tryUp(t, m), "has failed: after all rows were taken, its check returned 3")
			wantBackfill(t, m, 2, database.BackfillFailed)
		}, "batch 100", "check SELECT untouched FROM users")
	})
	t.Run("recheck", func(t *testing.T) {
		filling(t, 500, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			time.AfterFunc(450*time.Millisecond, func() { noError(t, target.Insert("users", "-1", "-2")) })
			m := migrator(t, target, set)
			mustUp(t, m)
			wantEqual(t, "passes", wantBackfill(t, m, 2, database.BackfillDone).Pass, 2)
			counts := target.Touched("users")
			wantEqual(t, "changes of a new row", counts["-1"], 1)
			wantEqual(t, "changes of an old row", counts["1"], 2)
			wantEqual(t, "history", directionsOf(t, m), []string{"up 1", "start 2", "backfill 2", "finish 2", "up 3"})
		}, "batch 100", "check SELECT untouched FROM users", "recheck")
	})
	t.Run("it never becomes 0", func(t *testing.T) {
		filling(t, 50, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			m := whimbrel.New(open(t, target), set, whimbrel.Options{})
			db := m.Database().(*memdb.Database)
			next := 0
			db.SetHook(func(op string) error {
				if op == memdb.OpQuery {
					next--
					return target.Insert("users", strconv.Itoa(next))
				}
				return nil
			})
			wantErrorText(t, tryUp(t, m), "has failed: after all rows were taken 4 times, its check returned 1")
		}, "attempts 2", "check SELECT untouched FROM users", "recheck")
	})
	t.Run("it is wrong", func(t *testing.T) {
		filling(t, 50, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			m := migrator(t, target, set)
			wantErrorText(t, tryUp(t, m), "its check returned")
			wantBackfill(t, m, 2, database.BackfillRunning)
		}, "check SELECT * FROM users")
	})
}

func TestABackfillOfAnEmptyTable(t *testing.T) {
	filling(t, 0, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		m := migrator(t, target, set)
		wantEqual(t, "finished", versions(mustUp(t, m).Finished), []int64{2})
		wantBackfill(t, m, 2, database.BackfillDone)
	})
}
