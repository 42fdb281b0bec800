package whimbrel

import (
	"github.com/whimbrel-db/whimbrel/database"
)

// anyOrder reports whether pending versions below the newest applied one may be applied.
func (m *Migrator) anyOrder(s database.Settings) bool {
	order, err := s.Get(database.Order)
	return m.opts.AllowOutOfOrder || err == nil && order.Value == database.OrderAny
}

// allowed refuses moves that the database's settings do not allow.
func (m *Migrator) allowed(st *database.State, moves []move) error {
	if err := checkFrozen(st.Settings); err != nil {
		return err
	}
	for _, mv := range moves {
		what := map[database.Direction]string{database.Seed: seedWord, database.Down: "roll back"}[mv.direction]
		if what == "" || mv.resume != nil { // a resumed run was allowed before
			continue
		}
		if err := CheckProtected(st, what, m.opts.Overrule); err != nil {
			return err
		}
	}
	return nil
}

// checkFrozen returns an error if the database is frozen.
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
// overrule is the name of the database. what completes the sentence "can't …".
func CheckProtected(st *database.State, what, overrule string) error {
	v, err := st.Settings.Get(database.Protected)
	if err != nil || v.Value == v.Default || overrule != "" && overrule == st.Database {
		return err
	}
	return &ProtectedError{Database: st.Database, What: what, Overrule: overrule, Reason: v.Reason, By: v.ChangedBy, Since: v.ChangedAt}
}
