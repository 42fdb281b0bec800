package render

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// chain is a blockage with every kind of blocker; pid 3 waits for pid 4.
func chain(now time.Time) database.Blockage {
	who := func(pid int64, app string) database.Holder {
		return database.Holder{PID: pid, User: "app", App: app, Host: "10.0.0.7", Since: now.Add(-6 * time.Minute), Query: "SELECT *\nFROM orders WHERE note = '\x1b[2J'"}
	}
	return database.Blockage{
		SQL: "ALTER TABLE orders\n  ADD COLUMN note text", Waited: 1600 * time.Millisecond, Lock: "AccessExclusiveLock", Object: "public.orders", Queued: 3,
		Hidden: `role "app" may not see what sessions of other roles do: GRANT pg_monitor TO app`,
		Blockers: []database.Blocker{
			{Holder: who(2, "psql"), Kind: database.BlockerIdle, State: "idle in transaction", StateSince: now.Add(-5 * time.Minute)},
			{Holder: who(3, "batch"), Kind: database.BlockerSession, State: "active", StateSince: now.Add(-3 * time.Second), BlockedBy: []int64{4}},
			{Holder: who(4, "whimbrel: 0005_x"), Kind: database.BlockerMigration, State: "active"},
			{Holder: database.Holder{User: "app", Since: now.Add(-time.Hour)}, Kind: database.BlockerPrepared, Prepared: "it's"},
			{Holder: database.Holder{PID: 9}, Kind: database.BlockerWraparound},
			{Holder: database.Holder{PID: 10}, Kind: database.BlockerReplica},
		},
	}
}

func lockTimeout() error {
	return &database.StatementError{Message: "canceling statement due to lock timeout", Code: "55P03", Lock: database.ErrLockTimeout}
}

// shownOn plays what was written to a terminal and returns what it shows. Each rune is one column.
func shownOn(written string) string {
	lines, row, column := [][]rune{nil}, 0, 0
	for text := []rune(written); len(text) > 0; {
		switch r := text[0]; r {
		case '\r':
			column = 0
		case '\n':
			column = 0
			if row++; row == len(lines) {
				lines = append(lines, nil)
			}
		case '\x1b':
			end := slices.IndexFunc(text[2:], unicode.IsLetter) + 2
			n, _ := strconv.Atoi(string(text[2:end]))
			switch text[end] {
			case 'A':
				row -= max(n, 1)
			case 'K':
				from := column
				if n == 2 {
					from = 0
				}
				lines[row] = lines[row][:min(from, len(lines[row]))]
			case 'J':
				lines = lines[:row+1]
				lines[row] = lines[row][:min(column, len(lines[row]))]
			}
			text = text[end:]
		default:
			for len(lines[row]) <= column {
				lines[row] = append(lines[row], ' ')
			}
			lines[row][column] = r
			column++
		}
		text = text[1:]
	}
	var all []string
	for _, line := range lines {
		all = append(all, string(line))
	}
	return strings.TrimRight(strings.Join(all, "\n"), "\n")
}

// blocking observes the events of a statement that is blocked, tried again, and blocked again.
func blocking(t *testing.T, p *Printer, s whimbrel.Step) {
	t.Helper()
	p.Observe(t.Context(), whimbrel.Planned{Plan: plan(s)})
	p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
	time.Sleep(1600 * time.Millisecond)
	p.Observe(t.Context(), whimbrel.StatementWaiting{Set: "default", Blockage: chain(time.Now())})
	after(400 * time.Millisecond)
}

func TestBlockOnATerminal(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		60: `⠋ up   2 note  waits for a lock  2.0s
    ALTER TABLE orders ADD COLUMN note text
    waiting 2.0s for AccessExclusiveLock on public.orders;
      3 other sessions wait behind it; blocked by:
    pid 2, user app, application psql, from 10.0.0.7, idle
      in transaction for 5m00s, transaction open for 6m00s
      last query: SELECT * FROM orders WHERE note = '\x1b[…`,
		80: `⠋ up   2 note  waits for a lock  2.0s
    ALTER TABLE orders ADD COLUMN note text
    waiting 2.0s for AccessExclusiveLock on public.orders; 3 other sessions
      wait behind it; blocked by:
    pid 2, user app, application psql, from 10.0.0.7, idle in transaction for
      5m00s, transaction open for 6m00s
      last query: SELECT * FROM orders WHERE note = '\x1b[2J'
    pid 3, user app, application batch, from 10.0.0.7, running for 3.4s, waits
      for pid 4, transaction open for 6m00s
      SELECT * FROM orders WHERE note = '\x1b[2J'
        pid 4, user app, application whimbrel: 0005_x, from 10.0.0.7, another
          migration, transaction open for 6m00s
          SELECT * FROM orders WHERE note = '\x1b[2J'
    prepared transaction "it's", user app, transaction open for 1h00m
    pid 9, autovacuum to prevent wraparound
    and 1 more
    role "app" may not see what sessions of other roles do: GRANT pg_monitor TO
      app`,
		200: `⠋ up   2 note  waits for a lock  2.0s
    ALTER TABLE orders ADD COLUMN note text
    waiting 2.0s for AccessExclusiveLock on public.orders; 3 other sessions wait behind it; blocked by:
    pid 2, user app, application psql, from 10.0.0.7, idle in transaction for 5m00s, transaction open for 6m00s`,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &screen{}
			stream := Stream{Writer: s, Terminal: true, Width: func() int { return width }, Height: func() int { return 24 }}
			p := New(Options{Out: stream, Err: stream})
			step := step(2, "note", database.Up)
			blocking(t, p, step)
			raw := s.all()
			got := shownOn(raw)
			if !strings.HasPrefix(got, want) {
				same(t, got, want)
			}
			for line := range strings.Lines(got) {
				if n := ansi.StringWidth(strings.TrimSuffix(line, "\n")); n >= width {
					t.Errorf("at %d columns, a line has %d: %s", width, n, line)
				}
			}

			// The pause, the next attempt, and the end, which leaves nothing but the step.
			p.Observe(t.Context(), whimbrel.Retrying{Attempt: 2, Err: lockTimeout(), Pause: 3 * time.Second, Left: 10 * time.Minute, Blockage: chain(time.Now())})
			after(time.Second)
			got = shownOn(s.all())
			for _, part := range []string{"up   2 note  was blocked, and pauses  3.0s\n", "needs AccessExclusiveLock on public.orders; blocked by:"} {
				if !strings.Contains(got, part) {
					t.Errorf("in the pause, the block lacks %q:\n%s", part, got)
				}
			}
			if width > 60 && !strings.Contains(got, "attempt 2 in 2.0s; no more retries after 9m59s") {
				t.Errorf("the block does not say when the next attempt is:\n%s", got)
			}
			after(2 * time.Second)
			p.Observe(t.Context(), whimbrel.StepStarted{Step: step, Of: 1})
			after(liveEvery)
			if got := shownOn(s.all()); !strings.Contains(got, "up   2 note  tries again  5.1s\n") {
				t.Errorf("in the next attempt, the screen shows\n%s", got)
			}
			p.Observe(t.Context(), whimbrel.StepDone{Step: step, Of: 1, Duration: 12 * time.Millisecond, Retries: 1, LockWait: 5 * time.Second})
			if got, want := shownOn(s.all()), "up   2 note    12ms, after 1 retry in 5.0s"; got != want {
				t.Errorf("at the end, the screen shows %q, want %q", got, want)
			}
			closed(t, p)
		})
	}
}

// A statement that got its lock executes on: the block disappears without another event.
func TestBlockEndsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := terminal()
		blocking(t, p, step(2, "note", database.Up))
		after(5 * time.Second)
		if got, want := shownOn(s.all()), "⠙ up   2 note  7.0s"; !strings.HasSuffix(got, want[len("⠙"):]) || strings.Contains(got, "\n") {
			t.Errorf("the screen shows %q, want one line like %q", got, want)
		}
		closed(t, p)
		if got := shownOn(s.all()); got != "" {
			t.Errorf("after the end, the screen shows %q", got)
		}
	})
}

// A pipe has a line for each change of who blocks, three retries, and then a line every 30 seconds.
func TestBlockedInAPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, out, err := pipe()
		s := step(2, "note", database.Up)
		p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
		var b database.Blockage
		for i := range 100 {
			after(1600 * time.Millisecond)
			b = blockedBy(database.Holder{PID: 7, App: "psql", Query: fmt.Sprint("SELECT ", i)}) // the same session
			b.Lock, b.Object, b.Queued, b.Waited = "AccessExclusiveLock", "public.t", 1, 1600*time.Millisecond
			p.Observe(t.Context(), whimbrel.StatementWaiting{Blockage: b})
			after(400 * time.Millisecond)
			p.Observe(t.Context(), whimbrel.Retrying{Attempt: i + 2, Err: lockTimeout(), Pause: time.Second, Left: 10 * time.Minute, Blockage: b})
			after(time.Second)
			p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
		}
		p.Observe(t.Context(), whimbrel.Terminated{Step: s, Blocker: b.Blockers[0]})
		p.Observe(t.Context(), whimbrel.StepDone{Step: s, Of: 1, Duration: time.Second, Retries: 100, LockWait: 300 * time.Second})
		lines := strings.Split(strings.TrimSpace(err.read()), "\n")
		same(t, strings.Join(lines[:5], "\n"), `up   2 note …
2 note waits for another transaction (AccessExclusiveLock on public.t): pid 7, application psql, SELECT 0; 1 other session waits behind it
up   2 note  was blocked; attempt 2 in 1.0s, 10m00s left
up   2 note  was blocked; attempt 3 in 1.0s, 10m00s left
up   2 note  was blocked; attempt 4 in 1.0s, 10m00s left`)
		// 300 seconds: nine more lines, and two about the session that was terminated
		if n := len(lines); n < 15 || n > 17 {
			t.Errorf("the pipe has %d lines:\n%s", n, strings.Join(lines, "\n"))
		}
		if last := lines[len(lines)-2]; last != "terminated: pid 7, application psql, which blocked 2 note" {
			t.Errorf("the terminated session is %q", last)
		}
		same(t, out.read(), "up   2 note    1.0s, after 100 retries in 5m0s\n")
		closed(t, p)
	})
}

func TestResultTellsRetriesAndTerminatedSessions(t *testing.T) {
	t.Parallel()
	p, out, err := printer(Options{JSON: true})
	s := step(2, "note", database.Up)
	p.Observe(t.Context(), whimbrel.Terminated{Step: s, Blocker: database.Blocker{Holder: database.Holder{PID: 7}, Kind: database.BlockerIdle}})
	p.Observe(t.Context(), whimbrel.StepDone{Step: s, Retries: 2, LockWait: 1500 * time.Millisecond})
	p.Show(NewResult(&whimbrel.Result{Set: "default"}))
	got := strings.Join(strings.Fields(out.read()), " ")
	for _, part := range []string{
		`"retried": [ { "version": 2, "name": "note", "retries": 2, "lock_wait_ms": 1500 } ]`,
		`"terminated": [ { "version": 2, "name": "note", "session": { "kind": "idle transaction", "pid": 7,`,
	} {
		if !strings.Contains(got, part) {
			t.Errorf("the result lacks %s:\n%s", part, got)
		}
	}
	same(t, err.read(), "")
}

// Another attempt for another reason, such as a conflict, is no wait.
func TestRetryWithoutALock(t *testing.T) {
	t.Parallel()
	p, out, err := pipe()
	s := step(2, "note", database.Up)
	p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
	p.Observe(t.Context(), whimbrel.Retrying{Attempt: 2, Err: errors.New("conflict")})
	p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
	if n := len(p.progress.running); n != 1 {
		t.Errorf("%d steps are running, want 1", n)
	}
	p.Observe(t.Context(), whimbrel.StepDone{Step: s, Of: 1, Duration: time.Second})
	same(t, out.read(), "up   2 note    1.0s\n")
	same(t, err.read(), "")
}

// Who asked to terminate blockers learns why one is spared; others do not.
func TestSparedBlockers(t *testing.T) {
	t.Parallel()
	for _, terminates := range []bool{false, true} {
		p, _, err := pipe()
		if terminates {
			p.Terminates()
		}
		b := blockedBy(database.Holder{PID: 7})
		b.Blockers[0].Exempt, b.Hidden = "its user is a superuser", "GRANT pg_monitor TO app"
		p.Observe(t.Context(), whimbrel.StepStarted{Step: step(2, "note", database.Up), Of: 1})
		p.Observe(t.Context(), whimbrel.StatementWaiting{Blockage: b})
		spared := ""
		if terminates {
			spared = ", not terminated: its user is a superuser"
		}
		same(t, err.read(), "2 note waits for another transaction: pid 7"+spared+"; GRANT pg_monitor TO app\n")
		p.Fail(&Failure{Message: "m", Blockage: NewBlockage(b)})
		same(t, err.read(), "error: m\nThe statement waited. It was blocked by:\n  pid 7"+spared+"\nnote: GRANT pg_monitor TO app\n")
		closed(t, p)
	}
}

// A process that waits for the migration lock shows what the holder executes, on several lines if
// the terminal is narrow.
func TestHolderOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := terminal()
		h := database.Holder{PID: 20401, User: "shop", App: "whimbrel", Host: "ci-7", Task: "0005_orders_by_time", Query: "CREATE INDEX CONCURRENTLY orders_by_time ON orders (placed_at)"}
		p.Observe(t.Context(), whimbrel.LockWaiting{Set: "default", Holder: h})
		after(liveEvery)
		got := strings.Join(strings.Fields(shownOn(s.all())), " ")
		if want := "CREATE INDEX CONCURRENTLY orders_by_time ON orders (placed_at)"; !strings.HasSuffix(got, want) || !strings.Contains(got, "0005_orders_by_time") {
			t.Errorf("the terminal shows %q, want the script and %q", got, want)
		}
		for line := range strings.Lines(shownOn(s.all())) {
			if n := ansi.StringWidth(line); n > 80 {
				t.Errorf("a line has %d columns: %q", n, line)
			}
		}
		closed(t, p)
		same(t, shownOn(s.all()), "")
	})
}

// Until it is known who blocks, the block shows the statement that failed.
func TestBlockOfUnknownSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := terminal()
		p.Observe(t.Context(), whimbrel.StepStarted{Step: step(2, "note", database.Up), Of: 1})
		failed := &database.StatementError{Message: "m", Statement: "ALTER TABLE t\nADD COLUMN note text", Lock: database.ErrLockTimeout}
		p.Observe(t.Context(), whimbrel.Retrying{Attempt: 2, Err: failed, Pause: time.Second, Left: time.Minute})
		after(liveEvery)
		same(t, shownOn(s.all()), `⠙ up   2 note  was blocked, and pauses  0.1s
    ALTER TABLE t ADD COLUMN note text
    the sessions that block it are not known
    attempt 2 in 0.9s; no more retries after 59s`)
		closed(t, p)
	})
}

// In a run that begins again with its first statement, and in one transaction with other steps, the
// lines name what was blocked, once.
func TestTheLinesNameWhatWasBlocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, err := pipe()
		first, second := step(1, "users", database.Up), step(2, "note", database.Up)
		b := blockedBy(database.Holder{PID: 7, App: "psql"})
		for i := range 2 {
			p.Observe(t.Context(), whimbrel.StepStarted{Step: first, Of: 2})
			p.Observe(t.Context(), whimbrel.StepStarted{Step: second, Index: 1, Of: 2})
			p.Observe(t.Context(), whimbrel.Retrying{Step: second, Attempt: i + 2, Err: lockTimeout(), Pause: 20 * time.Millisecond, Left: time.Minute, Blockage: b})
		}
		if all := err.read(); !strings.HasSuffix(all, "up   2 note  was blocked; attempt 2 in 20ms, 1m00s left\nup   2 note  was blocked; attempt 3 in 20ms, 1m00s left\n") {
			t.Errorf("the pipe has:\n%s", all)
		}
		p.Observe(t.Context(), whimbrel.Failed{})
		for i := range 9 {
			p.Observe(t.Context(), whimbrel.StepStarted{Step: second, Of: 1})
			for n := range 3 {
				p.Observe(t.Context(), whimbrel.StatementStarted{Step: second, Index: n, Of: 4, SQL: fmt.Sprint("SELECT ", n)})
			}
			p.Observe(t.Context(), whimbrel.StatementWaiting{Blockage: b})
			p.Observe(t.Context(), whimbrel.Retrying{Step: second, Attempt: i + 2, Err: lockTimeout(), Pause: time.Second, Left: time.Minute, Blockage: b})
		}
		p.Observe(t.Context(), whimbrel.Failed{})
		if all := err.read(); strings.Count(all, "statement 3 of 4") != 1 || strings.Count(all, "was blocked") != 3 {
			t.Errorf("the pipe has:\n%s", all)
		}
		closed(t, p)
	})
}
