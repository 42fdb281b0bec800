package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A detached backfill is only started. Its rows are changed by RunBackfill, which needs no set.
func TestDetachedBackfills(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]whimbrel.Options{"by the directive": {}, "by the option": {Detach: true}} {
		t.Run(name, func(t *testing.T) {
			directives := []string{"batch 100"}
			if !opts.Detach {
				directives = append(directives, "detach")
			}
			filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
				m := whimbrel.New(open(t, target), set, opts)
				p := mustPlan(t, m, whimbrel.Latest())
				wantEqual(t, "the step is detached", p.Steps[0].Detached, true)
				r := mustUp(t, m)
				wantApplied(t, r, 2, 3)
				wantEqual(t, "started", versions(r.Started), []int64{2})
				wantTouched(t, target, 1000, 0)
				wantEqual(t, "steps of the next plan", len(mustPlan(t, m, whimbrel.Latest()).Steps), 0)
				s := mustStatus(t, m)
				wantEqual(t, "unfinished", s.Migrations[1].Unfinished, true)
				worker := migrator(t, target, newSet(t))
				b, err := worker.RunBackfill(t.Context(), 2, whimbrel.RunOptions{})
				noError(t, err)
				wantEqual(t, "state", b.State, database.BackfillDone)
				wantTouched(t, target, 1000, 1)
				wantEqual(t, "unfinished", mustStatus(t, m).Migrations[1].Unfinished, false)
				again, err := worker.RunBackfill(t.Context(), 2, whimbrel.RunOptions{})
				noError(t, err)
				wantEqual(t, "state", again.State, database.BackfillDone)
				_, err = worker.RunBackfill(t.Context(), 3, whimbrel.RunOptions{})
				wantErrorIs(t, err, database.ErrNoBackfill)
			}, directives...)
		})
	}
}

// Options end RunBackfill before the backfill is done.
func TestRunBackfillForATime(t *testing.T) {
	filling(t, 5000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		m := whimbrel.New(open(t, target), set, whimbrel.Options{})
		mustUp(t, m)
		b, err := m.RunBackfill(t.Context(), 2, whimbrel.RunOptions{For: 1050 * time.Millisecond, Workers: 1})
		noError(t, err)
		wantEqual(t, "state", b.State, database.BackfillRunning)
		done := b.RowsDone
		if done < 1050 || done > 1150 {
			t.Errorf("%d rows were changed, want about 1100", done)
		}
		wantEqual(t, "percent", b.Percent, float64(done)/50)
		// Another process has all the lanes that are allowed.
		for n := range 4 {
			db := open(t, target)
			_, work, err := db.ClaimLane(t.Context(), database.LaneClaim{BackfillID: b.BackfillID, Worker: fmt.Sprint(n), Lease: time.Hour})
			if noError(t, err); work == nil {
				t.Fatal("no lane")
			}
		}
		start := time.Now()
		b, err = m.RunBackfill(t.Context(), 2, whimbrel.RunOptions{Idle: 3 * time.Second})
		noError(t, err)
		wantEqual(t, "rows", b.RowsDone, done)
		if took := time.Since(start); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("it was idle for %s, want 3s", took)
		}
		time.Sleep(time.Hour)
		_, err = m.RunBackfill(t.Context(), 2, whimbrel.RunOptions{})
		noError(t, err)
		wantTouched(t, target, 5000, 1)
	}, "batch 100", "parallel 4", "detach")
}

// after returns migrations of which 3 comes after the backfill 2.
func after(t testing.TB, directives ...string) *migration.Set {
	return withBackfill(t, 2, directives, script{1, "CREATE TABLE users (id integer)", "-"}, script{2, touchUsers, "-"},
		script{3, "-- whimbrel: after 2\nCREATE TABLE last (x)", "DROP TABLE last"})
}

func TestAMigrationComesAfterABackfill(t *testing.T) {
	t.Parallel()
	t.Run("which the same call executes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			target, set := memdb.New(), after(t)
			users(t, target, set, 100)
			m := migrator(t, target, set)
			p := mustPlan(t, m, whimbrel.Latest())
			wantEqual(t, "dependencies", p.Steps[1].After, []whimbrel.Dependency{{Version: 2, Name: "m2"}})
			wantApplied(t, mustUp(t, m), 2, 3)
		})
	})
	t.Run("which is detached", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			target, set := memdb.New(), after(t, "detach", "batch 100")
			users(t, target, set, 1000)
			target.SlowRows("users", time.Millisecond)
			m := migrator(t, target, set)
			r, err := m.Up(t.Context())
			wantApplied(t, r, 2)
			unfinished := wantError[*whimbrel.UnfinishedError](t, err)
			wantEqual(t, "version", unfinished.Version, 3)
			wantEqual(t, "the backfill", unfinished.Backfill.Version, 2)
			wantErrorText(t, err, `migration 3 m3 of set "shop" comes after the backfill 2 m2, which is running; 0 of about 1000 rows are done`)
			_, err = m.RunBackfill(t.Context(), 2, whimbrel.RunOptions{For: 320 * time.Millisecond})
			noError(t, err)
			p := mustPlan(t, m, whimbrel.Latest())
			wantEqual(t, "steps", len(p.Steps), 1)
			wantEqual(t, "rows done, by the plan", p.Steps[0].After[0].Backfill.RowsDone, 350)
			wantErrorText(t, tryUp(t, m), "350 of about 1000 rows are done")

			// With WaitForBackfills, the call waits.
			go func() {
				time.Sleep(time.Minute)
				_, err := migrator(t, target, set).RunBackfill(t.Context(), 2, whimbrel.RunOptions{})
				noError(t, err)
			}()
			events := &observed{}
			r = mustUp(t, whimbrel.New(open(t, target), set, whimbrel.Options{WaitForBackfills: true, Observe: events.observe}))
			wantApplied(t, r, 3)
			wantTouched(t, target, 1000, 1)
			progress := eventsOf[whimbrel.BackfillProgress](events)
			if len(progress) < 50 || !progress[0].Waits {
				t.Errorf("%d reports of the progress, want about 60 that say that the call waits", len(progress))
			}
		})
	})
	t.Run("which is cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			target, set := memdb.New(), after(t, "detach")
			users(t, target, set, 10)
			m := whimbrel.New(open(t, target), set, whimbrel.Options{WaitForBackfills: true})
			mustMigrate(t, migrator(t, target, set), whimbrel.UpTo(2))
			_, err := m.ChangeBackfill(t.Context(), database.BackfillChange{BackfillID: database.BackfillID{Version: 2}, Action: database.ActionCancel})
			noError(t, err)
			wantErrorText(t, tryUp(t, m), "which is cancelled")
		})
	})
	t.Run("which is not applied", func(t *testing.T) {
		target, set := memdb.New(), after(t)
		users(t, target, set, 10)
		m := whimbrel.New(open(t, target), set, whimbrel.Options{AllowOutOfOrder: true})
		noError(t, m.Mark(t.Context(), "", 3))
		_, err := m.Plan(t.Context(), whimbrel.Redo(1))
		wantErrorText(t, err, "3_m3.up.sql:1:1: it comes after 2, which is neither applied nor pending before it")
	})
}

// With WaitForBackfills, a call that goes up ends when others have done the detached backfills.
func TestUpWaitsForDetachedBackfills(t *testing.T) {
	t.Parallel()
	waits := func(t *testing.T, target *memdb.Target, set *migration.Set, events *observed) *whimbrel.Migrator {
		t.Helper()
		return whimbrel.New(open(t, target), set, whimbrel.Options{WaitForBackfills: true, Detach: true, Observe: events.observe})
	}
	// detached executes f when everything is applied, and the backfill 2 has no worker.
	detached := func(t *testing.T, f func(t *testing.T, target *memdb.Target, set *migration.Set)) {
		t.Helper()
		filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			mustUp(t, migrator(t, target, set))
			f(t, target, set)
		}, "detach", "batch 100")
	}
	control := func(t *testing.T, m *whimbrel.Migrator, action database.BackfillAction) {
		t.Helper()
		_, err := m.ChangeBackfill(t.Context(), database.BackfillChange{BackfillID: database.BackfillID{Version: 2}, Action: action})
		noError(t, err)
	}
	work := func(t *testing.T, target *memdb.Target, set *migration.Set) {
		t.Helper()
		_, err := migrator(t, target, set).RunBackfill(t.Context(), 2, whimbrel.RunOptions{})
		noError(t, err)
	}
	t.Run("that nothing comes after", func(t *testing.T) {
		detached(t, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			time.AfterFunc(time.Minute, func() { work(t, target, set) })
			events := &observed{}
			r := mustUp(t, waits(t, target, set, events))
			wantEqual(t, "applied", len(r.Applied), 0)
			wantEqual(t, "finished", r.Finished[0].Version, 2)
			wantTouched(t, target, 1000, 1)
			progress := eventsOf[whimbrel.BackfillProgress](events)
			if last := progress[len(progress)-1]; len(progress) < 50 || !last.Waits || last.Backfill.State != database.BackfillDone {
				t.Errorf("%d reports of the progress, the last one %+v; want about 60, at last that it is done", len(progress), last)
			}
			wantEqual(t, "finished again", len(mustUp(t, waits(t, target, set, events)).Finished), 0)
		})
	})
	t.Run("that the same call starts", func(t *testing.T) {
		filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			time.AfterFunc(time.Minute, func() { work(t, target, set) })
			r := mustUp(t, waits(t, target, set, &observed{}))
			wantApplied(t, r, 2, 3)
			wantEqual(t, "started", len(r.Started), 0)
			wantEqual(t, "finished", len(r.Finished), 1)
			wantTouched(t, target, 1000, 1)
		}, "batch 100")
	})
	t.Run("that the goal leaves out", func(t *testing.T) {
		detached(t, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			m := waits(t, target, set, &observed{})
			mustMigrate(t, m, whimbrel.UpTo(1))
			mustMigrate(t, m, whimbrel.DownTo(2))
			wantEqual(t, "finished", len(mustMigrate(t, m, whimbrel.DownTo(1)).Finished), 0)
		})
	})
	t.Run("that are cancelled before", func(t *testing.T) {
		detached(t, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			m := waits(t, target, set, &observed{})
			control(t, m, database.ActionCancel)
			wantEqual(t, "finished", len(mustUp(t, m).Finished), 0)
		})
	})
	for _, action := range []database.BackfillAction{database.ActionCancel, database.ActionFail} {
		t.Run("that end with "+string(action), func(t *testing.T) {
			detached(t, func(t *testing.T, target *memdb.Target, set *migration.Set) {
				m := waits(t, target, set, &observed{})
				time.AfterFunc(10*time.Second, func() { control(t, m, action) })
				e := wantError[*whimbrel.BackfillError](t, tryUp(t, m))
				wantEqual(t, "waited", e.Waited, true)
				wantEqual(t, "ended", e.State.Ended(), true)
			})
		})
	}
	t.Run("that are rolled back meanwhile", func(t *testing.T) {
		detached(t, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			time.AfterFunc(10*time.Second, func() { mustMigrate(t, migrator(t, target, set), whimbrel.DownTo(1)) })
			wantEqual(t, "finished", len(mustUp(t, waits(t, target, set, &observed{})).Finished), 0)
		})
	})
	t.Run("until the context ends", func(t *testing.T) {
		detached(t, func(t *testing.T, target *memdb.Target, set *migration.Set) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := waits(t, target, set, &observed{}).Up(ctx)
			wantErrorIs(t, err, context.DeadlineExceeded)
			wantEqual(t, "waited", wantError[*whimbrel.BackfillError](t, err).Waited, true)
			wantErrorText(t, err, `backfill 2 m2 of set "shop" is not done: context deadline exceeded; 0 of about 1000 rows are done`)
			work(t, target, set)
			wantTouched(t, target, 1000, 1)
		})
	})
}

// A rollback, a forget and a reset end a backfill, and its workers lose their lanes.
func TestBackfillsEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, m *whimbrel.Migrator) error
		rows int // of the table, in the end
	}{
		{"down", func(t *testing.T, m *whimbrel.Migrator) error { return tryMigrate(t, m, whimbrel.By(-1)) }, 0},
		{"forget", func(t *testing.T, m *whimbrel.Migrator) error { return m.Forget(t.Context(), "", 2) }, 3000},
		{"reset", func(t *testing.T, m *whimbrel.Migrator) error {
			_, err := m.Reset(t.Context(), whimbrel.ResetOptions{Confirm: memdb.Name})
			return err
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			filling(t, 3000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
				operator := migrator(t, target, set)
				time.AfterFunc(1050*time.Millisecond, func() { noError(t, tt.end(t, operator)) })
				_, err := migrator(t, target, set).Up(t.Context())
				wantError[*whimbrel.BackfillError](t, err)
				wantErrorIs(t, err, database.ErrNoBackfill)
				wantEqual(t, "backfills", len(must(t, operator.Backfills)), 0)
				wantEqual(t, "rows", len(target.Touched("users")), tt.rows)
				if v, ok := mustState(t, operator).Applied.Get(2); ok {
					t.Errorf("version 2 is still applied: %+v", v)
				}
			}, "batch 100")
		})
	}
}

func mustState(t testing.TB, m *whimbrel.Migrator) *database.State {
	t.Helper()
	st, err := m.Database().State(t.Context(), "shop")
	noError(t, err)
	return st
}

// A finished backfill is rolled back like any migration, and can start again.
func TestAFinishedBackfillIsRolledBack(t *testing.T) {
	filling(t, 100, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		m := migrator(t, target, set)
		mustUp(t, m)
		wantRolledBack(t, mustMigrate(t, m, whimbrel.By(-2)), 3, 2)
		wantEqual(t, "backfills", len(must(t, m.Backfills)), 0)
		noError(t, target.Insert("users", "1", "2"))
		mustUp(t, m)
		wantTouched(t, target, 2, 1)
		r := mustMigrate(t, m, whimbrel.Redo(2))
		wantRolledBack(t, r, 3, 2)
		wantEqual(t, "finished", versions(r.Finished), []int64{2})
	})
}

// What is recorded without running it has no rows to change.
func TestMarkedBackfills(t *testing.T) {
	filling(t, 100, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		m := migrator(t, target, set)
		noError(t, m.Mark(t.Context(), "", 2))
		wantApplied(t, mustUp(t, m), 3)
		wantEqual(t, "unfinished", mustStatus(t, m).Migrations[1].Unfinished, false)
		wantEqual(t, "backfills", len(must(t, m.Backfills)), 0)
		wantTouched(t, target, 100, 0)
		noError(t, m.Forget(t.Context(), "", 2))
		m = whimbrel.New(open(t, target), set, whimbrel.Options{AllowOutOfOrder: true})
		wantEqual(t, "finished", versions(mustUp(t, m).Finished), []int64{2})
		wantTouched(t, target, 100, 1)
	})
}

// An accepted edit of a backfill that runs does not change what it does.
func TestAnEditedBackfill(t *testing.T) {
	filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		mustUp(t, migrator(t, target, set))
		edited := filled(t, "batch 100", "detach", "attempts 9")
		m := migrator(t, target, edited)
		wantError[*whimbrel.ChecksumMismatchError](t, tryUp(t, m))
		noError(t, m.Accept(t.Context(), "a comment", 2))
		wantEqual(t, "unfinished", mustStatus(t, m).Migrations[1].Unfinished, true)
		_, err := m.RunBackfill(t.Context(), 2, whimbrel.RunOptions{})
		noError(t, err)
		wantTouched(t, target, 1000, 1)
		noError(t, m.Verify(t.Context()))
	}, "batch 100", "detach")
}

// Everything is refused before anything runs.
func TestBackfillsThatCantRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		directives []string
		body       string
		opts       whimbrel.Options
		want       string
	}{
		{"no parameter", nil, "UPDATE users SET n = 1", whimbrel.Options{}, "2_m2.backfill.sql:2:1: "},
		{"not data", nil, "DROP TABLE users; " + touchUsers, whimbrel.Options{}, "2_m2.backfill.sql:2:1: "},
		{"own tables", nil, "UPDATE whimbrel_history SET a = 1 WHERE id BETWEEN :first AND :last", whimbrel.Options{}, "2_m2.backfill.sql:2:1: the script uses whimbrel_history, which is one of Whimbrel's own tables"},
		{"a key that is not unique", []string{"key name"}, touchUsers, whimbrel.Options{}, "column name is not part of a unique key"},
		{"one transaction for all", nil, touchUsers, whimbrel.Options{Atomic: true}, "can't apply everything in one transaction: migration 2 m2: a backfill has a transaction for each batch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := memdb.New()
			set := withBackfill(t, 2, tt.directives, script{1, "CREATE TABLE users (id integer)", "-"}, script{2, tt.body, "-"})
			mustMigrate(t, migrator(t, target, set), whimbrel.UpTo(1))
			m := whimbrel.New(open(t, target), set, tt.opts)
			_, err := m.Plan(t.Context(), whimbrel.Latest())
			wantErrorText(t, err, tt.want)
			wantEqual(t, "history", directionsOf(t, m), []string{"up 1"})
		})
	}
	t.Run("a table that does not exist", func(t *testing.T) {
		set := withBackfill(t, 2, nil, script{2, touchUsers, "-"})
		_, err := migrator(t, memdb.New(), set).Plan(t.Context(), whimbrel.Latest())
		wantErrorIs(t, err, database.ErrNoTable)
		wantError[*sqltext.Error](t, err)
	})
	t.Run("a driver without the power", func(t *testing.T) {
		set := withBackfill(t, 2, nil, script{2, touchUsers, "-"})
		db := struct{ database.Database }{open(t, memdb.New())}
		_, err := whimbrel.New(db, set, whimbrel.Options{}).Plan(t.Context(), whimbrel.Latest())
		wantErrorIs(t, err, errors.ErrUnsupported)
	})
}

// A table that an earlier migration of the plan creates is checked before the backfill starts.
func TestABackfillIsCheckedBeforeItStarts(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := filled(t, "key name")
	m := migrator(t, target, set)
	r, err := m.Up(t.Context())
	wantErrorText(t, err, "column name is not part of a unique key")
	wantApplied(t, r, 1)
	wantEqual(t, "history", directionsOf(t, m), []string{"up 1"})
}

// A plan warns of statements that expect what a detached backfill has perhaps not done.
func TestStatementsBehindAnUnfinishedBackfill(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ up, warning string }{
		{"ALTER TABLE users ALTER COLUMN a SET NOT NULL", "3_m3.up.sql:1:1: SET NOT NULL while the backfill 2 m2 of the table may not be done; write \"-- whimbrel: after 2\" at the beginning of the file"},
		{"SELECT 1;\nALTER TABLE ONLY public.\"users\" DROP COLUMN a", "3_m3.up.sql:2:1: DROP COLUMN while"},
		{"ALTER TABLE IF EXISTS users VALIDATE CONSTRAINT c", "3_m3.up.sql:1:1: VALIDATE CONSTRAINT while"},
		{"DROP TABLE users", "3_m3.up.sql:1:1: DROP TABLE while"},
		{"ALTER TABLE others ALTER COLUMN a SET NOT NULL", ""},
		{"ALTER TABLE users ADD COLUMN b integer", ""},
		{"-- whimbrel: after 2\nALTER TABLE users ALTER COLUMN a SET NOT NULL", ""},
	} {
		for _, directives := range [][]string{{"detach"}, {}} {
			target := memdb.New()
			set := withBackfill(t, 2, directives, script{1, "CREATE TABLE users (id integer)", "-"}, script{2, touchUsers, "-"}, script{3, tt.up, "-"})
			users(t, target, set, 1)
			m := migrator(t, target, set)
			check := func(p *whimbrel.Plan) {
				t.Helper()
				var got []string
				for _, w := range p.Warnings {
					got = append(got, w.String())
				}
				want := tt.warning != "" && len(directives) > 0
				if ok := slices.ContainsFunc(got, func(w string) bool { return strings.HasPrefix(w, tt.warning) }); want && !ok || !want && len(got) > 0 {
					t.Errorf("%s: warnings %q, want %q", tt.up, got, tt.warning)
				}
			}
			check(mustPlan(t, m, whimbrel.Latest()))
			if len(directives) > 0 {
				mustMigrate(t, m, whimbrel.UpTo(2))
				check(mustPlan(t, m, whimbrel.Latest()))
			}
		}
	}
}

// Nothing pending costs one call, unless a backfill is unfinished.
func TestNothingPendingIsOneCall(t *testing.T) {
	filling(t, 10, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		db := open(t, target)
		m := whimbrel.New(db, set, whimbrel.Options{})
		mustUp(t, m)
		calls := recordCalls(db)
		mustUp(t, m)
		wantEqual(t, "calls", *calls, []string{memdb.OpState, memdb.OpBackfills})
		db.SetHook(nil)
		_, err := m.RunBackfill(t.Context(), 2, whimbrel.RunOptions{})
		noError(t, err)
		calls = recordCalls(db)
		mustUp(t, m)
		wantEqual(t, "calls", *calls, []string{memdb.OpState})
	}, "detach")
}

// An option detaches a backfill that an earlier call has begun to execute.
func TestAStartedBackfillIsDetached(t *testing.T) {
	filling(t, 1000, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		db := open(t, target)
		failAt(db, memdb.OpLaneBatch, memdb.ErrKilled)
		wantErrorIs(t, tryUp(t, whimbrel.New(db, set, whimbrel.Options{})), memdb.ErrKilled)
		m := whimbrel.New(open(t, target), set, whimbrel.Options{Detach: true})
		r := mustUp(t, m)
		wantApplied(t, r, 3)
		wantEqual(t, "started", versions(r.Started), []int64{2})
		wantEqual(t, "detached", wantBackfill(t, m, 2, database.BackfillRunning).Detached, true)
		wantEqual(t, "steps of the next plan", len(mustPlan(t, migrator(t, target, set), whimbrel.Latest()).Steps), 0)
	})
}

// An empty table needs no worker.
func TestADetachedBackfillOfAnEmptyTable(t *testing.T) {
	filling(t, 0, func(t *testing.T, target *memdb.Target, set *migration.Set) {
		r := mustUp(t, migrator(t, target, set))
		wantEqual(t, "finished", versions(r.Finished), []int64{2})
		wantEqual(t, "started", len(r.Started), 0)
	}, "detach")
}

// A function is executed for each batch in place of statements.
func TestABackfillInGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		all := filled(t).All()
		seen := map[string]int{}
		all[1].Up = memdb.Batches("2_fill.go", &migration.Backfill{Table: "users", Batch: 10}, func(keys []database.Key) error {
			for _, k := range keys {
				if k[0] == "55" && seen["55"] == 0 {
					seen["55"]++
					return errors.New("not yet")
				}
				seen[k[0]]++
			}
			return nil
		})
		set, err := migration.NewSet("shop", all...)
		noError(t, err)
		users(t, target, set, 100)
		mustUp(t, migrator(t, target, set))
		wantTouched(t, target, 100, 1)
		noSet := migrator(t, target, newSet(t))
		wantBackfill(t, noSet, 2, database.BackfillDone)
	})
}
