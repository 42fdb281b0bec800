package whimbrel

import (
	"context"
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
	moves, err := decide(m.set, st, g, m.anyOrder(st.Settings))
	if verr := m.verify(ctx, st, moves); verr != nil {
		return nil, verr
	}
	if err != nil {
		return nil, err
	}
	return m.newPlan(ctx, st, g, moves)
}

// newPlan returns the plan of the moves that lead from a state to a goal.
func (m *Migrator) newPlan(ctx context.Context, st *database.State, g Goal, moves []move) (*Plan, error) {
	p := &Plan{Set: m.set.Name(), Goal: g, Atomic: m.opts.Atomic, base: st, until: g.absolute(moves), Current: database.NilVersion, Newest: database.NilVersion}
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
	if p.Steps, err = m.steps(st, moves); err != nil {
		return p, err
	}
	p.Downs = m.downProblems(st, moves)
	return p, nil
}

// readDowns returns the moves with the down scripts that come from the history.
func (m *Migrator) readDowns(ctx context.Context, moves []move) ([]move, error) {
	read := slices.Clone(moves)
	for i := range read {
		if read[i].script != nil {
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
