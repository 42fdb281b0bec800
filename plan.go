package whimbrel

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Plan leads from the applied set to a goal. It is a value: making one changes
// nothing, and applying it checks first that it still holds.
type Plan struct {
	Set   string
	Goal  Goal
	Units []Unit
	// Downs are the down scripts that the plan records and that could not run as they are. They keep nothing from being
	// applied.
	Downs []DownProblem

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

// Step is one script that a plan runs, or one migration that it records.
type Step struct {
	Version int64 // NilVersion for a script that belongs to none
	Name    string
	// Direction is database.Up or Down; Baseline for a baseline; Mark for a squash that is
	// recorded without running it; Repeat for a repeatable script, Seed for development data.
	Direction database.Direction
	Script    *migration.Script
	From      ScriptFrom
	// Statements is the number of statements in the script.
	Statements int
	// Unwrapped reports that a BEGIN … COMMIT around the whole script is left out:
	// the unit's own transaction takes its place.
	Unwrapped bool
	// Metadata is the file with the metadata that the migration carries, "" for none.
	Metadata string
	// Secrets are the places of the statements that carry a password, which the history will keep with the script's text.
	Secrets []sqltext.Position

	up, down *migration.Script           // for the history; down is nil where there is none
	metadata []*metadata.Document        // that the migration carries, or those that a baseline stands for; nil for none
	applied  database.AppliedMigration   // what is taken down, or ran last under the step's name
	resume   *database.Journal           // how far the step has come already; nil for nowhere
	marks    []migration.Migration       // recorded as applied with a baseline
	forgets  []database.AppliedMigration // recorded as part of a squash
}

// StandsFor returns the versions that the step records without running them, besides its own:
// those up to a baseline, or those that a squash replaces.
func (s Step) StandsFor() []int64 {
	var vs []int64
	for _, m := range s.marks {
		if m.Version != s.Version {
			vs = append(vs, m.Version)
		}
	}
	for _, a := range s.forgets {
		vs = append(vs, a.Version)
	}
	return vs
}

// Resumes returns the number of the statement, from 1, at which the step goes on that an
// earlier run has left open, 0 for a step that begins.
func (s Step) Resumes() int {
	if s.resume == nil {
		return 0
	}
	return s.resume.Done + 1
}

// runs reports whether the step hands its script to the database.
func (s Step) runs() bool { return s.Direction != database.Mark }

// decide is the heart of planning, and a pure function: from what the set has and
// what is applied to the steps that lead to the goal. The Script of a step that
// comes from the history is not filled in yet.
func decide(set *migration.Set, st *database.State, g Goal, allowOutOfOrder bool) ([]Step, error) {
	if st.Interrupted != nil {
		return decideResumed(set, st, g, allowOutOfOrder)
	}
	return decideFrom(set, st, g, allowOutOfOrder, nil)
}

// decideFrom is decide where nothing is interrupted; taken is what the goal has taken back already.
func decideFrom(set *migration.Set, st *database.State, g Goal, allowOutOfOrder bool, taken []database.AppliedMigration) ([]Step, error) {
	v := viewOf(set, st.Applied)
	downs, err := v.chooseDowns(g)
	if err != nil {
		return nil, err
	}
	steps := make([]Step, 0, len(downs))
	for _, a := range downs {
		s, err := v.downStep(a, g)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	downs = append(downs, taken...)
	c := &climb{view: v, goal: g, downs: downs}
	ups, err := c.run()
	if err != nil {
		return nil, err
	}
	if !allowOutOfOrder {
		if err := checkOrder(set, st.Applied, downs, ups); err != nil {
			return nil, err
		}
	}
	steps = append(steps, ups...)
	if g.kind == goalLatest {
		steps = append(steps, v.repeats(st.Repeated)...)
	}
	return steps, nil
}

// chooseDowns returns what the goal takes back, newest first.
func (v view) chooseDowns(g Goal) ([]database.AppliedMigration, error) {
	if g.kind == goalLatest {
		return nil, nil
	}
	newestFirst := slices.Collect(v.applied.All())
	slices.Reverse(newestFirst)
	switch g.kind {
	case goalVersion, goalUpTo, goalDownTo:
		everything := g.version == NilVersion || g.version == 0 && g.kind == goalDownTo // no version is below 0
		if !everything && !v.known(g.version) {
			return nil, unknownVersion(v.set, v.applied, g.version)
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
			return nil, &TooFewAppliedError{Asked: n, AppliedCount: len(newestFirst)}
		}
		return newestFirst[:max(n, 0)], nil
	}
	return nil, nil
}

// downStep finds the script that takes a version back.
func (v view) downStep(a database.AppliedMigration, g Goal) (Step, error) {
	s := Step{Version: a.Version, Name: a.Name, Direction: database.Down, From: FromHistory, applied: a}
	m, inSet := v.get(a.Version)
	edited := inSet && m.Up.Checksum != a.Checksum
	switch {
	case g.kind == goalRedo && !inSet:
		return s, &UnknownVersionError{Set: v.set.Name(), Version: a.Version, Redo: true}
	case a.Version == v.covered:
		return s, &IrreversibleError{Set: v.set.Name(), Version: a.Version, Name: a.Name, Baseline: true}
	case inSet && m.Down != nil && !(edited && a.HasDownText):
		s.Name, s.From, s.Script, s.down = m.Name, FromSet, m.Down, m.Down
	case !a.HasDownText:
		return s, &IrreversibleError{Set: v.set.Name(), Version: a.Version, Name: a.Name, TextNotKept: !a.DownChecksum.IsZero()}
	}
	return s, nil
}

// checkOrder refuses to apply a version below one that stays applied.
func checkOrder(set *migration.Set, applied *database.AppliedSet, downs []database.AppliedMigration, ups []Step) error {
	if len(ups) == 0 {
		return nil
	}
	newest := NilVersion
	for a := range applied.All() {
		if !slices.ContainsFunc(downs, func(d database.AppliedMigration) bool { return d.Version == a.Version }) {
			newest = a.Version
		}
	}
	var late []migration.Migration
	for _, s := range ups {
		if s.Direction == database.Up && s.Version < newest {
			late = append(late, migration.Migration{Version: s.Version, Name: s.Name, Up: s.up, Down: s.down})
		}
	}
	if len(late) == 0 {
		return nil
	}
	return &OutOfOrderError{Set: set.Name(), Migrations: late, Newest: newest}
}
