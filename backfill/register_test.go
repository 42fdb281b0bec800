package backfill_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/backfill"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// mailArgs are the arguments of a job of an application.
type mailArgs struct {
	To string `json:"to"`
}

func (mailArgs) Kind() string { return "mail" }

type mailWorker struct {
	river.WorkerDefaults[mailArgs]
	sent chan string
}

func (w *mailWorker) Work(_ context.Context, j *river.Job[mailArgs]) error {
	w.sent <- j.Args.To
	return nil
}

// appConfig is the configuration of an application with jobs of its own.
func appConfig(t *testing.T, f filled, sent chan string) *river.Config {
	t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, &mailWorker{sent: sent})
	periodic, err := backfill.Register(workers, backfill.Config{Database: f.db, Options: whimbrel.Options{BackfillLease: lease}})
	if err != nil {
		t.Fatal(err)
	}
	return &river.Config{
		Workers:      workers,
		PeriodicJobs: []*river.PeriodicJob{periodic},
		Queues:       map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}, backfill.DefaultQueue: {MaxWorkers: 2}},
		Logger:       slog.New(slog.DiscardHandler),
	}
}

// An application's own client executes backfills beside its own jobs, in the tables that River's
// migrator has created.
func TestRegister(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		f := fill(t, postgresTarget(t, testdb.Postgres(t), ""), 2000, countOnce, "batch 50", "parallel 2")
		f.migrate(t, 0)
		pool, err := pgxpool.New(t.Context(), f.url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		sent := make(chan string, 1)
		c, err := river.NewClient(riverpgxv5.New(pool), appConfig(t, f, sent))
		if err != nil {
			t.Fatal(err)
		}
		runApplication(t, f, c, sent)
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		f := fill(t, sqliteTarget(t), 2000, countOnce, "batch 50", "parallel 2")
		f.migrate(t, 0)
		pool, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(filepath.ToSlash(f.url), "sqlite:")+"?_pragma=busy_timeout(300000)&_txlock=immediate")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pool.Close() })
		pool.SetMaxOpenConns(1)
		sent := make(chan string, 1)
		c, err := river.NewClient(riversqlite.New(pool), appConfig(t, f, sent))
		if err != nil {
			t.Fatal(err)
		}
		runApplication(t, f, c, sent)
	})
}

// application is a River client of any driver.
type application interface {
	Start(context.Context) error
	Stop(context.Context) error
	Insert(context.Context, river.JobArgs, *river.InsertOpts) (*rivertype.JobInsertResult, error)
}

func runApplication(t *testing.T, f filled, c application, sent <-chan string) {
	t.Helper()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if _, err := c.Insert(t.Context(), mailArgs{To: "ada"}, nil); err != nil {
		t.Fatal(err)
	}
	equal(t, "the mail", <-sent, "ada")
	eventually(t, "the backfill is done", func() bool { return f.status(t).State == database.BackfillDone })
	f.wantOnce(t)
}

// "whimbrel work" beside an application takes none of its jobs, and never becomes the leader.
func TestWorkBesideAnApplication(t *testing.T) {
	t.Parallel()
	f := fill(t, postgresTarget(t, testdb.Postgres(t), ""), 500, countOnce, "batch 50")
	f.migrate(t, 0)
	f.exec(t, `INSERT INTO river_job (kind, args, max_attempts, queue, state, attempted_at, attempt)
VALUES ('mail', '{"to": "ada"}', 3, 'default', 'running', now() - interval '1 day', 1), ('mail', '{"to": "bob"}', 3, 'whimbrel_backfill', 'available', NULL, 0)`)
	if err := f.work(t); err != nil {
		t.Fatal(err)
	}
	f.wantOnce(t)
	rows, err := database.ReadQuery(t.Context(), f.db, "SELECT state::text, attempt FROM river_job WHERE kind = 'mail' ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the application's jobs", rows.Rows, [][]any{{"running", int64(1)}, {"available", int64(0)}})
	if rows, err = database.ReadQuery(t.Context(), f.db, "SELECT count(*) FROM river_leader"); err != nil {
		t.Fatal(err)
	}
	equal(t, "leaders", rows.Rows[0][0], any(int64(0)))
}
