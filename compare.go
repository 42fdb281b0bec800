package whimbrel

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// compare is a pure function: from what was expected of the database and what it is, to
// the steps that are still to do, or to what speaks against going on.
func compare(set *migration.Set, expected, actual *database.State, steps []Step, g Goal, allowOutOfOrder bool) ([]Step, *ConflictError) {
	c := &comparison{set: set, expected: expected, state: actual.Clone()}
	var todo []Step
	planned := map[int64]bool{}
	for _, s := range steps {
		planned[s.Version] = true
		left, conflict := c.step(s)
		if conflict != nil {
			return nil, conflict
		}
		if left {
			todo = append(todo, s)
		}
	}
	now := viewOf(set, actual.Applied)
	for v := range expected.Applied.All() {
		_, recorded := now.recorded(v.Version)
		if !now.isApplied(v.Version) && !planned[v.Version] && !recorded {
			return nil, &ConflictError{Version: v.Version, Problem: "was meanwhile taken back"}
		}
	}
	for v := range actual.Applied.All() {
		if _, was := expected.Applied.Get(v.Version); was {
			continue
		}
		if problem := inTheWay(v, todo, g, allowOutOfOrder); problem != "" {
			return nil, &ConflictError{Version: v.Version, Problem: problem}
		}
	}
	return todo, nil
}

// comparison goes through a plan's steps.
type comparison struct {
	set      *migration.Set
	expected *database.State
	state    *database.State // as it will be, step by step
}

// step reports whether a step is still to do.
func (c *comparison) step(s Step) (left bool, conflict *ConflictError) {
	switch s.Direction {
	case database.Up:
		return c.up(s)
	case database.Down:
		return c.down(s)
	case database.Mark:
		return c.squash(s)
	case database.Baseline:
		return c.baseline(s)
	}
	return c.named(s)
}

func (c *comparison) put(version int64, sum migration.Checksum) {
	if c.state.Applied == nil {
		c.state.Applied = &database.AppliedSet{}
	}
	c.state.Applied.Put(database.AppliedMigration{Version: version, Checksum: sum})
}

// has reports whether a version is applied from a text.
func (c *comparison) has(version int64, sum migration.Checksum) bool {
	a, ok := c.state.Applied.Get(version)
	return ok && a.Checksum == sum
}

func (c *comparison) up(s Step) (bool, *ConflictError) {
	now, isApplied := c.state.Applied.Get(s.Version)
	if q, ok := viewOf(c.set, c.state.Applied).recorded(s.Version); ok && q.Up != s.up {
		return false, nil // with the rest of what the squash replaces
	}
	switch {
	case isApplied && now.Checksum != s.up.Checksum:
		return false, &ConflictError{Version: s.Version, Problem: fmt.Sprintf("was meanwhile applied from another text (checksum %.12s…, here %.12s…)", now.Checksum, s.up.Checksum)}
	case isApplied:
		return false, nil
	}
	for _, r := range s.up.Replaces {
		if _, ok := c.state.Applied.Get(r.Version); ok {
			return false, &ConflictError{Version: r.Version, Problem: fmt.Sprintf("was meanwhile applied, which the squash %d %s replaces", s.Version, s.Name)}
		}
	}
	c.put(s.Version, s.up.Checksum)
	return true, nil
}

func (c *comparison) down(s Step) (bool, *ConflictError) {
	now, isApplied := c.state.Applied.Get(s.Version)
	_, was := c.expected.Applied.Get(s.Version)
	if q, ok := viewOf(c.set, c.state.Applied).recorded(s.Version); ok && q.Version != s.Version {
		return false, &ConflictError{Version: s.Version, Problem: fmt.Sprintf("was meanwhile recorded as part of the squash %d %s", q.Version, q.Name)}
	}
	switch {
	case !isApplied:
		return false, nil
	case was && s.applied.EventID != 0 && now.EventID != s.applied.EventID: // 0: it was to be applied before
		return false, &ConflictError{Version: s.Version, Problem: "was meanwhile taken down and applied again"}
	}
	c.state.Applied.Remove(s.Version)
	return true, nil
}

// squash looks at a squash that is to be recorded.
func (c *comparison) squash(s Step) (bool, *ConflictError) {
	if _, ok := viewOf(c.set, c.state.Applied).recorded(s.Version); ok {
		return false, nil
	}
	for _, r := range s.up.Replaces {
		if !c.has(r.Version, r.Checksum) {
			return false, &ConflictError{Version: r.Version, Problem: fmt.Sprintf("is meanwhile not what the squash %d %s replaces", s.Version, s.Name)}
		}
	}
	for _, a := range s.forgets {
		c.state.Applied.Remove(a.Version)
	}
	c.put(s.Version, s.up.Checksum)
	return true, nil
}

func (c *comparison) baseline(s Step) (bool, *ConflictError) {
	sums := map[int64]migration.Checksum{s.Version: s.up.Checksum}
	for _, m := range s.marks {
		sums[m.Version] = m.Up.Checksum
	}
	empty := c.state.Applied.Len() == 0
	for version, sum := range sums {
		if !empty && !c.has(version, sum) {
			first, _ := c.state.Applied.First()
			return false, &ConflictError{Version: first, Problem: fmt.Sprintf("was meanwhile applied, and the baseline %d %s is for an empty database", s.Version, s.Name)}
		}
	}
	for version, sum := range sums {
		c.put(version, sum)
	}
	return empty, nil
}

// named looks at a repeatable script or a seed.
func (c *comparison) named(s Step) (bool, *ConflictError) {
	now := c.state.Repeated[s.Name]
	if s.Direction == database.Seed {
		now = c.state.Seeded[s.Name]
	}
	switch {
	case now.EventID == s.applied.EventID:
		return true, nil
	case now.Checksum != s.up.Checksum:
		return false, &ConflictError{Version: NilVersion, Script: s.Name, Problem: "was meanwhile run from another text"}
	}
	return false, nil
}

// inTheWay says why a version that another process has applied meanwhile does not go
// with the steps that are still to do; "" if it does.
func inTheWay(v database.AppliedMigration, todo []Step, g Goal, allowOutOfOrder bool) string {
	for _, s := range todo {
		switch {
		case s.Direction == database.Down && v.Version > s.Version:
			return fmt.Sprintf("was meanwhile applied above %d, which is to be rolled back", s.Version)
		case s.Direction == database.Up && v.Version > s.Version && !allowOutOfOrder:
			return fmt.Sprintf("was meanwhile applied above %d, which is still pending", s.Version)
		}
	}
	if g.kind == goalDownTo && v.Version > g.version {
		return "was meanwhile applied above the version to go down to"
	}
	return ""
}
