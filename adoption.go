package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Adoption is a change of the history that takes over, or gives back, what another tool has
// recorded. Nothing runs.
type Adoption struct {
	// Direction is database.Mark for a migration that the other tool has applied, database.Repeat for
	// a repeatable script that it ran last with the text of Migration.Up, and database.Forget for a
	// version that Whimbrel no longer manages. If that is not applied, the entry only has the Remark,
	// which must not be empty.
	Direction database.Direction
	// Migration is the migration, with its scripts as they are now. A repeatable script has the
	// version NilVersion.
	Migration migration.Migration
	// At is when the other tool applied it; the zero time means now.
	At time.Time
	// Remark says where the entry is from, for the history.
	Remark string
}

// Adopt adds entries to the history that say what another tool has done, all or none. Package adopt
// reads them from the tables of other tools.
//
// read returns them. Adopt calls it in the transaction that adds the entries, under the migration
// lock and with the state that it has read there. read may query the transaction and execute
// scripts in it. If it returns nothing, the transaction is committed without an entry. Adopt may
// call it again in another transaction, as Locked does. A frozen database is a *FrozenError, and a
// set with an interrupted run an *InterruptedError. After an error, nothing has changed.
func (m *Migrator) Adopt(ctx context.Context, reason string, read func(context.Context, database.Tx, *database.State) ([]Adoption, error)) ([]database.Entry, error) {
	m, err := m.complete(ctx)
	if err != nil {
		return nil, err
	}
	m = m.call(ctx)
	if err := m.renew(ctx); err != nil {
		return nil, err
	}
	var st *database.State
	recorded := 0
	check := unlessFrozen(func(now *database.State) error {
		st = now
		if j := now.Interrupted; j != nil {
			return &InterruptedError{Set: m.set.Name(), Journal: *j, Problem: "it must be resumed before the history of another tool can be taken over or given back"}
		}
		return nil
	})
	entries, err := m.locked(ctx, check, func(tx database.Tx) error {
		adoptions, err := read(ctx, tx, st)
		if err != nil {
			return err
		}
		all, err := m.adoptionEntries(st, adoptions, reason)
		if recorded = len(all); err != nil || recorded == 0 {
			return err
		}
		m.warnOfDowns(st, all)
		return tx.Record(ctx, all...)
	})
	if err != nil {
		return nil, err
	}
	return entries, checkRecorded(entries, recorded)
}

// adoptionEntries returns the history entries of adoptions.
func (m *Migrator) adoptionEntries(st *database.State, adoptions []Adoption, reason string) ([]database.Entry, error) {
	now := time.Now()
	all := make([]database.Entry, 0, len(adoptions))
	for _, a := range adoptions {
		e, err := m.adoptionEntry(st, a)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	m.stamp(all, reason, now)
	for i, a := range adoptions {
		all[i].Remark = a.Remark
		if !a.At.IsZero() {
			all[i].StartedAt = a.At.UTC().Truncate(time.Microsecond)
		}
	}
	return all, nil
}

func (m *Migrator) adoptionEntry(st *database.State, a Adoption) (database.Entry, error) {
	switch a.Direction {
	case database.Forget:
		if applied, ok := st.Applied.Get(a.Migration.Version); ok {
			return forgetEntry(applied), nil
		}
		if a.Remark == "" {
			return database.Entry{}, &NotAppliedError{Set: m.set.Name(), Version: a.Migration.Version}
		}
		return database.Entry{Version: a.Migration.Version, Name: a.Migration.Name, Direction: database.Forget}, nil
	case database.Mark, database.Repeat:
		if a.Migration.Up == nil {
			return database.Entry{}, errors.New("an adopted migration needs its up script")
		}
		return newEntry(a.Direction, a.Migration, m.opts.TextLimit)
	default:
		return database.Entry{}, fmt.Errorf("no migration is adopted with the direction %q", a.Direction)
	}
}
