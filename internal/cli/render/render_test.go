package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// screen is a stream that keeps its output, safe for the ticking live line.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// all returns everything that was written.
func (s *screen) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// read returns what was written since the last read, with escapes made visible.
func (s *screen) read() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.b.String()
	s.b.Reset()
	return strings.NewReplacer("\x1b", "ESC", "\r", "CR ").Replace(text)
}

func pipe() (*Printer, *screen, *screen) { return printer(Options{}) }

func printer(opts Options) (*Printer, *screen, *screen) {
	out, err := &screen{}, &screen{}
	opts.Out.Writer, opts.Err.Writer = out, err
	return New(opts), out, err
}

// terminal is 80 columns wide.
func terminal() (*Printer, *screen) {
	s := &screen{}
	stream := Stream{Writer: s, Terminal: true, Color: true, Width: func() int { return 80 }}
	return New(Options{Out: stream, Err: stream}), s
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("not as wanted (-want +got):\n%s", d)
	}
}

func step(version int64, name string, d database.Direction) whimbrel.Step {
	return whimbrel.Step{Version: version, Name: name, Direction: d, Script: migration.Text(name+".sql", "SELECT 1;"), Statements: 7}
}

func plan(steps ...whimbrel.Step) *whimbrel.Plan {
	return &whimbrel.Plan{Set: "default", Steps: steps}
}

func TestProgressInAPipe(t *testing.T) {
	t.Parallel()
	p, out, err := pipe()
	p.digits = 4
	users, email, late := step(1, "users", database.Up), step(2, "add_email", database.Down), step(3, "late", database.Up)
	for _, e := range []whimbrel.Event{
		whimbrel.Planned{Plan: plan(users, email, late)},
		whimbrel.LockWaiting{Set: "default", Holder: database.Holder{PID: 7, User: "me"}},
		whimbrel.LockWaiting{Set: "default", Holder: database.Holder{PID: 7, User: "me"}},
		whimbrel.StepStarted{Step: users, Of: 3},
		whimbrel.StepDone{Step: users, Of: 3, Duration: 1234 * time.Microsecond},
		whimbrel.StepStarted{Step: email, Index: 1, Of: 3},
		whimbrel.StatementStarted{Step: email, Index: 2, Of: 7, SQL: "SELECT 1"},
		whimbrel.StepDone{Step: email, Index: 1, Of: 3, Duration: 75 * time.Second},
		whimbrel.StepDone{Step: late, Index: 2, Of: 3, Skipped: true},
	} {
		p.Observe(t.Context(), e)
	}
	p.Show(&Result{Applied: []int64{1}, RolledBack: []int64{2}, Duration: Millis(90 * time.Second)})
	same(t, out.read(), `up   0001 users       1.2ms
down 0002 add_email   1m15s
skip 0003 late       another process did it
Rolled back 1 migration and applied 1 migration in 1m30s.
`)
	same(t, err.read(), "waiting for the migration lock of set \"default\", held by pid 7, user me\n")
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, screen := terminal()
		p.digits = 4
		users := step(1, "users", database.Up)
		run := step(2, "index_concurrently_on_a_table_with_a_long_name", database.Up)
		p.Observe(t.Context(), whimbrel.Planned{Plan: plan(users)})
		p.Observe(t.Context(), whimbrel.LockWaiting{Set: "default", Holder: database.Holder{PID: 7}})
		tick()
		same(t, screen.read(), "CR ESC[2K⠙ waiting for the migration lock of set \"default\", held by pid 7  ESC[2m0.1sESC[m")

		// A fast migration never flickers.
		p.Observe(t.Context(), whimbrel.StepStarted{Step: users, Of: 2})
		p.Observe(t.Context(), whimbrel.StepDone{Step: users, Of: 2, Duration: time.Millisecond})
		same(t, screen.read(), "CR ESC[2KESC[32mup  ESC[m 0001 users  ESC[2m 1.0msESC[m\n")

		// A slow one has a live line, cut to the width, which is removed at the end.
		p.Observe(t.Context(), whimbrel.StepStarted{Step: run, Index: 1, Of: 2})
		p.Observe(t.Context(), whimbrel.StatementStarted{Step: run, Index: 2, Of: 7, SQL: "CREATE INDEX\n  CONCURRENTLY i ON t (x)"})
		tick()
		same(t, screen.read(), "CR ESC[2K⠹ up   0002 index_concurrently_on_a_table_with_a_long_name  statement 3 o… ESC[2m0.1sESC[m")
		p.Notice(database.Notice{Severity: "WARNING", Message: "careful", Hint: "very"})
		same(t, screen.read(), "CR ESC[2KESC[33mWARNING:ESC[m carefulESC[2m (0002 index_concurrently_on_a_table_with_a_long_name)ESC[m\n  very\n")
		tick()
		screen.read()
		p.Observe(t.Context(), whimbrel.Failed{Err: errors.New("no")})
		same(t, screen.read(), "CR ESC[2K")
		tick()
		same(t, screen.read(), "")
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// tick waits until the live line is drawn once.
func tick() {
	time.Sleep(liveEvery)
	synctest.Wait()
}

func TestQuietAndJSONShowNoProgress(t *testing.T) {
	t.Parallel()
	for _, opts := range []Options{{Quiet: true}, {JSON: true}} {
		p, out, err := printer(opts)
		s := step(1, "users", database.Up)
		p.Observe(t.Context(), whimbrel.LockWaiting{Set: "default"})
		p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
		p.Notice(database.Notice{Message: "hello"})
		p.Observe(t.Context(), whimbrel.StepDone{Step: s, Of: 1})
		if got := out.read() + err.read(); got != "" {
			t.Errorf("%+v: %q", opts, got)
		}
	}
}

// The reason is shown for the first steps outside a transaction only.
func TestPlanWithManyRuns(t *testing.T) {
	t.Parallel()
	const why = ": runs statement by statement, outside a transaction: CREATE TABLE can't be in a transaction.\n"
	const head = "TRANSACTION  STEP  VERSION  STATEMENTS\n"
	for runs, want := range map[int]string{
		3: head + "none         up    0                 0\nnone         up    1                 0\nnone         up    2                 0\n\n" +
			"0" + why + "1" + why + "2" + why + "3 migrations (set \"default\"): 3 steps outside a transaction.\nNothing was changed.\n",
		5: head + "none         up    0                 0\nnone         up    1                 0\nnone         up    2                 0\n" +
			"none         up    3                 0\nnone         up    4                 0\n\n" +
			"0" + why + "1" + why + "2" + why + "2 more steps outside a transaction; --json shows why.\n" +
			"5 migrations (set \"default\"): 5 steps outside a transaction.\nNothing was changed.\n",
	} {
		p, out, _ := pipe()
		d := &Plan{Set: "default"}
		for v := range runs {
			d.Steps = append(d.Steps, PlanStep{Version: int64(v), Direction: "up", WhyNoTransaction: "CREATE TABLE can't be in a transaction"})
		}
		p.Show(d)
		same(t, out.read(), want)
	}
}

// Steps that share a transaction are shown under one number.
func TestPlanWithSharedTransaction(t *testing.T) {
	t.Parallel()
	p, out, _ := pipe()
	one, script := step(1, "a", database.Up), step(whimbrel.NilVersion, "view", database.Repeat)
	shared := &whimbrel.Plan{Set: "default", Atomic: true, Steps: []whimbrel.Step{one, script}}
	p.Show(NewPlan(shared, ""))
	same(t, out.read(), `TRANSACTION  STEP    VERSION  NAME  STATEMENTS  FILE
1            up      1        a              7  a.sql
             repeat           view           7  view.sql

1 migration and 1 repeatable script (set "default"): 1 transaction.
Nothing was changed.
`)
}

func TestStatusOnATerminal(t *testing.T) {
	t.Parallel()
	p, screen := terminal()
	p.digits = 3
	at := time.Date(2026, 11, 23, 8, 5, 11, 0, time.FixedZone("", 3600))
	took := Millis(12 * time.Millisecond)
	p.Show(&Status{
		Set: "app", Version: 2, Applied: []int64{1, 2}, Pending: []int64{3}, Modified: []int64{2}, dir: "migrations",
		Interrupted: NewInterrupted(&database.Journal{Version: 3, Name: "add_index", Direction: database.Up, Done: 2, Of: 7, Host: "db1", PID: 77}, "CREATE INDEX\n  CONCURRENTLY i ON t (x)"),
		Migrations: []MigrationStatus{
			{Version: 1, Name: "users", State: "applied", AppliedAt: instant(at), Duration: &took},
			{Version: 2, Name: "Zürich_東京", State: "modified", AppliedAt: instant(at), Marked: true},
			{Version: 3, Name: strings.Repeat("long_", 12), State: "pending"},
		},
	})
	same(t, screen.read(), ""+
		"ESC[2mVERSIONESC[m  ESC[2mNAMEESC[m                              ESC[2mSTATEESC[m     ESC[2mAPPLIED (UTC)ESC[m          ESC[2mTOOKESC[m\n"+
		"001      users                             ESC[32mappliedESC[m   2026-11-23 07:05:11    12ms\n"+
		"002      Zürich_東京                       ESC[31mmodifiedESC[m  2026-11-23 07:05:11  marked\n"+
		"003      long_long_long_long_long_long_    ESC[33mpendingESC[m\n"+
		"         long_long_long_long_long_long_\n"+
		"\n"+
		"Set \"app\": ESC[1mat version 002ESC[m; 2 applied, 1 pending.\n"+
		"ESC[31m003 add_index: interrupted at statement 3 of 7, on host db1, pid 77, connection\nlostESC[m. Run \"whimbrel up\" to resume.\n"+
		"Statement 3: CREATE INDEX CONCURRENTLY i ON t (x)\n"+
		"ESC[31mModified: 002ESC[m — the file changed after it was applied. \"whimbrel verify\" shows\nthe difference.\n")
}

func TestFailureOnATerminal(t *testing.T) {
	t.Parallel()
	p, screen := terminal()
	p.Fail(&Failure{
		Message: `relation "t" does not exist`, File: "m/3_x.up.sql", Line: 4, Column: 12, SQLState: "42P01", Detail: "one\ntwo", Hint: "think",
		Excerpt: "     3 | a\n     4 | ALTER TABLE t\n       |             ^\n", Outcome: "Nothing was changed.", Next: "Fix it.",
	})
	same(t, screen.read(), ""+
		"ESC[31mm/3_x.up.sql:4:12:ESC[m ESC[1mrelation \"t\" does not existESC[mESC[2m (42P01)ESC[m\n"+
		"\n"+
		"ESC[2m     3 | ESC[ma\n"+
		"ESC[2m     4 | ESC[mALTER TABLE t\n"+
		"ESC[2m       | ESC[m            ESC[31m^ESC[m\n"+
		"\n"+
		"ESC[36mdetail:ESC[m one\n  two\n"+
		"ESC[36mhint:ESC[m think\n"+
		"Nothing was changed.\nFix it.\n")
}

func TestMismatchOnATerminal(t *testing.T) {
	t.Parallel()
	p, screen := terminal()
	p.Fail(&Failure{Message: "edited", File: "a.sql", Stored: "11", Expected: "22", OnlyBlank: true, Diff: "diff a b\n--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z\n"})
	same(t, screen.read(), ""+
		"ESC[31ma.sql:ESC[m ESC[1meditedESC[m\n"+
		"ESC[36mapplied with:ESC[m 11\n"+
		"ESC[36mpresent file:ESC[m 22\n"+
		"Only comments or white space differ.\n"+
		"\n"+
		"ESC[1m--- aESC[m\nESC[1m+++ bESC[m\nESC[36m@@ -1 +1 @@ESC[m\nESC[31m-xESC[m\nESC[32m+yESC[m\n z\n"+
		"\n")
}

// Control characters from a database or a file are escaped.
func TestControlCharactersAreEscaped(t *testing.T) {
	t.Parallel()
	p, out, err := pipe()
	evil := "a\x1b[2J\u009bb\x07"
	p.Fail(&Failure{Message: evil, Detail: evil})
	p.Notice(database.Notice{Message: evil})
	p.Show(&History{Entries: []Entry{{Name: evil, Reason: evil + "\nsecond line"}}})
	for _, text := range []string{out.read(), err.read()} {
		if strings.ContainsAny(text, "\x1b\x07\u009b") {
			t.Error("strings.ContainsAny(text, \"\\x1b\\x07\\u009b\") = true, want false")
		}
		if strings.Contains(text, "ESC") {
			t.Errorf("text = %q, want a text without %q", text, "ESC")
		}
		if !strings.Contains(text, `a\x1b[2J\x9bb\x07`) {
			t.Errorf("text = %q, want a text containing %q", text, `a\x1b[2J\x9bb\x07`)
		}
	}
}

func TestDocumentsHaveNoNulls(t *testing.T) {
	t.Parallel()
	for _, d := range []Document{
		NewResult(&whimbrel.Result{}), NewStatus(&whimbrel.Status{}, "d"), NewPlan(&whimbrel.Plan{}, ""), &History{},
	} {
		b, err := json.Marshal(d)
		text := strings.Replace(string(b), `"interrupted":null`, "", 1) // may be null
		if err != nil {
			t.Fatalf("%T: %v", d, err)
		}
		if strings.Contains(text, "null") {
			t.Errorf("%T: text = %q, want a text without %q", d, text, "null")
		}
	}
}

func TestMillis(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                         "0",
		1500 * time.Nanosecond:    "0.002",
		1234567 * time.Nanosecond: "1.235",
		time.Minute:               "60000",
	} {
		b, err := json.Marshal(Millis(d))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(b), want; got != want {
			t.Errorf("string(b) = %q, want %q", got, want)
		}
	}
}

func TestTook(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                       "",
		400 * time.Microsecond:  "0.4ms",
		12 * time.Millisecond:   "12ms",
		1500 * time.Millisecond: "1.5s",
		75 * time.Second:        "1m15s",
	} {
		if got := took(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

type full struct{ err error }

func (f full) Write([]byte) (int, error) { return 0, f.err }

// A full disk is an error, a closed pipe is not.
func TestWriteErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{{syscall.ENOSPC, true}, {syscall.EPIPE, false}} {
		p := New(Options{Out: Stream{Writer: full{c.err}}})
		p.Show(&Drivers{Drivers: []string{"x"}})
		if err := p.Close(); (err != nil) != c.want {
			t.Errorf("%v: Close returned %v", c.err, err)
		}
	}
}
