package whimbrel

import (
	"context"
	"log/slog"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Event reports progress while a plan is applied. It is one of Planned, DownRefused, LockWaiting,
// StepStarted, Resumed, CleanedUp, StatementStarted, StatementWaiting, StepDone and Failed.
type Event interface{ event() }

// Planned is the first event, before anything is locked.
type Planned struct{ Plan *Plan }

// DownRefused reports that a down script which is about to be recorded could not run. It follows
// Planned; Mark, Accept and Baseline report it too.
type DownRefused struct{ Problem DownProblem }

// LockWaiting reports, repeatedly, that another process holds the migration lock.
type LockWaiting struct {
	Set    string
	Holder database.Holder // zero if the database can't tell
}

// StepStarted reports that the engine is about to pass a step's script to the database.
type StepStarted struct {
	Step      Step
	Index, Of int // among all steps of the plan, from 0
}

// Resumed reports that an interrupted run resumes, with statement From (the first is 1).
type Resumed struct {
	Step     Step
	From, Of int
	Journal  database.Journal // as the interrupted run left it
}

// CleanedUp reports that the engine is about to remove or complete what an interrupted statement
// left behind.
type CleanedUp struct {
	Step      Step
	Statement string // the interrupted one
	SQL       string // the statement that cleans up
	Why       string
}

// StatementWaiting reports, repeatedly, that a statement outside a transaction waits for another
// session. It comes on a goroutine of its own.
type StatementWaiting struct {
	Set    string
	Holder database.Holder // the session that it waits for
}

// StatementStarted reports that a run starts its next statement.
type StatementStarted struct {
	Step      Step
	Index, Of int    // among the script's statements, from 0
	SQL       string // the statement
	Backend   int64  // the server's process that executes it; 0 if unknown
}

// StepDone reports that a step is committed.
type StepDone struct {
	Step      Step
	Index, Of int
	// Duration is that of the script; 0 if Skipped.
	Duration time.Duration
	// Skipped reports that another process did the step meanwhile.
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

// Log returns a function for Options.Observe that writes events to a logger: completed and resumed
// steps at level Info, waiting at Warn, failures at Error, the rest at Debug.
func Log(l *slog.Logger) func(Event) {
	return func(e Event) {
		ctx := context.Background()
		switch e := e.(type) {
		case Planned:
			l.DebugContext(ctx, "migration planned", "set", e.Plan.Set, "goal", e.Plan.Goal.String(), "steps", len(e.Plan.Steps))
		case DownRefused:
			l.WarnContext(ctx, "a down script can't run", "version", e.Problem.Version, "name", e.Problem.Name, "error", e.Problem.Err)
		case LockWaiting:
			l.WarnContext(ctx, "waiting for the migration lock", "set", e.Set, "holder", e.Holder.String())
		case StepStarted:
			l.DebugContext(ctx, "migration started", stepAttrs(e.Step)...)
		case Resumed:
			l.InfoContext(ctx, "migration resumed", append(stepAttrs(e.Step), "statement", e.From, "of", e.Of)...)
		case CleanedUp:
			l.InfoContext(ctx, "cleaning up after the interrupted statement", append(stepAttrs(e.Step), "why", e.Why, "sql", e.SQL)...)
		case StatementWaiting:
			l.WarnContext(ctx, "a statement waits for another session", "set", e.Set, "holder", e.Holder.String())
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
