// Package testdb gives tests the servers they need: a database on a PostgreSQL server ([Postgres],
// [PostgresMajors], [Copy]), the same through PgBouncer ([PgBouncer]), a database on a MariaDB
// server ([MariaDB]), a server that the test may kill ([PrivatePostgres], [PrivateMariaDB],
// [Galera]), and a proxy that can count, stall and cut ([NewProxy]).
//
// `make test` starts the shared servers (see scripts/servers) and passes their addresses in the
// environment. Under `make test`, a test whose server is missing fails; elsewhere it is skipped
// with a message that says how to start the server. Everything that this package provides belongs
// to one test and is removed after it, so tests can run in parallel.
//
// Only tests import this package.
package testdb

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The environment variables that scripts/servers sets.
const (
	// "1": a missing server fails a test instead of skipping it
	envRequire = "WHIMBREL_TEST_REQUIRE"
	// "13=postgres://…,14=postgres://…": a URL for each major version
	envPostgres     = "WHIMBREL_TEST_POSTGRES"
	envPostgresMain = "WHIMBREL_TEST_POSTGRES_MAIN" // the major version that most tests use
	// "13=/folder,14=/folder": the programs of each major version
	envPostgresBin = "WHIMBREL_TEST_POSTGRES_BIN"
	// "15=postgres://…": an older minor release of one of the versions
	envOlder     = "WHIMBREL_TEST_POSTGRES_OLDER"
	envData      = "WHIMBREL_TEST_DATA"      // a folder for the data of servers that tests start
	envPgBouncer = "WHIMBREL_TEST_PGBOUNCER" // a URL through PgBouncer to the main version
	// "mysql://…/": the URL of the server, without a database
	envMariaDB = "WHIMBREL_TEST_MARIADB"
	// a folder: the data of a server that has never run
	envMariaDBNew = "WHIMBREL_TEST_MARIADB_NEW"
	envMariaDBBin = "WHIMBREL_TEST_MARIADB_BIN" // the server's program
	envGalera     = "WHIMBREL_TEST_GALERA"      // the library for clusters of such servers
	// a folder with other migration tools: bin has their programs, node_modules those in JavaScript
	envTools = "WHIMBREL_TEST_TOOLS"
)

// Postgres returns the URL of a new, empty database on the main PostgreSQL server, as its
// superuser. The database is dropped when the test ends, even if clients are still connected.
func Postgres(t testing.TB) string {
	t.Helper()
	return create(t, mainServer(t))
}

// Copy returns the URL of a copy of a PostgreSQL database to which no client is connected. It is
// dropped when the test ends.
func Copy(t testing.TB, url string) string {
	t.Helper()
	return createFrom(t, withDatabase(t, url, "postgres"), strings.TrimPrefix(parse(t, url).Path, "/"))
}

// Major is a PostgreSQL server of one major version.
type Major struct {
	Major int

	// New is [Postgres] on this server.
	New func(t testing.TB) string
}

// PostgresMajors returns a server for each major version that Whimbrel supports, oldest first; or
// only those of the given versions.
func PostgresMajors(t testing.TB, only ...int) []Major {
	t.Helper()
	servers := perMajor(t, envPostgres)
	if len(only) > 0 {
		maps.DeleteFunc(servers, func(major int, _ string) bool { return !slices.Contains(only, major) })
	}
	return majors(servers)
}

// PostgresReleases returns two servers of one major version, of an older and a newer minor release.
func PostgresReleases(t testing.TB) (older, newer Major) {
	t.Helper()
	need(t, envOlder, "a PostgreSQL of the distribution that is newer than npm's of its major version (apt-get install postgresql)")
	older = majors(perMajor(t, envOlder))[0]
	for _, m := range PostgresMajors(t) {
		if m.Major == older.Major {
			newer = m
		}
	}
	return older, newer
}

func majors(servers map[int]string) []Major {
	majors := make([]Major, 0, len(servers))
	for _, major := range slices.Sorted(maps.Keys(servers)) {
		server := servers[major]
		majors = append(majors, Major{
			Major: major,
			New: func(t testing.TB) string {
				t.Helper()
				return create(t, server)
			},
		})
	}
	return majors
}

// PgBouncer returns two URLs of one new, empty database on the main PostgreSQL server: through
// PgBouncer in transaction mode, and direct. The database is dropped when the test ends.
//
// The pool uses its server connections in turn if it can, which exposes a client that keeps state
// in its session.
func PgBouncer(t testing.TB) (pooled, direct string) {
	t.Helper()
	pooler := need(t, envPgBouncer, "PgBouncer")
	direct = create(t, mainServer(t))
	u := parse(t, direct)
	return withDatabase(t, pooler, strings.TrimPrefix(u.Path, "/")), direct
}

// Tool returns the path of a program that a test calls, such as psql or sqlite3.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	return path
}

// Tools returns the folder of other migration tools: its folder bin has their programs.
func Tools(t testing.TB) string {
	t.Helper()
	return need(t, envTools, "other migration tools")
}

// need returns the value of an environment variable that names a server.
func need(t testing.TB, env, what string) string {
	t.Helper()
	value := os.Getenv(env)
	if value == "" {
		missing(t, what)
	}
	return value
}

// missing ends the test because a server or program is missing.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(envRequire) != "" {
		t.Fatalf("this test needs %s, and `make test` has not provided it", what)
	}
	t.Skipf("this test needs %s: run `make test`, or start the servers for this shell with `eval \"$(scripts/servers up)\"`", what)
}

// perMajor parses "13=value,14=value".
func perMajor(t testing.TB, env string) map[int]string {
	t.Helper()
	values := map[int]string{}
	for part := range strings.SplitSeq(need(t, env, "PostgreSQL"), ",") {
		major, value, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(major)
		if err != nil || value == "" {
			t.Fatalf("%s: want MAJOR=VALUE,…, got %q", env, part)
		}
		values[n] = value
	}
	return values
}

func mainMajor(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(need(t, envPostgresMain, "PostgreSQL"))
	if err != nil {
		t.Fatalf("%s: %v", envPostgresMain, err)
	}
	return n
}

// mainServer returns the URL of the main server's maintenance database.
func mainServer(t testing.TB) string {
	t.Helper()
	server, ok := perMajor(t, envPostgres)[mainMajor(t)]
	if !ok {
		t.Fatalf("%s has no server for the major version that %s names", envPostgres, envPostgresMain)
	}
	return server
}

// create creates a database for the test on a server and returns its URL.
func create(t testing.TB, server string) string {
	t.Helper()
	return createFrom(t, server, "template0") // not template1: an open connection to it would make this fail
}

func createFrom(t testing.TB, server, template string) string {
	t.Helper()
	name := databaseName(t)
	copyDatabase(t, server, name, template)
	t.Cleanup(func() { exec1(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	return withDatabase(t, server, name)
}

// copyDatabase creates a database on a server. Copying the template's files takes half the CPU time
// of what PostgreSQL does by default since version 15: write each of their pages to the WAL.
func copyDatabase(t testing.TB, server, name, template string) {
	t.Helper()
	onServer(t, server, func(ctx context.Context, conn *pgconn.PgConn) error {
		sql := "CREATE DATABASE " + name + " TEMPLATE " + template
		major, _, _ := strings.Cut(conn.ParameterStatus("server_version"), ".")
		if n, _ := strconv.Atoi(major); n >= 15 {
			sql += " STRATEGY file_copy"
		}
		return execute(ctx, conn, sql)
	})
}

// databaseName returns a unique name that contains the test's.
func databaseName(t testing.TB) string {
	readable := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, strings.TrimPrefix(t.Name(), "Test"))
	return fmt.Sprintf("test_%.40s_%s", readable, strings.ToLower(rand.Text()[:12]))
}

// exec1 executes one statement on a connection of its own.
func exec1(t testing.TB, server, sql string) {
	t.Helper()
	onServer(t, server, func(ctx context.Context, conn *pgconn.PgConn) error { return execute(ctx, conn, sql) })
}

func execute(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	if err := conn.Exec(ctx, sql).Close(); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// onServer calls do with a connection of its own.
func onServer(t testing.TB, server string, do func(context.Context, *pgconn.PgConn) error) {
	t.Helper()
	// not the test's context, which is done when cleanups run
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	conn, err := pgconn.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connecting to the test server: %v", err)
	}
	defer conn.Close(ctx)
	if err := do(ctx, conn); err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func withDatabase(t testing.TB, server, name string) string {
	t.Helper()
	u := parse(t, server)
	u.Path = "/" + name
	return u.String()
}
