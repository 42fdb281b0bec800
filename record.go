package whimbrel

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Mark records versions of the set as applied without running them, all or none: for a schema that
// already has them. It returns an *AlreadyAppliedError for an applied version, and an
// *UnknownVersionError for one that the set lacks.
func (m *Migrator) Mark(ctx context.Context, reason string, versions ...int64) error {
	m, err := m.complete(ctx)
	if err != nil {
		return err
	}
	_, err = m.record(ctx, reason, each(versions, func(st *database.State, v int64) (database.Entry, error) {
		now := viewOf(m.set, st.Applied)
		if _, inSquash := now.recorded(v); inSquash || now.isApplied(v) {
			return database.Entry{}, &AlreadyAppliedError{Set: m.set.Name(), Version: v}
		}
		mig, ok := now.get(v)
		if !ok {
			return database.Entry{}, unknownVersion(m.set, st.Applied, v)
		}
		return newEntry(database.Mark, mig, m.opts.TextLimit)
	}))
	return err
}

// Forget records applied versions as not applied without running anything, all or none. It returns
// a *NotAppliedError for a version that is not applied. If its run was interrupted, Forget ends the
// run instead, and the effects of the run remain.
func (m *Migrator) Forget(ctx context.Context, reason string, versions ...int64) error {
	m = m.call(ctx)
	_, err := m.record(ctx, reason, each(versions, func(st *database.State, v int64) (database.Entry, error) {
		a, ok := st.Applied.Get(v)
		if j := st.Interrupted; !ok && j != nil && j.Version == v {
			a, ok = database.AppliedMigration{Version: v, Name: j.Name, Checksum: j.Checksum}, true
		}
		if !ok {
			return database.Entry{}, &NotAppliedError{Set: m.set.Name(), Version: v}
		}
		return forgetEntry(a), nil
	}))
	return err
}

// Accept records that the scripts of applied versions were edited on purpose. Later calls compare
// the versions with the set's texts, and roll them back with the set's down scripts. Accept runs
// nothing. The reason must not be empty. Accept leaves a version whose checksum matches unchanged.
func (m *Migrator) Accept(ctx context.Context, reason string, versions ...int64) error {
	m, err := m.complete(ctx)
	if err != nil {
		return err
	}
	if reason == "" {
		return errors.New("accepting an edited migration needs a reason")
	}
	_, err = m.record(ctx, reason, each(versions, func(st *database.State, v int64) (database.Entry, error) {
		mig, ok := viewOf(m.set, st.Applied).get(v)
		if !ok {
			return database.Entry{}, unknownVersion(m.set, st.Applied, v)
		}
		a, ok := st.Applied.Get(v)
		if !ok {
			return database.Entry{}, &NotAppliedError{Set: m.set.Name(), Version: v}
		}
		if a.Checksum == mig.Up.Checksum {
			return database.Entry{}, nil
		}
		return newEntry(database.Accept, mig, m.opts.TextLimit)
	}))
	return err
}

// noTexts is the limit of entries that keep no texts.
const noTexts = -1

// newEntry returns a history entry about a migration. It has the texts of scripts up to a limit.
func newEntry(d database.Direction, mig migration.Migration, limit int64) (e database.Entry, err error) {
	e = database.Entry{Version: mig.Version, Name: mig.Name, Direction: d}
	if up := mig.Up; up != nil {
		e.Checksum, e.UpDirectives = up.Checksum, up.Directives
		if !up.Secret {
			e.UpText, _, err = up.Text(limit)
		}
	}
	if down := mig.Down; down != nil && err == nil {
		e.DownChecksum, e.DownDirectives = down.Checksum, down.Directives
		if !down.Secret {
			e.DownText, e.HasDownText, err = down.Text(limit)
		}
	}
	return e, err
}

func forgetEntry(a database.AppliedMigration) database.Entry {
	return database.Entry{Version: a.Version, Name: a.Name, Direction: database.Forget, Checksum: a.Checksum}
}

// entries returns the history entries of a move, its own first.
func (m move) entries(limit int64) ([]database.Entry, error) {
	ownLimit := limit
	if m.direction == database.Load && limit > 0 {
		ownLimit = max(limit, schemaTextLimit)
	}
	own, err := newEntry(m.direction, migration.Migration{Version: m.version, Name: m.name, Up: m.up, Down: m.down}, ownLimit)
	if m.direction == database.Down {
		own.Checksum = m.applied.Checksum
	}
	all := []database.Entry{own}
	for i := 0; i < len(m.repeats) && err == nil; i++ {
		r := migration.Migration{Version: NilVersion, Name: m.repeats[i].Name, Up: m.repeats[i].Script}
		own, err = newEntry(database.Repeat, r, limit)
		all = append(all, own)
	}
	for i := 0; i < len(m.marks) && err == nil; i++ {
		own, err = newEntry(database.Mark, m.marks[i], limit)
		all = append(all, own)
	}
	for _, f := range m.forgets {
		all = append(all, forgetEntry(f))
	}
	return all, err
}

// stamp fills in what the entries of one call have in common.
func (m *Migrator) stamp(all []database.Entry, reason string, at time.Time) {
	for i := range all {
		all[i].Set, all[i].ToolVersion, all[i].Reason, all[i].StartedAt = m.set.Name(), ToolVersion(), reason, at
	}
}

// recorder returns the entries to record for a state.
type recorder func(context.Context, *database.State) ([]database.Entry, error)

// each returns an entry for each version, from the state after the previous entries. It omits
// entries without a direction.
func each(versions []int64, entry func(*database.State, int64) (database.Entry, error)) recorder {
	return func(_ context.Context, st *database.State) ([]database.Entry, error) {
		st = st.Clone()
		var all []database.Entry
		for _, v := range versions {
			e, err := entry(st, v)
			if err != nil {
				return nil, err
			}
			if e.Direction != "" {
				st.Fold(e)
				all = append(all, e)
			}
		}
		return all, nil
	}
}

// record appends entries in one transaction under the lock, and returns them as recorded.
func (m *Migrator) record(ctx context.Context, reason string, entries recorder) ([]database.Entry, error) {
	m = m.call(ctx)
	var all []database.Entry
	var ended []int64 // the backfills that the entries end
	warned := false
	recorded, err := m.locked(ctx, unlessFrozen(func(st *database.State) (err error) {
		all, err = entries(ctx, st)
		ended = unfinishedOf(st, all)
		if err == nil && !warned {
			m.warnOfDowns(st, all)
			warned = true
		}
		return err
	}), func(tx database.Tx) error {
		if err := endBackfills(ctx, tx, ended); err != nil {
			return err
		}
		m.stamp(all, reason, time.Now())
		return tx.Record(ctx, all...)
	})
	if err != nil {
		return nil, err
	}
	return recorded, checkRecorded(recorded, len(all))
}
