package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// backfillRules handle backfills that are not done.
func backfillRules() []rule {
	return []rule{
		on(kindUsage, func(f *render.Failure, e *noBackfillError) {
			f.Version = &e.version
			f.Message = fmt.Sprintf("set %q has no backfill %s in this database", e.set, f.Label(e.version))
			f.Next = `"whimbrel backfill" lists the backfills. "whimbrel up" starts one that is pending.`
		}),
		is(database.ErrNoBackfill, kindUsage, func(f *render.Failure, _ error) {
			f.Next = `"whimbrel backfill" lists the backfills.`
		}),
		on(kindUsage, explainBackfillState),
		on(kindUnfinished, func(f *render.Failure, e *whimbrel.UnfinishedError) {
			setBackfill(f, e.Backfill)
			f.Name = e.Name
			f.SetVersion(e.Version)
			b := f.Backfill
			f.Message = fmt.Sprintf("%s comes after the backfill %s, which is not done: %s", which(f), f.Digits.Name(b.Version, b.Name), b.Progress())
			f.Next = `To wait for it, add --wait. "whimbrel backfill" shows how far it is.`
			if b.Detached {
				f.Next = fmt.Sprintf(`Workers execute it: run "whimbrel work", or here "whimbrel backfill run %s". To wait for it, add --wait.`, f.Label(b.Version))
			}
			if stuck := stuckNext(f, b); stuck != "" {
				f.Next = stuck + ", then " + runAgain + "."
			}
		}),
		on(kindUnfinished, explainBackfill),
	}
}

// setBackfill sets the backfill of a failure.
func setBackfill(f *render.Failure, b whimbrel.BackfillStatus) {
	d := render.NewBackfill(b)
	f.Backfill = &d
}

// stuckNext advises how to continue a backfill that continues only if an operator says so; "" for
// any other.
func stuckNext(f *render.Failure, b *render.Backfill) string {
	label := f.Label(b.Version)
	switch database.BackfillState(b.State) {
	case database.BackfillPaused:
		return fmt.Sprintf("To continue it, run \"whimbrel backfill resume %s\"", label)
	case database.BackfillCancelled:
		return fmt.Sprintf("It was cancelled. To take it up again, run \"whimbrel backfill retry %s\"", label)
	case database.BackfillFailed:
		return fmt.Sprintf("Remove the cause, run \"whimbrel backfill retry %s\"", label)
	}
	return ""
}

// explainBackfill explains a backfill that the call ended before it was done.
func explainBackfill(f *render.Failure, e *whimbrel.BackfillError) {
	setBackfill(f, e.Backfill)
	f.Backfill.Version, f.Backfill.Name = e.Version, e.Name
	f.Name = e.Name
	f.SetVersion(e.Version)
	b, name, at := f.Backfill, "the backfill "+f.Digits.Name(e.Version, e.Name), ""
	if e.Entry.ID != 0 && e.State != database.BackfillFailed {
		f.Entry = render.Pointer(render.NewEntry(e.Entry))
		at = f.Entry.Author()
	}
	at += ", after " + b.Progress()
	if e.Waited && e.Err != nil {
		f.Kind, f.Message = kindBackfill, "can't wait for "+name+" any longer"+at+": "+e.Err.Error()
		f.Next = `The backfill continues. "whimbrel backfill" shows how far it is.`
		return
	}
	switch e.State {
	case database.BackfillPaused:
		f.Message, f.Next = name+" is paused"+at, stuckNext(f, b)+", then "+runAgain+"."
	case database.BackfillCancelled:
		f.Message, f.Next = name+" is cancelled"+at, stuckNext(f, b)+", then "+runAgain+"."
	case database.BackfillFailed:
		f.Kind = kindBackfill
		f.Message = name + " failed: " + strings.TrimSpace(b.Error)
		f.Detail = "it stopped after " + b.Progress() + "; what is committed remains"
		f.Next = fmt.Sprintf(`Remove the cause, run "whimbrel backfill retry %s", then %s. If the script is wrong, run "whimbrel down" (or, without a down script, "whimbrel forget %[1]s"), correct the file, and run "whimbrel up".`, f.Label(e.Version), runAgain)
		if said, ok := asType[*database.StatementError](e.Err); ok {
			f.SQLState, f.Hint = said.Code, said.Hint
			setPlace(f, said.Pos)
		}
	default:
		explainStopped(f, e, name, at)
	}
}

// explainStopped explains a backfill that could continue, but not in this call.
func explainStopped(f *render.Failure, e *whimbrel.BackfillError, name, at string) {
	f.Next = f.Backfill.Again(f.Digits)
	if frozen, ok := asType[*whimbrel.FrozenError](e.Err); ok {
		f.Kind, f.Message = kindFrozen, name+" stopped"+at+": "+frozen.Error()
		f.Reason, f.By, f.Since, f.Until = frozen.Reason, frozen.By, render.NewInstant(frozen.Since), render.NewInstant(frozen.Until)
		f.Next = `To allow it again, run "whimbrel thaw". ` + f.Next
		return
	}
	f.Kind = kindBackfill
	if errors.Is(e.Err, whimbrel.ErrNoText) {
		f.Message = name + " can't continue here: " + whimbrel.ErrNoText.Error()
		f.Next = "Run the command with a folder that has its file: add --dir FOLDER."
		return
	}
	if e.Err != nil {
		inner := &render.Failure{Message: e.Err.Error(), Kind: kindBackfill, Digits: f.Digits}
		applyRule(rules(), inner, e.Err)
		f.Kind, f.Message, f.SQLState = inner.Kind, name+" stopped"+at+": "+inner.Message, inner.SQLState
		if inner.Next != "" && inner.Next != nothingChanged {
			f.Next = inner.Next + " " + f.Next
		}
		return
	}
	f.Message = name + " stopped" + at
}

// interruptedBackfill says how far a backfill is that a signal has interrupted.
func interruptedBackfill(f *render.Failure, err error) {
	b := f.Backfill
	_, waits := asType[*whimbrel.UnfinishedError](err)
	if e, ok := asType[*whimbrel.BackfillError](err); waits || ok && e.Waited {
		f.Message += " while waiting for the backfill " + f.Digits.Name(b.Version, b.Name)
		f.Detail, f.Next = "the backfill continues; it was at "+b.Progress(), "Run the same command again to continue."
		return
	}
	f.Message += " during the backfill " + f.Digits.Name(b.Version, b.Name)
	f.Detail = "it stopped after " + b.Progress() + "; what is committed remains"
	f.Next = b.Again(f.Digits)
	f.Name, f.Version, f.Direction = b.Name, &b.Version, ""
}

// past are the actions as participles.
var past = map[database.BackfillAction]string{
	database.ActionPause: "paused", database.ActionResume: "resumed", database.ActionCancel: "cancelled",
	database.ActionRetry: "retried", database.ActionSet: "changed", database.ActionDetach: "detached",
}

func explainBackfillState(f *render.Failure, e *database.BackfillStateError) {
	f.Version = &e.Version
	f.Message = fmt.Sprintf("the backfill %s can't be %s: it is %s", f.Label(e.Version), past[e.Action], e.State)
	b := &render.Backfill{Version: e.Version, State: string(e.State)}
	f.Next = fmt.Sprintf(`"whimbrel backfill show %s" shows its state.`, f.Label(e.Version))
	if next := stuckNext(f, b); next != "" && e.Action != database.ActionPause {
		f.Next = next + "."
	}
}
