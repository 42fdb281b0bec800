package drivers_test

import (
	"errors"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// TestChangeBackfill tries every action in every state. An action that is possible leads to the
// state in the table; "-" changes nothing, and "" is refused.
func TestChangeBackfill(t *testing.T) {
	states := []database.BackfillState{
		database.BackfillRunning, database.BackfillPaused, database.BackfillDone, database.BackfillFailed, database.BackfillCancelled,
	}
	for action, want := range map[database.BackfillAction][5]database.BackfillState{
		database.ActionPause:     {"paused", "-", "", "", ""},
		database.ActionResume:    {"-", "running", "", "", ""},
		database.ActionCancel:    {"cancelled", "cancelled", "", "cancelled", "-"},
		database.ActionRetry:     {"-", "", "", "running", "running"},
		database.ActionSet:       {"running", "paused", "", "failed", "cancelled"},
		database.ActionDetach:    {"running", "paused", "", "failed", "cancelled"},
		database.ActionFail:      {"failed", "", "", "-", ""},
		database.ActionPass:      {"running", "", "", "", ""},
		database.ActionThrottled: {"running", "", "", "", ""},
	} {
		for i, state := range states {
			now := time.Now()
			b := database.Backfill{State: state, Now: now, Pass: 1, BackfillLimits: database.BackfillLimits{Batch: 5}}
			out, err := drivers.ChangeBackfill(&b, database.BackfillChange{Action: action, Why: "why"})
			var refused *database.BackfillStateError
			switch want := want[i]; {
			case want == "":
				if !errors.As(err, &refused) || b.State != state {
					t.Errorf("%s of a %s backfill is %v, and it is %s", action, state, err, b.State)
				}
			case err != nil:
				t.Errorf("%s of a %s backfill is refused: %v", action, state, err)
			case want == "-":
				if out.Any || b.State != state {
					t.Errorf("%s of a %s backfill changes it: %+v", action, state, b)
				}
			case !out.Any || b.State != want:
				t.Errorf("%s of a %s backfill makes it %s, want %s", action, state, b.State, want)
			case b.FinishedAt.Equal(now) != (b.State.Ended() && !state.Ended()):
				t.Errorf("%s of a %s backfill ends it at %s", action, state, b.FinishedAt)
			}
		}
	}
}

func TestChangeBackfillKeepsWhatIsLeft(t *testing.T) {
	key := database.Key{"1"}
	for name, b := range map[string]database.Backfill{
		"a lane":                 {State: database.BackfillRunning, Lanes: []database.Lane{{ID: 1}}},
		"keys that have no lane": {State: database.BackfillRunning, Last: key},
	} {
		if _, err := drivers.ChangeBackfill(&b, database.BackfillChange{Action: database.ActionPass}); err == nil {
			t.Errorf("another pass begins although %s is left", name)
		}
	}
	b := database.Backfill{State: database.BackfillFailed, Error: "why", Lanes: []database.Lane{
		{ID: 1, At: key, Failed: true, Attempts: 5, NotBefore: time.Now()}, {ID: 2, Attempts: 2},
	}}
	if out, err := drivers.ChangeBackfill(&b, database.BackfillChange{Action: database.ActionRetry}); err != nil || !out.Lanes {
		t.Fatalf("it is %+v, %v", out, err)
	}
	if l := b.Lanes[0]; b.Error != "" || l.Failed || l.Attempts != 0 || !l.NotBefore.IsZero() || l.At[0] != "1" || b.Lanes[1].Attempts != 2 {
		t.Errorf("after a retry it is %+v", b)
	}
}

func TestChangeBackfillSaysWhatChanged(t *testing.T) {
	b := database.Backfill{State: database.BackfillRunning, BackfillLimits: database.BackfillLimits{Target: time.Second, Parallel: 1}}
	limits := b.BackfillLimits
	limits.Batch, limits.Parallel = 500, 4
	change := database.BackfillChange{Action: database.ActionSet, Limits: limits}
	out, err := drivers.ChangeBackfill(&b, change)
	if want := "batch by itself → 500, parallel 1 → 4"; err != nil || out.Remark != want {
		t.Errorf("the remark is %q, %v; want %q", out.Remark, err, want)
	}
	if out, err := drivers.ChangeBackfill(&b, change); err != nil || out.Any {
		t.Errorf("the same limits are a change: %+v, %v", out, err)
	}
}
