// Package migration defines the values that all other packages work with. A [Migration] is a
// version, a name, an up script and usually a down script. A [Set] is a named, ordered list of
// migrations with distinct versions, with its baselines and repeatable scripts.
//
// The package reads no folders (see package source) and connects to no database (see package
// database).
package migration

import (
	"fmt"
	"time"
)

// DefaultSet is the name of a set without a name.
const DefaultSet = "default"

// Migration is one change of a schema. Versions are integers ≥ 0, such as sequence numbers or
// timestamps, with or without gaps. Whimbrel never interprets a version as a time.
type Migration struct {
	Version int64
	Name    string
	Up      *Script
	// Down reverts Up. A migration without it is irreversible. It may be unread; see Set.WithDowns.
	Down *Script
	// Metadata is a document of facts about the migration's objects, which is applied with it; nil
	// for none.
	Metadata *Script
	// Origin is what another tool, whose format the folder has, calls the migration. It is nil where
	// the version says all.
	Origin *Origin
}

// Origin identifies a migration in the tool whose format its folder has. It takes no part in the
// checksum or the history.
type Origin struct {
	// ID is the tool's own name of the migration: "1.2.1" (Flyway), "20240101_init" (Prisma).
	ID string
	// Sum is the checksum that a file of the folder has of the migration, or "".
	Sum string
	// When is the time that a file of the folder has of the migration, or zero.
	When time.Time
}

// String returns the version and the name, for messages.
func (m Migration) String() string {
	if m.Name == "" {
		return fmt.Sprint(m.Version)
	}
	return fmt.Sprintf("%d %s", m.Version, m.Name)
}

// Named is a script without a version: a repeatable script or a seed. The history identifies it by
// its name.
type Named struct {
	Name   string
	Script *Script
}

// Replaced is a migration that a squash replaces: its version, and the checksum of its up script.
type Replaced struct {
	Version  int64
	Checksum Checksum
}
