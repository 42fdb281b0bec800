package whimbrel

import (
	"context"
	"fmt"
	"slices"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Verify compares the stored checksum of every applied version with the set's, and returns the
// first difference as a *ChecksumMismatchError. Then it analyses all scripts that may still run,
// including the down scripts of applied versions. A script that can't run is a *[sqltext.Error] or
// an *AtomicError, or several are a *ScriptsError.
func (m *Migrator) Verify(ctx context.Context) error {
	m, err := m.complete(ctx)
	if err != nil {
		return err
	}
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return err
	}
	if err := m.verify(ctx, st, nil); err != nil {
		return err
	}
	return m.verifyScripts(st)
}

// verify compares the checksums of applied versions. It leaves out those that a plan rolls back and
// applies again: their author is working on them.
func (m *Migrator) verify(ctx context.Context, st *database.State, moves []move) error {
	v := viewOf(m.set, st.Applied)
	var bad []int64
	for a := range st.Applied.All() {
		sum, ok := v.expected(a)
		if !ok || sum == a.Checksum {
			continue
		}
		redone := slices.ContainsFunc(moves, func(mv move) bool { return mv.version == a.Version && mv.applies() })
		if !redone {
			bad = append(bad, a.Version)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return m.mismatch(ctx, st, bad)
}

func (m *Migrator) mismatch(ctx context.Context, st *database.State, bad []int64) error {
	v := viewOf(m.set, st.Applied)
	a, _ := st.Applied.Get(bad[0])
	e := &ChecksumMismatchError{Set: m.set.Name(), Version: a.Version, Name: a.Name, Stored: a.Checksum, Others: bad[1:]}
	for applied := range st.Applied.All() {
		if applied.Version >= a.Version {
			e.Newest++
		}
	}
	e.Expected, _ = v.expected(a)
	mig, ok := v.get(a.Version)
	if !ok { // its file is missing; the squash names its checksum
		q, _ := m.set.Squash(a.Version)
		e.File = q.Up.File
		return e
	}
	e.Name, e.File = mig.Name, mig.Up.File
	entry, err := m.storedEntry(ctx, a)
	if err != nil && ctx.Err() != nil {
		return err
	}
	now, inMemory, err := mig.Up.Text(DefaultTextLimit)
	if err != nil {
		return err
	}
	if stored := entry.UpText; stored != "" && inMemory {
		e.Diff = string(diff.Diff(fmt.Sprintf("as applied (history entry %d)", a.EntryID), []byte(m.masked(mig.Up, stored)), mig.Up.File, []byte(m.masked(mig.Up, now))))
		e.OnlyBlank = sqltext.Equivalent(stored, now, m.db.Dialect())
	}
	return e
}
