package whimbrel

import (
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Plan lists the steps from the state of a database to a goal. Making a plan changes nothing. Apply
// checks first, under the lock, that the plan still leads to the goal.
type Plan struct {
	Set   string
	Goal  Goal
	Steps []Step
	// Atomic reports that one transaction does all steps. Otherwise each step has a transaction
	// of its own, or runs outside a transaction.
	Atomic bool
	// Current is the newest applied version of the database, Newest that of the set; NilVersion for
	// none. Current is above Newest if an older build plans for a newer database.
	Current, Newest int64
	// Downs are the down scripts that the plan records and that could not run as they are.
	// They do not prevent the plan from being applied.
	Downs []DownProblem
	// Warnings are those of the set and, if it has left down scripts unread, of those that the plan
	// has read.
	Warnings []migration.Warning

	set   *migration.Set  // with the down scripts that the plan needs
	base  *database.State // the state that the plan was made from
	until Goal            // Goal in absolute terms
}

// Settings returns the settings that the database had when the plan was made.
func (p *Plan) Settings() database.Settings {
	if p.base == nil {
		return database.Settings{}
	}
	return p.base.Settings
}

// ScriptFrom says where a step's script comes from.
type ScriptFrom string

// Up scripts come from the set. Down scripts come from the set if it has the version, otherwise
// from the history.
const (
	FromSet     ScriptFrom = "set"
	FromHistory ScriptFrom = "history"
)

// Mode says how a step's script is run.
type Mode string

// A script runs in one transaction, or its statements are executed one by one outside a
// transaction.
const (
	InTransaction      Mode = "transaction"
	OutsideTransaction Mode = "outside a transaction"
	InBatches          Mode = "batches" // of a backfill, each in a transaction
)

// Step is what a plan does with one migration: run a script, or record the migration; start a
// backfill, or continue one.
type Step struct {
	Set     string
	Version int64 // NilVersion for a script without a version
	Name    string
	// Direction is database.Up or Down; Baseline for a baseline; Mark for a squash that is
	// recorded without running it; Repeat for a repeatable script, Seed for development data; Start
	// for a backfill, and Finish for one that was started earlier and now continues.
	Direction database.Direction
	Script    *migration.Script
	From      ScriptFrom
	Mode      Mode
	// Why is what prevents the script from running in a transaction, "" if it runs in one.
	Why string
	// Statements is the number of statements in the script.
	Statements int
	// Unwrapped reports that a BEGIN … COMMIT around the whole script is left out:
	// the step's transaction takes its place.
	Unwrapped bool
	// Metadata is the file with the metadata that the migration carries, "" for none.
	Metadata string
	// Backfill is what a backfill changes, and how; nil for any other step. Target is its table, if
	// the step starts it and no earlier step may change it; Sync are then the statements that create
	// its triggers. Detached says that the step only starts it. Continued is how far a backfill was
	// that the step continues; nil for one that it starts.
	Backfill  *migration.Backfill
	Target    *database.BackfillTarget
	Sync      []string
	Detached  bool
	Continued *BackfillStatus
	// After are the backfills that must be done before the step.
	After []Dependency
	// Secrets are the places of statements that contain a password, which the history will keep
	// with the script's text.
	Secrets []sqltext.Position

	move     move
	metadata []*metadata.Document // of the migration, or of those that a baseline includes; nil for none
}

// Records returns the versions that the step records without running them, besides its own:
// those up to a baseline, or those that a squash replaces.
func (s Step) Records() []int64 {
	var vs []int64
	for _, m := range s.move.marks {
		if m.Version != s.Version {
			vs = append(vs, m.Version)
		}
	}
	for _, a := range s.move.forgets {
		vs = append(vs, a.Version)
	}
	return vs
}

// Resumes returns the number of the statement, from 1, at which the step resumes an interrupted
// run, 0 for a step that starts from the beginning.
func (s Step) Resumes() int {
	if s.move.resume == nil {
		return 0
	}
	return s.move.resume.Done + 1
}
