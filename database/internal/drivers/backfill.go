package drivers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Changed is what ChangeBackfill returns.
type Changed struct {
	// Any is false if the action changes nothing: then nothing is stored or recorded.
	Any bool
	// Remark is that of the entry to record; "" for none.
	Remark string
	// Last says that the last key must be looked up, and stored in the backfill.
	Last bool
	// Lanes says that the failed lanes have changed.
	Lanes bool
}

// ChangeBackfill applies an action to a backfill that is locked. An action that the state does not
// allow is a *database.BackfillStateError, and changes nothing.
func ChangeBackfill(b *database.Backfill, c database.BackfillChange) (Changed, error) {
	from, to := allowed(c.Action)
	state := b.State
	switch {
	case to != "" && b.State == to:
		return Changed{}, nil
	case !slices.Contains(from, b.State),
		c.Action == database.ActionPass && (len(b.Lanes) > 0 || !b.AllCut()):
		return Changed{}, &database.BackfillStateError{BackfillID: b.BackfillID, Action: c.Action, State: b.State}
	}
	out := Changed{Any: true}
	if to != "" {
		b.State = to
	}
	if ended := b.State.Ended(); ended && !state.Ended() {
		b.FinishedAt = b.Now
	} else if !ended {
		b.FinishedAt = time.Time{}
	}
	switch c.Action {
	case database.ActionPause:
		out.Remark = "paused"
	case database.ActionResume:
		out.Remark = "resumed"
	case database.ActionCancel:
		out.Remark = "cancelled"
	case database.ActionRetry:
		out.Remark, out.Lanes, b.Error = "retried", true, ""
		for i := range b.Lanes {
			if l := &b.Lanes[i]; l.Failed {
				l.Failed, l.Attempts, l.NotBefore = false, 0, time.Time{}
			}
		}
	case database.ActionSet:
		out.Remark = limitsRemark(b.BackfillLimits, c.Limits)
		out.Any = out.Remark != ""
		b.BackfillLimits = c.Limits
	case database.ActionDetach:
		out.Any = !b.Detached
		out.Remark, b.Detached = "detached", true
	case database.ActionFail:
		out.Remark, b.Error = "failed: "+c.Why, c.Why
	case database.ActionPass:
		b.Pass++
		b.Head, b.Last, out.Last = nil, nil, true
		out.Remark = fmt.Sprintf("pass %d", b.Pass)
	case database.ActionThrottled:
		b.ThrottledBy, b.ThrottledAt = c.Why, b.Now
	}
	return out, nil
}

// allowed returns the states in which an action is possible, and the state to which it leads; "" if
// it leaves the state as it is.
func allowed(a database.BackfillAction) (from []database.BackfillState, to database.BackfillState) {
	const (
		running, paused, done       = database.BackfillRunning, database.BackfillPaused, database.BackfillDone
		failed, cancelled, whatever = database.BackfillFailed, database.BackfillCancelled, ""
	)
	type states = []database.BackfillState
	switch a {
	case database.ActionPause:
		return states{running}, paused
	case database.ActionResume:
		return states{paused}, running
	case database.ActionCancel:
		return states{running, paused, failed}, cancelled
	case database.ActionRetry:
		return states{failed, cancelled}, running
	case database.ActionFail:
		return states{running}, failed
	case database.ActionSet, database.ActionDetach:
		return states{running, paused, failed, cancelled}, whatever
	case database.ActionPass, database.ActionThrottled:
		return states{running}, whatever
	}
	return nil, whatever
}

// limitsRemark describes a change of limits; "" for none.
func limitsRemark(was, now database.BackfillLimits) string {
	var all []string
	add := func(name string, was, now any) {
		if was != now {
			all = append(all, fmt.Sprintf("%s %v → %v", name, was, now))
		}
	}
	batch := func(n int) any {
		if n == 0 {
			return "by itself"
		}
		return n
	}
	add("batch", batch(was.Batch), batch(now.Batch))
	add("target", was.Target, now.Target)
	add("parallel", was.Parallel, now.Parallel)
	add("pause", was.Pause, now.Pause)
	add("timeout", was.Timeout, now.Timeout)
	add("attempts", was.Attempts, now.Attempts)
	return strings.Join(all, ", ")
}
