package render

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// filled is a backfill that is at 43 %.
func filled(change ...func(*whimbrel.BackfillStatus)) whimbrel.BackfillStatus {
	now := time.Date(2026, 11, 23, 8, 50, 7, 0, time.UTC)
	b := whimbrel.BackfillStatus{
		Backfill: database.Backfill{
			BackfillID: database.BackfillID{Set: "default", Version: 12}, Name: "fill_email", Table: "public.users", Key: []string{"id"},
			State: database.BackfillRunning, RowsEstimated: 2_000_000, RowsDone: 860_000, Batches: 860, Pass: 1,
			BackfillLimits: database.LimitsOf(&migration.Backfill{Parallel: 2}),
			Now:            now, StartedAt: now.Add(-time.Minute), UpdatedAt: now,
			Lanes: []database.Lane{
				{ID: 14, After: database.Key{"850000"}, At: database.Key{"860000"}, Last: database.Key{"900000"}, Worker: "web1/17/2", LeasedUntil: now.Add(time.Minute), Rows: 10_000, Batch: 1200},
				{ID: 15, After: database.Key{"900000"}, At: database.Key{"900000"}, Last: database.Key{"950000"}, Attempts: 2, Error: "deadlock detected", NotBefore: now.Add(4 * time.Second)},
				{ID: 16, After: database.Key{"950000"}, At: database.Key{"960000"}, Failed: true, Attempts: 5, Error: "rows 960001 to 960003: value too long"},
			},
		},
		Percent: 43, RowsPerSecond: 14_333.4, Left: 79*time.Second + 400*time.Millisecond,
	}
	for _, c := range change {
		c(&b)
	}
	return b
}

func state(s database.BackfillState) func(*whimbrel.BackfillStatus) {
	return func(b *whimbrel.BackfillStatus) { b.State = s }
}

func held(b *whimbrel.BackfillStatus) {
	b.State = database.BackfillWaiting
	b.ThrottledBy, b.ThrottledAt = "replica b is 12s behind", b.Now.Add(-5*time.Second)
	b.UpdatedAt = b.ThrottledAt.Add(-time.Second)
}

func unknown(b *whimbrel.BackfillStatus) {
	b.Percent, b.RowsPerSecond, b.Left, b.RowsEstimated, b.Lanes, b.Key = -1, 0, 0, 0, nil, nil
}

func TestBackfillList(t *testing.T) {
	t.Parallel()
	p, out, _ := pipe()
	p.digits = 4
	p.Show(&Backfills{List: []Backfill{
		NewBackfill(filled(state(database.BackfillDone), func(b *whimbrel.BackfillStatus) {
			b.Version, b.Percent, b.RowsDone, b.Left, b.Lanes = 3, 100, 2_000_000, 0, nil
		})),
		NewBackfill(filled(held)),
		NewBackfill(filled(unknown, func(b *whimbrel.BackfillStatus) { b.Version, b.Lanes = 13, filled().Lanes })),
	}})
	same(t, out.read(), `VERSION  NAME        TABLE         STATE            DONE  ROWS/S   LEFT  HELD BACK BY
0003     fill_email  public.users  done             100%  14,333
0012     fill_email  public.users  waiting           43%  14,333  1m19s  replica b is 12s behind
0013     fill_email  public.users  running  860,000 rows
`)
	p.Show(&Backfills{Set: "default"})
	same(t, out.read(), "Set \"default\" has no backfills.\n")
}

// What an operator must do for a backfill to continue follows the list.
func TestBackfillListSaysWhatToDo(t *testing.T) {
	t.Parallel()
	stopped := func(b *whimbrel.BackfillStatus) { b.Lanes, b.UpdatedAt = nil, b.Now.Add(-time.Minute) }
	for want, b := range map[string]whimbrel.BackfillStatus{
		`"whimbrel backfill resume 12"`: filled(state(database.BackfillPaused)),
		`"whimbrel backfill retry 12" to continue where it failed`: filled(state(database.BackfillFailed), func(b *whimbrel.BackfillStatus) {
			b.Error = "rows 960001 to 960003: value too long"
		}),
		`To take it up again, run "whimbrel backfill retry 12"`: filled(state(database.BackfillCancelled)),
		`No process works on 12. Run "whimbrel up"`:             filled(stopped),
		`or execute it here with "whimbrel backfill run 12".`:   filled(stopped, func(b *whimbrel.BackfillStatus) { b.Detached = true }),
	} {
		p, out, _ := pipe()
		p.Show(&Backfills{List: []Backfill{NewBackfill(b)}})
		if got := out.read(); !strings.Contains(got, want) {
			t.Errorf("got %s; want %s", got, want)
		}
	}
	p, out, _ := pipe()
	p.Show(&Backfills{List: []Backfill{NewBackfill(filled()), NewBackfill(filled(state(database.BackfillDone), stopped))}})
	if got := out.read(); strings.Contains(got, "Run") {
		t.Errorf("advice about backfills that need none: %s", got)
	}
}

func TestBackfillShow(t *testing.T) {
	t.Parallel()
	p, out, _ := pipe()
	p.digits = 4
	p.Show(&BackfillShown{NewBackfill(filled(held, func(b *whimbrel.BackfillStatus) { b.Detached = true }))})
	same(t, out.read(), `Backfill  0012 fill_email, set "default"
Table     public.users, by id
State     waiting, detached
Done      43%, 860,000 of about 2,000,000 rows in 860 batches
Speed     14,333 rows/s, about 1m19s left, by the average since its start
Held back replica b is 12s behind, 5 seconds ago
Limits    batches of 250ms, 2 in parallel, timeout 30s, 5 attempts
Started   2026-11-23 08:49:07 UTC

LANE  AFTER   AT      LAST    STATE            WORKER       ROWS  BATCH  ATTEMPTS  ERROR
  14  850000  860000  900000  running          web1/17/2  10,000  1,200
  15  900000  900000  950000  retried in 4.0s                  0                2  deadlock detected
  16  950000  960000  –       failed                           0                5  rows 960001 to 960003: value too long
`)
}

func TestBackfillChanges(t *testing.T) {
	t.Parallel()
	p, out, _ := pipe()
	p.Show(NewBackfillChanged(filled(state(database.BackfillPaused)), "Paused"))
	p.Show(NewBackfillChanged(filled(func(b *whimbrel.BackfillStatus) { b.Lanes, b.Batch = nil, 1500 }), "Changed"))
	p.Show(NewBackfillChanged(filled(func(b *whimbrel.BackfillStatus) { b.Lanes = nil }), "Resumed"))
	p.Show(NewBackfillChanged(filled(), "Resumed"))
	p.Show(NewBackfillRun(filled(state(database.BackfillDone), func(b *whimbrel.BackfillStatus) { b.Percent = 100 })))
	p.Show(NewBackfillRun(filled()))
	same(t, out.read(), `Paused 12 fill_email after 43%, 860,000 of about 2,000,000 rows in 860 batches.
To continue, run "whimbrel backfill resume 12".
Changed 12 fill_email: 1,500 rows a batch, 2 in parallel, timeout 30s, 5 attempts.
Resumed 12 fill_email after 43%, 860,000 of about 2,000,000 rows in 860 batches.
Run "whimbrel up" to continue.
Resumed 12 fill_email after 43%, 860,000 of about 2,000,000 rows in 860 batches.
Backfill 12 fill_email is done: 100%, 860,000 rows in 860 batches.
Backfill 12 fill_email is not done yet: 43%, 860,000 of about 2,000,000 rows in 860 batches.
Run "whimbrel backfill run 12" to continue.
`)
}

// Lists are never null. Numbers that are not known are null.
func TestBackfillJSON(t *testing.T) {
	t.Parallel()
	for _, b := range []whimbrel.BackfillStatus{filled(), filled(unknown), {}} {
		text, err := json.Marshal(&Backfills{List: []Backfill{NewBackfill(b)}})
		if err != nil {
			t.Fatal(err)
		}
		var list []map[string]any
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		for name, value := range list[0] {
			switch name {
			case "percent", "rows_per_second", "eta_seconds":
				if known := b.RowsPerSecond > 0; name != "percent" && known != (value != nil) {
					t.Errorf("%s is %v", name, value)
				}
			case "started_at", "updated_at", "finished_at", "throttled_at":
			default:
				if value == nil {
					t.Errorf("%s is null in %s", name, text)
				}
			}
		}
		for _, name := range []string{"version", "name", "table", "state", "rows_done", "rows_estimated", "batches", "rows_per_second", "eta_seconds", "throttled_by", "lanes"} {
			if _, ok := list[0][name]; !ok {
				t.Errorf("%s lacks %s", text, name)
			}
		}
		for _, lane := range list[0]["lanes"].([]any) {
			for _, name := range []string{"first", "last", "at", "worker", "attempts", "error"} {
				if value, ok := lane.(map[string]any)[name]; !ok || value == nil {
					t.Errorf("a lane of %s has %s %v", text, name, value)
				}
			}
		}
	}
	text, err := json.Marshal(&Backfills{})
	if err != nil || string(text) != "[]" {
		t.Errorf("no backfills are %s, %v", text, err)
	}
}

// fillStep is the step of a backfill.
func fillStep(d database.Direction) whimbrel.Step {
	s := step(12, "fill_email", d)
	s.Mode, s.Backfill = whimbrel.InBatches, &migration.Backfill{Table: "users"}
	return s
}

func TestBackfillInAPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, out, err := pipe()
		p.digits = 4
		s := fillStep(database.Start)
		p.Observe(t.Context(), whimbrel.Planned{Plan: plan(s)})
		p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
		p.Observe(t.Context(), whimbrel.BackfillProgress{Set: "default", Backfill: filled()})
		after(startAfter - liveEvery)
		same(t, err.read(), "")
		after(2 * liveEvery)
		same(t, err.read(), "fill 0012 fill_email …\n")
		after(remindEvery - startAfter)
		same(t, err.read(), "fill 0012 fill_email: 43%, 860,000 of about 2,000,000 rows in 860 batches, 14,333 rows/s, about 1m19s left  (30s)\n")
		for range 3 { // one line, although it is reported again and again
			p.Observe(t.Context(), whimbrel.BackfillWaiting{Set: "default", Backfill: filled(held), Signals: []database.Signal{
				{Name: "max-lag", Over: true, Text: "replica b is 12s behind"}, {Name: "max-slot-wal", Err: errors.New("permission denied")},
			}})
		}
		same(t, err.read(), "fill 0012 fill_email: 43%, 860,000 of about 2,000,000 rows in 860 batches; "+
			"held back: replica b is 12s behind; max-slot-wal can't be measured: permission denied\n")
		p.Observe(t.Context(), whimbrel.BackfillRetrying{Set: "default", Version: 12, Name: "fill_email", First: database.Key{"5"}, Last: database.Key{"9"}, Attempt: 2, Err: errors.New("deadlock detected"), Pause: time.Second})
		p.Observe(t.Context(), whimbrel.BackfillRetrying{Set: "default", Version: 12, Name: "fill_email", First: database.Key{"5"}, Last: database.Key{"5"}, Attempt: 3, Err: errors.New("value too\nlong"), Pause: 2 * time.Second})
		same(t, err.read(), `fill 0012 fill_email  the rows 5 to 9 failed, attempt 2 in 1.0s: deadlock detected
fill 0012 fill_email  the row 5 failed, attempt 3 in 2.0s: value too long
`)
		p.Observe(t.Context(), whimbrel.BackfillProgress{Set: "default", Backfill: filled(state(database.BackfillDone), func(b *whimbrel.BackfillStatus) { b.RowsDone = 2_000_000 })})
		p.Observe(t.Context(), whimbrel.StepDone{Step: s, Of: 1, Duration: 140 * time.Second})
		after(2 * remindEvery)
		p.Show(&Result{Applied: []int64{12}, Finished: []int64{12}, Duration: Millis(140 * time.Second)})
		same(t, err.read(), "")
		same(t, out.read(), "fill 0012 fill_email   2m20s, 2,000,000 rows\nApplied 1 migration and finished 1 backfill in 2m20s.\n")
		closed(t, p)
	})
}

func TestBackfillOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, screen := terminal()
		p.digits = 4
		s := fillStep(database.Finish)
		p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
		p.Observe(t.Context(), whimbrel.BackfillProgress{Set: "default", Backfill: filled()})
		tick()
		same(t, screen.read(), "CR ESC[2K⠙ fill 0012 fill_email  ██████░░░░░░░░░  43%  14,333 rows/s  1m19s left  ESC[2m0.1sESC[m")
		p.Observe(t.Context(), whimbrel.BackfillWaiting{Set: "default", Backfill: filled(held), Signals: []database.Signal{{Name: "max-lag", Over: true, Text: "replica b is 12s behind"}}})
		tick()
		same(t, screen.read(), "CR ⠹ fill 0012 fill_email  █████████████░░░░░░░░░░░░░░░░░  43%  ESC[2m0.2sESC[mESC[K"+
			"CR \n    ESC[33mheld back: ESC[mreplica b is 12s behindESC[KESC[J")
		p.Observe(t.Context(), whimbrel.BackfillProgress{Set: "default", Backfill: filled(unknown, func(b *whimbrel.BackfillStatus) { b.RowsDone++ })})
		tick()
		same(t, screen.read(), "CR ESC[A⠸ fill 0012 fill_email  860,001 rows  ESC[2m0.3sESC[mESC[KESC[J")
		p.Stopping(CtrlC)
		same(t, screen.read(), "CR ESC[2KCtrl-C: ending the backfill 0012 fill_email after the batches that are running.\nPress Ctrl-C again to quit without waiting.\n")
		p.Leave()
		same(t, screen.read(), "Quit without waiting for the server.\n"+
			"Batches of the backfill 0012 fill_email that are not committed are rolled back.\n"+
			"Run \"whimbrel up\" to continue after the last batch that was committed.\n")
		closed(t, p)
	})
}

// If nothing moves, because another worker has the rows, that is said in place of the speed.
func TestBackfillThatIsStalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, screen := terminal()
		report := func() {
			b := filled(func(b *whimbrel.BackfillStatus) {
				b.Lanes = b.Lanes[:1]
				b.Lanes[0].LeasedUntil = b.Now.Add(25 * time.Second)
			})
			p.Observe(t.Context(), whimbrel.BackfillProgress{Set: "default", Backfill: b})
		}
		report()
		after(stalledAfter - liveEvery)
		screen.read()
		report()
		tick()
		same(t, screen.read(), "CR ⠋ fill 12 fill_email  █████████████░░░░░░░░░░░░░░░░░  43%  ESC[2m3.0sESC[mESC[KCR \n    ESC[33mno batch for 3.0s: worker web1/17/2 has the rows; its lease ends in 25sESC[mESC[KESC[J")
		closed(t, p)
	})
}

// With a long name, the bar is on a line of its own.
func TestBackfillWithALongName(t *testing.T) {
	t.Parallel()
	p, _ := terminal()
	b := filled()
	b.Name = longName
	p.Observe(t.Context(), whimbrel.BackfillProgress{Set: "default", Backfill: b})
	p.mu.Lock()
	lines := p.fillBlock(79, time.Now())
	p.mu.Unlock()
	same(t, strings.Join(lines, ""), "fill 12 "+longName+"\n    █████████████░░░░░░░░░░░░░░░░░  43%  14,333 rows/s  1m19s left\n")
	closed(t, p)
}

// A step that comes after a backfill waits for it.
func TestWaitingForABackfill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, screen := terminal()
		p.Observe(t.Context(), whimbrel.BackfillProgress{Set: "default", Backfill: filled(), Waits: true})
		tick()
		same(t, screen.read(), "CR ⠙ waiting for the backfill 12 fill_email  ESC[2m0.1sESC[mESC[KCR \n    █████████████░░░░░░░░░░░░░░░░░  43%  14,333 rows/s  1m19s leftESC[KESC[J")
		p.Stopping(CtrlC)
		same(t, screen.read(), "CR ESC[AESC[J")
		closed(t, p)
	})
}

func TestPlanWithBackfills(t *testing.T) {
	t.Parallel()
	p, out, _ := pipe()
	p.digits = 4
	start, goesOn, last := fillStep(database.Start), fillStep(database.Finish), step(14, "not_null", database.Up)
	start.Version, start.Detached = 13, true
	start.Backfill = &migration.Backfill{
		Table: "orders", Key: []string{"tenant", "id"}, Batch: 500, Pause: 50 * time.Millisecond, Check: "SELECT count(*)\n FROM orders WHERE x IS NULL", Sync: true,
		Throttle: migration.Throttle{Lag: 10 * time.Second, Autovacuum: true, Query: "SELECT busy()"},
	}
	soFar := filled()
	goesOn.Continued = &soFar
	last.After = []whimbrel.Dependency{{Version: 12, Name: "fill_email", Backfill: &soFar}, {Version: 13, Name: "fill_email"}}
	d := NewPlan(plan(goesOn, start, last), "")
	p.Show(d)
	same(t, out.read(), `TRANSACTION  STEP      VERSION  NAME        STATEMENTS  FILE
batches      continue  0012     fill_email           7  fill_email.sql
batches      start     0013     fill_email           7  fill_email.sql
1            up        0014     not_null             7  not_null.sql

0012: continues the backfill of public.users after 43%, 860,000 of about 2,000,000 rows in 860 batches.
0013: changes the rows of orders in batches, in the order of tenant, id: 500 rows a batch, 1 in parallel, pauses of 50ms, timeout 30s, 5 attempts. The step only starts it; workers execute it.
0013: waits while a limit is exceeded: max-lag 10s, wait-for-autovacuum, throttle SELECT busy().
0013: must end with 0 from: SELECT count(*) FROM orders WHERE x IS NULL
0013: a trigger keeps rows in step that are written meanwhile. It is dropped at the end; its SQL is shown when its table exists.
0014: comes after the backfill 0012 fill_email (running, 43%) and 0013 fill_email.
3 migrations (set "default"): 1 transaction and 2 backfills.
Nothing was changed.
`)
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"transaction":null`, `"key":["tenant","id"]`, `"sync":true`, `"throttle":["max-lag 10s",`, `"continues":{"version":12`, `"after":[{"version":12,"name":"fill_email","backfill":{`, `"backfill":null}]`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document lacks %s: %s", want, text)
		}
	}
}

func TestStatusWithBackfills(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 8, 49, 7, 0, time.UTC)
	running, failed := filled(held), filled(state(database.BackfillFailed), func(b *whimbrel.BackfillStatus) { b.Error = "rows 5 to 9: value too long"; b.Version = 13 })
	s := &whimbrel.Status{Set: "default", Version: 13, Migrations: []whimbrel.MigrationStatus{
		{Version: 12, Name: "fill_email", State: whimbrel.StateApplied, AppliedAt: at, Unfinished: true, Backfill: &running, ReplacedBy: whimbrel.NilVersion},
		{Version: 13, Name: "fill_more", State: whimbrel.StateApplied, AppliedAt: at, Unfinished: true, Backfill: &failed, ReplacedBy: whimbrel.NilVersion},
	}}
	p, out, _ := pipe()
	p.Show(NewStatus(s, "migrations"))
	same(t, out.read(), `VERSION  NAME        STATE       APPLIED (UTC)
12       fill_email  unfinished  2026-11-23 08:49:07
13       fill_more   unfinished  2026-11-23 08:49:07

Set "default": at version 13; 2 applied, 0 pending.
Backfill 12 fill_email is waiting: 43%, 860,000 of about 2,000,000 rows in 860 batches, 14,333 rows/s, about 1m19s left; held back 5 seconds ago: replica b is 12s behind.
Backfill 13 fill_email is failed: 43%, 860,000 of about 2,000,000 rows in 860 batches; rows 5 to 9: value too long. When the cause is removed, run "whimbrel backfill retry 13" to continue where it failed.
`)
	o := NewOverview(s, "sqlite:app.db", "app.db", "migrations")
	p.Show(o)
	same(t, out.read(), `Target   app.db, set "default"
Version  13 fill_more
Backfill 12 fill_email waiting, 43%, 14,333 rows/s, 1m19s left, replica b is 12s behind
Backfill 13 fill_email failed, 43%, 14,333 rows/s, 1m19s left, rows 5 to 9: value too long
Pending  nothing
Frozen   no
Drift    unknown ("whimbrel drift" checks)

Next: whimbrel backfill
`)
}

func TestTheTableOfABackfill(t *testing.T) {
	for sql, want := range map[string]string{
		"`items`": "items", "`größe`": "größe", "items_2": "items_2", "`a b`": "`a b`", "`a``b`": "`a``b`", "``": "", `"Order"`: `"Order"`, "public.items": "public.items",
	} {
		if got := NewBackfill(whimbrel.BackfillStatus{Backfill: database.Backfill{Table: sql}}).Table; got != want {
			t.Errorf("the table %s is shown as %s, want %s", sql, got, want)
		}
	}
}
