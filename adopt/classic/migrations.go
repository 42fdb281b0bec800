package classic

import "slices"

// Migrations is an ordered set of versions. The zero value is empty.
type Migrations struct{ index []uint64 }

// NewMigrations returns an empty set.
func NewMigrations() *Migrations { return &Migrations{} }

// Append adds a version in its place, unless the set has it.
func (m *Migrations) Append(version uint64) {
	if i, found := slices.BinarySearch(m.index, version); !found {
		m.index = slices.Insert(m.index, i, version)
	}
}

// First returns the lowest version. ok is false if the set is empty.
func (m *Migrations) First() (version uint64, ok bool) { return m.at(0, true) }

// Last returns the highest version. ok is false if the set is empty.
func (m *Migrations) Last() (version uint64, ok bool) { return m.at(len(m.index)-1, true) }

// Prev returns the version before one of the set. ok is false if there is none, or if the set
// doesn't have the given version.
func (m *Migrations) Prev(version uint64) (prevVersion uint64, ok bool) {
	i, found := slices.BinarySearch(m.index, version)
	return m.at(i-1, found)
}

// Next returns the version after one of the set. ok is false if there is none, or if the set
// doesn't have the given version.
func (m *Migrations) Next(version uint64) (nextVersion uint64, ok bool) {
	i, found := slices.BinarySearch(m.index, version)
	return m.at(i+1, found)
}

// Read reports whether the set has a version.
func (m *Migrations) Read(version uint64) (ok bool) {
	_, ok = slices.BinarySearch(m.index, version)
	return ok
}

// at returns the version at an index, if the set has the index and found is true.
func (m *Migrations) at(i int, found bool) (version uint64, ok bool) {
	if !found || i < 0 || i >= len(m.index) {
		return 0, false
	}
	return m.index[i], true
}
