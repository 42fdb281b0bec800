package whimbrel_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// keyKind is a kind of keys with an order of its own.
type keyKind struct {
	name    string
	columns string
	key     string // the directive, "" for the first column
	row     func(n int) string
	compare func(a, b database.Key) int // nil for numbers and bytes
}

var keyKinds = []keyKind{
	{name: "int", columns: "id integer", row: func(n int) string { return strconv.Itoa(n - 50) }},
	{name: "timestamp", columns: "id timestamp", row: func(n int) string {
		return time.Unix(int64(n)*7919, 0).UTC().Format("2006-01-02 15:04:05")
	}},
	{
		name: "uuid", columns: "id uuid",
		row:     func(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(n)*2654435761, n) },
		compare: func(a, b database.Key) int { return strings.Compare(a[0], b[0]) },
	},
	{ // a collation that ignores case first, and then has lower before upper case
		name: "text", columns: "id text",
		row: func(n int) string {
			word := string(rune('a'+n%26)) + strconv.Itoa(n/26%3)
			if n%2 == 0 {
				word = strings.ToUpper(word)
			}
			return word + strings.Repeat("é", n/52)
		},
		compare: func(a, b database.Key) int {
			return cmp.Or(strings.Compare(strings.ToLower(a[0]), strings.ToLower(b[0])), strings.Compare(b[0], a[0]))
		},
	},
	{ // the second column descends
		name: "composite", columns: "tenant integer, name text", key: "tenant, name",
		row: func(n int) string { return fmt.Sprintf("%d, n%03d", n%7, n) },
		compare: func(a, b database.Key) int {
			x, _ := strconv.Atoi(a[0])
			y, _ := strconv.Atoi(b[0])
			return cmp.Or(cmp.Compare(x, y), strings.Compare(b[1], a[1]))
		},
	},
}

// rig lets the calls of several processes take time and fail, as choices say, and changes rows
// between them.
type rig struct {
	target  *memdb.Target
	kind    keyKind
	mu      sync.Mutex
	choices []int
	next    int             // the next row to insert
	gone    map[string]bool // rows that were deleted
	rows    []string        // those in the beginning
	faults  atomic.Int64
}

func (r *rig) hook(op string) error {
	r.mu.Lock()
	if len(r.choices) == 0 {
		r.mu.Unlock()
		return nil
	}
	choice := r.choices[0]
	r.choices = r.choices[1:]
	r.mu.Unlock()
	switch lasts := choice / 64 % 8; {
	case lasts == 7:
		time.Sleep(40 * time.Second)
	case lasts > 3: // beyond the lease
		time.Sleep(time.Duration(lasts) * 137 * time.Millisecond)
	}
	err := r.fault(op, choice)
	if err != nil {
		r.faults.Add(1)
	}
	return err
}

// fault is what happens at a call.
func (r *rig) fault(op string, choice int) error {
	commits := op == memdb.OpLaneBatch || op == memdb.OpTxCommit
	done := op == memdb.OpLaneBatch || op == memdb.OpClaimLane || op == memdb.OpLaneClose || op == memdb.OpChangeBackfill
	switch choice % 64 {
	case 1, 2:
		return memdb.ErrKilled
	case 3, 4:
		if done {
			return memdb.ErrDone
		}
	case 5, 6:
		if commits {
			return memdb.ErrCommitted
		}
	case 7, 8:
		if commits {
			return memdb.ErrNotCommitted
		}
	case 9:
		if op == memdb.OpLaneBatch {
			return database.ErrBatchTimeout
		}
	case 10:
		if op == memdb.OpLaneBatch || op == memdb.OpClaimLane {
			return fmt.Errorf("as it happens: %w", database.ErrDeadlock)
		}
	case 11, 12, 13, 14:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.next++
		return r.target.Insert("users", r.kind.row(r.next))
	case 15, 16:
		r.mu.Lock()
		defer r.mu.Unlock()
		row := r.rows[choice/512%len(r.rows)]
		r.gone[row] = true
		return r.target.Delete("users", row)
	}
	return nil
}

// process calls Up as a process that is started again whenever it was killed, a few times.
func (r *rig) process(t *testing.T, set *migration.Set) (problem string) {
	for range 4 {
		db := open(t, r.target)
		db.SetHook(r.hook)
		_, err := whimbrel.New(db, set, whimbrel.Options{BackfillLease: 400 * time.Millisecond, MigrationLockTimeout: time.Hour}).Up(t.Context())
		var unknown *database.CommitUnknownError
		switch {
		case err == nil:
			return ""
		case errors.Is(err, memdb.ErrKilled), errors.As(err, &unknown):
		default:
			return fmt.Sprintf("up failed: %v", err)
		}
	}
	return ""
}

// wrong returns what is wrong when the backfill is done.
func (r *rig) wrong() (problems []string) {
	counts := r.target.Touched("users")
	for _, row := range r.rows {
		if n := counts[row]; !r.gone[row] && n != 1 {
			problems = append(problems, fmt.Sprintf("row %q was changed %d times, want once", row, n))
		}
	}
	for _, row := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[row]; n > 1 {
			problems = append(problems, fmt.Sprintf("row %q was changed %d times", row, n))
		}
	}
	return problems
}

// Up to four processes with up to eight workers execute a backfill. Each of their calls may take
// long, also longer than a lease, may be the last before the process is killed, and may lose its
// answer; rows are inserted and deleted meanwhile. In the end, each row that was there from the
// beginning was changed exactly once, and no other more than once.
func TestAnyInterleavingOfBatches(t *testing.T) {
	t.Parallel()
	var faults atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(keyKinds).Draw(rt, "key")
		n := rapid.IntRange(1, 200).Draw(rt, "rows")
		processes := rapid.IntRange(1, 4).Draw(rt, "processes")
		directives := []string{
			fmt.Sprintf("parallel %d", rapid.IntRange(1, 8).Draw(rt, "parallel")),
			fmt.Sprintf("batch %d", rapid.IntRange(1, 60).Draw(rt, "batch")),
		}
		if kind.key != "" {
			directives = append(directives, "key "+kind.key)
		}
		choices := rapid.SliceOfN(rapid.IntRange(0, 1<<18), 20, 400).Draw(rt, "choices")
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			r := &rig{target: memdb.New(), kind: kind, choices: choices, next: n, gone: map[string]bool{}}
			set := withBackfill(t, 2, directives, script{1, "CREATE TABLE users (" + kind.columns + ")", "-"}, script{2, touchUsers, "-"})
			mustMigrate(t, migrator(t, r.target, set), whimbrel.UpTo(1))
			if kind.compare != nil {
				r.target.Order("users", kind.compare)
			}
			for i := range n {
				r.rows = append(r.rows, kind.row(i))
			}
			noError(t, r.target.Insert("users", r.rows...))
			r.target.SlowRows("users", 3*time.Millisecond)
			var wg sync.WaitGroup
			for range processes {
				wg.Go(func() {
					if p := r.process(t, set); p != "" {
						r.mu.Lock()
						defer r.mu.Unlock()
						problems = append(problems, p)
					}
				})
			}
			wg.Wait()
			m := migrator(t, r.target, set)
			if _, err := m.Up(t.Context()); err != nil {
				problems = append(problems, fmt.Sprintf("no progress is possible: %v", err))
			}
			problems = append(problems, r.wrong()...)
			if h := directionsOf(t, m); !slices.Equal(h, []string{"up 1", "start 2", "finish 2"}) {
				problems = append(problems, fmt.Sprintf("the history is %q", h))
			}
			faults.Add(r.faults.Load())
		})
		if len(problems) > 0 {
			rt.Fatal(strings.Join(problems, "\n"))
		}
	})
	t.Logf("%d calls failed", faults.Load())
}

// The process is killed at each of its calls in turn, before it, after it, or while COMMIT is
// answered. The next one always completes everything.
func TestABackfillIsKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for at, calls := 0, 1; at < calls; at++ {
			for _, end := range []error{memdb.ErrKilled, memdb.ErrDone, memdb.ErrCommitted, memdb.ErrNotCommitted} {
				target, set := memdb.New(), filled(t, "batch 10", "parallel 2")
				users(t, target, set, 60)
				db := open(t, target)
				calls = 0
				hit := false
				var mu sync.Mutex
				db.SetHook(func(op string) error {
					mu.Lock()
					defer mu.Unlock()
					calls++
					commits := op == memdb.OpLaneBatch || op == memdb.OpTxCommit
					done := op == memdb.OpLaneBatch || op == memdb.OpClaimLane || op == memdb.OpLaneClose
					if calls != at+1 || !commits && (end == memdb.ErrCommitted || end == memdb.ErrNotCommitted) || !done && end == memdb.ErrDone {
						return nil
					}
					hit = true
					return end
				})
				err := tryUp(t, whimbrel.New(db, set, whimbrel.Options{}))
				if killed := end == memdb.ErrKilled || end == memdb.ErrDone; killed && hit && err == nil && calls != at+1 {
					t.Errorf("call %d: the killed process reports success", at)
				}
				mustUp(t, migrator(t, target, set))
				wantTouched(t, target, 60, 1)
				if t.Failed() {
					t.Fatalf("after %v at call %d of %d: %v", end, at, calls, err)
				}
			}
		}
	})
}
