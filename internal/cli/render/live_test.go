package render

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
)

// after waits for a time, and until the progress of that time is written.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func closed(t *testing.T, p *Printer) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// The log of a CI job has one line for a fast migration. A slow one has a line when it starts, and
// one every 30 seconds.
func TestSlowMigrationInAPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, out, err := pipe()
		p.digits = 4
		fast, slow := step(3, "fast", database.Up), step(4, "add_index", database.Up)
		p.Observe(t.Context(), whimbrel.Planned{Plan: plan(fast, slow)})
		p.Observe(t.Context(), whimbrel.StepStarted{Step: fast, Of: 2})
		p.Observe(t.Context(), whimbrel.StepDone{Step: fast, Of: 2, Duration: time.Millisecond})
		p.Observe(t.Context(), whimbrel.StepStarted{Step: slow, Index: 1, Of: 2})
		after(startAfter - liveEvery)
		same(t, err.read(), "")
		after(2 * liveEvery)
		same(t, err.read(), "up   0004 add_index …\n")
		p.Observe(t.Context(), whimbrel.StatementStarted{Step: slow, Index: 1, Of: 7, SQL: "CREATE INDEX\n i ON t (x)"})
		after(remindEvery - startAfter)
		same(t, err.read(), "up   0004 add_index  statement 2 of 7: CREATE INDEX i ON t (x)  (30s)\n")
		p.Observe(t.Context(), whimbrel.StatementWaiting{Blockage: blockedBy(database.Holder{PID: 7})})
		same(t, err.read(), "0004 add_index, statement 2 of 7, waits for another transaction: pid 7\n")
		for range int(2 * remindEvery / time.Second) {
			after(time.Second)
			p.Observe(t.Context(), whimbrel.StatementWaiting{Blockage: blockedBy(database.Holder{PID: 7})})
		}
		same(t, err.read(), `0004 add_index, statement 2 of 7, waits for another transaction: pid 7  (1m0s)
0004 add_index, statement 2 of 7, waits for another transaction: pid 7  (1m30s)
`)
		p.Observe(t.Context(), whimbrel.StepDone{Step: slow, Index: 1, Of: 2, Duration: 90 * time.Second})
		after(2 * remindEvery)
		same(t, err.read(), "")
		same(t, out.read(), "up   0003 fast        1.0ms\nup   0004 add_index   1m30s\n")
		closed(t, p)
	})
}

// Migrations that share a transaction are in progress together.
func TestOneTransactionInAPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, err := pipe()
		for i := range 3 {
			p.Observe(t.Context(), whimbrel.StepStarted{Step: step(int64(i+1), "s", database.Up), Index: i, Of: 3})
		}
		after(startAfter + liveEvery)
		same(t, err.read(), "up   1 s to 3 s: 3 migrations in one transaction …\n")
		closed(t, p)
	})
}

// A wait for the lock, connecting, and work on a scratch database have lines, too.
func TestWaitingInAPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, err := pipe()
		p.Working("connecting to db1:5432/app")
		after(remindEvery + liveEvery)
		same(t, err.read(), "connecting to db1:5432/app  (30s)\n")
		p.Observe(t.Context(), whimbrel.LockWaiting{Set: "default", Holder: database.Holder{PID: 7}})
		after(remindEvery + liveEvery)
		same(t, err.read(), `waiting for the migration lock of set "default", held by pid 7
waiting for the migration lock of set "default", held by pid 7  (30s)
`)
		p.Observe(t.Context(), whimbrel.Failed{})
		p.ScratchProgress(inspect.Trying{Version: 4, Name: "add_index", Direction: database.Up, Index: 3, Of: 10})
		after(remindEvery + liveEvery)
		same(t, err.read(), "scratch database: migration 4 of 10: up 4 add_index  (30s)\n")
		closed(t, p)
	})
}

// On a terminal, everything that takes longer than a second shows that it is alive, and the line is
// gone before an answer or a question.
func TestAliveOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, screen := terminal()
		p.Working("connecting to db1:5432/app")
		after(idleAfter - liveEvery)
		same(t, screen.read(), "")
		after(liveEvery)
		same(t, screen.read(), "CR ESC[2K⠙ connecting to db1:5432/app  ESC[2m0.5sESC[m")
		p.Begin("Migrating app on db1:5432", false)
		same(t, screen.read(), "") // it may still be refused
		after(liveEvery)
		same(t, screen.read(), "CR ESC[2K⠹ migrating app on db1:5432  ESC[2m0.6sESC[m")
		p.ScratchProgress(inspect.Trying{Version: 4, Name: "add_index", Direction: database.Down, Index: 3, Of: 10})
		after(liveEvery)
		same(t, screen.read(), "CR ESC[2K⠸ scratch database: migration 4 of 10: down 4 add_index  ESC[2m0.1sESC[m")
		p.Ask("Sure? ")
		same(t, screen.read(), "CR ESC[2KMigrating app on db1:5432\nSure? ")
		after(time.Minute)
		same(t, screen.read(), "")
		p.Working("reading app on db1:5432")
		after(idleAfter)
		screen.read()
		p.Show(&Version{Version: "1"})
		same(t, screen.read(), "CR ESC[2Kwhimbrel 1 (, )\n")
		after(time.Minute)
		same(t, screen.read(), "")
		closed(t, p)
	})
}
