package render

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// A resumed run in a pipe: progress on stdout, and on stderr each process that blocks it, once.
func TestResumedRunInAPipe(t *testing.T) {
	t.Parallel()
	p, out, err := pipe()
	p.digits = 4
	s := step(12, "add_index", database.Up)
	blocker := database.Holder{PID: 7, App: "psql", Query: "SELECT 1"}
	for _, e := range []whimbrel.Event{
		whimbrel.Planned{Plan: plan(s)},
		whimbrel.StepStarted{Step: s, Of: 1},
		whimbrel.CleanedUp{Step: s, SQL: "DROP INDEX\n CONCURRENTLY i", Why: "the index is invalid"},
		whimbrel.Resumed{Step: s, From: 3, Of: 7},
		whimbrel.StatementStarted{Step: s, Index: 2, Of: 7, SQL: "CREATE INDEX CONCURRENTLY i ON t (x)"},
		whimbrel.StatementWaiting{Set: "default", Blockage: blockedBy(blocker)},
		whimbrel.StatementWaiting{Set: "default", Blockage: blockedBy(database.Holder{PID: 7, App: "psql", Query: "SELECT 2"})},
		whimbrel.StatementWaiting{Set: "default", Blockage: blockedBy(database.Holder{PID: 8})},
		whimbrel.StatementStarted{Step: s, Index: 3, Of: 7, SQL: "SELECT 1"},
		whimbrel.StatementWaiting{Set: "default", Blockage: blockedBy(blocker)},
		whimbrel.StepDone{Step: s, Of: 1, Duration: time.Second},
	} {
		p.Observe(t.Context(), e)
	}
	same(t, out.read(), `up   0012 add_index  cleaning up after the interrupted statement (the index is invalid): DROP INDEX CONCURRENTLY i
up   0012 add_index  resumes at statement 3 of 7
up   0012 add_index    1.0s
`)
	same(t, err.read(), `0012 add_index, statement 3 of 7, waits for another transaction: pid 7, application psql, SELECT 1
0012 add_index, statement 3 of 7, waits for another transaction: pid 8
0012 add_index, statement 4 of 7, waits for another transaction: pid 7, application psql, SELECT 1
`)
}

func TestBlockedStatementOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, screen := terminal()
		s := step(2, "i", database.Up)
		p.Observe(t.Context(), whimbrel.StepStarted{Step: s, Of: 1})
		p.Observe(t.Context(), whimbrel.StatementStarted{Step: s, Of: 7, SQL: "CREATE INDEX"})
		p.Observe(t.Context(), whimbrel.StatementWaiting{Blockage: blockedBy(database.Holder{PID: 7})})
		tick()
		same(t, screen.read(), "CR ⠙ up   2 i  waits for a lock  ESC[2m0.1sESC[mESC[KCR \n    waiting 0.1s; blocked by:ESC[KCR \n    ESC[33mpid 7ESC[mESC[KESC[J")
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestStoppingAndLeaving(t *testing.T) {
	t.Parallel()
	run, rows := step(12, "add_index", database.Down), step(13, "rows", database.Up)
	statement := whimbrel.StatementStarted{Step: run, Index: 2, Of: 7, SQL: "CREATE INDEX\n CONCURRENTLY i", Backend: 4711, Leftover: "an invalid index"}
	for _, c := range []struct {
		events []whimbrel.Event
		want   string
	}{
		{nil, "Quit without waiting for the server.\n"},
		{
			[]whimbrel.Event{whimbrel.StepStarted{Step: rows}},
			`Ctrl-C: cancelling 13 rows and waiting for the server. Press Ctrl-C again to quit without waiting.
Quit without waiting for the server.
The server may still be running 13 rows.
"whimbrel status" shows the outcome.
`,
		},
		{
			[]whimbrel.Event{whimbrel.StepStarted{Step: run}, statement},
			`Ctrl-C: cancelling statement 3 of 7 of 12 add_index (the server's process 4711) and waiting for the server. Press Ctrl-C again to quit without waiting.
Quit without waiting for the server.
The server may still be running statement 3 of 7 of 12 add_index (the server's process 4711): CREATE INDEX CONCURRENTLY i
If the server does not complete it, an invalid index remains. The next command removes it.
Run "whimbrel down" to check the outcome of the statement and continue.
To give it up instead, run: whimbrel abandon 12
`,
		},
		{
			[]whimbrel.Event{whimbrel.StepStarted{Step: run}, statement, whimbrel.StepDone{Step: run, Skipped: true}},
			"Quit without waiting for the server.\n",
		},
	} {
		p, _, err := pipe()
		for _, e := range c.events {
			p.Observe(t.Context(), e)
		}
		p.Stopping("Ctrl-C")
		p.Leave()
		same(t, err.read(), c.want)

		// As JSON it is one document, even if there is more to report.
		p, out, err := printer(Options{JSON: true})
		for _, e := range c.events {
			p.Observe(t.Context(), e)
		}
		p.Stopping("Ctrl-C")
		p.Leave()
		p.Fail(&Failure{Message: "late"})
		var doc struct{ Error Failure }
		if uerr := json.Unmarshal([]byte(out.read()), &doc); uerr != nil {
			t.Errorf("json.Unmarshal([]byte(out.read()), &doc): %v", uerr)
		} else if doc.Error.Kind != "interrupted" {
			t.Errorf("json.Unmarshal([]byte(out.read()), &doc): doc.Error.Kind = %q, want %q", doc.Error.Kind, "interrupted")
		} else if doc.Error.Message == "late" {
			t.Errorf("json.Unmarshal([]byte(out.read()), &doc): doc.Error.Message is \"late\"")
		} else if err.read() != "" {
			t.Errorf("json.Unmarshal([]byte(out.read()), &doc): err.read() = %q, want %q", err.read(), "")
		}
	}
}

func TestWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	j := database.Journal{Version: 12, Name: "add_index", Direction: database.Up, Done: 2, Of: 7}
	for want, change := range map[string]func(*database.Journal){
		"0012 add_index: interrupted at statement 3 of 7, connection lost":                                        func(*database.Journal) {},
		"0012 add_index (down): interrupted at statement 3 of 7, connection lost":                                 func(j *database.Journal) { j.Direction = database.Down },
		"views: interrupted at statement 3 of 7, connection lost":                                                 func(j *database.Journal) { j.Version, j.Name = whimbrel.NilVersion, "views" },
		"0012 add_index: interrupted after all 7 statements, before its history entry was added, connection lost": func(j *database.Journal) { j.Done = 7 },
		"0012 add_index: interrupted at statement 3 of 7, 4 minutes ago, on host h, pid 5, no such table: nowhere": func(j *database.Journal) {
			j.Host, j.PID, j.Error, j.UpdatedAt = "h", 5, "no such table:\nnowhere", time.Now().Add(-250*time.Second)
		},
		"0012 add_index: interrupted at statement 3 of 7, a (23505); Key (id)=(1) is duplicated": func(j *database.Journal) { j.Error = "a (23505); Key (id)=(1) is duplicated." },
		"0012 add_index: running at statement 3 of 7, started 4 minutes ago, on host h": func(j *database.Journal) {
			j.Host, j.Error, j.Held, j.UpdatedAt = "h", "of an earlier attempt", true, time.Now().Add(-250*time.Second)
		},
	} {
		j := j
		change(&j)
		same(t, NewInterrupted(&j, "").words(&page{digits: 4}), want)
	}
}

func TestAgo(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "just now", 999 * time.Millisecond: "just now", time.Second: "1 second ago", 59 * time.Second: "59 seconds ago",
		time.Minute: "1 minute ago", 59 * time.Minute: "59 minutes ago", 47 * time.Hour: "47 hours ago", 72 * time.Hour: "3 days ago",
	} {
		same(t, ago(d), want)
	}
}

func TestResolvedSaysWhatIsNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at   int
		want string
	}{
		{1, "\"whimbrel up\" starts again with statement 1 of 7.\n"},
		{3, "\"whimbrel up\" continues with statement 3 of 7.\n"},
		{8, "\"whimbrel up\" adds the history entry, because all statements were executed.\n"},
	} {
		p, out, _ := pipe()
		p.Show(NewResolved("default", &whimbrel.Resolved{Version: 12, Name: "add_index", Statement: c.at, Of: 7}, whimbrel.ResolveDone, &Interrupted{Direction: "up"}))
		same(t, out.read(), "Recorded the decision for 12 add_index: done. Nothing was run.\n"+c.want)
	}
}

func blockedBy(h database.Holder) database.Blockage {
	return database.Blockage{Blockers: []database.Blocker{{Holder: h}}}
}
