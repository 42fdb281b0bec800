package postgres_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A script's timeout does not apply to what ends its run: otherwise a slow server would cost the
// caller the connection.
func TestCloseUnderAStatementTimeout(t *testing.T) {
	t.Parallel()
	ctx := background(t)
	c, err := pgx.Connect(ctx, testdb.Postgres(t))
	must(t, err)
	defer c.Close(ctx)
	db := postgres.NewConn(c, database.Options{})
	defer db.Close()
	for range 20 {
		r, _, err := db.Guard(ctx, "s", database.LockOptions{Timeout: time.Minute})
		must(t, err)
		s := migration.Text("1.sql", "SELECT 1")
		s.StatementTimeout = time.Millisecond
		_ = execAll(ctx, db, r, s) // may reach its timeout
		must(t, r.Close(ctx))
		tx, _, err := db.Begin(ctx, "s", database.LockOptions{Timeout: time.Minute})
		must(t, err)
		must(t, tx.Rollback(ctx))
	}
	equal(t, "the timeout afterwards", value(t, c, "SELECT current_setting('statement_timeout')"), "0")
}

// Nor does it apply to the statements with which a transaction restores the session: they follow
// one that lifts the timeout.
func TestRestoreUnderAStatementTimeout(t *testing.T) {
	t.Parallel()
	ctx := background(t)
	var mu sync.Mutex
	var sent []string
	tap := testdb.NewTap(t, testdb.Postgres(t), func(_ int, m any) {
		mu.Lock()
		defer mu.Unlock()
		switch m := m.(type) {
		case *pgproto3.Parse:
			sent = append(sent, m.Query)
		case *pgproto3.Query:
			sent = append(sent, m.String)
		}
	})
	db := open(t, tap.URL)
	tx, _, err := db.Begin(ctx, "s", database.LockOptions{Timeout: time.Minute})
	must(t, err)
	s := migration.Text("1.sql", "SET work_mem = '5MB'")
	s.StatementTimeout = time.Minute
	must(t, tx.Exec(ctx, s))
	must(t, tx.Rollback(ctx))
	mu.Lock()
	defer mu.Unlock()
	find := func(what string, from int) int {
		t.Helper()
		i := slices.IndexFunc(sent[from:], func(q string) bool { return strings.Contains(q, what) })
		if i < 0 {
			t.Fatalf("%q was not sent: %q", what, sent[from:])
		}
		return from + i
	}
	script := find("SET work_mem", 0)
	lifted, restored := find("set_config('statement_timeout', '0'", script), find("pg_my_temp_schema", script)
	equal(t, "the timeout is lifted before the session is read", lifted < restored, true)
}
