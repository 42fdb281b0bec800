package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Any script can remove the driver's prepared statements, in several ways, and so can a rollback of
// their creation; the next migration is not affected.
func TestPreparedStatementsMayGo(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	fn := postgres.Func("forget", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DEALLOCATE ALL")
		return err
	})
	for name, opts := range map[string]whimbrel.Options{"each": {}, "atomic": {Atomic: true}} {
		var all []migration.Migration
		add := func(s *migration.Script) {
			all = append(all, migration.Migration{Version: int64(len(all)), Name: "m", Up: s})
		}
		for range 3 {
			for _, text := range []string{
				"DEALLOCATE ALL", "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
				"CREATE OR REPLACE FUNCTION forget() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DEALLOCATE ALL; RETURN 1; END $$", "SELECT forget()",
			} {
				add(script("SELECT 1"))
				add(script(text))
			}
			add(fn)
		}
		set, err := migration.NewSet(name, all...)
		must(t, err)
		r, err := up(t, open(t, url), set, opts)
		must(t, err)
		equal(t, "the number of migrations applied", len(r.Applied), len(all))
	}
	db := open(t, url)
	for v := range int64(4) {
		if err := apply(t, db, "fails", v, script("SELECT 1 / 0")); err == nil {
			t.Fatal("no error")
		}
		must(t, apply(t, db, "fails", v, script("SELECT 1")))
	}
}

// A migration on an own connection costs nine statements, of which the server parses two: the one
// that names the script, and the script. A script that may change the session costs the queries
// that compare it. A state costs three, and the server parses none.
func TestStatementsOfAMigration(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	parsed, executed := 0, 0
	tap := testdb.NewTap(t, testdb.Postgres(t), func(_ int, m any) {
		mu.Lock()
		defer mu.Unlock()
		switch m.(type) {
		case *pgproto3.Parse:
			parsed++
		case *pgproto3.Bind:
			executed++
		}
	})
	db := open(t, tap.URL)
	for _, tt := range []struct {
		what             string
		executed, parsed int
		do               func(v int64)
	}{
		{"a migration", 9, 2, func(v int64) {
			must(t, apply(t, db, "s", v, script(fmt.Sprintf("CREATE TABLE t%d (x int)", v))))
		}},
		{"a migration that may change the session", 18, 11, func(v int64) { must(t, apply(t, db, "s", 10+v, script("SELECT 1"))) }},
		{"a state", 3, 0, func(int64) { versions(t, db, "s") }},
	} {
		for v := range int64(4) { // the statements are prepared once the server process is known
			mu.Lock()
			parsed, executed = 0, 0
			mu.Unlock()
			tt.do(v)
		}
		equal(t, "the statements of "+tt.what, executed, tt.executed)
		equal(t, "those that the server parses for "+tt.what, parsed, tt.parsed)
	}
}

// The transactions that follow the first in a chain do not ask which server process they are in,
// since the connection certainly leads to the same one.
func TestChainAsksForItsServerOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	texts, asked := map[string]string{}, 0
	tap := testdb.NewTap(t, testdb.Postgres(t), func(_ int, m any) {
		mu.Lock()
		defer mu.Unlock()
		switch m := m.(type) {
		case *pgproto3.Parse:
			texts[m.Name] = m.Query
		case *pgproto3.Bind:
			if strings.Contains(texts[m.PreparedStatement], "pg_postmaster_start_time") {
				asked++
			}
		}
	})
	db := open(t, tap.URL)
	must(t, apply(t, db, "s", 0, script("SELECT 1"))) // makes the tables
	mu.Lock()
	asked = 0
	mu.Unlock()
	tx := begin(t, db, "s")
	for v := range int64(4) {
		must(t, tx.Exec(background(t), script(fmt.Sprintf("CREATE TABLE t%d (x int)", v))))
		must(t, tx.Record(background(t), database.Entry{Version: 1 + v, Direction: database.Up}))
		_, next, _, err := database.CommitAndBegin(background(t), tx, database.LockOptions{})
		must(t, err)
		tx = next
	}
	must(t, tx.Rollback(background(t)))
	mu.Lock()
	defer mu.Unlock()
	equal(t, "how often the server was asked for itself", asked, 1)
}

// The texts of Whimbrel's own statements are put together once, not for each migration.
func TestAllocationsOfAMigration(t *testing.T) {
	db, v := open(t, testdb.Postgres(t)), int64(0)
	one := script("CREATE TABLE IF NOT EXISTS t (x int)")
	next := func() {
		b := begin(t, db, "s")
		must(t, b.Exec(background(t), one))
		must(t, b.Record(background(t), database.Entry{Version: v, Direction: database.Up}))
		must(t, errOf(b.Commit(background(t))))
		v++
	}
	for range 3 {
		next()
	}
	const most = 400
	if n := testing.AllocsPerRun(20, next); n > most {
		t.Errorf("a migration allocates %v times, want at most %d", n, most)
	}
}

// Nothing is prepared on the caller's connections, nor behind a pooler that may give the server
// process to others.
func TestNothingIsPreparedForOthers(t *testing.T) {
	t.Parallel()
	const ours = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'whimbrel%'"
	apply3 := func(db database.Database) {
		for v := range int64(3) {
			must(t, apply(t, db, "s", v, script("SELECT 1")))
		}
	}
	pool := newPool(t, testdb.Postgres(t), ofSize(1))
	apply3(postgres.NewPool(pool, database.Options{}))
	equal(t, "statements left on the caller's connection", poolValue(t, pool, ours), "0")

	pooled, _ := testdb.PgBouncer(t)
	db := open(t, pooled)
	apply3(db)
	other := connect(t, pooled)
	for range 10 {
		equal(t, "statements left behind PgBouncer", value(t, other, ours), "0")
	}

	mine := open(t, testdb.Postgres(t))
	apply3(mine)
	b := begin(t, mine, "s")
	must(t, b.Exec(background(t), script("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name LIKE 'whimbrel%') THEN RAISE 'nothing is prepared'; END IF; END $$")))
	must(t, errOf(b.Commit(background(t))))
}
