package whimbrel

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// climb finds what a goal applies, in order.
type climb struct {
	view
	goal  Goal
	downs []database.AppliedMigration // what the goal takes back before
	steps []Step
	ups   int // of the steps, those that run a migration
}

// run returns the steps up.
func (c *climb) run() ([]Step, error) {
	start := c.fromBaseline()
	for _, m := range c.set.All() {
		switch {
		case m.Version <= start:
		case len(m.Up.Replaces) > 0:
			if err := c.squash(m); err != nil {
				return nil, err
			}
		case c.wants(m.Version):
			c.up(m)
		}
	}
	return c.steps, nil
}

func (c *climb) takenDown(version int64) bool {
	return slices.ContainsFunc(c.downs, func(a database.AppliedMigration) bool { return a.Version == version })
}

// wants reports whether the goal applies a version.
func (c *climb) wants(version int64) bool {
	pending := !c.isApplied(version) && version > c.covered
	switch c.goal.kind {
	case goalRedo:
		return c.takenDown(version)
	case goalSteps:
		return pending && c.ups < c.goal.steps
	}
	return pending && c.goal.reaches(version)
}

func (c *climb) up(m migration.Migration) {
	c.steps = append(c.steps, upStep(m))
	c.ups++
}

func upStep(m migration.Migration) Step {
	return Step{Version: m.Version, Name: m.Name, Direction: database.Up, Script: m.Up, From: FromSet, up: m.Up, down: m.Down}
}

// fromBaseline starts an empty database from the newest baseline, and returns the version that
// brings it to.
func (c *climb) fromBaseline() int64 {
	b, ok := c.newestBaseline(c.goal)
	if !ok || c.applied.Len() > 0 {
		return NilVersion
	}
	c.steps = append(c.steps, c.baselineStep(b))
	return b.Version
}

// baselineStep starts an empty database from a baseline.
func (v view) baselineStep(b migration.Migration) Step {
	s := Step{Version: b.Version, Name: b.Name, Direction: database.Baseline, Script: b.Up, From: FromSet, up: b.Up}
	for _, m := range v.set.All() {
		if m.Version <= b.Version {
			s.marks = append(s.marks, m)
		}
	}
	return s
}

// squash applies a squash as itself, or what it replaces and then records it.
func (c *climb) squash(q migration.Migration) error {
	open, oldest := c.open(q), q.Up.Replaces[0].Version
	inside := (c.goal.kind == goalVersion || c.goal.kind == goalUpTo) && c.goal.version >= oldest && c.goal.version < q.Version
	if !open && c.isApplied(q.Version) && !c.takenDown(q.Version) {
		return nil
	}
	if !open && !inside {
		if c.wants(q.Version) {
			c.up(q)
		}
		return nil
	}
	return c.originals(q)
}

// originals applies what is missing of what a squash replaces, and records the squash when
// nothing is.
func (c *climb) originals(q migration.Migration) error {
	done := c.goal.reaches(q.Version) || c.goal.kind == goalSteps && c.goal.steps > 0
	for _, r := range q.Up.Replaces {
		if c.isApplied(r.Version) && c.goal.kind != goalRedo {
			continue
		}
		if !c.wants(r.Version) {
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
		c.steps = append(c.steps, c.record(q))
	}
	return nil
}

// record is the step that records a squash, of which everything is applied, without
// running it.
func (c *climb) record(q migration.Migration) Step {
	s := Step{Version: q.Version, Name: q.Name, Direction: database.Mark, Script: q.Up, From: FromSet, up: q.Up, down: q.Down}
	for _, r := range q.Up.Replaces {
		if r.Version == q.Version {
			continue
		}
		a, ok := c.applied.Get(r.Version)
		if m, there := c.set.Original(r.Version); !ok && there {
			a.Name = m.Name
		}
		s.forgets = append(s.forgets, database.AppliedMigration{Version: r.Version, Name: a.Name, Checksum: r.Checksum})
	}
	return s
}

// lost says which versions neither the database nor the set has.
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

// repeats returns the repeatable scripts that are to run: those whose text is not the one
// that ran last. A build that is older than the database leaves them alone, since they
// would take back what a newer one did.
func (v view) repeats(ran map[string]database.AppliedMigration) []Step {
	if v.behind() {
		return nil
	}
	var steps []Step
	for _, r := range v.set.Repeatables() {
		if ran[r.Name].Checksum != r.Script.Checksum {
			steps = append(steps, namedStep(r, database.Repeat, ran[r.Name]))
		}
	}
	return steps
}

// namedStep runs a script that belongs to no version; ran is what it was when it ran last.
func namedStep(n migration.Named, d database.Direction, ran database.AppliedMigration) Step {
	return Step{Version: NilVersion, Name: n.Name, Direction: d, Script: n.Script, From: FromSet, up: n.Script, applied: ran}
}
