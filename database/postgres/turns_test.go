package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// migrated applies a migration to a database, and returns a proxy for it and the scripts of its
// set.
func migrated(t *testing.T, url string) (proxy *testdb.Proxy, ups []string) {
	t.Helper()
	ups = []string{"CREATE TABLE a (x int)"}
	_, err := up(t, open(t, url), setOf(t, "s", ups...))
	must(t, err)
	return testdb.NewProxy(t, url), ups
}

// The cost of calls in round trips, including that of connecting, which is one without a password.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	proxy, ups := migrated(t, url)

	// cost opens the database, calls what and returns the number of round trips.
	cost := func(what func(db database.Database)) int {
		t.Helper()
		proxy.Reset()
		db := open(t, proxy.URL)
		what(db)
		turns := proxy.Turns()
		must(t, db.Close())
		return turns
	}
	applyNext := func(opts whimbrel.Options, next ...string) func(database.Database) {
		return func(db database.Database) {
			ups = append(ups, next...)
			r, err := up(t, db, setOf(t, "s", ups...), opts)
			must(t, err)
			equal(t, "the number of migrations applied", len(r.Applied), len(next))
		}
	}
	withTimeout := func(db database.Database) {
		s := migration.Text("t.up.sql", "ALTER TABLE a ADD y int")
		s.LockTimeout = waitLimit
		must(t, apply(t, db, "timeout", 1, s))
	}
	for _, tt := range []struct {
		name string
		want int
		what func(database.Database)
	}{
		{"Open", 1, func(database.Database) {}},
		{"Open and State", 2, func(db database.Database) { versions(t, db, "s") }},
		{"Open and StateAndHolder", 2, func(db database.Database) {
			st, holder, err := database.StateAndHolder(t.Context(), db, "s")
			must(t, err)
			equal(t, "the holder", holder, nil)
			equal(t, "how many migrations are applied", st.Applied.Len(), 1)
		}},
		{"Open and Up with nothing pending", 2, applyNext(whimbrel.Options{})},
		{"Open and one migration", 3, applyNext(whimbrel.Options{}, "INSERT INTO a VALUES (1); ALTER TABLE a ADD z int; CREATE INDEX ON a (z)")},
		{"Open and one migration that may change the session", 5, applyNext(whimbrel.Options{}, "SET search_path = pg_catalog; SET lock_timeout = '1s'; CREATE TEMP TABLE t (x int)")},
		{"Open and two migrations", 4, applyNext(whimbrel.Options{}, "CREATE TABLE b (x int);", "DROP TABLE b;")},
		{"Open and three migrations in one transaction", 4, applyNext(whimbrel.Options{Atomic: true}, "INSERT INTO a VALUES (2)", "CREATE TABLE b (x int);", "DROP TABLE b;")},
		{"Open and one migration with COPY", 5, applyNext(whimbrel.Options{}, "COPY a FROM stdin;\n\\.\n")},
		{"Open and the first of all", 6, func(db database.Database) {
			do(t, connect(t, url), "DROP TABLE IF EXISTS whimbrel_history, whimbrel_settings, whimbrel_journal, a, b")
			ups = nil
			applyNext(whimbrel.Options{}, "CREATE TABLE a (x int)")(db)
		}},
		{"Open and a transaction with a timeout, whose schema is to be found out", 4, withTimeout},
	} {
		equal(t, "the number of round trips of "+fmt.Sprintf("%q", tt.name), cost(tt.what), tt.want)
	}
	// The server may answer the first statements of a long pipeline before it has them all. The proxy
	// counts that as another round trip, although nobody waits.
	long := cost(applyNext(whimbrel.Options{}, strings.Repeat("INSERT INTO a VALUES (3);\n", 1000)))
	if long < 5 || long > 10 {
		t.Errorf("the number of round trips of a script of 1,000 statements is %d, want 5, or a few more on a busy machine", long)
	}
}

// On every version, State finds the tables and reads them in one round trip, whatever the name of
// their schema is and whoever of those that may read them asks.
func TestStateTakesOneRoundTrip(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c := connect(t, url)
			reader := newRole(t, c)
			for i, schema := range []string{"public", "plain", `An "odd" schema`, "information_schema2", "select"} {
				opts := database.Options{Schema: schema, HistoryTable: fmt.Sprintf("history_%d", i)}
				must(t, apply(t, open(t, url, opts), "s", 1, script("SELECT 1")))
				name := pgx.Identifier{schema}.Sanitize()
				do(t, c, "GRANT USAGE ON SCHEMA "+name+" TO "+reader+"; GRANT SELECT ON ALL TABLES IN SCHEMA "+name+" TO "+reader)
				found := opts
				found.Schema, found.TablesOwner = "", "postgres"
				for who, db := range map[string]*testdb.Proxy{"the owner": testdb.NewProxy(t, url), "a reader": testdb.NewProxy(t, asRole(url, reader))} {
					for _, opts := range []database.Options{opts, found} {
						opts.TablesOwner = "postgres"
						db.Reset()
						equal(t, "what is applied in "+schema, versions(t, open(t, db.URL, opts), "s"), "[1]")
						equal(t, fmt.Sprintf("the round trips of %s in %s, that of connecting included", who, schema), db.Turns(), 2)
					}
				}
			}
			do(t, c, "DROP OWNED BY "+reader)
		})
	}
}

// On every version, State tells in one more round trip whether a database without a history has
// tables or views, in any schema.
func TestStateOfABareDatabase(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c := connect(t, url)
			proxy := testdb.NewProxy(t, url)
			bare := func() bool {
				t.Helper()
				proxy.Reset()
				st, err := open(t, proxy.URL, database.Options{}).State(t.Context(), "s")
				must(t, err)
				equal(t, "the round trips: connecting, the tables, whether it is bare", proxy.Turns(), 3)
				return st.Bare
			}
			equal(t, "whether a new database is bare", bare(), true)
			do(t, c, "CREATE SCHEMA other; CREATE SEQUENCE s; CREATE TYPE pair AS (a int, b int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER v FOREIGN DATA WRAPPER w")
			equal(t, "whether one without tables is", bare(), true)
			for create, drop := range map[string]string{
				"CREATE TABLE t ()":                            "DROP TABLE t",
				"CREATE TABLE other.t ()":                      "DROP TABLE other.t",
				"CREATE TABLE t (a int) PARTITION BY LIST (a)": "DROP TABLE t",
				"CREATE VIEW t AS SELECT 1":                    "DROP VIEW t",
				"CREATE MATERIALIZED VIEW other.t AS SELECT 1": "DROP MATERIALIZED VIEW other.t",
				"CREATE FOREIGN TABLE t (a int) SERVER v":      "DROP FOREIGN TABLE t",
				"CREATE UNLOGGED TABLE t ()":                   "DROP TABLE t",
			} {
				do(t, c, create)
				equal(t, "whether it is after "+create, bare(), false)
				do(t, c, drop)
			}
			equal(t, "whether it is without all of them", bare(), true)
		})
	}
}

// A run of one statement takes three round trips more, whatever runs and short transactions follow
// it. Connecting the guard is one more, once.
func TestRoundTripsOfRuns(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	proxy, ups := migrated(t, url)
	db := open(t, proxy.URL)
	cost := func(next []string) (turns, connections int) {
		t.Helper()
		ups = append(ups, next...)
		proxy.Reset()
		r, err := up(t, db, setOf(t, "s", ups...))
		must(t, err)
		equal(t, "the number of migrations applied", len(r.Applied), len(next))
		return proxy.Turns() - 1, proxy.Connections() // without reading the state
	}
	for _, tt := range []struct {
		name          string
		most, connect int
		next          []string // # is the number of the attempt
	}{
		{"the first run", 1 + 3 + 1, 1, []string{"CREATE INDEX CONCURRENTLY a# ON a (x)"}},
		{"a run", 1 + 3, 0, []string{"CREATE INDEX CONCURRENTLY b# ON a (x)"}},
		{"a run of two statements", 1 + 3, 0, []string{"CREATE INDEX CONCURRENTLY c# ON a (x); CREATE INDEX CONCURRENTLY d# ON a (x)"}},
		{"runs between transactions", 4 + 3, 0, []string{"INSERT INTO a VALUES (#)", "DROP INDEX CONCURRENTLY IF EXISTS a#", "INSERT INTO a VALUES (#)", "REINDEX TABLE CONCURRENTLY a"}},
		{"runs that follow each other", 2 + 3, 0, []string{"VACUUM a", "DROP INDEX CONCURRENTLY IF EXISTS b#", "VACUUM a"}},
		{"runs of two statements that follow each other", 2 + 3, 0, slices.Repeat([]string{"VACUUM a; REINDEX TABLE CONCURRENTLY a"}, 3)},
		{"many runs that follow each other", 6 + 3, 0, slices.Repeat([]string{"VACUUM a"}, 40)}, // in messages of 1, 2, 4, 8, 16 and 9
	} {
		n := 0
		// after a second, the guard is not used again, which a slow machine may reach
		eventually(t, tt.name, func() bool {
			n++
			next := make([]string, len(tt.next))
			for i := range next {
				next[i] = strings.ReplaceAll(tt.next[i], "#", fmt.Sprint(n))
			}
			turns, connections := cost(next)
			t.Logf("%s: %d round trips, %d connections", tt.name, turns, connections)
			return turns <= tt.most && connections <= tt.connect
		})
	}
}
