package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// ReadBackfills adds to a state the backfills that are not done, for StatusFrom and PlanFrom. It
// asks the database only if the state has one. PlanFrom calls it if the caller has not.
func ReadBackfills(ctx context.Context, db database.Database, st *database.State) error {
	if st == nil || st.Backfills != nil || !hasUnfinished(st) {
		return nil
	}
	b, err := database.BackfillerOf(db)
	if err != nil {
		return err
	}
	all, err := b.Backfills(ctx, database.BackfillQuery{Set: st.Set, Unfinished: true})
	if err != nil {
		return err
	}
	st.Backfills = append([]database.Backfill{}, all...)
	return nil
}

func hasUnfinished(st *database.State) bool {
	for a := range st.Applied.All() {
		if a.Unfinished {
			return true
		}
	}
	return false
}

// readBackfills is ReadBackfills for a state of the caller.
func (m *Migrator) readBackfills(ctx context.Context, st *database.State) (*database.State, error) {
	if st.Backfills != nil || !hasUnfinished(st) {
		return st, nil
	}
	c := *st
	return &c, ReadBackfills(ctx, m.db, &c)
}

// planBackfills completes the steps of a plan: what they come after, what backfills they start and
// continue, and whether that is possible.
func (m *Migrator) planBackfills(ctx context.Context, st *database.State, p *Plan) error {
	var problems []error
	for i := range p.Steps {
		s := &p.Steps[i]
		s.Detached = s.Mode == InBatches && (m.opts.Detach || s.Backfill.Detach)
		if fill := s.move.fill; fill != nil {
			now := newBackfillStatus(*fill, 0)
			s.Continued = &now
		}
		if err := m.planAfter(st, p, i); err != nil {
			problems = append(problems, err)
		}
		if s.Direction == database.Start && firstChange(p.Steps[:i]) {
			target, err := m.checkBackfill(ctx, *s)
			if err == nil {
				s.Target = &target
				s.Sync, err = m.syncOf(*s)
			}
			problems = append(problems, flat(err)...)
		}
	}
	p.Warnings = append(slices.Clip(p.Warnings), m.tooEarly(st, p.Steps)...)
	return joined(problems)
}

// syncOf returns the statements that create the triggers of a backfill whose table is known.
func (m *Migrator) syncOf(s Step) ([]string, error) {
	if s.Target.Sync == nil {
		return nil, nil
	}
	sync, err := s.Script.SyncTriggers(m.db.Dialect(), s.Set, s.Version, *s.Target.Sync)
	if err != nil || sync == nil {
		return nil, err
	}
	return sync.Create, nil
}

// checkBackfill returns what a backfill works on, or an error if it does not fit its table.
func (m *Migrator) checkBackfill(ctx context.Context, s Step) (database.BackfillTarget, error) {
	b, err := database.BackfillerOf(m.db)
	if err != nil {
		return database.BackfillTarget{}, fmt.Errorf("%s: %w", s.Script.File, err)
	}
	return b.CheckBackfill(ctx, s.Script)
}

// startedScript returns the script with which a backfill was started: that of the set, if it has
// the same checksum, or else the text of the history.
func (m *Migrator) startedScript(ctx context.Context, b database.Backfill) (*migration.Script, error) {
	e, err := m.storedEntry(ctx, database.AppliedMigration{EntryID: b.EntryID})
	if err != nil {
		return nil, err
	}
	for _, get := range []func(int64) (migration.Migration, bool){m.set.Get, m.set.Original} {
		if mig, ok := get(b.Version); ok && mig.Up != nil && mig.Up.Backfill != nil && mig.Up.Checksum == e.Checksum {
			return mig.Up, nil
		}
	}
	if e.ID == 0 || e.UpText == "" {
		return nil, ErrNoText
	}
	s, err := migration.ParseBackfill(fmt.Sprintf("history entry %d (%d %s)", e.ID, e.Version, e.Name), e.UpText, m.db.Dialect())
	if err != nil {
		return nil, err
	}
	s.Directives = e.UpDirectives
	return s, nil
}

// ErrNoText is wrapped by the error of RunBackfill for a backfill whose script the history does not
// keep, because it is a Go function, secret or too long, if the set does not have it either.
var ErrNoText = errors.New("the history does not have the text of its script, and neither has the set")
