package cli

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// interruptedRules handle interrupted runs that can't resume by themselves.
func interruptedRules() []rule {
	return []rule{
		on(kindUsage, func(f *render.Failure, e *whimbrel.NotInterruptedError) {
			f.Next = `"whimbrel status" shows what is applied and what was interrupted.`
			f.SetVersion(e.Version)
			f.Message = relabelled(f, f.Message, e.Version)
			if e.Interrupted != nil && e.Interrupted.Version != e.Version {
				f.Message = relabelled(f, f.Message, e.Interrupted.Version)
			}
			if open := render.NewInterrupted(e.Interrupted, ""); open != nil && e.Interrupted.Version == e.Version {
				f.Next = fmt.Sprintf("Run %q to resume it.", open.Next())
			}
		}),
		on(kindUnresolved, explainInterrupted),
		on(kindUnresolved, explainPartlyApplied),
	}
}

func explainInterrupted(f *render.Failure, stuck *whimbrel.InterruptedError) {
	journal := stuck.Journal
	j := &journal
	j.Held = j.Held && !stuck.Resolvable() // this process held the lock when it found a resolvable run
	f.Name, f.File = j.Name, stuck.File
	f.SetVersion(j.Version)
	if stuck.Pos.Line > 0 {
		setPlace(f, stuck.Pos)
	}
	f.Message = fmt.Sprintf("%s was interrupted and can't resume: %s", which(f), stuck.Problem)
	sql := j.Begun
	if !stuck.Edited && stuck.SQL != "" {
		sql = stuck.SQL
	}
	f.Interrupted, f.Differences = render.NewInterrupted(j, sql), render.NewChanges(stuck.Changes)
	run := resolvable{stuck, j, f.Interrupted, f.Digits}
	switch {
	case stuck.Edited:
		run.edited(f)
	case stuck.SQL != "":
		run.unclear(f)
	case j.Held:
		f.Next = "Another process is still running it. Run the command again when it is done."
	case stuck.Missing:
		run.missing(f)
	case j.Direction == database.Seed:
		f.Next = fmt.Sprintf("Run %q to resume it (with --seeds for another folder). To give it up, run: whimbrel abandon %s", "whimbrel seed", f.Digits.Arg(j.Version, j.Name))
	default:
		f.Next = fmt.Sprintf("Run %q to resume it.", f.Interrupted.Next())
	}
}

// resolvable is an interrupted run that may need a decision.
type resolvable struct {
	*whimbrel.InterruptedError
	j      *database.Journal
	open   *render.Interrupted
	digits render.Digits
}

// command returns the command that records a decision.
func (r resolvable) command(how whimbrel.Resolution) string {
	return fmt.Sprintf("whimbrel resolve %s --%s", r.digits.Arg(r.j.Version, r.j.Name), how)
}

func (r resolvable) choose(f *render.Failure, how whimbrel.Resolution, format string, args ...any) {
	f.Choices = append(f.Choices, render.Choice{Command: r.command(how), Effect: fmt.Sprintf(format, args...)})
}

// edited explains a script whose executed statements were edited.
func (r resolvable) edited(f *render.Failure) {
	next, n := r.open.Next(), r.j.Done
	f.Next = fmt.Sprintf("Restore the executed statements, then run %q to resume. Or check the database and record one of these decisions; that runs nothing:", next)
	if r.j.Direction != database.Seed { // resolve does not read the files of seeds
		r.choose(f, whimbrel.ResolveDone, "if the database has the effect of the edited %s: %q continues after %s", plural(n, "statement", fmt.Sprintf("%d statements", n)), next, plural(n, "it", "them"))
	}
	r.choose(f, whimbrel.ResolveRetry, "if you have undone everything that was executed: %q starts with statement 1", next)
}

// unclear explains a statement with an unknown outcome.
func (r resolvable) unclear(f *render.Failure) {
	next, n := r.open.Next(), r.j.Done+1
	f.Message = fmt.Sprintf("can't tell whether statement %d of %d of %s took effect: %s", n, r.j.Of, which(f), r.Problem)
	f.Next = "Check the database and record one of these decisions; that runs nothing:"
	after := fmt.Sprintf("continues with statement %d", n+1)
	if n == r.j.Of {
		after = "adds the history entry, because it was the last statement"
	}
	r.choose(f, whimbrel.ResolveDone, "if it took effect: %q %s", next, after)
	r.choose(f, whimbrel.ResolveRetry, "if it did not: %q executes it again", next)
	if r.j.Direction != database.Load {
		f.Choices = append(f.Choices, render.Choice{Command: abandonUndone(r.digits, r.j), Effect: "if you have undone everything that the migration did: gives it up"})
	}
}

func abandonUndone(d render.Digits, j *database.Journal) string {
	return "whimbrel abandon " + d.Arg(j.Version, j.Name) + " --undone"
}

// explainPartlyApplied explains a run that can't be abandoned, with the statements that remain.
func explainPartlyApplied(f *render.Failure, e *whimbrel.PartlyAppliedError) {
	j := &e.Journal
	f.Name = j.Name
	f.SetVersion(j.Version)
	f.Interrupted = render.NewInterrupted(j, "")
	f.Message = strings.Replace(relabelled(f, e.Error(), j.Version), fmt.Sprintf(" of set %q", e.Set), "", 1)
	for _, s := range e.Statements {
		f.Remaining = append(f.Remaining, render.Remaining{Statement: s.Number, SQL: s.SQL, Outcome: s.Outcome})
	}
	next := f.Interrupted.Next()
	if e.Undone {
		f.Next = fmt.Sprintf("Undo it, then %s. Or run %q to complete the migration.", runAgain, next)
		return
	}
	f.Next = "Nothing was changed. Choose one:"
	f.Choices = []render.Choice{
		{Command: next, Effect: "completes the migration"},
		{Command: abandonUndone(f.Digits, j), Effect: "if you have undone " + plural(len(e.Statements), "this statement", "these statements") + ": gives the migration up"},
	}
}

// missing explains a script that this build does not have.
func (r resolvable) missing(f *render.Failure) {
	f.Next = fmt.Sprintf("Restore its file, or use a build that has it, then run %q to resume.", r.open.Next())
	if r.j.Direction == database.Down {
		f.Next += " Or finish the rollback by hand, then run: whimbrel forget " + f.Label(r.j.Version)
		return
	}
	f.Next += " To give it up, undo what it did, then run: " + abandonUndone(r.digits, r.j)
}
