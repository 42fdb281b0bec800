package whimbrel

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Mark records versions of the set as applied without running them, all or
// none: for a schema that has them already. A version that is applied is an
// *AlreadyAppliedError, one that the set does not have an *UnknownVersionError.
func (m *Migrator) Mark(ctx context.Context, note string, versions ...int64) error {
	return m.record(ctx, versions, note, func(st *database.State, v int64) (database.Event, error) {
		mig, ok := m.set.Get(v)
		if !ok {
			return database.Event{}, unknownVersion(m.set, st.Applied, v)
		}
		if _, applied := st.Applied.Read(v); applied {
			return database.Event{}, &AlreadyAppliedError{Set: m.set.Name(), Version: v}
		}
		e := database.Event{Name: mig.Name, Direction: database.Mark}
		return e, m.setScripts(&e, mig.Up, mig.Down)
	})
}

// Forget records applied versions as not applied without running anything, all or
// none. A version that is not applied is a *NotAppliedError.
func (m *Migrator) Forget(ctx context.Context, note string, versions ...int64) error {
	return m.record(ctx, versions, note, func(st *database.State, v int64) (database.Event, error) {
		a, ok := st.Applied.Read(v)
		if !ok {
			return database.Event{}, &NotAppliedError{Set: m.set.Name(), Version: v}
		}
		return database.Event{Name: a.Name, Direction: database.Forget, Checksum: a.Checksum}, nil
	})
}

// Accept records that the script of an applied version was edited on purpose: from
// now on the set's text is the one it is compared with, and the set's down
// script the one that takes it back. It runs nothing. The reason must not be empty. A
// version whose checksum matches is left as it is.
func (m *Migrator) Accept(ctx context.Context, reason string, versions ...int64) error {
	if reason == "" {
		return errors.New("accepting an edited migration wants a reason, which the history keeps")
	}
	return m.record(ctx, versions, reason, func(st *database.State, v int64) (database.Event, error) {
		mig, ok := m.set.Get(v)
		if !ok {
			return database.Event{}, unknownVersion(m.set, st.Applied, v)
		}
		a, ok := st.Applied.Read(v)
		if !ok {
			return database.Event{}, &NotAppliedError{Set: m.set.Name(), Version: v}
		}
		if a.Checksum == mig.Up.Checksum {
			return database.Event{}, errNothingToRecord
		}
		e := database.Event{Name: mig.Name, Direction: database.Accept}
		return e, m.setScripts(&e, mig.Up, mig.Down)
	})
}

var errNothingToRecord = errors.New("nothing to record")

// record appends one event for each version, in one transaction under the lock.
// event makes it from the state as it stands under the lock.
func (m *Migrator) record(ctx context.Context, versions []int64, note string, event func(*database.State, int64) (database.Event, error)) (err error) {
	before, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return err
	}
	for _, v := range versions { // what can be refused is, before anything is locked or created
		if _, err := event(before, v); err != nil && !errors.Is(err, errNothingToRecord) {
			return err
		}
	}
	b, err := m.db.Begin(ctx, m.set.Name(), m.lockOptions(before.Settings))
	if err != nil {
		return err
	}
	defer func() {
		if rerr := b.Rollback(ctx); err == nil {
			err = rerr
		}
	}()
	st, err := b.State(ctx)
	if err != nil {
		return err
	}
	if err := checkMode(st.Settings); err != nil {
		return err
	}
	now := time.Now()
	for _, v := range versions {
		e, err := event(st, v)
		if errors.Is(err, errNothingToRecord) {
			continue
		}
		if err != nil {
			return err
		}
		e.Set, e.Version, e.StartedAt, e.ToolVersion, e.Note = m.set.Name(), v, now, ToolVersion(), note
		if err := b.Record(ctx, e); err != nil {
			return err
		}
		e.Set = m.set.Name()
		st.Fold(e)
	}
	return b.Commit(ctx)
}
