package whimbrel

import (
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// NilVersion is the version of a database with no migration applied: a goal of NilVersion rolls
// everything back.
const NilVersion = database.NilVersion

type goalKind uint8

const (
	goalLatest goalKind = iota
	goalVersion
	goalUpTo
	goalDownTo
	goalSteps
	goalRedo
	goalSeed
	goalLoad
	goalPinned // goalSteps or goalRedo in absolute terms
)

// Goal is where a plan leads. The zero Goal is [Latest].
type Goal struct {
	kind    goalKind
	version int64
	steps   int
	pinned  *pinned // of goalPinned, goalSeed and goalLoad
}

// pinned are the moves of a plan whose goal was relative. They keep the meaning of the goal when
// other processes change the database.
type pinned struct {
	downs map[int64]int64              // by version, the entry that applied it; 0 if the plan itself applies it
	ups   map[int64]migration.Checksum // by version, of the up script
	marks map[int64]bool               // squashes that are recorded
	seeds []move
	load  move
}

// rollsBack reports whether the plan rolls an applied migration back.
func (p *pinned) rollsBack(a database.AppliedMigration) bool {
	entry, ok := p.downs[a.Version]
	return ok && (entry == 0 || entry == a.EntryID)
}

// absolute returns the goal of a plan in terms that do not depend on what is applied.
func (g Goal) absolute(moves []move) Goal {
	switch g.kind {
	case goalSeed:
		return Goal{kind: goalSeed, pinned: &pinned{seeds: moves}}
	case goalSteps, goalRedo:
		p := &pinned{downs: map[int64]int64{}, ups: map[int64]migration.Checksum{}, marks: map[int64]bool{}}
		for _, m := range moves {
			switch {
			case m.direction == database.Down:
				p.downs[m.version] = m.applied.EntryID
			case m.applies() && g.steps > 0: // otherwise it completes an interrupted run first
				p.ups[m.version] = m.up.Checksum
			case m.direction == database.Mark:
				p.marks[m.version] = true
			}
		}
		return Goal{kind: goalPinned, pinned: p}
	}
	return g
}

// Latest applies everything that is pending.
func Latest() Goal { return Goal{} }

// Version rolls back what is applied above a version and applies what is pending up to it. With
// NilVersion, or with 0 if there is no version 0, it rolls back everything.
func Version(v int64) Goal { return Goal{kind: goalVersion, version: v} }

// UpTo applies what is pending up to a version, and rolls nothing back.
func UpTo(v int64) Goal { return Goal{kind: goalUpTo, version: v} }

// DownTo rolls back what is applied above a version, newest first, and applies nothing. With
// NilVersion, or with 0 if there is no version 0, it rolls back everything.
func DownTo(v int64) Goal { return Goal{kind: goalDownTo, version: v} }

// By applies the next n pending migrations, or all if fewer are pending. A negative n rolls the
// newest -n back; it is an error if fewer are applied.
func By(n int) Goal { return Goal{kind: goalSteps, steps: n} }

// Redo rolls the newest n applied migrations back and applies them again, as they are in the set
// now. It is for work on the newest migrations, so edits to these are no checksum mismatch.
func Redo(n int) Goal { return Goal{kind: goalRedo, steps: n} }

// reaches reports whether the goal applies a pending version, for goals that do not count.
func (g Goal) reaches(version int64) bool {
	switch g.kind {
	case goalLatest:
		return true
	case goalVersion, goalUpTo:
		return version <= g.version
	}
	return false
}

// records reports whether the goal records a squash once everything that it replaces is applied.
func (g Goal) records(version int64) bool {
	switch g.kind {
	case goalSteps:
		return g.steps > 0
	case goalPinned:
		return g.pinned.marks[version]
	}
	return g.reaches(version)
}

// endsInside reports whether the goal needs originals of a squash, even in a database that has
// none of them.
func (g Goal) endsInside(q migration.Migration) bool {
	switch g.kind {
	case goalVersion, goalUpTo:
		return g.version >= q.Up.Replaces[0].Version && g.version < q.Version
	case goalPinned:
		return slices.ContainsFunc(q.Up.Replaces, func(r migration.Replaced) bool { return g.pinned.ups[r.Version] == r.Checksum })
	}
	return false
}

// String describes the goal.
func (g Goal) String() string {
	switch g.kind {
	case goalVersion:
		return "to " + versionWords(g.version)
	case goalUpTo:
		return "up to " + versionWords(g.version)
	case goalDownTo:
		return "down to " + versionWords(g.version)
	case goalSteps:
		if g.steps < 0 {
			return fmt.Sprintf("%d down", -g.steps)
		}
		return fmt.Sprintf("%d up", g.steps)
	case goalRedo:
		return fmt.Sprintf("redo %d", g.steps)
	case goalSeed:
		return "seed"
	case goalLoad:
		return "load"
	}
	return "latest"
}

func versionWords(v int64) string {
	if v == NilVersion {
		return "nothing applied"
	}
	return fmt.Sprintf("version %d", v)
}
