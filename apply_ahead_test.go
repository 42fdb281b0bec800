package whimbrel_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"pgregory.net/rapid"
)

// pairs returns n migrations after the first, each of which creates two indexes, neither in a
// transaction.
func pairs(n int) []script {
	all := []script{{1, "CREATE TABLE t (x int)", "DROP TABLE t"}}
	for v := int64(2); v <= int64(n)+1; v++ {
		all = append(all, script{
			v, fmt.Sprintf("CREATE INDEX CONCURRENTLY i%d ON t (x); CREATE INDEX CONCURRENTLY j%[1]d ON t (x)", v),
			fmt.Sprintf("DROP INDEX CONCURRENTLY j%d; DROP INDEX CONCURRENTLY i%[1]d", v),
		})
	}
	return all
}

// A run is told of one step, then of two, four and so on, and of fewer after slow ones. Each step
// is reported in its turn.
func TestRunIsToldAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		target.Ahead(true)
		db := open(t, target)
		var done int
		var told []int // how many steps had been recorded when each was reported
		var slow bool
		db.SetHook(func(op string) error {
			if op == memdb.OpRunRecord {
				done++
			}
			if slow && op == memdb.OpRunExec {
				time.Sleep(60 * time.Millisecond)
			}
			return nil
		})
		var events []string
		m := whimbrel.New(db, newSet(t, pairs(12)...), whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
			switch e := e.(type) {
			case whimbrel.StepStarted:
				events = append(events, fmt.Sprintf("%d", e.Step.Version))
			case whimbrel.StatementStarted:
				events = append(events, strings.Fields(e.SQL)[3])
			case whimbrel.StepDone:
				events = append(events, "done")
				told = append(told, done)
				slow = e.Step.Version == 8
			}
		}})
		r := mustUp(t, m)
		wantEqual(t, "the steps", len(r.Applied), 13)
		wantEqual(t, "how many steps were recorded when each was reported", told[1:], []int{1, 3, 3, 7, 7, 7, 7, 12, 12, 12, 12, 12})
		var want []string
		for v := 2; v <= 13; v++ {
			want = append(want, fmt.Sprint(v), fmt.Sprintf("i%d", v), fmt.Sprintf("j%d", v), "done")
		}
		wantEqual(t, "the events", events[2:], want)
	})
}

// What was executed ahead is reported as done, although the context has ended meanwhile.
func TestCancelledAfterTheStepsThatWereToldAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		target.Ahead(true)
		ctx, cancel := context.WithCancel(t.Context())
		m := whimbrel.New(open(t, target), newSet(t, pairs(8)...), whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
			if e, ok := e.(whimbrel.StepDone); ok && e.Step.Version == 3 {
				cancel()
			}
		}})
		r, err := m.Up(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Up returned %v, want that it was cancelled", err)
		}
		wantEqual(t, "what is done", versions(r.Applied), []int64{1, 2, 3, 4})
		var recorded []int64
		for e, err := range m.History(t.Context(), database.HistoryQuery{Set: "shop"}) {
			noError(t, err)
			recorded = append(recorded, e.Version)
		}
		wantEqual(t, "what is recorded", slices.DeleteFunc(recorded, func(v int64) bool { return v == 5 }), []int64{1, 2, 3, 4})
		wantEqual(t, "the locks", len(target.Locked()), 0)
	})
}

// A statement that fails leaves the steps before it, and nothing behind it has begun.
func TestStatementThatFailsAmongThoseToldAhead(t *testing.T) {
	scripts := pairs(8)
	scripts[6].up += "; CREATE INDEX CONCURRENTLY nosuch ON nosuch (x)"
	target := memdb.New()
	target.Ahead(true)
	m := migrator(t, target, newSet(t, scripts...))
	r, err := m.Up(t.Context())
	var failed *whimbrel.MigrationError
	if !errors.As(err, &failed) || failed.Version != 7 || failed.Executed != 2 {
		t.Fatalf("Up returned %+v", err)
	}
	wantEqual(t, "what is done", versions(r.Applied), []int64{1, 2, 3, 4, 5, 6})
	indexes, err := target.Indexes(t.Context())
	noError(t, err)
	wantEqual(t, "the indexes", indexes, []string{"i2", "i3", "i4", "i5", "i6", "i7", "j2", "j3", "j4", "j5", "j6", "j7"})
}

// Up to four processes execute calls that they were told ahead. Their calls are interleaved at
// random, and processes are killed at any of them. One more process always completes everything.
func TestAnyInterleavingOfRunsToldAhead(t *testing.T) {
	t.Parallel()
	set := newSet(t, pairs(6)...)
	var resumed atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		var all []*process
		for i := range rapid.IntRange(1, 4).Draw(rt, "processes") {
			g := rapid.SampledFrom(goals).Draw(rt, fmt.Sprintf("goal%d", i))
			all = append(all, &process{what: g.what, do: g.do, set: set, opts: whimbrel.Options{MigrationLockTimeout: time.Minute}})
		}
		start := rapid.SampledFrom([]int64{whimbrel.NilVersion, 1, 4, 7}).Draw(rt, "start")
		choices := rapid.SliceOfN(rapid.IntRange(0, 1<<16), 20, 200).Draw(rt, "choices")
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			target := memdb.New()
			target.Ahead(true)
			if start != whimbrel.NilVersion {
				mustMigrate(t, migrator(t, target, set), whimbrel.Version(start))
			}
			interleave(t, target, all, choices, brokenCall)
			for i, p := range all {
				if p.err != nil && !mayHappen(p.err) && !begunMeanwhile(p.err) {
					problems = append(problems, fmt.Sprintf("process %d (%s): %v", i, p.what, p.err))
				}
			}
			m := migrator(t, target, set)
			r, err := m.Up(t.Context())
			if err != nil {
				problems = append(problems, fmt.Sprintf("no progress is possible: %v", err))
				return
			}
			resumed.Add(int64(len(r.Resumed)))
			applied := map[int64]database.Direction{}
			for e, err := range m.History(t.Context(), database.HistoryQuery{Set: "shop"}) {
				switch {
				case err != nil:
					problems = append(problems, err.Error())
				case e.Direction == database.Failed:
				case e.Direction == cmp.Or(applied[e.Version], database.Down):
					problems = append(problems, fmt.Sprintf("the history has %s of version %d twice", e.Direction, e.Version))
				default:
					applied[e.Version] = e.Direction
				}
			}
			indexes, err := target.Indexes(t.Context())
			invalid, ierr := target.Invalid(t.Context())
			if err != nil || ierr != nil || len(indexes) != 12 || len(invalid) > 0 || len(target.Locked()) > 0 {
				problems = append(problems, fmt.Sprintf("the indexes are %q, invalid are %q, locked is %v", indexes, invalid, target.Locked()))
			}
		})
		if len(problems) > 0 {
			rt.Fatal(strings.Join(problems, "\n"))
		}
	})
	t.Logf("runs were resumed %d times", resumed.Load())
}
