package whimbrel

import (
	"context"
	"log/slog"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Event is something that happens while a plan is applied. It is one of Planned,
// LockWaiting, StepStarted, StatementStarted, StepDone and UnitFailed.
type Event interface{ event() }

// Planned comes first, before anything is locked.
type Planned struct{ Plan *Plan }

// LockWaiting says that another process holds the migration lock, repeatedly.
type LockWaiting struct {
	Set    string
	Holder database.Holder // the zero Holder: the database can't tell
}

// StepStarted says that a step's script is handed to the database.
type StepStarted struct {
	Step      Step
	Unit      UnitKind
	Index, Of int // among all steps of the plan, from 0
}

// StatementStarted says that a run begins its next statement.
type StatementStarted struct {
	Step      Step
	Index, Of int    // among the script's statements, from 0
	SQL       string // the statement
}

// StepDone says that a step stands in the database: its unit is committed.
type StepDone struct {
	Step      Step
	Index, Of int
	// Duration is how long the script took; 0 when Skipped.
	Duration time.Duration
	// Skipped reports that another process had done it meanwhile.
	Skipped bool
}

// UnitFailed says that a unit came to nothing, or, if it is a run, where it stopped.
type UnitFailed struct {
	Unit Unit
	Err  error
}

func (Planned) event()          {}
func (LockWaiting) event()      {}
func (StepStarted) event()      {}
func (StatementStarted) event() {}
func (StepDone) event()         {}
func (UnitFailed) event()       {}

// Log returns an observer for Options.Observe that writes the events to a logger:
// done steps at level Info, waiting at Warn, failures at Error, the rest at Debug.
func Log(l *slog.Logger) func(Event) {
	return func(e Event) {
		ctx := context.Background()
		switch e := e.(type) {
		case Planned:
			l.DebugContext(ctx, "migration planned", "set", e.Plan.Set, "goal", e.Plan.Goal.String(), "steps", len(e.Plan.Steps()))
		case LockWaiting:
			l.WarnContext(ctx, "waiting for the migration lock", "set", e.Set, "holder", e.Holder.String())
		case StepStarted:
			l.DebugContext(ctx, "migration started", stepAttrs(e.Step)...)
		case StatementStarted:
			l.DebugContext(ctx, "statement started", append(stepAttrs(e.Step), "statement", e.Index+1, "of", e.Of)...)
		case StepDone:
			l.InfoContext(ctx, "migration done", append(stepAttrs(e.Step), "duration", e.Duration, "skipped", e.Skipped)...)
		case UnitFailed:
			l.ErrorContext(ctx, "migration failed", "error", e.Err)
		}
	}
}

func stepAttrs(s Step) []any {
	return []any{"version", s.Version, "name", s.Name, "direction", string(s.Direction)}
}
