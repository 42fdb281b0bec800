// Package migration holds the values that everything else is about: a
// [Migration] is a version, a name, an up script and usually a down script; a
// [Set] is an ordered, duplicate-free list of them under a name, with the baselines
// and repeatable scripts that go with them.
//
// The package reads no folders (that is package source) and talks to no
// database (that is package database).
package migration

import "fmt"

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
	// Metadata is a document of facts about the migration's objects, which is applied with it; nil for none.
	Metadata *Script
}

// String returns "version name", as messages show a migration.
func (m Migration) String() string {
	if m.Name == "" {
		return fmt.Sprint(m.Version)
	}
	return fmt.Sprintf("%d %s", m.Version, m.Name)
}

// Named is a script that belongs to no version: a repeatable script, or one with
// development data. Its name is what the history knows it by.
type Named struct {
	Name   string
	Script *Script
}

// Replaced is one migration that a squash takes the place of: its version, and the
// checksum of its up script.
type Replaced struct {
	Version  int64
	Checksum Checksum
}
