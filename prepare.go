package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Plan reads the database's state with one query, verifies the checksums of all applied migrations,
// and returns the plan that leads to the goal. It changes and locks nothing, so it works while the
// database is frozen; Apply refuses such a plan. A plan without steps means that nothing is
// pending.
func (m *Migrator) Plan(ctx context.Context, g Goal) (*Plan, error) {
	m = m.call(ctx)
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return nil, err
	}
	return m.PlanFrom(ctx, st, g)
}

// PlanFrom is Plan from a state that the caller has read with [database.Database.State]. So a
// program can read the state while it reads the folder of migrations. The Plan keeps the state.
func (m *Migrator) PlanFrom(ctx context.Context, st *database.State, g Goal) (*Plan, error) {
	m = m.call(ctx)
	if err := m.needState(st); err != nil {
		return nil, err
	}
	st, err := m.readBackfills(ctx, st)
	if err != nil {
		return nil, err
	}
	moves, err := m.decide(st, g)
	if verr := m.verify(ctx, st, moves); verr != nil {
		return nil, verr
	}
	if err != nil {
		return nil, err
	}
	return m.newPlan(ctx, st, g, moves)
}

var errNoState = errors.New("the state is nil; pass the one that Database.State returned")

// needState returns an error if the Migrator can't work from a state of its caller.
func (m *Migrator) needState(st *database.State) error {
	if n, ok := m.db.(nothing); ok {
		return n.err
	}
	if st == nil || st.Applied == nil {
		return errNoState
	}
	return nil
}

// decide decides on the moves to a goal, and reads their down scripts if the set has left them
// unread. One that turns out to have no statement changes the decision.
func (m *Migrator) decide(st *database.State, g Goal) ([]move, error) {
	for {
		moves, err := decide(m.set, st, g, m.anyOrder(st.Settings))
		set, rerr := m.set.WithDowns(downsOf(moves)...)
		switch {
		case rerr != nil:
			return nil, rerr
		case set == m.set:
			return moves, err
		}
		m.set = set
	}
}

// downsOf returns the down scripts of the set that moves execute or record.
func downsOf(moves []move) (all []*migration.Script) {
	for _, mv := range moves {
		if mv.down != nil {
			all = append(all, mv.down)
		}
		for _, mark := range mv.marks {
			all = append(all, mark.Down)
		}
	}
	return all
}

// complete is call for methods that may need any down script of the set.
func (m *Migrator) complete(ctx context.Context) (*Migrator, error) {
	m = m.call(ctx)
	set, err := m.set.Complete()
	if err != nil {
		return nil, err
	}
	m.set = set
	return m, nil
}

// newPlan returns the plan of the moves that lead from a state to a goal.
func (m *Migrator) newPlan(ctx context.Context, st *database.State, g Goal, moves []move) (*Plan, error) {
	p := &Plan{Set: m.set.Name(), Goal: g, Atomic: m.opts.Atomic, Warnings: m.set.Warnings(), set: m.set, base: st, until: g.absolute(moves), Current: database.NilVersion, Newest: database.NilVersion}
	if v, ok := st.Applied.Last(); ok {
		p.Current = v
	}
	if v, ok := m.set.Last(); ok {
		p.Newest = v
	}
	if len(moves) == 0 {
		return p, nil
	}
	moves, err := m.readDowns(ctx, moves)
	if err != nil {
		return nil, err
	}
	analyzed := m.analyzeDowns(moves)
	p.Steps, err = m.steps(st, moves)
	<-analyzed
	if err != nil {
		return p, err
	}
	p.Downs = m.downProblems(st, moves)
	return p, m.planBackfills(ctx, st, p)
}

// analyzeDowns analyzes the down scripts that moves record, while the caller analyzes the others.
// Script.Analyze keeps its answers.
func (m *Migrator) analyzeDowns(moves []move) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for _, mv := range moves {
			if mv.applies() && mv.down != nil {
				_, _ = mv.down.Analyze(m.db.Dialect(), m.db.Tables()) // downProblems returns the error
			}
		}
	}()
	return done
}

// readDowns returns the moves with the down scripts that come from the history.
func (m *Migrator) readDowns(ctx context.Context, moves []move) ([]move, error) {
	read := slices.Clone(moves)
	for i := range read {
		if read[i].script != nil {
			continue
		}
		if read[i].direction == database.Finish {
			up, err := m.startedScript(ctx, *read[i].fill)
			if err != nil {
				return nil, err
			}
			read[i].script, read[i].up = up, up
			continue
		}
		down, err := m.storedDown(ctx, read[i].applied)
		if err != nil {
			return nil, err
		}
		read[i].script, read[i].down = down, down
	}
	return read, nil
}

// storedDown returns the down script that the history has for an applied migration.
func (m *Migrator) storedDown(ctx context.Context, a database.AppliedMigration) (*migration.Script, error) {
	e, err := m.storedEntry(ctx, a)
	if err != nil {
		return nil, err
	}
	if e.ID == 0 {
		return nil, &ConflictError{Set: m.set.Name(), Version: a.Version, Problem: fmt.Sprintf("lacks its history entry %d", a.EntryID)}
	}
	s := migration.Text(fmt.Sprintf("history entry %d (%d %s, down)", e.ID, e.Version, e.Name), e.DownText)
	s.Directives = e.DownDirectives
	return s, nil
}

// storedEntry returns the history entry of an applied migration, with its texts. The zero entry
// means that the history lacks it.
func (m *Migrator) storedEntry(ctx context.Context, a database.AppliedMigration) (database.Entry, error) {
	for e, err := range m.db.History(ctx, database.HistoryQuery{Set: m.set.Name(), ID: a.EntryID, Texts: true}) {
		if err != nil || e.ID == a.EntryID {
			return e, err
		}
	}
	return database.Entry{}, nil
}
