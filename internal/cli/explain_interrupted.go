package cli

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// explainInterrupted covers runs that stopped part-way and can't go on by themselves.
func explainInterrupted(f *render.Failure, err error) bool {
	var (
		stuck *whimbrel.InterruptedError
		none  *whimbrel.NotInterruptedError
	)
	switch {
	case errors.As(err, &none):
		f.Kind, f.Next = kindUsage, `"whimbrel status" shows what is applied, and what was stopped.`
		if none.Version != whimbrel.NilVersion {
			f.Version = &none.Version
		}
		if open := render.NewInterrupted(none.Open, ""); open != nil && none.Open.Version == none.Version {
			f.Next = fmt.Sprintf("%q goes on with it.", open.Next())
		}
		return true
	case !errors.As(err, &stuck):
		return false
	}
	journal := stuck.Journal
	j := &journal
	j.Held = j.Held && !stuck.Resolvable() // what can be resolved was found by ourselves, who had the lock
	f.Kind, f.Name, f.File = kindUnresolved, j.Name, stuck.File
	if j.Version != whimbrel.NilVersion {
		f.Version = &j.Version
	}
	if stuck.Pos.Line > 0 {
		setPlace(f, stuck.Pos)
	}
	f.Message = fmt.Sprintf("%s can't go on: %s", which(f), stuck.Problem)
	sql := j.Begun
	if !stuck.Edited && stuck.SQL != "" {
		sql = stuck.SQL
	}
	f.Interrupted, f.Differences = render.NewInterrupted(j, sql), render.NewChanges(stuck.Changes)
	run := resolvable{stuck, j, f.Interrupted}
	switch {
	case stuck.Edited:
		run.edited(f)
	case stuck.SQL != "":
		run.unclear(f)
	case j.Held:
		f.Next = "Another process is at work on it: run the command again when it is done."
	case stuck.Missing:
		run.missing(f)
	case j.Direction == database.Seed:
		f.Next = fmt.Sprintf("%q goes on with it (the folder is --seeds). Or give it up, so that it begins anew whenever it is run: %s", "whimbrel seed", run.command(whimbrel.ResolveRetry))
	default:
		f.Next = fmt.Sprintf("%q goes on with it.", f.Interrupted.Next())
	}
	return true
}

// resolvable is an open run, and what can be said of it.
type resolvable struct {
	*whimbrel.InterruptedError
	j    *database.Journal
	open *render.Interrupted
}

// command is the one that says it.
func (r resolvable) command(how whimbrel.Resolution) string {
	which := strconv.FormatInt(r.j.Version, 10)
	if r.j.Version == whimbrel.NilVersion {
		which = r.j.Name
	}
	return fmt.Sprintf("whimbrel resolve %s --%s", which, how)
}

func (r resolvable) choose(f *render.Failure, how whimbrel.Resolution, format string, args ...any) {
	f.Choices = append(f.Choices, render.Choice{Command: r.command(how), Effect: fmt.Sprintf(format, args...)})
}

// edited is a script whose executed statements are no longer those of its file.
func (r resolvable) edited(f *render.Failure) {
	next, n := r.open.Next(), r.j.Done
	f.Next = fmt.Sprintf("Put back what was executed, and %q goes on. Or look at what the database has, and say which it is; that is recorded, and runs nothing:", next)
	if r.j.Direction != database.Seed { // whose file the command doesn't see
		r.choose(f, whimbrel.ResolveDone, "what the first %s say now stands: %q goes on behind them", statementsOf(n), next)
	}
	r.choose(f, whimbrel.ResolveRetry, "nothing of it stands, what there was you have taken back: %q begins with statement 1", next)
}

// unclear is a statement of which nobody knows whether it has happened.
func (r resolvable) unclear(f *render.Failure) {
	next, n := r.open.Next(), r.j.Done+1
	f.Message = fmt.Sprintf("it is not known whether statement %d of %d of %s has happened: %s", n, r.j.Of, which(f), r.Problem)
	f.Next = "Look at what the database has, and say which it is; that is recorded, and runs nothing:"
	behind := fmt.Sprintf("goes on with statement %d", n+1)
	if n == r.j.Of {
		behind = "records the whole, of which it is the last"
	}
	r.choose(f, whimbrel.ResolveDone, "it has happened: %q %s", next, behind)
	r.choose(f, whimbrel.ResolveRetry, "it has not: %q executes it", next)
}

// missing is a script that this build does not have.
func (r resolvable) missing(f *render.Failure) {
	f.Next = fmt.Sprintf("Put its file back, or use the build that has it, and %q goes on.", r.open.Next())
	switch giveUp := fmt.Sprintf("whimbrel forget %d", r.j.Version); {
	case r.j.Version == whimbrel.NilVersion:
		f.Next += " To give it up, so that nothing of it counts as done: " + r.command(whimbrel.ResolveRetry)
	case r.j.Direction == database.Down:
		f.Next += " Or finish the rollback by hand, and record that: " + giveUp
	default:
		f.Next += " To give it up take back by hand what it has done, and then: " + giveUp
	}
}

func statementsOf(n int) string { return fmt.Sprintf("%d %s", n, plural(n, "statement", "statements")) }
