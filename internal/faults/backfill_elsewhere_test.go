package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

const elsewhereRows = 3000

// countedElsewhere is counted for databases in which no transaction creates the table.
var countedElsewhere = &scenario{
	name: "counters, by eight workers of up",
	files: []file{
		{"CREATE TABLE f (id integer NOT NULL PRIMARY KEY, x integer NOT NULL)", "DROP TABLE f"},
		{filledRows(elsewhereRows), "DELETE FROM f"},
		filledTable(elsewhereRows, "batch 5", "parallel 8", "pause 1ms")[1],
	},
	opts: briefly, before: to(2), do: up,
}

// ups are processes that execute one backfill in up, with eight workers each.
type ups struct {
	*testing.T
	url string
	db  database.Database
	all []*process
}

func newUps(t *testing.T, url string) *ups {
	t.Helper()
	db, err := database.Open(t.Context(), url, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	u := &ups{T: t, url: url, db: db}
	t.Cleanup(func() {
		for _, one := range u.all {
			_ = one.cmd.Process.Kill()
			<-one.ended
		}
		db.Close()
	})
	m := whimbrel.New(db, countedElsewhere.set(nil), whimbrel.Options{})
	if err := countedElsewhere.before(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *ups) start() *process {
	u.Helper()
	one, err := startChild(child{URL: u.url, Scenario: countedElsewhere.name})
	if err != nil {
		u.Fatal(err)
	}
	u.all = append(u.all, one)
	return one
}

// rows returns how many rows are done, as soon as they are more than n. It returns n if that does
// not happen before the process ends.
func (u *ups) rows(n int64, one *process) int64 {
	u.Helper()
	for {
		all, err := whimbrel.New(u.db, countedElsewhere.set(nil), whimbrel.Options{}).Backfills(u.Context())
		if err != nil {
			u.Fatal(err)
		}
		if len(all) == 1 && all[0].RowsDone > n {
			return all[0].RowsDone
		}
		if isOver(one.ended) {
			return n
		}
		time.Sleep(time.Millisecond)
	}
}

// suspend stops processes. One that is stopped within a transaction keeps the lock of a SQLite
// file; then they continue for a moment.
func (u *ups) suspend(all ...*process) {
	u.Helper()
	send := func(s syscall.Signal) {
		for _, one := range all {
			if err := one.cmd.Process.Signal(s); err != nil {
				u.Fatal(err)
			}
		}
	}
	for send(syscall.SIGSTOP); !u.stopped(all) || !testdb.Writable(u, u.url); send(syscall.SIGSTOP) {
		send(syscall.SIGCONT)
		time.Sleep(time.Millisecond)
	}
}

// stopped waits until the threads of processes have stopped: the signal alone only asks for it. It
// reports false if that takes long.
func (u *ups) stopped(all []*process) bool {
	u.Helper()
	for range 1000 {
		running := 0
		for _, one := range all {
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", one.cmd.Process.Pid))
			if err != nil {
				u.Fatal(err)
			}
			for _, path := range threads {
				text, err := os.ReadFile(path)
				_, after, _ := strings.Cut(string(text), ") ") // the name before it is in parentheses
				if err == nil && !strings.HasPrefix(after, "T") {
					running++
				}
			}
		}
		if running == 0 {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// finish executes what is left, and checks that every row was changed exactly once.
func (u *ups) finish() {
	u.Helper()
	one := u.start()
	if <-one.ended; one.err != nil {
		u.Fatalf("the last process failed: %v: %s", one.err, one.stderr.String())
	}
	u.expectOnce()
}

func (u *ups) expectOnce() {
	u.Helper()
	for query, want := range map[string]string{
		"SELECT count(*) FROM f WHERE x = id + 1000":                   fmt.Sprint(elsewhereRows),
		"SELECT rows_done FROM whimbrel_backfills":                     fmt.Sprint(elsewhereRows),
		"SELECT count(*) FROM whimbrel_backfills WHERE state = 'done'": "1",
	} {
		rows, err := database.ReadQuery(u.Context(), u.db, query)
		if err != nil {
			u.Fatal(err)
		}
		if got := fmt.Sprint(rows.Rows[0][0]); got != want {
			u.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

// elsewhere executes a test on databases.
func elsewhere(t *testing.T, databases []string, test func(t *testing.T, u *ups, where string)) {
	t.Helper()
	for _, where := range databases {
		url := func(t *testing.T) string { return testdb.MariaDB(t) }
		if where == "SQLite" {
			url = func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "app.db") }
		}
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			for range repetitions(1, 10) {
				test(t, newUps(t, url(t)), where)
			}
		})
	}
}

// TestKilledUps kills processes that execute a backfill in up, with eight workers each. Each row is
// changed exactly once.
func TestKilledUps(t *testing.T) {
	elsewhere(t, []string{"MariaDB", "SQLite"}, func(t *testing.T, u *ups, where string) {
		killed, rows := 0, int64(0)
		for range 4 {
			one := u.start()
			rows = u.rows(rows, one)
			if was, err := one.kill(); err != nil {
				t.Fatal(err)
			} else if was {
				killed++
			}
		}
		if killed == 0 {
			t.Error("no process was killed")
		}
		u.finish()
		tally.add(where+": kill -9 of an up with eight workers", killed)
	})
}

// TestSuspendedUps suspends processes beyond their leases. Another one takes over the lanes and
// finishes the backfill; when they continue, they commit nothing of these lanes.
func TestSuspendedUps(t *testing.T) {
	elsewhere(t, []string{"MariaDB", "SQLite"}, func(t *testing.T, u *ups, where string) {
		first := []*process{u.start(), u.start()}
		u.rows(0, first[0])
		u.suspend(first...)
		u.finish()
		for _, one := range first {
			if err := one.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			// the server may have ended a session of it that was not in a lane: one with the migration lock,
			// or one that was being opened
			if <-one.ended; one.err != nil && !regexp.MustCompile("lost the migration lock|(invalid|bad) connection|the server or the network closed it").MatchString(one.stderr.String()) {
				t.Errorf("a process that was suspended failed: %v: %s", one.err, one.stderr.String())
			}
		}
		u.expectOnce()
		tally.add(where+": suspended beyond a lease", len(first))
	})
}
