package whimbrel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// remaining returns which planned moves remain to be done after other processes have changed the
// database. It is a pure function. It decides again: another process has done a planned move that
// is not among the new ones, and a new move that was not planned is a conflict.
func remaining(set *migration.Set, expected, now *database.State, planned []move, g Goal, allowOutOfOrder bool) ([]bool, error) {
	if len(planned) > 0 && (planned[0].resume == nil || !planned[0].isRun(now.Interrupted)) {
		now = now.Clone()
		now.Interrupted = nil // another process is executing it
	}
	c := comparison{set: set, expected: expected, now: now, planned: planned}
	if changed := c.rolledBack(); changed != nil {
		return nil, changed
	}
	decided, err := decide(set, now, g, allowOutOfOrder)
	if err != nil {
		return nil, c.explain(err)
	}
	// A backfill that continues needs no lock, and is looked at once more when its turn comes.
	decided = slices.DeleteFunc(decided, func(m move) bool { return m.direction == database.Finish })
	left, extra := match(planned, decided)
	if extra != nil {
		return nil, c.unplanned(*extra)
	}
	for i, m := range planned {
		a, _ := now.Applied.Get(m.version)
		left[i] = left[i] || m.direction == database.Finish && a.Unfinished
	}
	todo := planned
	if slices.Contains(left, false) {
		todo = nil
		for i, m := range planned {
			if left[i] {
				todo = append(todo, m)
			}
		}
	}
	if changed := c.otherEnd(after(expected, planned...), after(now, todo...)); changed != nil {
		return nil, changed
	}
	return left, nil
}

// match finds each decided move among the planned ones, in the same order. It begins at the end: of
// two equal planned moves, the later one remains to be done.
func match(planned, decided []move) (left []bool, extra *move) {
	left = make([]bool, len(planned))
	i := len(planned)
	for _, m := range slices.Backward(decided) {
		for i--; i >= 0 && !planned[i].covers(m); i-- {
		}
		if i < 0 {
			return nil, firstUnplanned(planned, decided, m)
		}
		left[i] = true
	}
	return left, nil
}

// firstUnplanned returns the first move that no planned one covers, or else the one that came in
// another order than planned.
func firstUnplanned(planned, decided []move, otherwise move) *move {
	for _, m := range decided {
		if !slices.ContainsFunc(planned, func(p move) bool { return p.covers(m) }) {
			return &m
		}
	}
	return &otherwise
}

// covers reports whether a planned move is the decided one.
func (m move) covers(decided move) bool {
	if m.version != decided.version || m.direction != decided.direction || m.name != decided.name || m.from != decided.from {
		return false
	}
	switch m.direction {
	case database.Down: // 0: the plan itself was to apply it first
		return m.applied.EntryID == 0 || m.applied.EntryID == decided.applied.EntryID
	case database.Repeat, database.Seed:
		return m.applied.EntryID == decided.applied.EntryID
	}
	return m.up.Checksum == decided.up.Checksum
}

func conflict(version int64, format string, args ...any) *ConflictError {
	return &ConflictError{Version: version, Problem: fmt.Sprintf(format, args...)}
}

// comparison explains why a plan no longer fits the database.
type comparison struct {
	set           *migration.Set
	expected, now *database.State
	planned       []move
}

// rolledBack finds a version that another process has rolled back, or recorded as part of a squash,
// against the plan.
func (c *comparison) rolledBack() *ConflictError {
	v := viewOf(c.set, c.now.Applied)
	for a := range c.expected.Applied.All() {
		q, recorded := v.recorded(a.Version)
		down := slices.ContainsFunc(c.planned, func(m move) bool { return m.version == a.Version && m.direction == database.Down })
		switch {
		case down && recorded && q.Version != a.Version:
			return conflict(a.Version, "was recorded in the meantime as part of the squash %s", q)
		case !down && !recorded && !v.isApplied(a.Version):
			return conflict(a.Version, "was rolled back in the meantime")
		}
	}
	return nil
}

// otherEnd finds a version that would end in another state than the plan intended.
func (c *comparison) otherEnd(intended, end *database.State) *ConflictError {
	v := viewOf(c.set, end.Applied)
	for _, m := range c.planned {
		if m.version == NilVersion {
			continue
		}
		want, applied := intended.Applied.Get(m.version)
		have, isApplied := end.Applied.Get(m.version)
		_, recorded := v.recorded(m.version)
		switch {
		case applied && isApplied && have.Checksum != want.Checksum:
			return conflict(m.version, "was applied in the meantime from a different script (checksum %.12s…, here %.12s…)", have.Checksum, want.Checksum)
		case applied && !isApplied && !recorded:
			return conflict(m.version, "would no longer be applied by the remaining steps")
		case !applied && isApplied:
			return conflict(m.version, appliedAgain)
		}
	}
	return nil
}

// explain returns the conflict that is the cause of an error of deciding, or else the error.
func (c *comparison) explain(err error) error {
	var order *OutOfOrderError
	if errors.As(err, &order) {
		if _, was := c.expected.Applied.Get(order.Newest); !was {
			return conflict(order.Newest, "was applied in the meantime, above %d, which is still pending", order.Migrations[0].Version)
		}
	}
	version, change := c.firstChange()
	if change == "" {
		return err
	}
	return conflict(version, "was %s in the meantime, and now the goal can't be reached: %v", change, err)
}

// unplanned explains why a move is necessary that was not planned.
func (c *comparison) unplanned(m move) error {
	was, ok := c.expected.Applied.Get(m.version)
	switch {
	case m.version == NilVersion:
		return &ConflictError{Version: NilVersion, Script: m.name, Problem: "ran in the meantime from a different script"}
	case m.direction == database.Down && ok && was.EntryID != m.applied.EntryID:
		return conflict(m.version, appliedAgain)
	case m.direction == database.Down && !ok:
		return conflict(m.version, "was applied in the meantime, and would have to be rolled back as well")
	}
	version, change := c.firstChange()
	if change == "" {
		version, change = m.version, "changed"
	}
	return conflict(version, "was %s in the meantime, and now the plan would have to include %s", change, what(m.version, m.name))
}

// appliedAgain is the Problem of a version that the plan rolls back and that was replaced since.
const appliedAgain = "was rolled back and applied again in the meantime"

// firstChange returns the lowest version that another process has changed and how, "" for none.
func (c *comparison) firstChange() (version int64, change string) {
	for a := range c.now.Applied.All() {
		if was, ok := c.expected.Applied.Get(a.Version); !ok {
			return a.Version, "applied"
		} else if was.EntryID != a.EntryID {
			return a.Version, "changed"
		}
	}
	for a := range c.expected.Applied.All() {
		if _, ok := c.now.Applied.Get(a.Version); !ok {
			return a.Version, "rolled back"
		}
	}
	return NilVersion, ""
}
