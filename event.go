package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lanes"
)

// Event reports progress while a plan is applied. It is one of Planned, DownRefused, LockWaiting,
// StepStarted, Resumed, CleanedUp, StatementStarted, StatementWaiting, Terminated, Retrying,
// BackfillProgress, BackfillWaiting, BackfillRetrying, StepDone and Failed.
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

// StatementStarted reports that a run starts its next statement, or the next few together.
type StatementStarted struct {
	Step      Step
	Index, Of int    // among the script's statements, from 0
	Together  int    // how many statements start, from this one on
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
	// Retries is how often the step was tried again because of a lock, and LockWait how long these
	// attempts and the pauses between them took.
	Retries  int
	LockWait time.Duration
}

// Failed comes last if a step fails: nothing of its transaction remains. Of a script that runs
// outside a transaction, Err says where it stopped. Err is what Apply returns.
type Failed struct {
	Set string
	Err error
}

// Retrying reports that the engine makes another attempt at the steps whose transaction, or run,
// ended with Err: a statement waited too long for a lock, or the database chose it to end a
// deadlock; another process changed the database; or the answer to a COMMIT was lost. Nothing of
// the last attempt remains, unless its COMMIT succeeded; then the steps are skipped. Statements of
// a run that are committed remain.
type Retrying struct {
	Set     string
	Step    Step // the one that failed; NilVersion for a call that has no steps, such as Reset
	Attempt int  // 2 for the second
	Err     error
	// Pause is how long the engine waits before the attempt, and Left how long further attempts may
	// begin. Both are 0 if a lock is not the reason.
	Pause, Left time.Duration
	// Blockage is what was last known about the sessions that the statement waited for. It is zero
	// if nothing is known.
	Blockage database.Blockage
	// Statement is the number of the statement, from 1, if the run stays open and only the
	// statement is executed again; 0 if the transaction or run begins again.
	Statement int
}

// Terminated reports that a session was terminated because a step had waited for it longer than
// Options.TerminateBlockersAfter. It comes on a goroutine of its own.
type Terminated struct {
	Set     string
	Step    Step // NilVersion for a call that has no steps, such as Reset
	Blocker database.Blocker
}

func (Planned) event()          {}
func (DownRefused) event()      {}
func (LockWaiting) event()      {}
func (StepStarted) event()      {}
func (Resumed) event()          {}
func (CleanedUp) event()        {}
func (StatementStarted) event() {}
func (StatementWaiting) event() {}
func (Terminated) event()       {}
func (StepDone) event()         {}
func (Retrying) event()         {}
func (Failed) event()           {}

// Log returns a function for Options.Observe that writes events to a logger. Each record has the
// attribute "set"; one about a migration also has "version", "name" and "direction". The levels are
//
//   - Error for a failure;
//   - Warn for a wait for another session that lasts a second or longer, for another attempt
//     because of a lock or after the answer to a COMMIT was lost, for a session that was
//     terminated, for rows of a backfill that failed, for a limit that holds a backfill back, and
//     for down scripts that can't run;
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
			l.Log(ctx, waitLevel(e.Waited), "waiting for the migration lock", "set", e.Set, "waited", e.Waited, "holder", e.Holder.String())
		case StepStarted:
			l.DebugContext(ctx, "migration started", stepAttrs(e.Step)...)
		case Resumed:
			l.InfoContext(ctx, "migration resumed", append(stepAttrs(e.Step), "statement", e.From, "of", e.Of)...)
		case CleanedUp:
			l.InfoContext(ctx, "cleaning up after the interrupted statement", append(stepAttrs(e.Step), "why", e.Why, "sql", e.SQL)...)
		case StatementWaiting:
			b := e.Blockage
			l.Log(ctx, waitLevel(b.Waited), "a statement waits for another session",
				"set", e.Set, "waited", b.Waited, "lock", b.Lock, "object", b.Object, "holder", b.First().String(), "queued", b.Queued)
		case Terminated:
			l.WarnContext(ctx, "terminated a session that blocked a migration", append(stepAttrs(e.Step), "session", e.Blocker.Holder.String())...)
		case BackfillProgress:
			b := e.Backfill
			l.DebugContext(ctx, "backfill", append(fillAttrs(e.Set, b.Version, b.Name), "rows", b.RowsDone, "of", b.RowsEstimated, "rows_per_second", int64(b.RowsPerSecond))...)
		case BackfillWaiting:
			l.WarnContext(ctx, "a limit holds the backfill back", append(fillAttrs(e.Set, e.Backfill.Version, e.Backfill.Name), "why", lanes.Why(e.Signals), "waited", e.Waited)...)
		case BackfillRetrying:
			l.WarnContext(ctx, "rows of a backfill failed", append(fillAttrs(e.Set, e.Version, e.Name), "rows", lanes.Rows(e.First, e.Last), "attempt", e.Attempt, "error", e.Err, "pause", e.Pause)...)
		case StatementStarted:
			l.DebugContext(ctx, "statement started", append(stepAttrs(e.Step), "statement", e.Index+1, "of", e.Of, "together", e.Together)...)
		case StepDone:
			logDone(ctx, l, e)
		case Retrying:
			logRetry(ctx, l, e)
		case Failed:
			logFailure(ctx, l, e)
		}
	}
}

// waitLevel returns the level of a wait.
func waitLevel(waited time.Duration) slog.Level {
	if waited >= time.Second {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func logRetry(ctx context.Context, l *slog.Logger, e Retrying) {
	attrs := []any{"set", e.Set, "attempt", e.Attempt, "error", e.Err}
	level := slog.LevelDebug
	switch {
	case forALock(e.Err):
		level, attrs = slog.LevelWarn, append(attrs, "pause", e.Pause, "left", e.Left)
	case errors.As(e.Err, new(*database.CommitUnknownError)):
		level = slog.LevelWarn
	}
	l.Log(ctx, level, "trying again", attrs...)
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
	attrs := append(stepAttrs(e.Step), "duration", e.Duration)
	if e.Retries > 0 {
		attrs = append(attrs, "retries", e.Retries, "lock_wait", e.LockWait)
	}
	l.InfoContext(ctx, "migration done", attrs...)
}

func logFailure(ctx context.Context, l *slog.Logger, e Failed) {
	attrs := []any{"set", e.Set}
	var failed *MigrationError
	if errors.As(e.Err, &failed) {
		attrs = append(attrs, "version", failed.Version, "name", failed.Name, "direction", string(failed.Direction))
	}
	var fill *BackfillError
	if errors.As(e.Err, &fill) {
		attrs = append(attrs, "version", fill.Version, "name", fill.Name, "state", string(fill.State))
	}
	l.ErrorContext(ctx, "migration failed", append(attrs, "error", e.Err)...)
}

func fillAttrs(set string, version int64, name string) []any {
	return []any{"set", set, "version", version, "name", name}
}

func stepAttrs(s Step) []any {
	return []any{"set", s.Set, "version", s.Version, "name", s.Name, "direction", string(s.Direction)}
}
