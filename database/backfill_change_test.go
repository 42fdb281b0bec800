package database_test

import (
	"errors"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

var backfillNow = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// Each action changes some states, leaves its own, and is refused in the others.
func TestBackfillChange(t *testing.T) {
	t.Parallel()
	const running, paused, failed, cancelled, finished = database.BackfillRunning, database.BackfillPaused, database.BackfillFailed, database.BackfillCancelled, database.BackfillDone
	states := []database.BackfillState{running, paused, failed, cancelled, finished}
	const refuses = database.BackfillState("refused")
	for _, tt := range []struct {
		action database.BackfillAction
		to     []database.BackfillState // by the state before, "" for no change
	}{
		{database.ActionPause, []database.BackfillState{paused, "", refuses, refuses, refuses}},
		{database.ActionResume, []database.BackfillState{"", running, refuses, refuses, refuses}},
		{database.ActionCancel, []database.BackfillState{cancelled, cancelled, cancelled, "", refuses}},
		{database.ActionRetry, []database.BackfillState{"", refuses, running, running, refuses}},
		{database.ActionFail, []database.BackfillState{failed, refuses, "", refuses, refuses}},
		{database.ActionPass, []database.BackfillState{running, refuses, refuses, refuses, refuses}},
		{database.ActionThrottled, []database.BackfillState{running, "", "", "", ""}},
		{database.ActionDetach, []database.BackfillState{running, paused, failed, cancelled, refuses}},
	} {
		for i, from := range states {
			b := database.Backfill{State: from, Now: backfillNow}
			e, err := b.Change(database.BackfillChange{Action: tt.action, Why: "because"})
			var refused *database.BackfillStateError
			switch want := tt.to[i]; {
			case want == refuses:
				if !errors.As(err, &refused) || e.Changes {
					t.Errorf("%s of a %s backfill: %v, want a *BackfillStateError", tt.action, from, err)
				}
			case err != nil:
				t.Errorf("%s of a %s backfill: %v", tt.action, from, err)
			case want == "":
				if e.Changes || e.Remark != "" || e.After.State != from {
					t.Errorf("%s of a %s backfill changes it: %+v", tt.action, from, e)
				}
			case !e.Changes || e.After.State != want || (e.Remark == "") != (tt.action == database.ActionThrottled):
				t.Errorf("%s of a %s backfill makes it %s (%q), want %s", tt.action, from, e.After.State, e.Remark, want)
			}
		}
	}
}

// A retry lets the lanes that have failed begin again, and no other.
func TestBackfillRetry(t *testing.T) {
	t.Parallel()
	later := backfillNow.Add(time.Minute)
	b := database.Backfill{State: database.BackfillFailed, Error: "rows 1..2: no", Now: backfillNow, Lanes: []database.Lane{
		{ID: 1, Failed: true, Attempts: 5, At: database.Key{"7"}}, {ID: 2, Attempts: 2, NotBefore: later}, {ID: 3, Worker: "w", Token: 4, LeasedUntil: later},
	}}
	e, err := b.Change(database.BackfillChange{Action: database.ActionRetry})
	if err != nil || e.After.Error != "" {
		t.Fatalf("%+v, %v", e, err)
	}
	for i, l := range e.After.Lanes[:2] {
		if l.Failed || l.Attempts != 0 || !l.NotBefore.IsZero() {
			t.Errorf("lane %d is still held back: %+v", i, l)
		}
	}
	if l := e.After.Lanes[2]; l.Worker != "w" || l.Token != 4 {
		t.Errorf("the lane of a worker has changed: %+v", l)
	}
	if !b.Lanes[0].Failed {
		t.Error("the backfill itself has changed")
	}
}

// A pass begins only when no lane is left, and the history says which limits have changed, from
// what to what.
func TestBackfillPassAndLimits(t *testing.T) {
	t.Parallel()
	b := database.Backfill{State: database.BackfillRunning, Pass: 1, Head: database.Key{"9"}, Last: database.Key{"9"}, Lanes: []database.Lane{{ID: 1}}}
	if e, err := b.Change(database.BackfillChange{Action: database.ActionPass}); err != nil || e.Changes {
		t.Errorf("a pass begins with a lane left: %+v, %v", e, err)
	}
	b.Lanes = nil
	if e, err := b.Change(database.BackfillChange{Action: database.ActionPass}); err != nil || e.After.Pass != 2 || e.After.Head != nil || e.Remark != "pass 2" {
		t.Errorf("%+v, %v", e, err)
	}
	b.BackfillLimits = database.BackfillLimits{Batch: 0, Parallel: 1, Pause: 0}
	to := database.BackfillLimits{Batch: 500, Parallel: 1, Pause: 50 * time.Millisecond}
	e, err := b.Change(database.BackfillChange{Action: database.ActionSet, Limits: to})
	if err != nil || e.Remark != "batch auto → 500, pause 0s → 50ms" || e.After.BackfillLimits != to {
		t.Errorf("%+v, %v", e, err)
	}
	b.BackfillLimits = to
	if e, err := b.Change(database.BackfillChange{Action: database.ActionSet, Limits: to}); err != nil || e.Changes {
		t.Errorf("the same limits change something: %+v, %v", e, err)
	}
}
