package whimbrel

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// climb finds the moves that apply what a goal requires, in order.
type climb struct {
	view
	goal  Goal
	downs map[int64]bool // versions that are rolled back before
	moves []move
	ups   int // of the moves, those that run a migration
}

// run returns the moves up.
func (c *climb) run() ([]move, error) {
	start := c.fromBaseline()
	c.moves = slices.Grow(c.moves, c.pending())
	for m := range c.set.Each() {
		switch {
		case m.Version <= start:
		case len(m.Up.Replaces) > 0:
			if err := c.squash(m); err != nil {
				return nil, err
			}
		case c.applies(m.Version):
			c.up(m)
		}
	}
	return c.moves, nil
}

// pending returns how many moves there will most likely be.
func (c *climb) pending() int {
	n := max(c.set.Len()-c.applied.Len(), 0)
	if c.goal.kind == goalSteps {
		n = min(n, max(c.goal.steps, 0))
	}
	return n
}

func (c *climb) rolledBack(version int64) bool {
	return c.downs[version]
}

// applies reports whether the goal applies a version.
func (c *climb) applies(version int64) bool {
	pending := !c.isApplied(version) && version > c.covered
	switch c.goal.kind {
	case goalRedo:
		return c.rolledBack(version)
	case goalSteps:
		return pending && c.ups < c.goal.steps
	case goalPinned:
		_, planned := c.goal.pinned.ups[version]
		return planned && (pending || c.rolledBack(version))
	}
	return pending && c.goal.reaches(version)
}

func (c *climb) up(m migration.Migration) {
	c.moves = append(c.moves, upMove(m))
	c.ups++
}

func upMove(m migration.Migration) move {
	d := database.Up
	if m.Up.Backfill != nil {
		d = database.Start
	}
	return move{version: m.Version, name: m.Name, direction: d, from: FromSet, script: m.Up, up: m.Up, down: m.Down, metadata: m.Metadata}
}

// fromBaseline starts an empty database from the newest baseline, and returns the version of the
// baseline.
func (c *climb) fromBaseline() int64 {
	b, ok := c.newestBaseline(c.goal)
	if !ok || c.applied.Len() > 0 {
		return NilVersion
	}
	c.moves = append(c.moves, c.baselineMove(b))
	return b.Version
}

// baselineMove starts an empty database from a baseline.
func (v view) baselineMove(b migration.Migration) move {
	start := move{version: b.Version, name: b.Name, direction: database.Baseline, from: FromSet, script: b.Up, up: b.Up}
	for m := range v.set.Each() {
		if m.Version <= b.Version {
			start.marks = append(start.marks, m)
		}
	}
	return start
}

// squash applies a squash itself, or applies what it replaces and then records it.
func (c *climb) squash(q migration.Migration) error {
	open, inside := c.open(q), c.goal.endsInside(q)
	if !open && c.isApplied(q.Version) && !c.rolledBack(q.Version) {
		return nil
	}
	if !open && !inside {
		if c.applies(q.Version) {
			c.up(q)
		}
		return nil
	}
	return c.originals(q)
}

// originals applies the missing ones of the migrations that a squash replaces. If none remains
// missing, it records the squash.
func (c *climb) originals(q migration.Migration) error {
	done := c.goal.records(q.Version)
	for _, r := range q.Up.Replaces {
		if c.isApplied(r.Version) && !c.rolledBack(r.Version) {
			continue
		}
		if !c.applies(r.Version) {
			done = false
			continue
		}
		m, ok := c.set.Original(r.Version)
		if !ok {
			return c.lost(q)
		}
		c.up(m)
	}
	if done {
		c.moves = append(c.moves, c.record(q))
	}
	return nil
}

// record records a squash without running it. Everything that it replaces is applied.
func (c *climb) record(q migration.Migration) move {
	mark := move{version: q.Version, name: q.Name, direction: database.Mark, from: FromSet, script: q.Up, up: q.Up, down: q.Down}
	for _, r := range q.Up.Replaces {
		if r.Version == q.Version {
			continue
		}
		a, ok := c.applied.Get(r.Version)
		if m, there := c.set.Original(r.Version); !ok && there {
			a.Name = m.Name
		}
		mark.forgets = append(mark.forgets, database.AppliedMigration{Version: r.Version, Name: a.Name, Checksum: r.Checksum})
	}
	return mark
}

// lost returns the error that names the versions that neither the database nor the set has.
func (c *climb) lost(q migration.Migration) error {
	e := &SquashedError{Set: c.set.Name(), Version: q.Version, Name: q.Name, File: q.Up.File}
	for _, r := range q.Up.Replaces {
		e.Replaces = append(e.Replaces, r.Version)
		if c.isApplied(r.Version) {
			continue
		}
		e.Lacks = append(e.Lacks, r.Version)
		if _, ok := c.set.Original(r.Version); !ok {
			e.Missing = append(e.Missing, r.Version)
		}
	}
	return e
}

// repeats returns the repeatable scripts that run: those whose text has changed since they ran
// last. A build that is older than the database runs none, since its scripts would undo changes of
// a newer build.
func (v view) repeats(ran map[string]database.AppliedMigration) []move {
	if v.behind() {
		return nil
	}
	var moves []move
	for _, r := range v.set.Repeatables() {
		if ran[r.Name].Checksum != r.Script.Checksum {
			moves = append(moves, namedMove(r, database.Repeat, ran[r.Name]))
		}
	}
	return moves
}

// namedMove runs a script without a version. ran describes its last run.
func namedMove(n migration.Named, d database.Direction, ran database.AppliedMigration) move {
	return move{version: NilVersion, name: n.Name, direction: d, from: FromSet, script: n.Script, up: n.Script, applied: ran}
}
