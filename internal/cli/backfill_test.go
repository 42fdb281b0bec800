package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestLimitsOfABackfill(t *testing.T) {
	t.Parallel()
	base := database.LimitsOf(&migration.Backfill{Batch: 100})
	want := base
	want.Batch, want.Target, want.Parallel, want.Pause, want.Timeout, want.Attempts = 500, time.Second, 4, 50*time.Millisecond, time.Minute, 9
	changes, err := parseLimits(strings.Fields("batch=500 target=1s parallel=4 pause=50ms timeout=1m attempts=9"))
	if err != nil {
		t.Fatal(err)
	}
	got := base
	for _, change := range changes {
		change(&got)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	changes, err = parseLimits([]string{"batch=auto", "pause=0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(&got)
	}
	if got.Batch != 0 || got.Pause != 0 || got.Parallel != 4 {
		t.Errorf("got %+v; want only batch and pause to be 0", got)
	}
}

func TestWrongLimitsOfABackfill(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"batch":                 "has no value; write batch=VALUE",
		"batch=0":               "is not auto or a number from 1",
		"batch=lots":            "is not auto or a number from 1",
		"batch=1000001":         "is not auto or a number from 1 to 1000000",
		"target=0":              "is not a duration",
		"target=5":              "is not a duration",
		"parallel=-1":           "is not a number from 1 to 1000",
		"pause=-1s":             "is not a duration",
		"atempts=3":             `no limit "atempts"`,
		"":                      `no limit ""`,
		"parallel=1 parallel=2": "parallel is given twice",
	} {
		_, err := parseLimits(strings.Split(arg, " "))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", arg, err, want)
		}
	}
}

func half(state database.BackfillState) whimbrel.BackfillStatus {
	return whimbrel.BackfillStatus{
		Backfill: database.Backfill{
			BackfillID: database.BackfillID{Set: "default", Version: 12}, Name: "fill", Table: "users", State: state,
			RowsEstimated: 2000, RowsDone: 1000, Batches: 10, Error: "rows 5 to 9: value too long",
		},
		Percent: 50,
	}
}

// Each error about a backfill has a kind, an exit code, how far the backfill is, and what to do.
func TestErrorsOfBackfills(t *testing.T) {
	t.Parallel()
	const far = "50%, 1,000 of about 2,000 rows in 10 batches"
	stopped := func(state database.BackfillState, err error) error {
		return &whimbrel.BackfillError{Set: "default", Version: 12, Name: "fill", Backfill: half(state), State: state, Err: err}
	}
	paused := stopped(database.BackfillPaused, nil).(*whimbrel.BackfillError)
	paused.Entry = database.Entry{ID: 7, DBUser: "ann", Host: "web1", Reason: "the sale", StartedAt: time.Date(2026, 11, 23, 8, 50, 7, 0, time.UTC)}
	detached := half(database.BackfillRunning)
	detached.Detached = true
	for name, c := range map[string]struct {
		err  error
		kind string
		code int
		want []string
	}{
		"comes after":   {&whimbrel.UnfinishedError{Set: "default", Version: 14, Name: "not_null", Backfill: half(database.BackfillRunning)}, "unfinished", 5, []string{"migration 0014 not_null comes after the backfill 0012 fill, which is not done: " + far, "add --wait"}},
		"after failed":  {&whimbrel.UnfinishedError{Version: 14, Backfill: half(database.BackfillFailed)}, "unfinished", 5, []string{`run "whimbrel backfill retry 0012", then run the command again.`}},
		"paused":        {paused, "unfinished", 5, []string{"the backfill 0012 fill is paused by ann@web1 at 2026-11-23 08:50:07 UTC (the sale), after " + far, `"whimbrel backfill resume 0012", then run`}},
		"cancelled":     {stopped(database.BackfillCancelled, nil), "unfinished", 5, []string{"is cancelled, after " + far, `"whimbrel backfill retry 0012"`}},
		"failed":        {stopped(database.BackfillFailed, &database.StatementError{Code: "22001", Pos: sqltext.Position{File: "m/12.sql", Line: 4, Column: 1}}), "backfill", 1, []string{"failed: rows 5 to 9: value too long", far, `run "whimbrel backfill retry 0012", then run the command again`, "22001", "m/12.sql"}},
		"frozen":        {stopped(database.BackfillRunning, &whimbrel.FrozenError{Reason: "moving", By: "ann"}), "frozen", 5, []string{"stopped, after " + far, "frozen by ann", `"whimbrel thaw"`, `"whimbrel up"`}},
		"lost":          {stopped(database.BackfillRunning, &database.ConnectError{Target: "app", Err: errors.New("refused")}), "connection", 1, []string{far, "can't connect to app: refused", `Run "whimbrel up" to continue after the last batch`}},
		"without cause": {stopped(database.BackfillRunning, nil), "backfill", 1, []string{"stopped, after " + far}},
		"no text":       {stopped(database.BackfillRunning, whimbrel.ErrNoText), "backfill", 1, []string{"can't continue here: the history does not have the text", "add --dir FOLDER"}},
		"detached":      {&whimbrel.BackfillError{Version: 12, Backfill: detached, State: database.BackfillRunning}, "backfill", 1, []string{`Run "whimbrel backfill run 0012" to continue`}},
		"wrong state":   {&database.BackfillStateError{BackfillID: database.BackfillID{Version: 12}, Action: database.ActionPause, State: database.BackfillDone}, "usage", 2, []string{"the backfill 0012 can't be paused: it is done", `"whimbrel backfill show 0012"`}},
		"resume failed": {&database.BackfillStateError{BackfillID: database.BackfillID{Version: 12}, Action: database.ActionResume, State: database.BackfillFailed}, "usage", 2, []string{`run "whimbrel backfill retry 0012".`}},
		"none":          {&noBackfillError{version: 12, set: "default"}, "usage", 2, []string{`no backfill 0012`, `"whimbrel backfill" lists`}},
		"none at all":   {database.ErrNoBackfill, "usage", 2, []string{`"whimbrel backfill" lists`}},
	} {
		f, code := explain(t.Context(), c.err, 4)
		wantEqual(t, name+": kind", string(f.Kind), c.kind)
		wantEqual(t, name+": exit code", code, c.code)
		text := strings.Join([]string{f.Message, f.Detail, f.Next, f.SQLState, f.File}, "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, text)
			}
		}
	}
}

// Ctrl-C during a backfill says how far it is, and how it continues.
func TestInterruptedBackfill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{os.Interrupt})
	err := &whimbrel.MigrationError{Version: 12, Name: "fill", Direction: database.Start, Err: &whimbrel.BackfillError{Version: 12, Name: "fill", Backfill: half(database.BackfillRunning), State: database.BackfillRunning, Err: context.Canceled}}
	f, code := explain(ctx, err, 4)
	wantEqual(t, "kind", f.Kind, kindInterrupted)
	wantEqual(t, "exit code", code, 130)
	wantEqual(t, "message", f.Message, "interrupted by Ctrl-C during the backfill 0012 fill")
	wantEqual(t, "detail", f.Detail, "it stopped after 50%, 1,000 of about 2,000 rows in 10 batches; what is committed remains")
	wantEqual(t, "advice", f.Next, `Run "whimbrel up" to continue after the last batch that was committed.`)

	waits := &whimbrel.UnfinishedError{Version: 14, Name: "not_null", Backfill: half(database.BackfillRunning), Err: context.Canceled}
	f, code = explain(ctx, waits, 4)
	wantEqual(t, "exit code of a wait", code, 130)
	wantEqual(t, "message of a wait", f.Message, "interrupted by Ctrl-C while waiting for the backfill 0012 fill")
	wantEqual(t, "detail of a wait", f.Detail, "the backfill continues; it was at 50%, 1,000 of about 2,000 rows in 10 batches")
}
