package whimbrel

import (
	"context"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const abandonWord = "abandon a migration"

// AbandonOptions are the options of Abandon.
type AbandonOptions struct {
	// Undone says that you have undone every statement of the run that took effect. Without it,
	// Abandon refuses a run with such statements.
	Undone bool
	// DryRun changes nothing; the result says what Abandon would do. It takes the migration lock,
	// because the outcome of a statement is known only if no process executes it.
	DryRun bool
	// Overrule must be the name of the database ([Status.Database]) if its setting "protected" is
	// true.
	Overrule string
	// Reason is kept in the history.
	Reason string
}

// Abandoned is what Abandon did, or would do.
type Abandoned struct {
	Set       string
	Version   int64 // NilVersion for a script without a version
	Name      string
	Direction database.Direction // of the run
	// Statement is the number, from 1, of the statement at which the run was interrupted; Of is
	// their count.
	Statement, Of int
	// Outcome says what the database has of that statement, "" if it was not begun.
	Outcome string
	// Removed are the statements that removed what it left behind.
	Removed []string
	DryRun  bool
	// Settings are those of the database. A dry run also works while they freeze it.
	Settings database.Settings
}

// Abandon gives up the interrupted run of a version, of which nothing must remain applied. It
// removes what the interrupted statement left behind, such as an invalid index, ends the run, and
// records that in the history. A migration is then pending again, or still applied if it was being
// rolled back, and its next run starts with its first statement. version is NilVersion for a script
// without a version; the set need not have that script.
//
// Abandon changes nothing and returns
//   - a *PartlyAppliedError if statements of the run took effect, unless opts.Undone says that they
//     are undone; even then if the database shows that the interrupted statement did;
//   - an *InterruptedError if the database can't tell whether the interrupted statement took
//     effect, unless opts.Undone says that it is undone, and for an interrupted reset, which only
//     another reset can end;
//   - a *NotInterruptedError if no run of the version is interrupted;
//   - a *ProtectedError or a *FrozenError if the database's settings do not allow it, except for a
//     dry run.
func (m *Migrator) Abandon(ctx context.Context, version int64, opts AbandonOptions) (*Abandoned, error) {
	m, err := m.complete(ctx)
	if err != nil {
		return nil, err
	}
	var st *database.State
	check := func(now *database.State) error {
		st = now
		return m.mayAbandon(now, version, opts)
	}
	var done *Abandoned
	err = m.guarded(ctx, check, func(r database.Run) (err error) {
		j := *st.Interrupted
		j.Held = false // the holder is this process
		done, err = (&abandoner{m: m, r: r, st: st, j: &j, opts: opts}).run(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// mayAbandon returns an error if a state has no run of the version that could be abandoned.
func (m *Migrator) mayAbandon(st *database.State, version int64, opts AbandonOptions) error {
	if err := checkFrozen(st.Settings); err != nil && !opts.DryRun {
		return err
	}
	j := st.Interrupted
	switch {
	case j == nil || j.Version != version:
		return &NotInterruptedError{Set: m.set.Name(), Version: version, Interrupted: j, Abandon: true}
	case j.Direction == database.Reset:
		_, problem := resumedMove(m.set, st)
		return &InterruptedError{Set: m.set.Name(), Journal: *j, Problem: problem}
	case opts.DryRun:
		return nil
	}
	return CheckProtected(st, abandonWord, opts.Overrule)
}

// abandoner carries one call of Abandon.
type abandoner struct {
	m    *Migrator
	r    database.Run
	st   *database.State
	j    *database.Journal
	opts AbandonOptions
}

func (a *abandoner) run(ctx context.Context) (*Abandoned, error) {
	j := a.j
	done := &Abandoned{
		Set: a.m.set.Name(), Version: j.Version, Name: j.Name, Direction: j.Direction, Statement: j.Done + 1, Of: j.Of, DryRun: a.opts.DryRun,
		Settings: a.st.Settings,
	}
	o, err := a.outcome(ctx)
	if err != nil {
		return nil, err
	}
	remaining := a.applied(ctx)
	switch {
	case o == nil:
	case o.Verdict == database.Unclear && !a.opts.Undone:
		return nil, &InterruptedError{Set: a.m.set.Name(), Journal: *j, SQL: j.Begun, Problem: o.Why, Changes: o.Changes}
	case o.Verdict == database.Happened, o.Remains:
		remaining = append(remaining, RunStatement{Number: j.Done + 1, SQL: j.Begun, Outcome: o.Why})
	case o.Repeatable && !a.opts.Undone:
		remaining = append(remaining, RunStatement{Number: j.Done + 1, SQL: j.Begun, Outcome: "it may have taken effect"})
	}
	if len(remaining) > 0 && !(a.opts.Undone && a.mayBeUndone(o)) {
		return nil, &PartlyAppliedError{Set: a.m.set.Name(), Journal: *j, Statements: remaining, Undone: a.opts.Undone}
	}
	switch {
	case o == nil:
	case o.Verdict == database.NotHappened:
		done.Outcome, done.Removed = o.Why, o.First
	default:
		done.Outcome = "it is undone"
	}
	if a.opts.DryRun {
		return done, nil
	}
	return done, a.end(ctx, done)
}

// mayBeUndone reports whether the database does not contradict that the run was undone. A
// comparison of the schema contradicts it only if the run had executed no other statement: undoing
// that one changes the schema, too.
func (a *abandoner) mayBeUndone(o *database.Outcome) bool {
	switch {
	case o == nil:
		return true
	case o.Verdict == database.Happened:
		return a.j.Done > 0 && len(o.Changes) > 0
	}
	return !o.Remains
}

// outcome determines the outcome of the statement that was begun last, nil if there is none.
func (a *abandoner) outcome(ctx context.Context) (*database.Outcome, error) {
	if a.j.Begun == "" {
		return nil, nil
	}
	return a.r.Outcome(ctx, announced(a.j), a.j.Before, a.m.lockOptions(a.st.Settings))
}

// applied returns the statements of the run that were executed and may have left something. It
// leaves out those that only change the session or control a transaction, if the set has the script
// as it was executed.
func (a *abandoner) applied(ctx context.Context) []RunStatement {
	var known []sqltext.Statement
	if mv, problem := resumedMove(a.m.set, a.st); problem == "" {
		j := *a.j
		if an, edited, err := a.m.compareResumed(ctx, mv, &j); err == nil && !edited {
			known = executed(an, a.j.Done)
		}
	}
	var all []RunStatement
	for n := range a.j.Done {
		s := RunStatement{Number: n + 1}
		if n < len(known) {
			if leavesNothing(known[n]) {
				continue
			}
			s.SQL = known[n].Text
		}
		all = append(all, s)
	}
	return all
}

// executed returns the first statements of a script, with their secrets masked; nil if the script
// can't be read.
func executed(an *migration.Analysis, limit int) (all []sqltext.Statement) {
	for st, err := range an.All() {
		switch {
		case err != nil:
			return nil
		case len(all) == limit:
			return all
		case counts(st):
			st.Text = an.Mask(st.Text)
			all = append(all, st)
		}
	}
	return all
}

// leavesNothing reports whether a statement changed nothing that outlives its session.
func leavesNothing(st sqltext.Statement) bool {
	switch st.Tx {
	case sqltext.TxBegin, sqltext.TxCommit, sqltext.TxRollback, sqltext.TxSavepoint, sqltext.TxCommitChain, sqltext.TxRollbackChain:
		return true
	}
	return st.SetsSession() && st.Verb() != "PRAGMA" && !setsMore.MatchString(st.Text)
}

// setsMore matches SET statements that change more than the session. Pragmas can change the file.
var setsMore = lazyregexp.New(`(?i)\b(global|persist(_only)?|password|statement|default\s+role|resource\s+group)\b`)

// end removes what the interrupted statement left, and ends the run.
func (a *abandoner) end(ctx context.Context, done *Abandoned) error {
	for _, sql := range done.Removed {
		if err := a.r.Exec(ctx, &migration.Script{}, outsideTx(sql, announced(a.j)), nil, nil); err != nil {
			return err
		}
	}
	var all []database.Entry
	if a.j.Error == "" { // the history lacks the attempt of the process that was lost
		lost := lostAttempt(a.j)
		lost.ToolVersion = ToolVersion()
		all = append(all, lost)
	}
	e := database.Entry{
		Version: a.j.Version, Name: a.j.Name, Direction: database.Abandon, Tried: a.j.Direction, Checksum: a.j.Checksum,
		StartedAt: time.Now(), ToolVersion: ToolVersion(), Reason: a.opts.Reason,
	}
	if a.j.Direction == database.Down {
		e.Checksum, e.DownChecksum = migration.Checksum{}, a.j.Checksum
	}
	all = append(all, e)
	recorded, err := a.r.Record(ctx, all...)
	if err != nil {
		return err
	}
	return checkRecorded(recorded.Entries, len(all))
}

// PartlyAppliedError reports an interrupted run that can't be abandoned, because statements of it
// took effect. Nothing has changed.
type PartlyAppliedError struct {
	Set     string
	Journal database.Journal
	// Statements are those that remain applied.
	Statements []RunStatement
	// Undone reports that AbandonOptions.Undone was set, but the database still has the effect of
	// the interrupted statement.
	Undone bool
}

// RunStatement is a statement of an interrupted run.
type RunStatement struct {
	Number int    // from 1
	SQL    string // "" if the set lacks the script as it was executed
	// Outcome says what the database has of the statement at which the run was interrupted. For the
	// others it is "": they are committed.
	Outcome string
}

func (e *PartlyAppliedError) Error() string {
	j := e.Journal
	if last := e.Statements[len(e.Statements)-1]; e.Undone {
		return fmt.Sprintf("%s of set %q can't be abandoned: the database still has the effect of statement %d of %d: %s", what(j.Version, j.Name), e.Set, last.Number, j.Of, last.Outcome)
	}
	n := fmt.Sprintf("%d of its %d statements remain applied", len(e.Statements), j.Of)
	if len(e.Statements) == 1 {
		n = fmt.Sprintf("statement %d of %d remains applied", e.Statements[0].Number, j.Of)
		if why := e.Statements[0].Outcome; why != "" {
			n = fmt.Sprintf("statement %d of %d: %s", e.Statements[0].Number, j.Of, why)
		}
	}
	return fmt.Sprintf("%s of set %q can't be abandoned: %s", what(j.Version, j.Name), e.Set, n)
}
