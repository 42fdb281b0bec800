package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// process is one Migrator that does one thing, in a goroutine of its own. It stops before each call
// of the contract until the scheduler lets it continue or kills it.
type process struct {
	what  string
	do    func(context.Context, *whimbrel.Migrator) (*whimbrel.Result, error)
	opts  whimbrel.Options
	set   *migration.Set
	older bool // a build from before the squash

	turn chan error // what the hook returns

	// A timer can start the process, so the scheduler's reads need a lock.
	mu   sync.Mutex
	at   string // the call that it waits for; "" otherwise
	done bool
	err  error
}

func (p *process) reach(op string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = op
}

func (p *process) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.done = err, true
}

func (p *process) where() (at string, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.done
}

var goals = []struct {
	what string
	do   func(context.Context, *whimbrel.Migrator) (*whimbrel.Result, error)
}{
	{"up", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) { return m.Up(ctx) }},
	{"one up", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) {
		return m.Migrate(ctx, whimbrel.By(1), whimbrel.ApplyOptions{})
	}},
	{"one down", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) {
		return m.Migrate(ctx, whimbrel.By(-1), whimbrel.ApplyOptions{})
	}},
	{"to 2", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) {
		return m.Migrate(ctx, whimbrel.Version(2), whimbrel.ApplyOptions{})
	}},
	{"down to nothing", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) {
		return m.Migrate(ctx, whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
	}},
	{"redo", func(ctx context.Context, m *whimbrel.Migrator) (*whimbrel.Result, error) {
		return m.Migrate(ctx, whimbrel.Redo(1), whimbrel.ApplyOptions{})
	}},
}

// The calls of up to four processes are interleaved at random, with kills between any two calls and
// lost answers to COMMIT. Deadlocks and locks of other sessions make statements fail, and the
// processes retry them. The history stays true, no script runs twice, and progress is always
// possible. The set may have repeatable scripts, and a squash that older builds lack.
func TestAnyInterleavingAnyKill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var all []*process
		squash, repeat := rapid.Bool().Draw(rt, "squash"), rapid.Bool().Draw(rt, "repeat")
		for i := range rapid.IntRange(1, 4).Draw(rt, "processes") {
			g := rapid.SampledFrom(goals).Draw(rt, fmt.Sprintf("goal%d", i))
			older := squash && rapid.Bool().Draw(rt, fmt.Sprintf("older%d", i))
			if older && g.what == "redo" { // takes the newest migration's file for what it says
				g = goals[0]
			}
			all = append(all, &process{
				what: g.what, do: g.do, older: older,
				opts: whimbrel.Options{Atomic: rapid.Bool().Draw(rt, fmt.Sprintf("atomic%d", i)), MigrationLockTimeout: time.Minute},
			})
		}
		queue, obstacles := rapid.Bool().Draw(rt, "queue"), drawObstacles(rt, "t1", "t2", "t3", "t4")
		choices := rapid.SliceOfN(rapid.IntRange(0, 1<<16), 0, 60).Draw(rt, "choices")
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			target, sets := memdb.New(), builds(t, squash, repeat)
			target.Queue(queue)
			put(target, obstacles)
			for _, p := range all {
				p.set = sets[1]
				if p.older {
					p.set = sets[0]
				}
			}
			interleave(t, target, all, choices, fault)
			problems = append(wrongErrors(all), wrongState(t, target, sets[1])...)
		})
		if len(problems) > 0 {
			rt.Fatal(problems)
		}
	})
}

// repeatables add rows that a rollback of everything removes.
var repeatables = []string{"views", "INSERT INTO t1 VALUES (views)", "grants", "INSERT INTO t1 VALUES (grants)"}

// builds returns the sets of an older build and of this one.
func builds(t *testing.T, squash, repeat bool) (sets [2]*migration.Set) {
	now := migration.Contents{Migrations: newSet(t, plain(4)...).All()}
	before := now
	if squash {
		now.Migrations = append(squashed(t, 4, 2, 3, false).All(), now.Migrations[1:3]...)
	}
	if repeat {
		now.Repeatables = namedScripts(repeatables...)
		before.Repeatables = now.Repeatables
	}
	for i, c := range []migration.Contents{before, now} {
		var err error
		if sets[i], err = c.Set("shop"); err != nil {
			t.Fatal(err)
		}
	}
	return sets
}

// obstacle is something that makes statements which name a table fail or wait.
type obstacle struct {
	table     string
	deadlocks int           // the next statements that a deadlock ends
	held      time.Duration // how long another session locks the table
}

// drawObstacles returns obstacles for tables.
func drawObstacles(rt *rapid.T, tables ...string) []obstacle {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) obstacle {
		return obstacle{
			table: rapid.SampledFrom(tables).Draw(rt, "table"), deadlocks: rapid.IntRange(0, 3).Draw(rt, "deadlocks"),
			held: time.Duration(rapid.IntRange(0, 30).Draw(rt, "held")) * time.Second,
		}
	}), 0, 3).Draw(rt, "obstacles")
}

// put places obstacles in a target.
func put(target *memdb.Target, obstacles []obstacle) {
	for _, o := range obstacles {
		if o.deadlocks > 0 {
			target.Deadlock(o.table, o.deadlocks)
		}
		if o.held > 0 {
			time.AfterFunc(o.held, target.Block(o.table, reader))
		}
	}
}

// interleave runs the processes. Each choice selects a process and the outcome of its next call.
func interleave(t *testing.T, target *memdb.Target, all []*process, choices []int, fault func(op string, choice int) error) {
	for _, p := range all {
		p.turn = make(chan error)
		db := open(t, target)
		defer db.SetHook(nil)
		db.SetHook(func(op string) error {
			p.reach(op)
			err := <-p.turn
			p.reach("")
			return err
		})
		go func() {
			_, err := p.do(t.Context(), whimbrel.New(db, p.set, p.opts))
			p.end(err)
		}()
	}
	for {
		synctest.Wait()
		waiting := slices.DeleteFunc(slices.Clone(all), func(p *process) bool {
			at, _ := p.where()
			return at == ""
		})
		if len(waiting) == 0 {
			if !slices.ContainsFunc(all, func(p *process) bool {
				_, done := p.where()
				return !done
			}) {
				return
			}
			time.Sleep(time.Second) // a process waits for the lock
			continue
		}
		choice := 0
		if len(choices) > 0 {
			choice, choices = choices[0], choices[1:]
		}
		p := waiting[choice%len(waiting)]
		at, _ := p.where()
		p.turn <- fault(at, choice/len(waiting))
	}
}

// wrongErrors returns the errors that the processes must not get.
func wrongErrors(all []*process) (problems []string) {
	for i, p := range all {
		var mismatch *whimbrel.ChecksumMismatchError
		if p.older && errors.As(p.err, &mismatch) && mismatch.Version == 3 {
			continue // the squash has been recorded
		}
		if p.err != nil && !mayHappen(p.err) {
			problems = append(problems, fmt.Sprintf("process %d (%s): %v", i, p.what, p.err))
		}
	}
	return problems
}

// fault kills about one call in thirty, and loses about one answer to COMMIT in seven.
func fault(op string, choice int) error {
	switch {
	case choice%31 == 1:
		return memdb.ErrKilled
	case op == memdb.OpTxCommit && choice%7 == 1:
		return memdb.ErrCommitted
	case op == memdb.OpTxCommit && choice%7 == 2:
		return memdb.ErrNotCommitted
	}
	return nil
}

// mayHappen reports whether other processes can cause an error. Any other error would mean that a
// script ran twice or against the wrong schema.
func mayHappen(err error) bool {
	var conflict *whimbrel.ConflictError
	var steps *whimbrel.TooFewAppliedError
	var order *whimbrel.OutOfOrderError
	var unknown *database.CommitUnknownError
	return errors.Is(err, memdb.ErrKilled) || errors.Is(err, database.ErrLocked) ||
		errors.As(err, &conflict) || errors.As(err, &steps) || errors.As(err, &order) || errors.As(err, &unknown)
}

// wrongState compares the tables with the history, before and after it migrates the database to the
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
		for _, mig := range st.Migrations {
			if mig.Name == "squash" && mig.State == whimbrel.StateApplied {
				want = append(want, "t2")
			}
			if mig.State != whimbrel.StatePending {
				want = append(want, fmt.Sprintf("t%d", mig.Version))
			}
		}
		if got, _ := target.Tables(t.Context()); !slices.Equal(got, want) {
			problems = append(problems, fmt.Sprintf("%s: the history says %v, the database has %v", when, want, got))
		}
	}
	check("in the end")
	last, applied := map[string]database.Direction{}, map[int64]bool{}
	for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
		if e.Direction == database.Failed {
			continue
		}
		what := fmt.Sprint("version ", e.Version)
		if e.Version == whimbrel.NilVersion {
			what = e.Name
		}
		if err != nil || last[what] == e.Direction || last[what] == "" && e.Direction == database.Down {
			problems = append(problems, fmt.Sprintf("history entry %d, %s of %s, comes after %q (%v)", e.ID, e.Direction, what, last[what], err))
		}
		last[what] = e.Direction
		switch e.Direction {
		case database.Up, database.Mark:
			applied[e.Version] = true
		case database.Down, database.Forget:
			delete(applied, e.Version)
		}
		if e.Direction == database.Down && len(applied) == 0 { // scripts run again
			maps.DeleteFunc(last, func(_ string, d database.Direction) bool { return d == database.Repeat })
		}
	}
	if _, err := m.Up(t.Context()); err != nil {
		problems = append(problems, fmt.Sprintf("no progress is possible: %v", err))
	}
	check("after one more up")
	rows, _ := target.Rows(t.Context(), "t1")
	for _, r := range set.Repeatables() {
		if !slices.Contains(rows, r.Name) {
			problems = append(problems, fmt.Sprintf("the effect of the repeatable script %s is missing", r.Name))
		}
	}
	return problems
}
