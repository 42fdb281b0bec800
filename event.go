package whimbrel

import (
	"context"
	"log/slog"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Event is something that happens while a plan is applied. It is one of Planned,
// DownRefused, LockWaiting, StepStarted, Resumed, CleanedUp, StatementStarted, StatementWaiting, StepDone and Failed.
type Event interface{ event() }

// Planned comes first, before anything is locked.
type Planned struct{ Plan *Plan }

// DownRefused says of a down script that is about to be recorded that it could not run as it is. It comes behind Planned, and
// when migrations are recorded without running them.
type DownRefused struct{ Problem DownProblem }

// LockWaiting says that another process holds the migration lock, repeatedly.
type LockWaiting struct {
	Set    string
	Holder database.Holder // the zero Holder: the database can't tell
}

// StepStarted says that a step's script is handed to the database.
type StepStarted struct {
	Step      Step
	Index, Of int // among all steps of the plan, from 0
}

// Resumed says that a run goes on that was left open: at the statement From, from 1.
type Resumed struct {
	Step     Step
	From, Of int
	Journal  database.Journal // as it was left
}

// CleanedUp says that something is taken away, or finished, that a statement left behind which did not
// come to its end.
type CleanedUp struct {
	Step      Step
	Statement string // that left it
	SQL       string // that repairs it
	Why       string
}

// StatementWaiting says that the statement of a run waits for somebody else, repeatedly.
type StatementWaiting struct {
	Set    string
	Holder database.Holder // for whom
}

// StatementStarted says that a run begins its next statement.
type StatementStarted struct {
	Step      Step
	Index, Of int    // among the script's statements, from 0
	SQL       string // the statement
	Backend   int64  // the server's process that executes it; 0: not known
}

// StepDone says that a step stands in the database: its transaction is committed.
type StepDone struct {
	Step      Step
	Index, Of int
	// Duration is how long the script took; 0 when Skipped.
	Duration time.Duration
	// Skipped reports that another process had done it meanwhile.
	Skipped bool
}

// Failed comes last if a step fails: nothing of its transaction remains. Of a script that runs
// outside a transaction, Err says where it stopped. Err is what Apply returns.
type Failed struct{ Err error }

func (Planned) event()          {}
func (DownRefused) event()      {}
func (LockWaiting) event()      {}
func (StepStarted) event()      {}
func (Resumed) event()          {}
func (CleanedUp) event()        {}
func (StatementStarted) event() {}
func (StatementWaiting) event() {}
func (StepDone) event()         {}
func (Failed) event()           {}

// Log returns an observer for Options.Observe that writes the events to a logger:
// done steps at level Info, waiting at Warn, failures at Error, the rest at Debug.
func Log(l *slog.Logger) func(Event) {
	return func(e Event) {
		ctx := context.Background()
		switch e := e.(type) {
		case Planned:
			l.DebugContext(ctx, "migration planned", "set", e.Plan.Set, "goal", e.Plan.Goal.String(), "steps", len(e.Plan.Steps))
		case DownRefused:
			l.WarnContext(ctx, "a down script can't run as it is", "version", e.Problem.Version, "name", e.Problem.Name, "error", e.Problem.Err)
		case LockWaiting:
			l.WarnContext(ctx, "waiting for the migration lock", "set", e.Set, "holder", e.Holder.String())
		case StepStarted:
			l.DebugContext(ctx, "migration started", stepAttrs(e.Step)...)
		case Resumed:
			l.InfoContext(ctx, "migration resumed", append(stepAttrs(e.Step), "statement", e.From, "of", e.Of)...)
		case CleanedUp:
			l.InfoContext(ctx, "repairing what a statement left behind", append(stepAttrs(e.Step), "why", e.Why, "sql", e.SQL)...)
		case StatementWaiting:
			l.WarnContext(ctx, "a statement waits for somebody else", "set", e.Set, "holder", e.Holder.String())
		case StatementStarted:
			l.DebugContext(ctx, "statement started", append(stepAttrs(e.Step), "statement", e.Index+1, "of", e.Of)...)
		case StepDone:
			l.InfoContext(ctx, "migration done", append(stepAttrs(e.Step), "duration", e.Duration, "skipped", e.Skipped)...)
		case Failed:
			l.ErrorContext(ctx, "migration failed", "error", e.Err)
		}
	}
}

func stepAttrs(s Step) []any {
	return []any{"version", s.Version, "name", s.Name, "direction", string(s.Direction)}
}
