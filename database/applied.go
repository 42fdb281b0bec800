package database

import (
	"iter"
	"slices"
	"sort"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
)

// AppliedMigration is an applied migration, as the history records it.
type AppliedMigration struct {
	Version                int64
	Name                   string
	Checksum, DownChecksum migration.Checksum
	// HasDownText reports that the history keeps the text of the down script.
	HasDownText bool
	EntryID     int64 // of the history entry that says so
	Marked      bool  // recorded without running it
	Unfinished  bool  // a backfill that was started and is not done
	AppliedAt   time.Time
	Duration    time.Duration
}

// AppliedSet contains the applied migrations, ordered by version and without duplicates. The zero
// value is empty; so is nil, which can only be read.
type AppliedSet struct{ all []AppliedMigration }

// NewAppliedSet returns a set of the given migrations. Of two with the same version, it keeps the
// first.
func NewAppliedSet(all ...AppliedMigration) *AppliedSet {
	m := &AppliedSet{}
	for _, a := range all {
		m.Append(a)
	}
	return m
}

// Clone returns a copy.
func (m *AppliedSet) Clone() *AppliedSet {
	if m == nil {
		return &AppliedSet{}
	}
	return &AppliedSet{all: slices.Clone(m.all)}
}

// Grow makes room for n more migrations.
func (m *AppliedSet) Grow(n int) { m.all = slices.Grow(m.all, n) }

// find returns the index of a version, or the index at which it would be inserted.
func (m *AppliedSet) find(version int64) (int, bool) {
	if m == nil {
		return 0, false
	}
	if n := len(m.all); n == 0 || m.all[n-1].Version < version { // the common case: in order
		return n, false
	}
	if i := version - m.all[0].Version; 0 <= i && i < int64(len(m.all)) && m.all[i].Version == version {
		return int(i), true // numbers without gaps
	}
	i := sort.Search(len(m.all), func(i int) bool { return m.all[i].Version >= version })
	return i, i < len(m.all) && m.all[i].Version == version
}

// Append adds a migration in order, and reports whether it did. It does not replace a version that
// already exists.
func (m *AppliedSet) Append(a AppliedMigration) bool {
	i, found := m.find(a.Version)
	if !found {
		m.all = slices.Insert(m.all, i, a)
	}
	return !found
}

// Put adds a migration in order, or replaces the one with its version.
func (m *AppliedSet) Put(a AppliedMigration) {
	if i, found := m.find(a.Version); found {
		m.all[i] = a
	} else {
		m.all = slices.Insert(m.all, i, a)
	}
}

// Remove removes a version, and reports whether it existed.
func (m *AppliedSet) Remove(version int64) bool {
	i, found := m.find(version)
	if found {
		m.all = slices.Delete(m.all, i, i+1)
	}
	return found
}

// Len returns the number of migrations.
func (m *AppliedSet) Len() int {
	if m == nil {
		return 0
	}
	return len(m.all)
}

// First returns the lowest version, and false if the set is empty.
func (m *AppliedSet) First() (int64, bool) { return m.at(0) }

// Last returns the highest version, and false if the set is empty.
func (m *AppliedSet) Last() (int64, bool) { return m.at(m.Len() - 1) }

// Next returns the lowest version above the given one, which need not be in the set, and false if
// no version is above it.
func (m *AppliedSet) Next(version int64) (int64, bool) {
	i, found := m.find(version)
	if found {
		i++
	}
	return m.at(i)
}

// Prev returns the highest version below the given one, which need not be in the set, and false if
// no version is below it.
func (m *AppliedSet) Prev(version int64) (int64, bool) {
	i, _ := m.find(version)
	return m.at(i - 1)
}

// Get returns the migration with the given version, and false if it is not applied.
func (m *AppliedSet) Get(version int64) (AppliedMigration, bool) {
	i, found := m.find(version)
	if !found {
		return AppliedMigration{}, false
	}
	return m.all[i], true
}

// All returns the migrations in ascending order.
func (m *AppliedSet) All() iter.Seq[AppliedMigration] {
	return func(yield func(AppliedMigration) bool) {
		for i := range m.Len() {
			if !yield(m.all[i]) {
				return
			}
		}
	}
}

// Versions returns the versions in ascending order.
func (m *AppliedSet) Versions() []int64 {
	vs := make([]int64, m.Len())
	for i := range vs {
		vs[i] = m.all[i].Version
	}
	return vs
}

func (m *AppliedSet) at(i int) (int64, bool) {
	if i < 0 || i >= m.Len() {
		return NilVersion, false
	}
	return m.all[i].Version, true
}
