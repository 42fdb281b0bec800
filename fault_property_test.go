package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// runsAndTransactions returns n migrations. Every second one can't be in a transaction, and every
// fifth one has transactions of its own. Each one, up and down, writes into the table log when it
// begins and when it is done.
func runsAndTransactions(n int) []script {
	all := []script{{1, "CREATE TABLE log (x)", "DROP TABLE log"}}
	for v := 2; v <= n; v++ {
		say := strings.NewReplacer("{v}", fmt.Sprint(v), "{c}", "")
		if v%2 == 0 {
			say = strings.NewReplacer("{v}", fmt.Sprint(v), "{c}", " CONCURRENTLY")
		}
		all = append(all, script{
			int64(v),
			say.Replace("INSERT INTO log VALUES (up {v}); CREATE TABLE t{v} (x); CREATE INDEX{c} i{v} ON t{v} (x); INSERT INTO t{v} VALUES (1); " +
				"BEGIN; INSERT INTO t{v} VALUES (2); INSERT INTO t{v} VALUES (3); COMMIT; DROP INDEX{c} i{v}; CREATE INDEX{c} j{v} ON t{v} (x); INSERT INTO log VALUES (up {v} is done)"),
			say.Replace("INSERT INTO log VALUES (down {v}); DROP INDEX{c} j{v}; DELETE FROM t{v}; DROP TABLE t{v}; INSERT INTO log VALUES (down {v} is done)"),
		})
		switch {
		case v%5 == 0:
			all[v-1].up = say.Replace("BEGIN; INSERT INTO log VALUES (up {v}); CREATE TABLE t{v} (x); COMMIT; INSERT INTO t{v} VALUES (1); " +
				"START TRANSACTION; INSERT INTO t{v} VALUES (2); COMMIT AND CHAIN; INSERT INTO t{v} VALUES (3); CREATE INDEX j{v} ON t{v} (x); COMMIT; " +
				"BEGIN; INSERT INTO t{v} VALUES (9); ROLLBACK; INSERT INTO log VALUES (up {v} is done); BEGIN")
		case v%2 != 0: // it is one transaction and contains no others
			all[v-1].up = strings.NewReplacer("BEGIN; ", "", "COMMIT; ", "").Replace(all[v-1].up)
		}
	}
	return all
}

// Up to four processes apply and roll back migrations, in transactions and in runs. Their calls are
// interleaved at random, and processes are killed before, after and in the middle of any call.
// Deadlocks and locks of other sessions make statements fail, and the processes retry them. No
// script runs twice or out of turn, the history is what happened, and one more process always
// completes everything.
func TestAnyInterleavingOfRuns(t *testing.T) {
	t.Parallel()
	set := newSet(t, runsAndTransactions(5)...)
	var resumed, retried atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		var all []*process
		for i := range rapid.IntRange(1, 4).Draw(rt, "processes") {
			g := rapid.SampledFrom(goals).Draw(rt, fmt.Sprintf("goal%d", i))
			all = append(all, &process{what: g.what, do: g.do, set: set, opts: whimbrel.Options{MigrationLockTimeout: time.Minute, Observe: func(_ context.Context, e whimbrel.Event) {
				switch e := e.(type) {
				case whimbrel.Resumed:
					resumed.Add(1)
				case whimbrel.Retrying:
					if e.Pause > 0 {
						retried.Add(1)
					}
				}
			}}})
		}
		start := rapid.SampledFrom([]int64{whimbrel.NilVersion, 1, 2, 4, 5}).Draw(rt, "start")
		choices := rapid.SliceOfN(rapid.IntRange(0, 1<<16), 20, 200).Draw(rt, "choices")
		obstacles := drawObstacles(rt, "log", "t2", "t3", "t4", "t5")
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			target := memdb.New()
			if start != whimbrel.NilVersion {
				mustMigrate(t, migrator(t, target, set), whimbrel.Version(start))
			}
			put(target, obstacles)
			interleave(t, target, all, choices, brokenCall)
			for i, p := range all {
				if p.err != nil && !mayHappen(p.err) && !begunMeanwhile(p.err) {
					problems = append(problems, fmt.Sprintf("process %d (%s): %v", i, p.what, p.err))
				}
			}
			problems = append(problems, wrongEnd(t, target, set, &resumed)...)
		})
		if len(problems) > 0 {
			rt.Fatal(strings.Join(problems, "\n"))
		}
	})
	t.Logf("runs were resumed %d times; %d attempts followed a lock timeout or a deadlock", resumed.Load(), retried.Load())
}

// brokenCall kills about one call in ten: before it does anything, in the middle, or after it has
// done everything, so that only its answer is lost.
func brokenCall(op string, choice int) error {
	switch choice %= 31; {
	case choice == 1:
		return memdb.ErrKilled
	case choice == 2 && (op == memdb.OpRunExec || op == memdb.OpRunJournal || op == memdb.OpRunAnnounce || op == memdb.OpRunRecord):
		return memdb.ErrDone
	case choice == 3 && op == memdb.OpRunExec:
		return memdb.ErrHalfway
	}
	return fault(op, choice)
}

// begunMeanwhile reports whether a process failed because another one began a run, and was killed,
// after the first one had planned.
func begunMeanwhile(err error) bool {
	var interrupted *whimbrel.InterruptedError
	return errors.As(err, &interrupted) && strings.Contains(interrupted.Problem, "in the meantime")
}

// wrongEnd migrates a target to the latest version and returns what is wrong then.
func wrongEnd(t *testing.T, target *memdb.Target, set *migration.Set, resumed *atomic.Int64) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if locked := target.Locked(); len(locked) > 0 {
		wrong("locks are left: %v", locked)
	}
	m := whimbrel.New(open(t, target), set, whimbrel.Options{})
	r, err := m.Up(t.Context())
	if err != nil {
		wrong("no progress is possible: %v", err)
		return problems
	}
	resumed.Add(int64(len(r.Resumed)))
	if st, err := m.Status(t.Context()); err != nil {
		wrong("the status in the end: %v", err)
	} else if st.Interrupted != nil {
		wrong("a run is still interrupted in the end: %+v", st.Interrupted)
	}
	want, bad := logOf(t, m)
	problems = append(problems, bad...)
	equal := func(what string, got []string, err error, want ...string) {
		if err != nil {
			wrong("%s: %v", what, err)
		} else if !slices.Equal(got, want) {
			wrong("%s: got %q, want %q", what, got, want)
		}
	}
	got, err := target.Rows(t.Context(), "log")
	equal("what happened, compared with the history", got, err, want...)
	var indexes []string
	for _, mig := range set.All()[1:] {
		indexes = append(indexes, fmt.Sprintf("j%d", mig.Version))
		got, err := target.Rows(t.Context(), fmt.Sprintf("t%d", mig.Version))
		equal(fmt.Sprintf("the rows of version %d", mig.Version), got, err, "1", "2", "3")
	}
	got, err = target.Indexes(t.Context())
	equal("the indexes", got, err, indexes...)
	got, err = target.Invalid(t.Context())
	equal("the invalid indexes", got, err)
	return problems
}

// logOf returns what the history says the table log contains: everything since the table was
// created last.
func logOf(t *testing.T, m *whimbrel.Migrator) (log, problems []string) {
	applied := map[int64]bool{}
	for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
		if e.Direction == database.Failed { // of a process that was killed
			continue
		}
		isUp := e.Direction == database.Up
		if err != nil {
			problems = append(problems, err.Error())
		}
		if applied[e.Version] == isUp {
			problems = append(problems, fmt.Sprintf("history entry %d, %s of version %d, is impossible here", e.ID, e.Direction, e.Version))
		}
		applied[e.Version] = isUp
		if e.Version == 1 {
			log = nil
			continue
		}
		log = append(log, fmt.Sprintf("%s %d", e.Direction, e.Version), fmt.Sprintf("%s %d is done", e.Direction, e.Version))
	}
	return log, problems
}

// A process plans to resume a run and to redo its migration. Meanwhile another process resumes the
// run, so that only the redo is left to do.
func TestRedoOfARunThatAnotherProcessResumes(t *testing.T) {
	t.Parallel()
	target, set := memdb.New(), newSet(t, runsAndTransactions(2)...)
	up := func(hook func(op string) error) error {
		db := open(t, target)
		db.SetHook(hook)
		return tryUp(t, whimbrel.New(db, set, whimbrel.Options{}))
	}
	once := func(at string, do func() error) func(string) error {
		done := false
		return func(op string) error {
			if op != at || done {
				return nil
			}
			done = true
			return do()
		}
	}
	if err := up(once(memdb.OpRunExec, func() error { return memdb.ErrDone })); !errors.Is(err, memdb.ErrKilled) {
		t.Fatal(err)
	}
	db := open(t, target)
	db.SetHook(once(memdb.OpGuard, func() error { return up(nil) }))
	r := mustMigrate(t, whimbrel.New(db, set, whimbrel.Options{}), whimbrel.Redo(1))
	wantSkipped(t, r, 2)
	wantRolledBack(t, r, 2)
	wantApplied(t, r, 2)
	for _, p := range wrongEnd(t, target, set, new(atomic.Int64)) {
		t.Error(p)
	}
}

// The server may execute the last statement of a lost process late, and so take a run over from a
// running process. The running process then begins again and resumes the run.
func TestFencedProcessTriesOnceMore(t *testing.T) {
	t.Parallel()
	for calls := 1; calls < 20; calls++ {
		target, set := memdb.New(), newSet(t, runsAndTransactions(2)...)
		db := &fencing{Database: open(t, target), calls: calls}
		r, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context())
		if err != nil {
			t.Errorf("fenced at call %d: %v", calls, err)
		}
		wantApplied(t, r, 1, 2)
		for _, p := range wrongEnd(t, target, set, new(atomic.Int64)) {
			t.Errorf("fenced at call %d: %s", calls, p)
		}
	}
}

// fencing is a database whose run is taken over at the n-th call.
type fencing struct {
	database.Database
	calls int
}

func (f *fencing) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	r, found, err := f.Database.Guard(ctx, set, opts)
	return &fencedRun{r, f}, found, err
}

func (f *fencing) fenced() error {
	if f.calls--; f.calls == 0 {
		return fmt.Errorf("as it happens: %w", database.ErrFenced)
	}
	return nil
}

type fencedRun struct {
	database.Run
	*fencing
}

func (r *fencedRun) Journal(ctx context.Context, j *database.Journal) error {
	if err := r.fenced(); err != nil {
		return err
	}
	return r.Run.Journal(ctx, j)
}

func (r *fencedRun) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
	if done != nil {
		if err := r.fenced(); err != nil {
			return err
		}
	}
	return r.Run.Exec(ctx, s, st, data, done)
}

func (r *fencedRun) Record(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
	if err := r.fenced(); err != nil {
		return database.Recorded{}, err
	}
	return r.Run.Record(ctx, entries...)
}
