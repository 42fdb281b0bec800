package whimbrel

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Plan leads from the applied set to a goal. It is a value: making one changes
// nothing, and applying it checks first that it still holds.
type Plan struct {
	Set   string
	Goal  Goal
	Units []Unit

	base *database.State // what it was made from
}

// Steps returns the steps of all units in order.
func (p *Plan) Steps() []Step { return stepsOf(p.Units) }

func stepsOf(units []Unit) []Step {
	var all []Step
	for _, u := range units {
		all = append(all, u.Steps...)
	}
	return all
}

// UnitKind says how a unit is run.
type UnitKind string

// A batch is one transaction. The statements of a run are executed one by one,
// outside of any.
const (
	BatchUnit UnitKind = "batch"
	RunUnit   UnitKind = "run"
)

// Unit succeeds or fails as a whole, if it is a batch.
type Unit struct {
	Kind UnitKind
	// Why says, for a run, what keeps it from being a batch.
	Why   string
	Steps []Step
}

// ScriptFrom says where a step's script comes from.
type ScriptFrom string

// Up scripts come from the set. Down scripts come from the set if it has the
// version, else from the history.
const (
	FromSet     ScriptFrom = "set"
	FromHistory ScriptFrom = "history"
)

// Step is one migration that a plan takes up or down.
type Step struct {
	Version   int64
	Name      string
	Direction database.Direction // database.Up or database.Down
	Script    *migration.Script
	From      ScriptFrom
	// Statements is the number of statements in the script.
	Statements int
	// Unwrapped reports that a BEGIN … COMMIT around the whole script is left out:
	// the unit's own transaction takes its place.
	Unwrapped bool

	up, down *migration.Script // for the history; down is nil where there is none
	applied  database.Applied  // of a version that is taken down
}

// decide is the heart of planning, and a pure function: from what the set has and
// what is applied to the steps that lead to the goal. The Script of a step that
// comes from the history is not filled in yet.
func decide(set *migration.Set, applied *database.Migrations, g Goal, allowOutOfOrder bool) ([]Step, error) {
	downs, err := chooseDowns(set, applied, g)
	if err != nil {
		return nil, err
	}
	steps := make([]Step, 0, len(downs))
	for _, a := range downs {
		s, err := downStep(set, a, g)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	ups := chooseUps(set, applied, downs, g)
	if !allowOutOfOrder {
		if err := checkOrder(set, applied, downs, ups); err != nil {
			return nil, err
		}
	}
	for _, m := range ups {
		steps = append(steps, Step{
			Version: m.Version, Name: m.Name, Direction: database.Up, Script: m.Up, From: FromSet, up: m.Up, down: m.Down,
		})
	}
	return steps, nil
}

// chooseDowns returns what the goal takes back, newest first.
func chooseDowns(set *migration.Set, applied *database.Migrations, g Goal) ([]database.Applied, error) {
	newestFirst := slices.Collect(applied.All())
	slices.Reverse(newestFirst)
	switch g.kind {
	case goalVersion, goalUpTo, goalDownTo:
		_, inSet := set.Get(g.version)
		_, inDatabase := applied.Read(g.version)
		if g.version != NilVersion && !inSet && !inDatabase {
			return nil, unknownVersion(set, applied, g.version)
		}
		if g.kind == goalUpTo {
			return nil, nil
		}
		n := 0
		for n < len(newestFirst) && newestFirst[n].Version > g.version {
			n++
		}
		return newestFirst[:n], nil
	case goalSteps, goalRedo:
		n := g.steps
		if g.kind == goalSteps {
			n = -n
		}
		if n > len(newestFirst) {
			return nil, &StepsError{Asked: n, Applied: len(newestFirst)}
		}
		return newestFirst[:max(n, 0)], nil
	}
	return nil, nil
}

// downStep finds the script that takes a version back.
func downStep(set *migration.Set, a database.Applied, g Goal) (Step, error) {
	s := Step{Version: a.Version, Name: a.Name, Direction: database.Down, From: FromHistory, applied: a}
	m, inSet := set.Get(a.Version)
	edited := inSet && m.Up.Checksum != a.Checksum
	switch {
	case g.kind == goalRedo && !inSet:
		return s, &UnknownVersionError{Set: set.Name(), Version: a.Version, Redo: true}
	case inSet && m.Down != nil && !(edited && a.HasDownText):
		s.Name, s.From, s.Script, s.down = m.Name, FromSet, m.Down, m.Down
	case !a.HasDownText:
		return s, &IrreversibleError{Set: set.Name(), Version: a.Version, Name: a.Name, TextNotKept: !a.DownChecksum.IsZero()}
	}
	return s, nil
}

// chooseUps returns what the goal applies, in order.
func chooseUps(set *migration.Set, applied *database.Migrations, downs []database.Applied, g Goal) []migration.Migration {
	takenDown := func(v int64) bool {
		return slices.ContainsFunc(downs, func(a database.Applied) bool { return a.Version == v })
	}
	var ups []migration.Migration
	for _, m := range set.All() {
		_, isApplied := applied.Read(m.Version)
		var wanted bool
		switch g.kind {
		case goalLatest:
			wanted = !isApplied
		case goalVersion, goalUpTo:
			wanted = !isApplied && m.Version <= g.version
		case goalSteps:
			wanted = !isApplied && len(ups) < g.steps
		case goalRedo:
			wanted = takenDown(m.Version)
		}
		if wanted {
			ups = append(ups, m)
		}
	}
	return ups
}

// checkOrder refuses to apply a version below one that stays applied.
func checkOrder(set *migration.Set, applied *database.Migrations, downs []database.Applied, ups []migration.Migration) error {
	newest := NilVersion
	for a := range applied.All() {
		if !slices.ContainsFunc(downs, func(d database.Applied) bool { return d.Version == a.Version }) {
			newest = a.Version
		}
	}
	var late []migration.Migration
	for _, m := range ups {
		if m.Version < newest {
			late = append(late, m)
		}
	}
	if len(late) == 0 {
		return nil
	}
	return &OutOfOrderError{Set: set.Name(), Migrations: late, Newest: newest}
}
