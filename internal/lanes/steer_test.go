package lanes_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lanes"
)

// Whatever a row takes, batches soon take the time of the target, and none takes much longer than
// it but the first.
func TestSteer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		target := time.Duration(rapid.IntRange(20, 2000).Draw(t, "target")) * time.Millisecond
		perRow := time.Duration(rapid.IntRange(1_000, 20_000_000).Draw(t, "nanoseconds for a row"))
		fixed := rapid.SampledFrom([]int{0, 0, 0, 1, 700}).Draw(t, "fixed")
		s := &lanes.Steer{}
		s.Set(fixed, target)
		for i := range 60 {
			rows := s.Size()
			took := time.Duration(rows) * perRow
			if fixed > 0 && rows != fixed {
				t.Fatalf("batch %d has %d rows, want %d", i, rows, fixed)
			}
			if fixed == 0 && i > 0 && rows > 1 && took > target*5/4 {
				t.Fatalf("batch %d has %d rows, which take %s", i, rows, took)
			}
			s.Done(rows, int64(rows), took)
		}
		rows := s.Size()
		if more := time.Duration(rows+1) * perRow; fixed == 0 && more < target*19/20 && rows < 1_000_000 {
			t.Fatalf("in the end, batches have %d rows, and one more would take %s", rows, more)
		}
	})
}

// A size grows in steps, shrinks at once, and the rest of a lane says nothing.
func TestSteerSteps(t *testing.T) {
	t.Parallel()
	s := &lanes.Steer{}
	s.Set(0, time.Second)
	check := func(what string, want int) {
		t.Helper()
		if got := s.Size(); got != want {
			t.Errorf("%s: %d rows, want %d", what, got, want)
		}
	}
	check("at first", 1000)
	s.Done(1000, 1000, 100*time.Millisecond)
	check("after a fast batch", 2001)
	s.Done(2001, 3, 900*time.Millisecond)
	check("after the rest of a lane", 2001)
	s.TooSlow(2001, 30*time.Second)
	check("after a timeout", 1000)
	s.Done(1000, 1000, 2*time.Second)
	if n := s.Size(); n > 200 {
		t.Errorf("after a slow batch: %d rows, want fewer, since the timeout counts", n)
	}
	s.Set(500, time.Second)
	check("when an operator fixes it", 500)
	s.TooSlow(500, 30*time.Second)
	check("after a timeout of a fixed size", 250)
	s.Done(250, 250, time.Second)
	check("a step back to it", 301)
	s.Begin(77)
	check("a lane of another worker", 301)
}

func TestDelay(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 7: time.Minute, 1000: time.Minute} {
		if got := lanes.Delay(failures); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	type key = database.Key
	for _, tt := range []struct {
		first, last key
		want        string
	}{
		{nil, nil, "rows"},
		{key{"5"}, key{"5"}, "row 5"},
		{key{"5"}, key{"9"}, "rows 5..9"},
		{key{"7", "a, b"}, key{"8", ""}, "rows (7, a, b)..(8, )"},
	} {
		if got := lanes.Rows(tt.first, tt.last); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// A backfill has failed when all lanes have been cut, and those that are left have failed for good.
func TestFailed(t *testing.T) {
	t.Parallel()
	bad := func(why string) database.Lane { return database.Lane{Failed: true, Error: why} }
	end := database.Key{"9"}
	for _, tt := range []struct {
		name string
		b    database.Backfill
		want string
	}{
		{"no lane is left", database.Backfill{Head: end, Last: end}, ""},
		{"a lane is left", database.Backfill{Head: end, Last: end, Lanes: []database.Lane{bad("a"), {}}}, ""},
		{"the head is not at the end", database.Backfill{Head: database.Key{"3"}, Last: end, Lanes: []database.Lane{bad("a")}}, ""},
		{"all have failed", database.Backfill{Head: end, Last: end, Lanes: []database.Lane{bad("row 1: x"), bad("row 2: y")}}, "row 1: x; row 2: y"},
		{"many have", database.Backfill{Head: end, Last: end, Lanes: []database.Lane{bad("a"), bad("b"), bad("c"), bad("d"), bad("e")}}, "a; b; c; and 2 more"},
	} {
		if why, failed := lanes.Failed(tt.b); why != tt.want || failed != (tt.want != "") {
			t.Errorf("%s: %q, %v, want %q", tt.name, why, failed, tt.want)
		}
	}
}
