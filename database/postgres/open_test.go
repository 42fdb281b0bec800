package postgres_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// connections returns the number of other connections to c's database.
func connections(t testing.TB, c *pgx.Conn) string {
	return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
}

func TestOpenAsksNothing(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	open(t, proxy.URL)
	equal(t, "the number of connections", proxy.Connections(), 1)
	equal(t, "the number of round trips, of which connecting is one", proxy.Turns(), 1)
	equal(t, "the number of messages", proxy.Messages(testdb.ToServer), 1)
}

func TestCloseClosesWhatOpenOpened(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	db := open(t, url)
	equal(t, "the number of connections", connections(t, c), "1")
	must(t, db.Close())
	eventually(t, "the connection is closed", func() bool { return connections(t, c) == "0" })
}

func TestCloseLeavesTheCallersHandleOpen(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	set := setOf(t, "s", "CREATE TABLE a (x int)", "CREATE INDEX CONCURRENTLY ON a (x)")
	for name, use := range map[string]func(t *testing.T) (database.Database, func() error){
		"a pool": func(t *testing.T) (database.Database, func() error) {
			pool := newPool(t, url)
			return postgres.NewPool(pool, database.Options{HistoryTable: "pool_history"}), func() error { return pool.Ping(background(t)) }
		},
		"a connection": func(t *testing.T) (database.Database, func() error) {
			c := connect(t, url)
			return postgres.NewConn(c, database.Options{HistoryTable: "conn_history"}), func() error { return c.Ping(background(t)) }
		},
		"a sql.DB": func(t *testing.T) (database.Database, func() error) {
			db := openSQL(t, url)
			return postgres.NewDB(db, database.Options{HistoryTable: "db_history"}), func() error { return db.Ping() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, ping := use(t)
			_, err := up(t, db, setOf(t, "s"))
			must(t, err)
			b := begin(t, db, "open") // Close ends it, and releases the connection
			must(t, b.Exec(background(t), script("CREATE TABLE nothing (x int)")))
			must(t, db.Close())
			must(t, ping())
			if _, err := b.Commit(background(t)); err == nil {
				t.Error("Commit after Close returned no error")
			}
			_, err = up(t, db, set)
			contains(t, "the error after Close", err.Error(), "closed")
			must(t, ping())
		})
	}
	equal(t, "the number of tables", value(t, connect(t, url), "SELECT count(*) FROM pg_class WHERE relname = 'nothing'"), "0")
}

// Open uses only the URL.
func TestOpenReadsNothingFromTheEnvironment(t *testing.T) {
	url := testdb.Postgres(t)
	home := t.TempDir()
	must(t, os.WriteFile(filepath.Join(home, ".pgpass"), []byte("*:*:*:*:a password from a file\n"), 0o600))
	for name, v := range map[string]string{
		"PGHOST": "no.such.host", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "nothing", "PGPASSWORD": "wrong", "PGAPPNAME": "environment",
		"PGOPTIONS": "-c search_path=environment", "PGTZ": "Asia/Tokyo", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/no/such/file", "PGTARGETSESSIONATTRS": "standby",
		"PGCONNECT_TIMEOUT": "x", "PGSSLNEGOTIATION": "direct", "PGCHANNELBINDING": "require", "PGREQUIREAUTH": "none", "HOME": home,
	} {
		t.Setenv(name, v)
	}
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("CREATE TABLE public.seen AS SELECT current_setting('application_name') || current_setting('search_path') || current_setting('timezone') AS all")))
	lacks(t, "what the session sees", readSeen(t, url), "environment", "Tokyo")
	// Missing parts of the URL are not filled in either.
	_, err := database.Open(background(t), "postgres:///app", database.Options{})
	e := as[*database.ConnectError](t, err)
	lacks(t, "the error of postgres:///app", e.Error(), "no.such.host", "nothing")
	_, err = database.Open(background(t), "postgres://u@127.0.0.1:1", database.Options{})
	contains(t, "the error without a name", as[*database.URLError](t, err).Msg, "names no database")
}

func readSeen(t *testing.T, url string) string {
	config, err := pgx.ParseConfig(url + "&options=&timezone=&connect_timeout=5&target_session_attrs=any&sslrootcert=&sslnegotiation=&channel_binding=prefer&require_auth=")
	must(t, err)
	config.RuntimeParams = map[string]string{}
	c, err := pgx.ConnectConfig(background(t), config)
	must(t, err)
	defer c.Close(context.Background())
	var seen string
	must(t, c.QueryRow(background(t), `SELECT "all" FROM public.seen`).Scan(&seen))
	return seen
}

// The server would use the database with the name of the user.
func TestURLsThatNameNoDatabase(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://u@127.0.0.1:1", "postgres://u@127.0.0.1:1/", "postgresql://127.0.0.1:1/?sslmode=disable", "postgres://u@127.0.0.1:1/?dbname=", "postgres:///",
	} {
		_, err := database.Open(background(t), url, database.Options{})
		contains(t, url, as[*database.URLError](t, err).Msg, "names no database")
	}
	for _, url := range []string{"postgres://u@127.0.0.1:1/app", "postgres://u@127.0.0.1:1/?dbname=app"} {
		_, err := database.Open(background(t), url, database.Options{})
		contains(t, url, as[*database.ConnectError](t, err).Target, "app")
	}
}

func TestURLsThatCannotBeUnderstood(t *testing.T) {
	t.Parallel()
	for url, msg := range map[string]string{
		"postgres:host=localhost":                                 "use postgres://user:password@host:port/database?sslmode=…",
		"postgres://u:se%zzcret@h/db":                             "%25 for %",
		"postgres://u:secret@h:port/db":                           "not user:password@host:port",
		"postgres://u:secret@h/db?sslmode=perhaps":                "sslmode is invalid; use disable, allow, prefer, require, verify-ca or verify-full",
		"postgres://u:secret@h/db?pool_max_conns=many":            `pool_max_conns: "many" is not a number`,
		"postgres://u:secret@h/db?pool_max_conns=0":               "pool_max_conns: it must be at least 1",
		"postgresql://u:secret@h/db?connect_timeout=soon":         `"soon" is not a number`,
		"postgres://u:secret@h/db?pool_max_conn_idle_time=soon":   `pool_max_conn_idle_time: invalid duration "soon"`,
		"postgres://u:secret@h/db?pool_min_conns=few":             `pool_min_conns: "few" is not a number`,
		"postgres://u:secret@h/db?default_query_exec_mode=never":  "default_query_exec_mode: unknown mode",
		"postgres://u:secret@h/db?statement_cache_capacity=large": `statement_cache_capacity: "large" is not a number`,
		"postgres://u:secret@tcp(h:5432)/db":                      "it has the form of Go's MySQL driver",
	} {
		_, err := database.Open(background(t), url, database.Options{})
		e := as[*database.URLError](t, err)
		lacks(t, "the error", e.Error(), "secret", "zzcret", "strconv", " time:")
		contains(t, url, e.Msg, msg)
	}
}

func TestURLsWithUnusualParts(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	for _, u := range []string{
		strings.Replace(url, "postgres://", "postgresql://", 1),
		// a password that isn't checked
		strings.Replace(url, "postgres@", "postgres:a%3Fb%2Fc%40@", 1),
		strings.Replace(url, "127.0.0.1", "localhost", 1),
		// nothing listens on the first
		strings.Replace(url, "@127.0.0.1", "@127.0.0.1:1,127.0.0.1", 1),
		url + "&application_name=a%20name&search_path=public",
	} {
		db, err := database.Open(background(t), u, database.Options{})
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		must(t, db.Close())
	}
}

// A database or role that is read-only is an error before anything runs, with what to do.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	readOnly := url + "&default_transaction_read_only=on"
	set := setOf(t, "s", "CREATE TABLE a (x int)")
	_, err := up(t, open(t, readOnly), set)
	e := as[*database.StatementError](t, err)
	equal(t, "Code", e.Code, "25006")
	contains(t, "the error", err.Error(), "can't create Whimbrel's tables", "connect to the primary")

	must(t, apply(t, open(t, url), "other", 1, script("SELECT 1")))
	_, err = up(t, open(t, readOnly), set)
	e = as[*database.StatementError](t, err)
	equal(t, "Code", e.Code, "25006")
	contains(t, "the error", err.Error(), "1_m.up.sql:1:1", "connect to the primary")
	equal(t, "what is applied", versions(t, open(t, readOnly), "s"), "[]")
}

// Session settings that would change the meaning of scripts are refused.
func TestSessionsThatAreRefused(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	for change, says := range map[string]string{
		"SET client_encoding = 'LATIN1'":        "client_encoding=UTF8",
		"SET standard_conforming_strings = off": "standard_conforming_strings=on",
		"BEGIN":                                 "commit or roll back first",
	} {
		c := connect(t, url)
		do(t, c, change)
		_, err := postgres.NewConn(c, database.Options{}).State(background(t), "s")
		if err == nil {
			t.Errorf("after %s State returned no error", change)
			continue
		}
		contains(t, "the error", err.Error(), says)
	}
}

// A database in another encoding than UTF-8 is accessed in UTF-8.
func TestDatabaseInAnotherEncoding(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	name := value(t, c, "SELECT current_database()") + "_latin1"
	do(t, c, "CREATE DATABASE "+name+" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	t.Cleanup(func() {
		c := connect(t, url)
		do(t, c, "DROP DATABASE "+name+" WITH (FORCE)")
	})
	u := strings.TrimSuffix(url, "?sslmode=disable") + "_latin1?sslmode=disable"
	db := open(t, u)
	must(t, apply(t, db, "Häfen", 1, script("CREATE TABLE \"Häfen\" AS SELECT 'grün'::text AS \"Färbung\"")))
	equal(t, "the applied versions", versions(t, open(t, u), "Häfen"), "[1]")
	err := apply(t, db, "Häfen", 2, migration.Text("2.up.sql", "SELECT 'ä', x"))
	equal(t, "the place of the error", as[*database.StatementError](t, err).Pos.Column, 13)
	equal(t, "the length of what was stored", value(t, connect(t, u+"&client_encoding=UTF8"), `SELECT length("Färbung") FROM "Häfen"`), "4")
}
