package whimbrel

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
)

// anyOrder reports whether late migrations may be applied.
func (m *Migrator) anyOrder(s database.Settings) bool {
	order, err := s.Get(database.Order)
	return m.opts.AllowOutOfOrder || err == nil && order.Value == database.OrderAny
}

// allowed refuses what the target's settings do not allow.
func (m *Migrator) allowed(st *database.State, moves []move) error {
	if err := checkFrozen(st.Settings); err != nil {
		return err
	}
	if hasMove(moves, database.Seed) {
		if err := CheckProtected(st, seedWord, m.opts.Overrule); err != nil {
			return err
		}
	}
	if hasMove(moves, database.Down) {
		return CheckProtected(st, "roll back", m.opts.Overrule)
	}
	return nil
}

// hasMove reports whether there is a move of a direction that begins. One that resumes a run was
// allowed before.
func hasMove(moves []move, d database.Direction) bool {
	return slices.ContainsFunc(moves, func(m move) bool { return m.direction == d && m.resume == nil })
}

// checkFrozen refuses while the database is frozen.
func checkFrozen(s database.Settings) error {
	if !s.Bool(database.Frozen) {
		return nil
	}
	v, err := s.Get(database.Frozen)
	if err != nil {
		return err
	}
	return &FrozenError{Reason: v.Reason, By: v.ChangedBy, Since: v.ChangedAt, Until: v.Until}
}

// CheckProtected returns a *ProtectedError if the database's setting "protected" is true, unless
// overrule is the name of the database. what completes the sentence "refused to …".
func CheckProtected(st *database.State, what, overrule string) error {
	v, err := st.Settings.Get(database.Protected)
	if err != nil || v.Value == v.Default || overrule != "" && overrule == st.Database {
		return err
	}
	return &ProtectedError{Database: st.Database, What: what, Overrule: overrule, Reason: v.Reason, By: v.ChangedBy, Since: v.ChangedAt}
}
