package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// stuck reports whether a session in c's database sleeps in pg_sleep or waits for a lock.
func stuck(t testing.TB, c *pgx.Conn) bool {
	t.Helper()
	return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND wait_event IN ('PgSleep', 'advisory')") != "0"
}

func becomesStuck(t testing.TB, c *pgx.Conn) {
	t.Helper()
	eventually(t, "a statement hangs", func() bool { return stuck(t, c) })
}

// cancels run statements of every kind that last until canceled.
var cancels = map[string]func(ctx context.Context, t *testing.T, db database.Database) error{
	"a statement of a short script": func(ctx context.Context, t *testing.T, db database.Database) error {
		b := begin(t, db, "s")
		if err := b.Exec(ctx, script("CREATE TABLE left_behind (x int); SELECT pg_sleep(300); SELECT 2")); err != nil {
			return err
		}
		return errOf(b.Commit(ctx))
	},
	"a statement of a long script": func(ctx context.Context, t *testing.T, db database.Database) error {
		return begin(t, db, "s").Exec(ctx, script(strings.Repeat("SELECT 1;\n", 100)+"CREATE TABLE left_behind (x int); SELECT pg_sleep(300);\nSELECT 2;"))
	},
	"a lock that a statement waits for": func(ctx context.Context, t *testing.T, db database.Database) error {
		b := begin(t, db, "s")
		if err := b.Exec(ctx, script("CREATE TABLE left_behind (x int); SELECT pg_advisory_xact_lock(1)")); err != nil {
			return err
		}
		_, err := b.State(ctx)
		return err
	},
	"a Go function": func(ctx context.Context, t *testing.T, db database.Database) error {
		return begin(t, db, "s").Exec(ctx, postgres.Func("f", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "CREATE TABLE left_behind (x int)")
			must(t, err)
			_, err = tx.Exec(ctx, "SELECT pg_sleep(300)")
			return err
		}))
	},
	"a deferred trigger at COMMIT": func(ctx context.Context, t *testing.T, db database.Database) error {
		b := begin(t, db, "s")
		must(t, b.Exec(ctx, script(`CREATE TABLE left_behind (x int);
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(300); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON left_behind DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
INSERT INTO left_behind VALUES (1);`)))
		return errOf(b.Commit(ctx))
	},
	"a statement of a run": func(ctx context.Context, t *testing.T, db database.Database) error {
		return execAll(ctx, db, guard(t, db, "s"), script("SELECT pg_sleep(300)"))
	},
	"an index that a run builds": func(ctx context.Context, t *testing.T, db database.Database) error {
		must(t, apply(t, db, "before", 1, script("CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(300); RETURN 1; END $$; CREATE TABLE t AS SELECT 1 AS x")))
		return execAll(ctx, db, guard(t, db, "s"), script("CREATE INDEX CONCURRENTLY ON t (slow(x))"))
	},
}

// Canceling ends the statement on the server, returns the reason, leaves nothing behind, and the
// connection stays usable.
func TestCancelling(t *testing.T) {
	for name, run := range cancels {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "SELECT pg_advisory_lock(1)")
			db := open(t, url)
			must(t, apply(t, db, "other", 1, script("SELECT 1")))
			ctx, cancel := context.WithCancelCause(background(t))
			done := make(chan error, 1)
			go func() { done <- run(ctx, t, db) }()
			becomesStuck(t, c)
			cause := errors.New("a key was pressed")
			cancel(cause)
			is(t, <-done, context.Canceled, cause)
			equal(t, "what still runs", stuck(t, c), false)
			equal(t, "the table", value(t, c, "SELECT to_regclass('left_behind')"), "<null>")
			must(t, db.Close())
			db = open(t, url)
			isFree(t, db, "s")
			equal(t, "the applied versions", versions(t, db, "s"), "[]")
		})
	}
}

// A deadline works like a cancellation, and the connection stays usable.
func TestDeadline(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	pool := newPool(t, url, ofSize(1))
	db := postgres.NewPool(pool, database.Options{})
	for range 3 {
		b := begin(t, db, "s")
		ctx, cancel := context.WithTimeout(background(t), 50*time.Millisecond)
		err := b.Exec(ctx, script("SET work_mem = '7MB'; SELECT pg_sleep(300)"))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the error is %v, want context.DeadlineExceeded", err)
		}
		var st *database.StatementError
		// otherwise it came before the script's first statement
		if errors.As(err, &st) && st.Pos.Line > 0 {
			equal(t, "the place in it", st.Pos.Column, 23)
		}
		must(t, b.Rollback(ctx))
		isFree(t, db, "s")
	}
	equal(t, "the number of connections that the pool made", pool.Stat().NewConnsCount(), 1)
	equal(t, "work_mem", poolValue(t, pool, "current_setting('work_mem')"), "4MB")
}

// A cancel request that arrives just after the statement never affects the next one.
func TestLateCancelHitsNothing(t *testing.T) {
	for name, through := range map[string]bool{"directly": false, "through PgBouncer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := ""
			if through {
				url, _ = testdb.PgBouncer(t)
			} else {
				url = testdb.Postgres(t)
			}
			db := open(t, url)
			must(t, apply(t, db, "s", 1, script("SELECT 1")))
			bg := background(t)
			const attempts = 60 // two for each of 30 moments within the first 3 ms
			cancelled := 0
			for i := range attempts {
				ctx, cancel := context.WithTimeout(bg, time.Duration(i%30)*100*time.Microsecond)
				_, err := db.State(ctx, "s")
				cancel()
				if err != nil {
					cancelled++
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("the error is %v", err)
					}
				}
				for range 2 {
					_, err := db.State(bg, "s")
					must(t, err)
				}
			}
			t.Logf("%d of %d were cancelled", cancelled, attempts)
		})
	}
}

// A context that is done prevents work that has not begun, at every point.
func TestContextIsDoneWhileItWaitsForTheLock(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	holder := begin(t, open(t, url), "s")
	pool := newPool(t, url, ofSize(1))
	db := postgres.NewPool(pool, database.Options{})
	for name, wait := range map[string]func(context.Context, database.LockOptions) error{
		"Begin": func(ctx context.Context, o database.LockOptions) error {
			_, _, err := db.Begin(ctx, "s", o)
			return err
		},
		"Guard": func(ctx context.Context, o database.LockOptions) error {
			_, _, err := db.Guard(ctx, "s", o)
			return err
		},
	} {
		ctx, cancel := context.WithCancel(background(t))
		err := wait(ctx, database.LockOptions{Timeout: waitLimit, Waiting: func(database.Holder) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the error is %v, want context.Canceled", name, err)
		}
		equal(t, "the number of the pool's connections in use after "+name, pool.Stat().AcquiredConns(), 0)
	}
	equal(t, "the number of connections that the pool made", pool.Stat().NewConnsCount(), 1)
	must(t, holder.Rollback(background(t)))
	isFree(t, db, "s")
}

// No work of the driver continues after it returned.
func TestNoWorkContinuesAfterReturn(t *testing.T) {
	url := testdb.Postgres(t)
	before := goleak.IgnoreCurrent()
	for name, run := range cancels {
		ctx, cancel := context.WithCancel(context.Background())
		c := connect(t, url)
		do(t, c, "SELECT pg_advisory_lock(1)")
		db := open(t, url)
		done := make(chan error, 1)
		t.Run(name, func(t *testing.T) {
			go func() { done <- run(ctx, t, db) }()
			becomesStuck(t, c)
			cancel()
			if err := <-done; err == nil {
				t.Error("no error")
			}
		})
		cancel()
		must(t, db.Close())
		must(t, c.Close(context.Background()))
		emptySchema(t, url)
	}
	goleak.VerifyNone(t, before)
}

func emptySchema(t *testing.T, url string) {
	t.Helper()
	c, err := pgx.Connect(context.Background(), url)
	must(t, err)
	defer c.Close(context.Background())
	_, err = c.PgConn().Exec(context.Background(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public").ReadAll()
	must(t, err)
}

// COPY is canceled between two rows.
func TestCancellingCopy(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	db := open(t, url)
	ctx, cancel := context.WithCancel(background(t))
	var rows atomic.Int64
	most := int64(120_000) // enough to observe it; more than is kept in memory
	text := func() io.Reader {
		return io.MultiReader(strings.NewReader("CREATE TABLE left_behind (x int);\nCOPY left_behind FROM stdin;\n"), &numbers{max: most, at: &rows}, strings.NewReader("\\.\n"))
	}
	s, err := migration.Stream("1_x.up.sql", func() (io.ReadCloser, error) { return io.NopCloser(text()), nil })
	must(t, err)
	_, err = s.Analyze(db.Dialect(), db.Tables())
	must(t, err)
	rows.Store(0)
	most = 2_000_000
	done := make(chan error, 1)
	go func() { done <- begin(t, db, "s").Exec(ctx, s) }()
	eventually(t, "rows are sent", func() bool { return rows.Load() > 50_000 })
	cancel()
	err = <-done
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", err)
	}
	if rows.Load() == 2_000_000 {
		t.Errorf("all rows were sent")
	}
	equal(t, "the table", value(t, c, "SELECT to_regclass('left_behind')"), "<null>")
}

// numbers is a reader of lines with increasing numbers.
type numbers struct {
	n, max int64
	at     *atomic.Int64
	rest   string
}

func (r *numbers) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.n == r.max {
			return 0, io.EOF
		}
		var b strings.Builder
		for range 1000 {
			r.n++
			fmt.Fprintln(&b, r.n)
		}
		r.rest = b.String()
		r.at.Store(r.n)
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
