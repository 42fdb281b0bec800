// Package testdb gives tests the servers they need: a database of their own on a PostgreSQL server
// ([Postgres], [PostgresMajors]), the same through PgBouncer ([PgBouncer]) and on a MariaDB server ([MariaDB]), a
// server that they may kill ([PrivatePostgres], [PrivateMariaDB], [Galera]), and a wire that they can count, stall
// and cut ([NewProxy]).
//
// The shared servers are started by `make test` (see scripts/servers), which tells their addresses in the
// environment. Under `make test` a test whose server isn't there fails; anywhere else it is skipped and says
// how to get the server. Everything that this package hands out belongs to one test and is gone after it, so
// tests can run in parallel.
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

// What scripts/servers says.
const (
	envRequire      = "WHIMBREL_TEST_REQUIRE"        // "1": what is missing fails a test rather than skipping it
	envPostgres     = "WHIMBREL_TEST_POSTGRES"       // "13=postgres://…,14=postgres://…": a URL for each major
	envPostgresMain = "WHIMBREL_TEST_POSTGRES_MAIN"  // the major that most tests use
	envPostgresBin  = "WHIMBREL_TEST_POSTGRES_BIN"   // "13=/folder,14=/folder": the programs of each major
	envOlder        = "WHIMBREL_TEST_POSTGRES_OLDER" // "15=postgres://…": an older minor release of one of the majors
	envData         = "WHIMBREL_TEST_DATA"           // a folder for the data of servers that tests start
	envPgBouncer    = "WHIMBREL_TEST_PGBOUNCER"      // a URL through PgBouncer to the main major
	envMariaDB      = "WHIMBREL_TEST_MARIADB"        // "mysql://…/": the URL of the server, without a database
	envMariaDBNew   = "WHIMBREL_TEST_MARIADB_NEW"    // a folder: the data of a server that has never run
	envMariaDBBin   = "WHIMBREL_TEST_MARIADB_BIN"    // the server's program
	envGalera       = "WHIMBREL_TEST_GALERA"         // the library that makes a cluster of such servers
)

// Postgres returns the URL of a new, empty database on the main PostgreSQL server, as its superuser. The
// database is dropped when the test ends, whoever is still connected.
func Postgres(t testing.TB) string {
	t.Helper()
	return create(t, mainServer(t))
}

// Major is a PostgreSQL server of one major version.
type Major struct {
	Major int

	// New is [Postgres] on this server.
	New func(t testing.TB) string
}

// PostgresMajors returns a server for each major version that Whimbrel supports, oldest first.
func PostgresMajors(t testing.TB) []Major {
	t.Helper()
	return majors(perMajor(t, envPostgres))
}

// PostgresReleases returns two servers of one major version: of an older and of a newer minor release.
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

// PgBouncer returns two URLs of one new, empty database on the main PostgreSQL server: through PgBouncer in
// transaction mode, and past it. The database is dropped when the test ends.
//
// The pool hands each transaction to another of several server connections where it can, so that a client
// which keeps something in its session is found out.
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

// need returns the value of an environment variable that names a server.
func need(t testing.TB, env, what string) string {
	t.Helper()
	value := os.Getenv(env)
	if value == "" {
		missing(t, what)
	}
	return value
}

// missing ends the test because what it needs isn't there.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(envRequire) != "" {
		t.Fatalf("this test needs %s, and `make test` has not provided it", what)
	}
	t.Skipf("this test needs %s: run `make test`, or start the servers for this shell with `eval \"$(scripts/servers up)\"`", what)
}

// perMajor reads "13=value,14=value".
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

// create makes a database for the test on a server and returns its URL.
func create(t testing.TB, server string) string {
	t.Helper()
	name := databaseName(t)
	// template0, since nobody can be connected to it: an open connection to template1 would make this fail.
	exec1(t, server, "CREATE DATABASE "+name+" TEMPLATE template0")
	t.Cleanup(func() { exec1(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	return withDatabase(t, server, name)
}

// databaseName makes a name that no other test has, and that tells a person whose it is.
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

// exec1 runs one statement on a connection of its own.
func exec1(t testing.TB, server, sql string) {
	t.Helper()
	// Not the test's context: that is over when cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	conn, err := pgconn.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connecting to the test server: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
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
