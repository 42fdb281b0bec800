package backfill_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/backfill"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const (
	version = 2 // of the backfill
	lease   = 2 * time.Second
)

// filled is a database with a table of rows, and a detached backfill that counts in each row how
// often it was changed.
type filled struct {
	target
	rows int
	m    *whimbrel.Migrator
}

// fill creates the table and starts the backfill. directives are lines of its head.
func fill(t *testing.T, x target, rows int, body string, directives ...string) filled {
	t.Helper()
	head := "-- whimbrel: backfill users\n-- whimbrel: detach\n"
	for _, d := range directives {
		head += "-- whimbrel: " + d + "\n"
	}
	set, err := source.Read(fstest.MapFS{
		"0001_users.up.sql": {Data: []byte("CREATE TABLE users (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);\n" +
			"INSERT INTO users (id) WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < " + fmt.Sprint(rows) + ") SELECT id FROM ids;")},
		"0002_count.backfill.sql": {Data: []byte(head + body)},
	}, source.Options{Dialect: x.db.Dialect()})
	if err != nil {
		t.Fatal(err)
	}
	f := filled{target: x, rows: rows, m: whimbrel.New(x.db, set, whimbrel.Options{BackfillLease: lease, Detach: true})}
	if _, err := f.m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

const countOnce = "UPDATE users SET n = n + 1 WHERE id >= :first AND id <= :last;"

// work is Work until all backfills are done.
func (f filled) work(t *testing.T, change ...func(*backfill.WorkOptions)) error {
	opts := backfill.WorkOptions{Config: backfill.Config{Options: whimbrel.Options{BackfillLease: lease}, Turn: time.Second}, Until: backfill.Done}
	for _, c := range change {
		c(&opts)
	}
	return backfill.Work(t.Context(), f.url, opts)
}

// wantOnce fails unless each row was changed once, and the backfill is done.
func (f filled) wantOnce(t *testing.T) {
	t.Helper()
	rows, err := database.ReadQuery(t.Context(), f.db, "SELECT n, count(*) FROM users GROUP BY n ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "how often rows were changed, and how many", rows.Rows, [][]any{{int64(1), int64(f.rows)}})
	b := f.status(t)
	if b.State != database.BackfillDone || b.RowsDone != int64(f.rows) {
		t.Errorf("the backfill is %s after %d rows; want done after %d", b.State, b.RowsDone, f.rows)
	}
}

func (f filled) status(t *testing.T) whimbrel.BackfillStatus {
	t.Helper()
	all, err := f.m.Backfills(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("Backfills returned %d and the error %v; want one backfill", len(all), err)
	}
	return all[0]
}

func (f filled) change(t *testing.T, action database.BackfillAction) {
	t.Helper()
	if _, err := f.m.ChangeBackfill(t.Context(), database.BackfillChange{BackfillID: database.BackfillID{Version: version}, Action: action, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after five minutes, it is not the case that %s", what)
		}
	}
}

func TestWorkFillsAll(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 3000, countOnce, "batch 100", "parallel 3")
		var calls []string
		var mu sync.Mutex
		note := func(what string) func(context.Context, database.Backfill) error {
			return func(_ context.Context, b database.Backfill) error {
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, fmt.Sprintf("%s %d %s", what, b.Version, b.State))
				return nil
			}
		}
		var ready atomic.Int32
		err := f.work(t, func(o *backfill.WorkOptions) {
			o.Hooks = backfill.Hooks{Before: note("before"), After: note("after"), Failed: note("failed")}
			o.Ready = func(r backfill.Ready) { ready.Add(int32(len(r.River.Applied))) }
		})
		if err != nil {
			t.Fatal(err)
		}
		f.wantOnce(t)
		equal(t, "calls of hooks", calls, []string{"before 2 running", "after 2 done"})
		equal(t, "migrations of River's tables", ready.Load(), 8)
		if _, err := f.m.Up(t.Context()); err != nil {
			t.Errorf("an up after the end: %v", err)
		}
	})
}

func TestTwentyWorkersAtOnce(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 4000, countOnce, "batch 50", "parallel 8")
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if err := f.work(t, func(o *backfill.WorkOptions) {
					o.Workers = 2
					o.Options.MigrationLockTimeout = 5 * time.Minute
				}); err != nil {
					t.Errorf("worker %d: %v", i, err)
				}
			})
		}
		all.Wait()
		f.wantOnce(t)
		if got := f.maxLeased(t); got > 8 {
			t.Errorf("%d lanes had a worker at the end; at most 8 may", got)
		}
	})
}

func (f filled) maxLeased(t *testing.T) (n int) {
	for _, l := range f.status(t).Lanes {
		if l.Worker != "" {
			n++
		}
	}
	return n
}

// gate is a body that stops at a row until the gate is opened.
func gate(t *testing.T, x target, row int) (body string, open func()) {
	t.Helper()
	x.exec(t, fmt.Sprintf(`CREATE FUNCTION gate(id integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	WHILE id = %d AND (SELECT count(*) FROM pg_class WHERE relname = 'open_gate') = 0 LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN true;
END $$`, row))
	return "UPDATE users SET n = n + 1 WHERE id >= :first AND id <= :last AND gate(id);", func() {
		t.Helper()
		x.exec(t, "CREATE TABLE open_gate ()")
	}
}

// A backfill that is paused during a batch commits this batch, and no other one.
func TestPauseDuringABatch(t *testing.T) {
	t.Parallel()
	x := postgresTarget(t, testdb.Postgres(t), "")
	body, open := gate(t, x, 501)
	f := fill(t, x, 2000, body, "batch 100", "timeout 1h")
	ended := make(chan error, 1)
	go func() { ended <- f.work(t) }()
	eventually(t, "the batches before row 501 are done", func() bool { return f.status(t).RowsDone == 500 })
	paused := make(chan struct{})
	go func() { defer close(paused); f.change(t, database.ActionPause) }()
	time.Sleep(100 * time.Millisecond) // the pause can wait for the batch, or be in effect
	open()
	<-paused
	eventually(t, "no lane has a worker", func() bool { return f.maxLeased(t) == 0 })
	b := f.status(t)
	if b.State != database.BackfillPaused || b.RowsDone > 600 {
		t.Errorf("the backfill is %s after %d rows; want paused after at most 600", b.State, b.RowsDone)
	}
	f.change(t, database.ActionResume)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	f.wantOnce(t)
}

// A batch that takes longer than StopFor is cancelled and rolled back.
func TestHardStop(t *testing.T) {
	t.Parallel()
	x := postgresTarget(t, testdb.Postgres(t), "")
	body, open := gate(t, x, 1)
	f := fill(t, x, 100, body, "batch 10", "timeout 1h")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- backfill.Work(ctx, f.url, backfill.WorkOptions{
			Config:  backfill.Config{Options: whimbrel.Options{BackfillLease: lease}},
			StopFor: 100 * time.Millisecond,
		})
	}()
	eventually(t, "a batch is executed", func() bool {
		rows, err := database.ReadQuery(t.Context(), f.db, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%gate(id)%' AND pid <> pg_backend_pid()")
		return err == nil && rows.Rows[0][0] != any(int64(0))
	})
	stop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("Work returned %v; want an error that says batches were cancelled", err)
	}
	open()
	if err := f.work(t); err != nil {
		t.Fatal(err)
	}
	f.wantOnce(t)
}

// A backfill that fails ends the work with its error, and calls the hook once.
func TestFailedBackfill(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		x := newTarget(t)
		f := fill(t, x, 100, "UPDATE users SET n = CASE WHEN id = 50 THEN NULL ELSE n + 1 END WHERE id >= :first AND id <= :last;", "batch 10", "attempts 1")
		var failures atomic.Int32
		err := f.work(t, func(o *backfill.WorkOptions) {
			o.Hooks.Failed = func(_ context.Context, b database.Backfill) error {
				if b.State != database.BackfillFailed || b.Error == "" {
					t.Errorf("the hook got a backfill that is %s with the error %q", b.State, b.Error)
				}
				failures.Add(1)
				return nil
			}
		})
		var failed *whimbrel.BackfillError
		if !errors.As(err, &failed) || failed.State != database.BackfillFailed || !strings.Contains(err.Error(), "50") {
			t.Errorf("Work returned %v; want a *BackfillError that names row 50", err)
		}
		equal(t, "calls of the hook", failures.Load(), 1)
	})
}

// A frozen database has no batches. The work continues after a thaw.
func TestFreezeAndThaw(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 200, countOnce, "batch 10")
		if _, err := backfill.MigrateRiver(t.Context(), f.db, backfill.RiverOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.m.Freeze(t.Context(), "release", time.Time{}); err != nil {
			t.Fatal(err)
		}
		if err := f.work(t, func(o *backfill.WorkOptions) { o.Until = backfill.NothingToDo }); err != nil {
			t.Fatal(err)
		}
		equal(t, "rows while it was frozen", f.status(t).RowsDone, 0)
		if _, err := f.m.Thaw(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if err := f.work(t, func(o *backfill.WorkOptions) { o.Until = backfill.NothingToDo }); err != nil {
			t.Fatal(err)
		}
		f.wantOnce(t)
	})
}

// The history does not keep the text of a secret script: the worker needs the folder.
func TestSecretScriptNeedsTheSet(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 50, countOnce, "batch 10", "secret")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		var troubles atomic.Int32
		go func() {
			ended <- backfill.Work(ctx, f.url, backfill.WorkOptions{Config: backfill.Config{Trouble: func(id database.BackfillID, err error) {
				if id.Version != version || !errors.Is(err, whimbrel.ErrNoText) {
					t.Errorf("trouble with backfill %d: %v; want ErrNoText of %d", id.Version, err, version)
				}
				troubles.Add(1)
			}}})
		}()
		eventually(t, "the job says that the text is missing", func() bool {
			rows, err := database.ReadQuery(t.Context(), f.db, "SELECT errors FROM river_job WHERE kind = 'whimbrel_backfill_slot' AND errors IS NOT NULL")
			return err == nil && len(rows.Rows) > 0
		})
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		equal(t, "rows without the script", f.status(t).RowsDone, 0)
		equal(t, "reports of trouble", troubles.Load(), 1)
		set := setOf(t, f)
		if err := f.work(t, func(o *backfill.WorkOptions) { o.Sets = []*migration.Set{set} }); err != nil {
			t.Fatal(err)
		}
		f.wantOnce(t)
	})
}

func setOf(t *testing.T, f filled) *migration.Set {
	t.Helper()
	set, err := source.Read(fstest.MapFS{
		"0002_count.backfill.sql": {Data: []byte("-- whimbrel: backfill users\n-- whimbrel: detach\n-- whimbrel: batch 10\n-- whimbrel: secret\n" + countOnce)},
	}, source.Options{Dialect: f.db.Dialect()})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A Go function is executed by workers that have the set with it.
func TestGoFunction(t *testing.T) {
	t.Parallel()
	spec := migration.Backfill{Table: "users", Batch: 20, Detach: true}
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		x := newTarget(t)
		f := fill(t, x, 100, countOnce)
		up := postgres.BackfillFunc("count", spec, func(ctx context.Context, tx pgx.Tx, first, last database.Key) error {
			_, err := tx.Exec(ctx, "UPDATE users SET n = n + 1 WHERE id BETWEEN $1::int AND $2::int", first[0], last[0])
			return err
		})
		if x.db.Dialect() == sqltext.SQLite {
			up = sqlite.BackfillFunc("count", spec, func(ctx context.Context, tx sqlite.Tx, first, last []any) error {
				_, err := tx.ExecContext(ctx, "UPDATE users SET n = n + 1 WHERE id BETWEEN ? AND ?", first[0], last[0])
				return err
			})
		}
		set, err := migration.NewSet("functions", migration.Migration{Version: 1, Name: "count", Up: up})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := whimbrel.New(x.db, set, whimbrel.Options{}).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.work(t, func(o *backfill.WorkOptions) { o.Sets = []*migration.Set{set} }); err != nil {
			t.Fatal(err)
		}
		rows, err := database.ReadQuery(t.Context(), f.db, "SELECT n, count(*) FROM users GROUP BY n")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "how often rows were changed, by both sets, and how many", rows.Rows, [][]any{{int64(2), int64(100)}})
	})
}

// River's tables can have a schema of their own, with as many workers as a process wants.
func TestWorkInASchema(t *testing.T) {
	t.Parallel()
	x := postgresTarget(t, testdb.Postgres(t), "queue")
	x.exec(t, "CREATE SCHEMA queue")
	f := fill(t, x, 2000, countOnce, "batch 20", "parallel 12")
	if err := f.work(t, func(o *backfill.WorkOptions) { o.Schema, o.Workers = "queue", 12 }); err != nil {
		t.Fatal(err)
	}
	f.wantOnce(t)
	if problem := x.valid(t); problem != "" {
		t.Errorf("River's migrator says: %s", problem)
	}
}

func TestWorkRefusesAnUnfitRiver(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 10, countOnce)
		f.migrate(t, 6)
		var unfit *backfill.RiverError
		if err := f.work(t, func(o *backfill.WorkOptions) { o.KeepSchema = true }); !errors.As(err, &unfit) || unfit.Problem != backfill.RiverOlder {
			t.Errorf("with older tables that it must keep, Work returned %v; want RiverOlder", err)
		}
		if err := f.work(t); err != nil {
			t.Errorf("with older tables, Work returned %v", err)
		}
		f.wantOnce(t)
		f.exec(t, "INSERT INTO river_migration (line, version) VALUES ('main', 9)")
		if err := f.work(t); !errors.As(err, &unfit) || unfit.Problem != backfill.RiverNewer {
			t.Errorf("with newer tables, Work returned %v; want RiverNewer", err)
		}
	})
}

// Without a leader of River, Work deletes its own old jobs, and nobody else's.
func TestWorkPrunes(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 10, countOnce)
		f.migrate(t, 0)
		for _, job := range []struct{ kind, day string }{
			{"whimbrel_backfill_slot", "2026-01-01"}, {"whimbrel_backfill_slot", "2999-01-01"}, {"mail", "2026-01-01"},
		} {
			f.exec(t, fmt.Sprintf(`INSERT INTO river_job (kind, args, max_attempts, queue, state, finalized_at) VALUES ('%s', '{"set": "gone", "version": 1}', 3, 'default', 'completed', '%s 00:00:00')`, job.kind, job.day))
		}
		if err := f.work(t); err != nil {
			t.Fatal(err)
		}
		rows, err := database.ReadQuery(t.Context(), f.db, "SELECT kind FROM river_job WHERE queue = 'default' ORDER BY kind")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "jobs that remain", rows.Rows, [][]any{{"mail"}, {"whimbrel_backfill_slot"}})
	})
}

func TestWorkThroughPgBouncer(t *testing.T) {
	t.Parallel()
	pooled, direct := testdb.PgBouncer(t)
	f := fill(t, postgresTarget(t, direct, ""), 1000, countOnce, "batch 50", "parallel 2")
	f.url = pooled
	if err := f.work(t); err != nil {
		t.Fatal(err)
	}
	f.wantOnce(t)
}

func TestWorkNeedsADatabaseWithAQueue(t *testing.T) {
	t.Parallel()
	err := backfill.Work(t.Context(), testdb.MariaDB(t), backfill.WorkOptions{})
	var unsupported *backfill.UnsupportedError
	if !errors.As(err, &unsupported) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Work returned %v; want an *UnsupportedError", err)
	}
}

// Work serves River's pages while it works.
func TestWorkServesPages(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 10, countOnce)
		l := listen(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- backfill.Work(ctx, f.url, backfill.WorkOptions{UI: l}) }()
		browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		eventually(t, "the pages show the queue", func() bool {
			answer, err := browser.Get("http://" + l.Addr().String() + "/api/queues")
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			var queues struct {
				Data []struct{ Name string }
			}
			err = json.NewDecoder(answer.Body).Decode(&queues)
			return err == nil && slices.ContainsFunc(queues.Data, func(q struct{ Name string }) bool { return q.Name == backfill.DefaultQueue })
		})
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := browser.Get("http://" + l.Addr().String()); err == nil {
			t.Error("after Work, the address still answers")
		}
	})
}
