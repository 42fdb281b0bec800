package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// After a process has done everything, with and without errors, no goroutines, no connections, and
// no changes to the caller's connection remain.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	p := start(t, job{URL: url, Leaks: true})
	p.begin()
	must(t, p.wait())
	eventually(t, "all connections are closed", func() bool { return connections(t, c) == "0" })
	equal(t, "the number of locks", value(t, c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"), "0")
}

func (j job) leaks(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, j.URL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	session := func() (s string, err error) {
		return s, conn.QueryRow(ctx, "SELECT concat((SELECT string_agg(name || setting, ',') FROM pg_settings WHERE source = 'session'), (SELECT count(*) FROM pg_prepared_statements WHERE from_sql), (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()))").Scan(&s)
	}
	sessionBefore, err := session()
	if err != nil {
		return err
	}
	before := runtime.NumGoroutine()
	for i := range 3 {
		db, err := database.Open(ctx, j.URL, database.Options{})
		if err != nil {
			return err
		}
		for _, db := range []database.Database{db, postgres.NewConn(conn, database.Options{})} {
			if err := j.wellAndBadly(ctx, db, int64(10*i)); err != nil {
				return err
			}
			db.Close()
		}
	}
	after, err := session()
	if err != nil {
		return err
	}
	if after != sessionBefore {
		return fmt.Errorf("the session was %s and is %s", sessionBefore, after)
	}
	for end := time.Now().Add(waitLimit); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			return fmt.Errorf("there were %d goroutines, and are %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
	return nil
}

func (j job) wellAndBadly(ctx context.Context, db database.Database, v int64) error {
	done, cancel := context.WithCancel(ctx)
	cancel()
	soon, cancelSoon := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancelSoon()
	opts := database.LockOptions{Timeout: waitLimit}
	for _, text := range []string{"SET work_mem = '7MB'; CREATE TEMP TABLE t (x int)", "SELECT 1/0", "SELECT pg_sleep(60)", "COPY nothing FROM stdin;\n1\n\\.\n", "LISTEN x; SELECT 1/0"} {
		c := ctx
		if text == "SELECT pg_sleep(60)" {
			c = soon
		}
		b, _, err := db.Begin(ctx, "s", opts)
		if err != nil {
			return err
		}
		if b.Exec(c, script(text)) == nil {
			b.Commit(c)
		}
		b.Rollback(done)

		r, _, err := db.Guard(ctx, "s", opts)
		if err != nil {
			return err
		}
		s := script(text)
		a, err := s.Analyze(db.Dialect(), db.Tables())
		if err != nil {
			return err
		}
		for st, err := range a.All() {
			if err == nil {
				err = r.Exec(c, s, st, nil, nil)
			}
			if err != nil {
				break
			}
		}
		r.Record(ctx, event(v))
		if text != "LISTEN x; SELECT 1/0" { // otherwise the Database's Close ends it
			r.Close(done)
		}
	}
	if _, err := db.State(done, "s"); err == nil {
		return errors.New("State ignored a canceled context")
	}
	if _, _, err := db.Begin(done, "s", opts); err == nil {
		return errors.New("Begin ignored a canceled context")
	}
	for range db.History(ctx, database.HistoryQuery{}) {
		break
	}
	return database.UpdateSetting(ctx, db, database.SettingUpdate{Name: database.MigrationLockTimeout, Value: "7s"})
}
