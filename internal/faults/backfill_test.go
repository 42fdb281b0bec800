package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// briefly is a lease that ends soon after a process is killed.
var briefly = whimbrel.Options{BackfillLease: 100 * time.Millisecond}

const filledDDL = "CREATE TABLE f (id int PRIMARY KEY, x int NOT NULL); "

// filledRows returns a statement that inserts rows into the table of a backfill.
func filledRows(rows int) string {
	var values []string
	for i := range rows {
		values = append(values, fmt.Sprintf("(%d, %d)", i, i))
	}
	return "INSERT INTO f VALUES " + strings.Join(values, ", ")
}

// filledTable returns a table whose x is the key, and a backfill that adds 1000 to it: a row that
// is changed twice, or never, is seen in the final state.
func filledTable(rows int, directives ...string) []file {
	head := "-- whimbrel: backfill f\n"
	for _, d := range directives {
		head += "-- whimbrel: " + d + "\n"
	}
	return []file{
		{filledDDL + filledRows(rows) + "; ANALYZE f", "DROP TABLE f"},
		{head + "UPDATE f SET x = x + 1000 WHERE id BETWEEN :first AND :last", "UPDATE f SET x = x - 1000"},
	}
}

// filling are the scenarios of backfills.
var filling = []*scenario{
	{name: "a backfill", files: filledTable(40, "batch 10"), opts: briefly, before: to(1), do: up},
	{name: "a backfill of several workers", files: filledTable(60, "batch 3", "parallel 3"), opts: briefly, before: to(1), do: up},
	{name: "a backfill of two processes", files: filledTable(60, "batch 3", "parallel 3"), opts: briefly, before: to(1), do: up, race: true},
}

// counted is a backfill of a table with counters, in many batches.
var counted = &scenario{name: "counters", files: filledTable(3000, "batch 5", "parallel 8", "pause 1ms"), opts: briefly, before: to(1), do: up}

// fill starts the scenario's backfill if that has not happened, and executes batches until it is
// done.
func (s *scenario) fill(ctx context.Context, db database.Database, words []string, workers int) error {
	opts := s.opts
	opts.MigrationLockTimeout = testTimeout
	m := whimbrel.New(db, s.set(words), opts)
	_, err := m.RunBackfill(ctx, int64(len(s.files)), whimbrel.RunOptions{Workers: workers})
	return err
}

// startDetached starts the scenario's backfill, without executing a batch.
func (s *scenario) startDetached(ctx context.Context, db database.Database, words []string) error {
	_, err := whimbrel.New(db, s.set(words), whimbrel.Options{Detach: true, MigrationLockTimeout: testTimeout}).Up(ctx)
	return err
}

// fillers are processes that execute batches of one backfill, some of which are killed.
type fillers struct {
	*testing.T
	p      *postgres
	s      *scenario
	random *rand.Rand
	all    []*process
	killed int
	ended  int // sessions that the server has ended
}

// newFillers starts a backfill whose batches nobody executes yet.
func newFillers(t *testing.T, url string, s *scenario) *fillers {
	t.Helper()
	p := newPostgres(t, url, url)
	f := &fillers{T: t, p: p, s: s, random: newRandom(t)}
	if err := (&rig{place: p}).prepare(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	db, err := p.observer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.startDetached(t.Context(), db, p.placeholders()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, one := range f.all {
			_ = one.cmd.Process.Kill()
			<-one.ended
		}
	})
	return f
}

func (f *fillers) start(workers int) *process {
	f.Helper()
	one, err := startChild(child{URL: f.p.direct, Scenario: f.s.name, Words: f.p.placeholders(), Workers: workers})
	if err != nil {
		f.Fatal(err)
	}
	f.all = append(f.all, one)
	return one
}

// line returns the only line of a query's answer.
func (f *fillers) line(sql string, args ...any) (line string) {
	f.Helper()
	if err := f.p.conn.QueryRow(f.Context(), sql, args...).Scan(&line); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		f.Fatalf("%s: %v", sql, err)
	}
	return line
}

func (f *fillers) done() bool { return f.line("SELECT state FROM whimbrel_backfills") == "done" }

// awaitBatches waits until so many more batches are committed, or the backfill is done.
func (f *fillers) awaitBatches(n int) {
	f.Helper()
	const sql = "SELECT (b.batches + coalesce((SELECT sum(batches) FROM whimbrel_lanes), 0) >= $1 OR b.state = 'done')::text FROM whimbrel_backfills b"
	var was int
	if err := f.p.conn.QueryRow(f.Context(), "SELECT (b.batches + coalesce((SELECT sum(batches) FROM whimbrel_lanes), 0))::int FROM whimbrel_backfills b").Scan(&was); err != nil {
		f.Fatal(err)
	}
	for deadline := time.Now().Add(testTimeout / 2); f.line(sql, was+n) != "true"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("no batch is committed: %s", f.line("SELECT json_agg(l)::text FROM whimbrel_lanes l WHERE NOT done"))
		}
	}
}

// breakOne kills a process, or ends one of their sessions on the server.
func (f *fillers) breakOne() {
	f.Helper()
	f.awaitBatches(f.random.IntN(6))
	time.Sleep(time.Duration(f.random.IntN(3000)) * time.Microsecond)
	if f.random.IntN(4) == 0 {
		if f.line("SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'to be killed%' ORDER BY random() LIMIT 1") == "true" {
			f.ended++
		}
		return
	}
	i := f.random.IntN(len(f.all))
	if killed, err := f.all[i].kill(); err != nil {
		f.mayFail(err)
	} else if killed {
		f.killed++
	}
	f.all = append(f.all[:i], f.all[i+1:]...)
}

// finish waits for the processes, and compares what they did with what they should have done.
func (f *fillers) finish() {
	f.Helper()
	for _, one := range f.all {
		if <-one.ended; one.err != nil {
			f.mayFail(fmt.Errorf("%w: %s", one.err, one.stderr.String()))
		}
	}
	if one := f.start(2); !f.done() {
		if <-one.ended; one.err != nil {
			f.Errorf("the last process failed: %v: %s", one.err, one.stderr.String())
		}
	}
	f.expectOnce()
}

// mayFail accepts the error of a process whose session was ended between two batches.
func (f *fillers) mayFail(err error) {
	f.Helper()
	if f.ended == 0 || !strings.Contains(err.Error(), "57P01") && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "conn") {
		f.Errorf("a process failed: %v", err)
	}
}

func (f *fillers) expectOnce() {
	f.Helper()
	if got := f.line("SELECT concat(state, ': ', rows_done, ' rows') FROM whimbrel_backfills"); got != "done: 3000 rows" {
		f.Errorf("the backfill is %s", got)
	}
	if wrong := f.line("SELECT count(*)::text FROM f WHERE x <> id + 1000"); wrong != "0" {
		f.Errorf("%s rows were not changed exactly once", wrong)
	}
}

// TestKilledWorkers kills processes that execute batches, and ends their sessions, again and again.
// Each row is changed exactly once.
func TestKilledWorkers(t *testing.T) {
	majors := testdb.PostgresMajors(t)
	for _, m := range majors {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			killed, ended := 0, 0
			for range repetitions(1, 10) {
				f := newFillers(t, m.New(t), counted)
				for range 3 {
					f.start(1 + f.random.IntN(3))
				}
				for range repetitions(4, 12) {
					if f.done() {
						break
					}
					f.breakOne()
					for len(f.all) < 3 {
						f.start(1 + f.random.IntN(3))
					}
				}
				f.finish()
				killed, ended = killed+f.killed, ended+f.ended
			}
			if killed == 0 && ended == 0 {
				t.Error("no process was killed")
			}
			tally.add("PostgreSQL: kill -9 of a worker", killed)
			tally.add("PostgreSQL: end of a worker's session", ended)
		})
	}
}

// TestSuspendedWorkers suspends processes beyond their leases. Others take over the lanes and
// finish the backfill; when the processes continue, they commit nothing of these lanes.
func TestSuspendedWorkers(t *testing.T) {
	t.Parallel()
	for range repetitions(1, 20) {
		f := newFillers(t, testdb.Postgres(t), counted)
		first := []*process{f.start(2), f.start(2)}
		f.awaitBatches(20)
		for _, one := range first {
			if err := one.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		suspended := f.line("SELECT count(*)::text FROM whimbrel_lanes WHERE worker <> '' AND NOT done")
		other := f.start(3)
		<-other.ended
		if other.err != nil {
			t.Fatalf("the process failed: %v: %s", other.err, other.stderr.String())
		}
		f.expectOnce()
		for _, one := range first {
			if err := one.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			<-one.ended
			if one.err != nil {
				t.Errorf("a process that was suspended failed: %v: %s", one.err, one.stderr.String())
			}
		}
		f.expectOnce()
		t.Logf("%s lanes had a worker that was suspended", suspended)
		tally.add("PostgreSQL: suspended beyond a lease", 2)
	}
}
