package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Resolution is your decision about an interrupted run that can't resume by itself.
type Resolution string

// The resolutions. If the outcome of a statement is unknown, ResolveDone says that it took effect,
// so the run resumes with the next one; ResolveRetry says that it did not, so the run executes it
// again. If executed statements of a script were edited, ResolveDone says that the edited ones
// describe what was executed; ResolveRetry says that nothing of it remains, so the run starts with
// the first statement.
const (
	ResolveDone  Resolution = "done"
	ResolveRetry Resolution = "retry"
)

// Resolved is what Resolve did.
type Resolved struct {
	Version int64
	Name    string
	// Statement is the number of the statement that the run resumes with, from 1; Of is their
	// count.
	Statement, Of int
}

// Resolve decides an *InterruptedError. It writes the decision into the journal, and the reason
// into the history, and executes nothing. The next Up resumes from there. version is NilVersion
// for a script without a version; the set need not have that script.
//
// Resolve returns a *NotInterruptedError if no run of the version is interrupted, or nothing is in
// question: the database shows whether the statement took effect, and the next Up acts on that. It
// returns an *InterruptedError if the run can't be decided, such as that of a migration whose file
// is missing or of an interrupted reset.
func (m *Migrator) Resolve(ctx context.Context, version int64, how Resolution, reason string) (*Resolved, error) {
	m, err := m.complete(ctx)
	if err != nil {
		return nil, err
	}
	var st *database.State
	var d *resolved
	check := func(now *database.State) (err error) {
		st = now
		d, err = m.resolve(ctx, st, version, how)
		return err
	}
	err = m.Guarded(ctx, check, func(r database.Run) error {
		was, j := st.Interrupted, d.journal
		if err := m.inQuestion(ctx, r, st, d); err != nil {
			return err
		}
		all := []database.Entry{{Version: j.Version, Name: j.Name, Direction: database.Resolve, StartedAt: time.Now(), ToolVersion: ToolVersion(), Reason: reason, Remark: d.remark}}
		j.Error = was.Error
		if was.Error == "" { // the history lacks the attempt of the process that was lost
			lost := lostAttempt(was)
			lost.ToolVersion, j.Error = ToolVersion(), lost.Error
			all = append([]database.Entry{lost}, all...)
		}
		if _, err := r.Record(ctx, all...); err != nil {
			return err
		}
		if !j.Started() {
			return r.Journal(ctx, nil)
		}
		return r.Journal(ctx, j)
	})
	if err != nil {
		return nil, err
	}
	j := d.journal
	return &Resolved{Version: j.Version, Name: j.Name, Statement: j.Done + 1, Of: j.Of}, nil
}

// inQuestion returns a *NotInterruptedError if the database shows the outcome of the statement that
// a decision is about. The next run acts on what the database shows, and removes what the statement
// left half-built. A decision would discard what the journal knows, and could contradict it.
func (m *Migrator) inQuestion(ctx context.Context, r database.Run, st *database.State, d *resolved) error {
	if !d.begun {
		return nil
	}
	j := *st.Interrupted
	o, err := r.Outcome(ctx, announced(&j), j.Before, m.lockOptions(st.Settings))
	if err != nil || o.Verdict == database.Unclear {
		return err
	}
	j.Held = false // the holder is this process
	return &NotInterruptedError{Set: m.set.Name(), Version: j.Version, Interrupted: &j}
}

// resolved is what a resolution changes.
type resolved struct {
	journal *database.Journal // after the decision
	remark  string            // for the history
	begun   bool              // it is about the statement that was begun, and the set has the script
}

// resolve returns what a resolution changes in a state.
func (m *Migrator) resolve(ctx context.Context, st *database.State, version int64, how Resolution) (*resolved, error) {
	if how != ResolveDone && how != ResolveRetry {
		return nil, fmt.Errorf("unknown resolution %q; use %q or %q", how, ResolveDone, ResolveRetry)
	}
	if st.Interrupted == nil || st.Interrupted.Version != version {
		return nil, &NotInterruptedError{Set: m.set.Name(), Version: version, Interrupted: st.Interrupted}
	}
	j := *st.Interrupted
	mv, problem := resumedMove(m.set, st)
	// A script without a version that the set lacks: development data, or a repeatable script whose
	// file is gone. After a reset the database still has what it was to drop.
	unseen := problem != "" && version == NilVersion && j.Direction != database.Reset
	var an *migration.Analysis
	edited := false
	var err error
	switch {
	case unseen:
	case problem != "":
		return nil, &InterruptedError{Set: m.set.Name(), Journal: j, Problem: problem, Missing: j.Direction != database.Reset}
	default:
		if an, edited, err = m.compareResumed(ctx, mv, &j); err != nil {
			return nil, err
		}
	}
	n := j.Done
	switch {
	case edited && how == ResolveDone:
		if j.Done, j.DoneSum, _, err = prefix(an, n); err != nil {
			return nil, err
		}
		return &resolved{journal: &j, remark: fmt.Sprintf("the first %d statements of the edited script replace the %d that were executed", j.Done, n)}, nil
	case edited:
		j.Done, j.DoneSum, j.Begun, j.Before = 0, migration.Checksum{}, "", ""
		return &resolved{journal: &j, remark: fmt.Sprintf("the edited script starts again; %d of its statements had been executed", n)}, nil
	case j.Begun != "" && how == ResolveDone:
		j.Add(sqltext.Statement{Text: j.Begun})
		return &resolved{journal: &j, remark: fmt.Sprintf("statement %d of %d took effect", n+1, j.Of), begun: !unseen}, nil
	case j.Begun != "":
		j.Begun, j.Before, j.Error = "", "", ""
		return &resolved{journal: &j, remark: fmt.Sprintf("statement %d of %d is executed again", n+1, j.Of), begun: !unseen}, nil
	case unseen && how == ResolveDone:
		return nil, &InterruptedError{Set: m.set.Name(), Journal: j, Problem: problem, Missing: j.Direction != database.Seed}
	case unseen:
		return &resolved{
			journal: &database.Journal{Version: j.Version, Name: j.Name, Of: j.Of},
			remark:  fmt.Sprintf("the script starts again; %d of its statements had been executed", n),
		}, nil
	}
	return nil, &NotInterruptedError{Set: m.set.Name(), Version: version, Interrupted: &j}
}

// compareResumed reports whether the executed statements of an interrupted run were edited. It
// updates the journal to the present script.
func (m *Migrator) compareResumed(ctx context.Context, mv move, j *database.Journal) (an *migration.Analysis, edited bool, err error) {
	read, err := m.readDowns(ctx, []move{mv})
	if err != nil {
		return nil, false, err
	}
	script := read[0].script
	if an, err = script.Analyze(m.db.Dialect(), m.db.Tables()); err != nil {
		return nil, false, err
	}
	err = checkPrefix(m.set.Name(), script, an, j)
	edited = errors.As(err, new(*InterruptedError))
	if err != nil && !edited {
		return nil, false, err
	}
	j.Of, j.Checksum, j.Error = an.Statements, script.Checksum, ""
	return an, edited, nil
}

// NotInterruptedError reports that no run of a version is interrupted.
type NotInterruptedError struct {
	Set         string
	Version     int64
	Interrupted *database.Journal // the interrupted run, of this version or of another; nil for none
	Abandon     bool              // the call was Abandon, not Resolve
}

func (e *NotInterruptedError) Error() string {
	nothing := "nothing to resolve"
	if e.Abandon {
		nothing = "nothing to abandon"
	}
	switch j := e.Interrupted; {
	case j == nil && e.Version == NilVersion:
		return fmt.Sprintf("%s: no script of set %q is interrupted", nothing, e.Set)
	case j == nil:
		return fmt.Sprintf("%s: version %d of set %q is not interrupted", nothing, e.Version, e.Set)
	case j.Version == e.Version:
		return fmt.Sprintf("%s: %s was interrupted at statement %d of %d, and the next run resumes there", nothing, what(j.Version, j.Name), j.Done+1, j.Of)
	case e.Version == NilVersion:
		return fmt.Sprintf("%s: no script without a version of set %q is interrupted; %s is", nothing, e.Set, what(j.Version, j.Name))
	default:
		return fmt.Sprintf("%s: version %d of set %q is not interrupted; %s is", nothing, e.Version, e.Set, what(j.Version, j.Name))
	}
}
