package whimbrel

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel/database"
)

// NilVersion is the version of a database with no migration applied: a goal of
// NilVersion takes everything back.
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
)

// Goal is where a plan leads. The zero Goal is [Latest].
type Goal struct {
	kind    goalKind
	version int64
	steps   int
}

// Latest applies everything that is pending.
func Latest() Goal { return Goal{} }

// Version rolls back what is applied above a version and applies what is pending
// up to it.
func Version(v int64) Goal { return Goal{kind: goalVersion, version: v} }

// UpTo applies what is pending up to a version, and rolls nothing back.
func UpTo(v int64) Goal { return Goal{kind: goalUpTo, version: v} }

// DownTo rolls back what is applied above a version, newest first, and applies nothing. With
// NilVersion, or with 0 where there is no version 0, that is everything.
func DownTo(v int64) Goal { return Goal{kind: goalDownTo, version: v} }

// By applies the next n pending migrations, fewer if there are fewer; a
// negative n rolls the newest -n back, and it is an error if fewer are applied.
func By(n int) Goal { return Goal{kind: goalSteps, steps: n} }

// Redo rolls the newest n applied migrations back and applies them again, as they are
// in the set now: it is for work on the newest migrations, so edits to these are
// no checksum mismatch.
func Redo(n int) Goal { return Goal{kind: goalRedo, steps: n} }

// reaches reports whether the goal applies a version that is pending, without counting.
func (g Goal) reaches(version int64) bool {
	switch g.kind {
	case goalLatest:
		return true
	case goalVersion, goalUpTo:
		return version <= g.version
	}
	return false
}

// String says the goal in words.
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
	}
	return "latest"
}

func versionWords(v int64) string {
	if v == NilVersion {
		return "nothing applied"
	}
	return fmt.Sprintf("version %d", v)
}
