package testdb_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestPostgresGivesEveryTestAnEmptyDatabaseThatIsGoneAfterIt(t *testing.T) {
	var mine, theirs string
	for i := range 2 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			mine, theirs = testdb.Postgres(t), mine
			conn := connect(t, mine)
			if got := query(t, conn, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"); got != "0" {
				t.Errorf("the new database has %s relations in its schema", got)
			}
			query(t, conn, "CREATE TABLE left_behind()")
			// the connection stays open: the database is dropped all the same
		})
	}
	if mine == "" {
		return // the tests in the loop have failed for lack of a server
	}
	for _, url := range []string{mine, theirs} {
		conn, err := pgconn.Connect(t.Context(), url)
		if err == nil {
			_ = conn.Close(t.Context())
		}
		if !isPgError(err, "3D000") { // invalid_catalog_name
			t.Errorf("the database should be gone, but connecting to it says: %v", err)
		}
	}
}

func TestPostgresServesManyTestsAtOnce(t *testing.T) {
	inTwentyTests(t, func(t *testing.T) {
		query(t, connect(t, testdb.Postgres(t)), "CREATE TABLE the_same_name_everywhere()")
	})
}

// inTwentyTests runs a test twenty times at once.
func inTwentyTests(t *testing.T, test func(t *testing.T)) {
	for i := range 20 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func TestPostgresMajorsAreWhatTheySay(t *testing.T) {
	majors := testdb.PostgresMajors(t)
	if len(majors) < 6 {
		t.Errorf("got %d major versions, want 13 to 18", len(majors))
	}
	for _, m := range majors {
		t.Run(strconv.Itoa(m.Major), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, m.New(t))
			if got := query(t, conn, "SHOW server_version_num"); !strings.HasPrefix(got, strconv.Itoa(m.Major)) {
				t.Errorf("the server for %d has version %s", m.Major, got)
			}
			query(t, conn, "CREATE EXTENSION pgcrypto")
		})
	}
}

func TestPgBouncerAndTheDirectURLLeadToOneDatabase(t *testing.T) {
	pooled, direct := testdb.PgBouncer(t)
	query(t, connect(t, pooled), "CREATE TABLE made_through_the_pool()")
	conn := connect(t, direct)
	if got := query(t, conn, "SELECT to_regclass('made_through_the_pool')"); got != "made_through_the_pool" {
		t.Errorf("to_regclass says %q", got)
	}
	if got := query(t, conn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"); got != "t" {
		t.Error("not a superuser")
	}
}

func TestPgBouncerPoolsTransactions(t *testing.T) {
	pooled, _ := testdb.PgBouncer(t)
	servers := map[string]bool{}
	for range 25 { // more clients than the pool has server connections; idle clients hold none
		servers[query(t, connect(t, pooled), "SELECT pg_backend_pid()")] = true
	}
	if len(servers) > 20 {
		t.Errorf("25 clients that came one after the other used %d server connections", len(servers))
	}
}

func TestPgBouncerKnowsRolesThatATestMakes(t *testing.T) {
	pooled, direct := testdb.PgBouncer(t)
	conn := connect(t, direct)
	role := "role_of_" + strings.TrimPrefix(query(t, conn, "SELECT current_database()"), "test_pgbouncerknowsrolesthatatestmakes_")
	query(t, conn, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { query(t, connect(t, direct), "DROP ROLE "+role) })
	got := query(t, connect(t, strings.Replace(pooled, "postgres@", role+"@", 1)), "SELECT current_user")
	if got != role {
		t.Errorf("connected as %q", got)
	}
}

func TestPrivatePostgresSurvivesKillsWithWhatWasCommitted(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t, "max_connections=17")
	url := server.New()
	conn := connect(t, url)
	if got := query(t, conn, "SHOW max_connections"); got != "17" {
		t.Errorf("max_connections is %s", got)
	}
	query(t, conn, "CREATE TABLE kept AS SELECT 1 AS n")
	query(t, conn, "BEGIN")
	query(t, conn, "CREATE TABLE lost()")

	server.Kill()
	if _, err := pgconn.Connect(t.Context(), url); err == nil {
		t.Error("the server still answers after Kill")
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1").ReadAll(); err == nil {
		t.Error("a connection still works after Kill")
	}

	server.Start()
	conn = connect(t, url)
	if got := query(t, conn, "SELECT n FROM kept"); got != "1" {
		t.Errorf("kept has %q", got)
	}
	if got := query(t, conn, "SELECT to_regclass('lost') IS NULL"); got != "t" {
		t.Error("uncommitted rows exist after Kill")
	}

	server.Restart()
	if got := query(t, connect(t, url), "SELECT n FROM kept"); got != "1" {
		t.Errorf("kept has %q after Restart", got)
	}
	server.Stop()
	server.Stop() // a second Stop does nothing
}

func connect(t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // cleanups connect too
	defer cancel()
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// query executes statements and returns the last one's first value.
func query(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", sql, err))
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}

func isPgError(err error, code string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code
}
