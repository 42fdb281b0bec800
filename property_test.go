package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// process is one Migrator that does one thing, in a goroutine of its own, and stops
// before each call of the contract until the scheduler lets it go on, or kills it.
type process struct {
	what string
	do   func(context.Context, *whimbrel.Migrator) (*whimbrel.Result, error)
	opts whimbrel.Options

	turn chan error // what the hook returns
	at   string     // the call it waits to do; "" while it does something else
	done bool
	err  error
}

var goals = []struct {
	what string
	do   func(context.Context, *whimbrel.Migrator) (*whimbrel.Result, error)
}{
	{"up", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) { return m.Up(ctx) }},
	{"one up", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) { return m.Steps(ctx, 1) }},
	{"one down", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) { return m.Steps(ctx, -1) }},
	{"to 2", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) { return m.To(ctx, 2) }},
	{"down to nothing", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) {
		return m.Rollback(ctx, whimbrel.NilVersion)
	}},
	{"redo", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) { return m.Redo(ctx, 1) }},
}

// Any interleaving of up to four processes, with kills between any two calls and lost
// answers to COMMIT: the history stays true, no script runs twice, and progress is
// always possible.
func TestAnyInterleavingAnyKill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var all []*process
		for i := range rapid.IntRange(1, 4).Draw(rt, "processes") {
			g := rapid.SampledFrom(goals).Draw(rt, fmt.Sprintf("goal%d", i))
			all = append(all, &process{
				what: g.what, do: g.do,
				opts: whimbrel.Options{Atomic: rapid.Bool().Draw(rt, fmt.Sprintf("atomic%d", i)), LockTimeout: time.Minute},
			})
		}
		queue := rapid.Bool().Draw(rt, "queue")
		choices := rapid.SliceOfN(rapid.IntRange(0, 1<<16), 0, 60).Draw(rt, "choices")
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			problems = interleave(t, all, queue, choices)
		})
		if len(problems) > 0 {
			rt.Fatal(problems)
		}
	})
}

// interleave runs the processes as the choices say, and returns what was wrong.
func interleave(t *testing.T, all []*process, queue bool, choices []int) (problems []string) {
	target := memdb.New()
	target.Queue(queue)
	set := newSet(t, plain(4)...)
	for _, p := range all {
		p.turn = make(chan error)
		db := open(t, target)
		defer db.SetHook(nil)
		db.SetHook(func(op string) error {
			p.at = op
			err := <-p.turn
			p.at = ""
			return err
		})
		go func() {
			_, p.err = p.do(t.Context(), whimbrel.New(db, set, p.opts))
			p.done = true
		}()
	}
	for {
		synctest.Wait()
		waiting := slices.DeleteFunc(slices.Clone(all), func(p *process) bool { return p.at == "" })
		if len(waiting) == 0 {
			if !slices.ContainsFunc(all, func(p *process) bool { return !p.done }) {
				break
			}
			time.Sleep(time.Second) // somebody waits for the lock
			continue
		}
		choice := 0
		if len(choices) > 0 {
			choice, choices = choices[0], choices[1:]
		}
		p := waiting[choice%len(waiting)]
		p.turn <- fault(p.at, choice/len(waiting))
	}
	for i, p := range all {
		if p.err != nil && !mayHappen(p.err) {
			problems = append(problems, fmt.Sprintf("process %d (%s): %v", i, p.what, p.err))
		}
	}
	return append(problems, wrongState(t, target, set)...)
}

// fault kills about one call in thirty, and loses about one answer to COMMIT in seven.
func fault(op string, choice int) error {
	switch {
	case choice%31 == 1:
		return memdb.ErrKilled
	case op == memdb.OpBatchCommit && choice%7 == 1:
		return memdb.ErrCommitted
	case op == memdb.OpBatchCommit && choice%7 == 2:
		return memdb.ErrNotCommitted
	}
	return nil
}

// mayHappen tells the errors that other processes are the cause of from those that
// would mean that a script ran twice or against the wrong schema.
func mayHappen(err error) bool {
	var conflict *whimbrel.ConflictError
	var steps *whimbrel.StepsError
	var order *whimbrel.OutOfOrderError
	var unknown *database.CommitUnknownError
	return errors.Is(err, memdb.ErrKilled) || errors.Is(err, database.ErrLocked) ||
		errors.As(err, &conflict) || errors.As(err, &steps) || errors.As(err, &order) || errors.As(err, &unknown)
}

// wrongState compares the tables with the history, and brings the database to the
// latest version.
func wrongState(t *testing.T, target *memdb.Target, set *migration.Set) (problems []string) {
	db := open(t, target)
	m := whimbrel.New(db, set, whimbrel.Options{})
	if locked := target.Locked(); len(locked) > 0 {
		problems = append(problems, fmt.Sprintf("locks are left: %v", locked))
	}
	check := func(when string) {
		st, err := m.Status(t.Context())
		if err != nil {
			problems = append(problems, err.Error())
			return
		}
		var want []string
		for _, v := range st.Applied() {
			want = append(want, fmt.Sprintf("t%d", v))
		}
		if got, _ := target.Tables(t.Context()); !slices.Equal(got, want) {
			problems = append(problems, fmt.Sprintf("%s: the history says %v, the database has %v", when, want, got))
		}
	}
	check("in the end")
	last := map[int64]database.Direction{}
	for e, err := range m.History(t.Context()) {
		if err != nil || last[e.Version] == e.Direction || last[e.Version] == "" && e.Direction == database.Down {
			problems = append(problems, fmt.Sprintf("event %d, %s of %d, comes after %q (%v)", e.ID, e.Direction, e.Version, last[e.Version], err))
		}
		last[e.Version] = e.Direction
	}
	if _, err := m.Up(t.Context()); err != nil {
		problems = append(problems, fmt.Sprintf("no progress is possible: %v", err))
	}
	check("after one more up")
	return problems
}
