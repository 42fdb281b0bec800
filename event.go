package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Event reports progress while a plan is applied. It is one of Planned, DownRefused, LockWaiting,
// StepStarted, Resumed, CleanedUp, StatementStarted, StatementWaiting, Retrying, StepDone and
// Failed.
type Event interface{ event() }

// Planned is the first event, before anything is locked.
type Planned struct{ Plan *Plan }

// DownRefused reports that a down script which is about to be recorded could not run. It follows
// Planned; Mark, Accept and Baseline report it too.
type DownRefused struct {
	Set     string
	Problem DownProblem
}

// LockWaiting reports, repeatedly, that another process holds the migration lock.
type LockWaiting struct {
	Set    string
	Holder database.Holder // zero if the database can't tell
	Waited time.Duration   // so far
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

// StatementWaiting reports, repeatedly, that a statement waits for other sessions. It comes on a
// goroutine of its own.
type StatementWaiting struct {
	Set      string
	Blockage database.Blockage // what it waits for; its SQL is masked
}

// StatementStarted reports that a run starts its next statement.
type StatementStarted struct {
	Step      Step
	Index, Of int    // among the script's statements, from 0
	SQL       string // the statement
	Backend   int64  // the server's process that executes it; 0 if unknown
	// Leftover is what the statement may leave behind if it is interrupted, such as "an invalid
	// index"; "" for nothing.
	Leftover string
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
type Failed struct {
	Set string
	Err error
}

// Retrying reports that the engine makes another attempt at the steps whose transaction, or run,
// ended with Err: another process changed the database, or the answer to a COMMIT was lost. Nothing
// of the last attempt remains, unless its COMMIT succeeded; then the steps are skipped.
type Retrying struct {
	Set     string
	Attempt int // 2 for the second
	Err     error
}

func (Planned) event()          {}
func (DownRefused) event()      {}
func (LockWaiting) event()      {}
func (StepStarted) event()      {}
func (Resumed) event()          {}
func (CleanedUp) event()        {}
func (StatementStarted) event() {}
func (StatementWaiting) event() {}
func (StepDone) event()         {}
func (Retrying) event()         {}
func (Failed) event()           {}

// Log returns a function for Options.Observe that writes events to a logger. Each record has the
// attribute "set"; one about a migration also has "version", "name" and "direction". The levels are
//
//   - Error for a failure;
//   - Warn for a wait for another session that lasts a second or longer, for down scripts that
//     can't run, and for another attempt after the answer to a COMMIT was lost;
//   - Info for completed and resumed steps, and for a database that is newer than the set;
//   - Debug for the rest, such as steps that another process has done.
func Log(l *slog.Logger) func(context.Context, Event) {
	return func(ctx context.Context, e Event) {
		switch e := e.(type) {
		case Planned:
			logPlan(ctx, l, e.Plan)
		case DownRefused:
			l.WarnContext(ctx, "a down script can't run", "set", e.Set, "version", e.Problem.Version, "name", e.Problem.Name, "error", e.Problem.Err)
		case LockWaiting:
			level := slog.LevelDebug
			if e.Waited >= time.Second {
				level = slog.LevelWarn
			}
			l.Log(ctx, level, "waiting for the migration lock", "set", e.Set, "waited", e.Waited, "holder", e.Holder.String())
		case StepStarted:
			l.DebugContext(ctx, "migration started", stepAttrs(e.Step)...)
		case Resumed:
			l.InfoContext(ctx, "migration resumed", append(stepAttrs(e.Step), "statement", e.From, "of", e.Of)...)
		case CleanedUp:
			l.InfoContext(ctx, "cleaning up after the interrupted statement", append(stepAttrs(e.Step), "why", e.Why, "sql", e.SQL)...)
		case StatementWaiting:
			l.WarnContext(ctx, "a statement waits for another session", "set", e.Set, "holder", e.Blockage.First().String())
		case StatementStarted:
			l.DebugContext(ctx, "statement started", append(stepAttrs(e.Step), "statement", e.Index+1, "of", e.Of)...)
		case StepDone:
			logDone(ctx, l, e)
		case Retrying:
			level := slog.LevelDebug
			if errors.As(e.Err, new(*database.CommitUnknownError)) {
				level = slog.LevelWarn
			}
			l.Log(ctx, level, "trying again", "set", e.Set, "attempt", e.Attempt, "error", e.Err)
		case Failed:
			logFailure(ctx, l, e)
		}
	}
}

func logPlan(ctx context.Context, l *slog.Logger, p *Plan) {
	if p.Current > p.Newest && p.Newest != NilVersion {
		l.InfoContext(ctx, fmt.Sprintf("database at %d, this build knows %d", p.Current, p.Newest),
			"set", p.Set, "database_version", p.Current, "build_version", p.Newest)
	}
	l.DebugContext(ctx, "migration planned", "set", p.Set, "goal", p.Goal.String(), "steps", len(p.Steps))
}

func logDone(ctx context.Context, l *slog.Logger, e StepDone) {
	if e.Skipped {
		l.DebugContext(ctx, "migration was done by another process", stepAttrs(e.Step)...)
		return
	}
	l.InfoContext(ctx, "migration done", append(stepAttrs(e.Step), "duration", e.Duration)...)
}

func logFailure(ctx context.Context, l *slog.Logger, e Failed) {
	attrs := []any{"set", e.Set}
	var failed *MigrationError
	if errors.As(e.Err, &failed) {
		attrs = append(attrs, "version", failed.Version, "name", failed.Name, "direction", string(failed.Direction))
	}
	l.ErrorContext(ctx, "migration failed", append(attrs, "error", e.Err)...)
}

func stepAttrs(s Step) []any {
	return []any{"set", s.Set, "version", s.Version, "name", s.Name, "direction", string(s.Direction)}
}
