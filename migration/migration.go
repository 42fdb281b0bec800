// Package migration holds the values that everything else is about: a
// [Migration] is a version, a name, an up script and usually a down script; a
// [Set] is an ordered, duplicate-free list of them under a name.
//
// The package reads no folders (that is package source) and talks to no
// database (that is package database).
package migration

import (
	"fmt"
	"slices"
	"sort"
)

// DefaultSet is the name of a set that was given none.
const DefaultSet = "default"

// Migration is one step of a schema. Versions are integers ≥ 0: sequence
// numbers or timestamps, gaps allowed; a version is a number, not a time.
type Migration struct {
	Version int64
	Name    string
	Up      *Script
	// Down takes Up back. A migration without one is irreversible.
	Down *Script
}

// String returns "version name", as messages show a migration.
func (m Migration) String() string {
	if m.Name == "" {
		return fmt.Sprint(m.Version)
	}
	return fmt.Sprintf("%d %s", m.Version, m.Name)
}

// Set is an ordered, duplicate-free list of migrations under a name. Several
// sets live in one database without knowing each other; the name is what tells
// them apart, so a library picks one that nobody else would. A Set does not
// change after NewSet returned it, and may be used by several goroutines.
type Set struct {
	name string
	all  []Migration
}

// DuplicateError reports two migrations of a set with one version.
type DuplicateError struct {
	Version       int64
	First, Second string // the files
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("version %d is there twice: %s and %s; give one of them another version", e.Version, e.First, e.Second)
}

// NewSet returns the set of the given migrations, ordered by version. An empty
// name means [DefaultSet]. It refuses versions below 0, versions given twice
// (*[DuplicateError]) and migrations without an up script.
func NewSet(name string, migrations ...Migration) (*Set, error) {
	if name == "" {
		name = DefaultSet
	}
	if name == ReservedSet {
		return nil, fmt.Errorf("the set name %q is Whimbrel's own; choose another", name)
	}
	all := slices.Clone(migrations)
	sort.SliceStable(all, func(i, j int) bool { return all[i].Version < all[j].Version })
	for i, m := range all {
		switch {
		case m.Version < 0:
			return nil, fmt.Errorf("version %d of migration %q is below 0; versions count from 0", m.Version, m.Name)
		case m.Up == nil:
			return nil, fmt.Errorf("migration %s has no up script", m)
		case i > 0 && all[i-1].Version == m.Version:
			return nil, &DuplicateError{Version: m.Version, First: all[i-1].Up.File, Second: m.Up.File}
		}
	}
	return &Set{name: name, all: all}, nil
}

// ReservedSet is the name of the set that Whimbrel's own tables are migrated by.
const ReservedSet = "whimbrel"

// Name returns the set's name.
func (s *Set) Name() string { return s.name }

// Len returns the number of migrations.
func (s *Set) Len() int { return len(s.all) }

// All returns the migrations in ascending order of their versions.
func (s *Set) All() []Migration { return slices.Clone(s.all) }

// Versions returns the versions in ascending order.
func (s *Set) Versions() []int64 {
	vs := make([]int64, len(s.all))
	for i, m := range s.all {
		vs[i] = m.Version
	}
	return vs
}

// Get returns the migration with the given version.
func (s *Set) Get(version int64) (Migration, bool) {
	i, found := sort.Find(len(s.all), func(i int) int {
		switch v := s.all[i].Version; {
		case version < v:
			return -1
		case version > v:
			return 1
		}
		return 0
	})
	if !found {
		return Migration{}, false
	}
	return s.all[i], true
}
