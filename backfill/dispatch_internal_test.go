package backfill

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/database"
)

const testTurn = 15 * time.Second

// A job that is lost is replaced as soon as the lease of its lane has ended, and not before.
func TestMissingSlots(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 7, 0, 0, 0, time.UTC)
	running := func(number, life int, ago time.Duration) slot {
		return slot{SlotArgs: SlotArgs{Slot: number, Life: life}, running: true, since: now.Add(-ago)}
	}
	for _, c := range []struct {
		name     string
		parallel int
		leased   int // lanes with a worker
		jobs     []slot
		want     []string // slot.life
	}{
		{"none yet", 2, 0, nil, []string{"0.0", "1.0"}},
		{"all wait in the queue", 2, 0, []slot{{SlotArgs: SlotArgs{Slot: 0}}, {SlotArgs: SlotArgs{Slot: 1}}}, nil},
		{"one is missing", 2, 1, []slot{running(1, 0, time.Second)}, []string{"0.0"}},
		{"more than allowed now", 1, 2, []slot{running(0, 0, time.Second), running(1, 0, time.Second)}, nil},
		{"in its turn, without a lane", 1, 0, []slot{running(0, 0, 14*time.Second)}, nil},
		{"late, with a lane", 1, 1, []slot{running(0, 0, 40*time.Second)}, nil},
		{"late, and its lease has ended", 1, 0, []slot{running(0, 2, 40*time.Second)}, []string{"0.3"}},
		{
			"late, and the lanes are those of others", 3, 2,
			[]slot{running(0, 0, time.Second), running(1, 0, 2*time.Second), running(2, 0, time.Minute)},
			[]string{"2.1"},
		},
		{
			"of two that are late, one has a lane: the older one is lost", 2, 1,
			[]slot{running(0, 0, 30*time.Second), running(1, 0, 50*time.Second)},
			[]string{"1.1"},
		},
		{"longer than it can take", 1, 1, []slot{running(0, 0, time.Hour)}, []string{"0.1"}},
		{
			"replaced already", 1, 0,
			[]slot{running(0, 0, time.Hour), {SlotArgs: SlotArgs{Slot: 0, Life: 1}}},
			nil,
		},
	} {
		b := database.Backfill{Now: now, BackfillLimits: database.BackfillLimits{Parallel: c.parallel, Timeout: 30 * time.Second}}
		for i := range c.leased {
			b.Lanes = append(b.Lanes, database.Lane{ID: int64(i), Worker: "w", LeasedUntil: now.Add(time.Second)})
		}
		b.Lanes = append(b.Lanes, database.Lane{ID: 99, Worker: "killed", LeasedUntil: now.Add(-time.Second)})
		var got []string
		for _, s := range missingSlots(b, c.jobs, now, testTurn) {
			got = append(got, fmt.Sprintf("%d.%d", s.Slot, s.Life))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: missing slots (-want +got):\n%s", c.name, diff)
		}
	}
}

// Whatever jobs exist, dispatching makes all slots work or wait, with jobs that do not exist yet,
// and a second dispatch finds nothing to do.
func TestDispatchingSettles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 29, 7, 0, 0, 0, time.UTC)
		b := database.Backfill{Now: now}
		b.Parallel, b.Timeout = rapid.IntRange(1, 6).Draw(t, "parallel"), 30*time.Second
		for i := range rapid.IntRange(0, b.Parallel).Draw(t, "leased") {
			b.Lanes = append(b.Lanes, database.Lane{ID: int64(i), Worker: "w", LeasedUntil: now.Add(time.Second)})
		}
		have := map[SlotArgs]bool{}
		var jobs []slot
		for range rapid.IntRange(0, 10).Draw(t, "jobs") {
			s := slot{
				SlotArgs: SlotArgs{Slot: rapid.IntRange(0, 6).Draw(t, "slot"), Life: rapid.IntRange(0, 3).Draw(t, "life")},
				running:  rapid.Bool().Draw(t, "running"),
				since:    now.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "seconds")) * time.Second),
			}
			if !have[s.SlotArgs] { // River keeps one of each
				have[s.SlotArgs] = true
				jobs = append(jobs, s)
			}
		}
		for _, m := range missingSlots(b, jobs, now, testTurn) {
			m.Limit = 0
			if have[m] {
				t.Fatalf("the slot %d, life %d exists", m.Slot, m.Life)
			}
			if m.Slot >= b.Parallel {
				t.Fatalf("the slot %d is missing, of %d", m.Slot, b.Parallel)
			}
			jobs = append(jobs, slot{SlotArgs: m})
		}
		if again := missingSlots(b, jobs, now, testTurn); len(again) > 0 {
			t.Fatalf("a second dispatch misses %v", again)
		}
		working := map[int]bool{}
		for _, j := range jobs {
			if !j.running {
				working[j.Slot] = true
			}
		}
		for i := range b.Parallel {
			if !working[i] && !hasRunning(jobs, i, now) {
				t.Fatalf("nobody works on slot %d", i)
			}
		}
	})
}

func hasRunning(jobs []slot, number int, now time.Time) bool {
	for _, j := range jobs {
		if j.Slot == number && j.running && now.Sub(j.since) < testTurn+90*time.Second {
			return true
		}
	}
	return false
}
