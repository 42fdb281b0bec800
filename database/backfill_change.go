package database

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BackfillEffect is what a change does to a backfill.
type BackfillEffect struct {
	// After is the backfill with its lanes as the change makes them, at the time Now. After
	// ActionPass, the driver sets Last to the last key that the table has by then.
	After Backfill
	// Changes is false if nothing changes: then nothing is written.
	Changes bool
	// Remark is what the entry of the history says; "" for a change without an entry.
	Remark string
}

// Change decides what a change does. It is for drivers, and a pure function: the backfill has all
// lanes that are not done, and is locked. If its state does not allow the action, the error is a
// *BackfillStateError.
func (b *Backfill) Change(c BackfillChange) (BackfillEffect, error) {
	a := *b
	a.Lanes = slices.Clone(b.Lanes)
	a.UpdatedAt = b.Now
	e := BackfillEffect{After: a}
	refused := &BackfillStateError{BackfillID: b.BackfillID, Action: c.Action, State: b.State}
	running, paused := b.State == BackfillRunning, b.State == BackfillPaused
	switch c.Action {
	case ActionPause:
		return e.moved(b, running, paused, BackfillPaused, "paused", refused)
	case ActionResume:
		return e.moved(b, paused, running, BackfillRunning, "resumed", refused)
	case ActionCancel:
		return e.moved(b, b.State != BackfillDone, b.State == BackfillCancelled, BackfillCancelled, "cancelled", refused)
	case ActionFail:
		e.After.Error = c.Why
		return e.moved(b, running, b.State == BackfillFailed, BackfillFailed, "failed: "+c.Why, refused)
	case ActionRetry:
		return e.retried(refused)
	case ActionSet:
		if b.State == BackfillDone {
			return e, refused
		}
		e.After.BackfillLimits = c.Limits
		e.Remark = b.BackfillLimits.changes(c.Limits)
		e.Changes = e.Remark != ""
	case ActionDetach:
		if b.State == BackfillDone {
			return e, refused
		}
		e.After.Detached, e.Changes, e.Remark = true, !b.Detached, "detached"
	case ActionPass:
		if !running {
			return e, refused
		}
		// another worker may have begun the pass already
		e.Changes = b.AllCut() && len(b.Lanes) == 0
		e.After.Pass, e.After.Head = b.Pass+1, nil
		e.Remark = fmt.Sprintf("pass %d", e.After.Pass)
	case ActionThrottled:
		e.Changes = running
		e.After.ThrottledBy, e.After.ThrottledAt = c.Why, b.Now
	default:
		return e, fmt.Errorf("a backfill has no action %q", c.Action)
	}
	if !e.Changes {
		return BackfillEffect{After: *b}, nil
	}
	return e, nil
}

// moved is the effect of a change to another state: from one that allows it, or none if the
// backfill has that state already.
func (e BackfillEffect) moved(before *Backfill, allowed, already bool, to BackfillState, remark string, refused error) (BackfillEffect, error) {
	switch {
	case already:
		return BackfillEffect{After: *before}, nil
	case !allowed:
		return e, refused
	}
	e.After.State, e.Changes, e.Remark = to, true, remark
	return e, nil
}

// retried is the effect of ActionRetry.
func (e BackfillEffect) retried(refused *BackfillStateError) (BackfillEffect, error) {
	switch refused.State {
	case BackfillFailed, BackfillCancelled:
		e.Changes = true
	case BackfillRunning: // perhaps with lanes that have failed
	default:
		return e, refused
	}
	for i, l := range e.After.Lanes {
		if l.Failed || l.NotBefore.After(e.After.Now) {
			l.Failed, l.Attempts, l.NotBefore = false, 0, time.Time{}
			e.After.Lanes[i], e.Changes = l, true
		}
	}
	if !e.Changes {
		return e, nil
	}
	e.After.State, e.After.Error, e.Remark = BackfillRunning, "", "retried"
	return e, nil
}

// changes describes how other limits differ from l; "" if they don't.
func (l BackfillLimits) changes(to BackfillLimits) string {
	var all []string
	note := func(name, from, to string) {
		if from != to {
			all = append(all, name+" "+from+" → "+to)
		}
	}
	batch := func(n int) string {
		if n == 0 {
			return "auto"
		}
		return strconv.Itoa(n)
	}
	note("batch", batch(l.Batch), batch(to.Batch))
	note("target", l.Target.String(), to.Target.String())
	note("parallel", strconv.Itoa(l.Parallel), strconv.Itoa(to.Parallel))
	note("pause", l.Pause.String(), to.Pause.String())
	note("timeout", l.Timeout.String(), to.Timeout.String())
	note("attempts", strconv.Itoa(l.Attempts), strconv.Itoa(to.Attempts))
	return strings.Join(all, ", ")
}

// Entry returns the entry of a backfill's history for a change with this remark.
func (c BackfillChange) Entry(b Backfill, remark string) Entry {
	return Entry{
		Set: b.Set, Version: b.Version, Name: b.Name, Direction: Control, StartedAt: b.Now, Reason: c.Reason, Remark: remark,
	}
}
