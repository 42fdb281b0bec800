package whimbrel

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// BaselineOptions are the options of Migrator.Baseline.
type BaselineOptions struct {
	// Force replaces the record of a set that has a history. It requires a Reason.
	Force bool
	// Reason is kept with each history entry.
	Reason string
}

// Baseline records that a schema without a history is at a version: it marks every migration of the
// set up to that version as applied, and runs nothing. If the set has a history, Baseline returns a
// *HistoryExistsError. With Force and a Reason, it instead forgets the versions above the baseline,
// and records those up to it with the checksums of this build.
//
// If Whimbrel's tables exist without a row, as in a database restored from a dump without data,
// Baseline starts their history again.
func (m *Migrator) Baseline(ctx context.Context, version int64, opts BaselineOptions) (*Result, error) {
	start := time.Now()
	m, err := m.complete(ctx)
	if err != nil {
		return &Result{}, err
	}
	r := &Result{Set: m.set.Name()}
	if opts.Force && opts.Reason == "" {
		return r, errors.New("forcing a baseline needs a reason")
	}
	if err := m.renew(ctx); err != nil {
		return r, err
	}
	recorded, err := m.record(ctx, opts.Reason, func(ctx context.Context, st *database.State) ([]database.Entry, error) {
		if !opts.Force {
			if err := m.noHistory(ctx, st); err != nil {
				return nil, err
			}
		}
		return m.baselineEntries(st, version)
	})
	for _, e := range recorded {
		if e.Direction == database.Mark {
			r.Recorded = append(r.Recorded, StepResult{Version: e.Version, Name: e.Name})
		}
	}
	r.Duration = time.Since(start)
	return r, err
}

// renew starts again with Whimbrel's tables if none of them has a row: the database was restored
// from a dump without data. Nobody but the caller knows what such a database has applied.
func (m *Migrator) renew(ctx context.Context) error {
	_, err := m.db.State(ctx, m.set.Name())
	var own *database.TablesError
	if !errors.As(err, &own) || own.Problem != database.TablesEmpty {
		return nil // the next call returns the error
	}
	if renewed := database.Renew(ctx, m.db); renewed == nil || !errors.Is(renewed, errors.ErrUnsupported) {
		return renewed
	}
	return err
}

// noHistory returns an error if the set has history entries.
func (m *Migrator) noHistory(ctx context.Context, st *database.State) error {
	var last database.Entry
	for e, err := range m.History(ctx, database.HistoryQuery{Newest: true}) {
		if err != nil {
			return err
		}
		if migrates(e.Direction) {
			last = e
			break
		}
	}
	if last.ID == 0 {
		return nil
	}
	version, _ := st.Version()
	return &HistoryExistsError{Set: m.set.Name(), Version: version, AppliedCount: st.Applied.Len(), Last: last}
}

// baselineEntries returns the entries after which exactly the set's migrations up to a version are
// applied. Unknown versions below it remain applied.
func (m *Migrator) baselineEntries(st *database.State, version int64) ([]database.Entry, error) {
	now := viewOf(m.set, st.Applied)
	marks, err := now.upTo(version)
	if err != nil {
		return nil, err
	}
	var all []database.Entry
	wanted := map[int64]bool{}
	for _, mig := range marks {
		wanted[mig.Version] = true
		if a, ok := st.Applied.Get(mig.Version); ok && a.Checksum == mig.Up.Checksum {
			continue
		}
		e, err := newEntry(database.Mark, mig, m.opts.TextLimit)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	for a := range st.Applied.All() {
		_, replaced := m.set.Squash(a.Version)
		if !wanted[a.Version] && (a.Version > version || replaced) {
			all = append(all, forgetEntry(a))
		}
	}
	return all, nil
}

// upTo returns the migrations that a schema at a version has. If the version is one of those that a
// squash replaces, they include originals of the squash, otherwise the squash itself.
func (v view) upTo(version int64) ([]migration.Migration, error) {
	if !v.known(version) {
		return nil, unknownVersion(v.set, v.applied, version)
	}
	var all []migration.Migration
	for m := range v.set.Each() {
		if m.Version <= version {
			all = append(all, m)
			continue
		}
		for _, r := range m.Up.Replaces {
			if r.Version > version {
				break
			}
			o, ok := v.set.Original(r.Version)
			if !ok {
				return nil, unknownVersion(v.set, v.applied, r.Version)
			}
			all = append(all, o)
		}
	}
	b, isBaseline := v.set.Baseline(version)
	if isBaseline && (len(all) == 0 || all[len(all)-1].Version != version) {
		all = append(all, b) // the files up to it are gone
	}
	return all, nil
}
