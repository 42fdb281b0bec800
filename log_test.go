package whimbrel_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// logged returns the records of log, without those at level Debug.
func logged(log *strings.Builder) []string {
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" || strings.HasPrefix(l, "level=DEBUG") })
}

// logger returns options that write records without times and durations to the log.
func logger(log *strings.Builder) whimbrel.Options {
	return whimbrel.Options{Observe: whimbrel.Log(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" || a.Key == "waited" {
				return slog.Attr{}
			}
			return a
		},
	})))}
}

// An older build on a newer database says so, once.
func TestLogNamesANewerDatabase(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	mustUp(t, migrator(t, target, newSet(t, plain(3)...)))
	var log strings.Builder
	mustUp(t, whimbrel.New(open(t, target), newSet(t, plain(2)...), logger(&log)))
	want := []string{`level=INFO msg="database at 3, this build knows 2" set=shop database_version=3 build_version=2`}
	if diff := cmp.Diff(want, logged(&log)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// Each record names the set, and a failure names the migration.
func TestLogOfAFailure(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	set := newSet(t, append(plain(1), script{2, "NONSENSE", "-"})...)
	if err := tryUp(t, whimbrel.New(open(t, memdb.New()), set, logger(&log))); err == nil {
		t.Fatal("Up of a script with a syntax error succeeded")
	}
	got := logged(&log)
	if len(got) != 2 {
		t.Fatalf("got %d records, want 2: %q", len(got), got)
	}
	want := []string{
		`level=INFO msg="migration done" set=shop version=1 name=m1 direction=up`,
		`level=ERROR msg="migration failed" set=shop version=2 name=m2 direction=up error=`,
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("record %d is %q, want %q …", i+1, got[i], want[i])
		}
	}
	for l := range strings.Lines(log.String()) {
		if !strings.Contains(l, " set=shop") {
			t.Errorf("a record does not name the set: %s", l)
		}
	}
}

// Processes that lose a race log nothing above Debug about what another process has done.
func TestLogOfALoser(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := newSet(t, plain(5)...)
	var log strings.Builder
	loser := whimbrel.New(open(t, target), set, logger(&log))
	plan, err := loser.Plan(t.Context(), whimbrel.Latest())
	noError(t, err)
	mustUp(t, migrator(t, target, set))
	_, err = loser.Apply(t.Context(), plan, whimbrel.ApplyOptions{})
	noError(t, err)
	if got := logged(&log); len(got) > 0 {
		t.Errorf("the loser logged %q, want nothing above Debug", got)
	}
	if n := strings.Count(log.String(), `level=DEBUG msg="migration was done by another process"`); n != 5 {
		t.Errorf("%d records about skipped migrations, want 5:\n%s", n, &log)
	}
}

// A wait for the lock is at level Debug at first, and at Warn once it has lasted a second.
func TestLogOfAWait(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	observe := logger(&log).Observe
	for _, waited := range []time.Duration{0, 999 * time.Millisecond, time.Second} {
		observe(t.Context(), whimbrel.LockWaiting{Set: "shop", Holder: database.Holder{PID: 7}, Waited: waited})
	}
	levels := []string{}
	for l := range strings.Lines(log.String()) {
		level, _, _ := strings.Cut(l, " ")
		levels = append(levels, level)
	}
	if diff := cmp.Diff([]string{"level=DEBUG", "level=DEBUG", "level=WARN"}, levels); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
}

// All events of a call carry one context, which is derived from the call's and is no other call's.
func TestEventsCarryTheContextOfTheirCall(t *testing.T) {
	t.Parallel()
	type key struct{}
	seen := map[context.Context]int{}
	set := newSet(t, plain(2)...)
	m := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{Observe: func(ctx context.Context, _ whimbrel.Event) {
		if ctx.Value(key{}) != "mine" {
			t.Error("the context of an event is not derived from the call's")
		}
		seen[ctx]++
	}})
	ctx := context.WithValue(t.Context(), key{}, "mine")
	for _, goal := range []whimbrel.Goal{whimbrel.Latest(), whimbrel.DownTo(1)} {
		_, err := m.Migrate(ctx, goal, whimbrel.ApplyOptions{})
		noError(t, err)
	}
	counts := slices.Sorted(func(yield func(int) bool) {
		for _, n := range seen {
			if !yield(n) {
				return
			}
		}
	})
	// Planned, and StepStarted and StepDone for each step.
	if diff := cmp.Diff([]int{3, 5}, counts); diff != "" {
		t.Errorf("events of each call (-want +got):\n%s", diff)
	}
}

// An attempt that is repeated is an event, and Failed follows whatever stops a call after Planned.
func TestRetryingAndFailed(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	lost := false
	db.SetHook(func(op string) error {
		if op == memdb.OpTxCommit && !lost {
			lost = true
			return memdb.ErrNotCommitted
		}
		return nil
	})
	var retries []whimbrel.Retrying
	mustUp(t, whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
		if r, ok := e.(whimbrel.Retrying); ok {
			retries = append(retries, r)
		}
	}}))
	if len(retries) != 1 {
		t.Fatalf("%d Retrying events, want 1", len(retries))
	}
	if r := retries[0]; r.Attempt != 2 {
		t.Errorf("the event is of attempt %d, want 2", r.Attempt)
	}
	if err := retries[0].Err; !errors.As(err, new(*database.CommitUnknownError)) {
		t.Errorf("the event has the error %v, want a *database.CommitUnknownError", err)
	}
}
