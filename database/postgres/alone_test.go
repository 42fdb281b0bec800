package postgres_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// thingsToDo creates the objects of the statements below; DB is replaced by the database's name.
const thingsToDo = `CREATE TABLE t (x int PRIMARY KEY, y int); CREATE INDEX i ON t (y); CREATE INDEX j ON t (y, x); CREATE TYPE mood AS ENUM ('sad');
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS x; CREATE UNIQUE INDEX ON mv (x);
CREATE TABLE p (x int) PARTITION BY RANGE (x); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (2); CREATE INDEX pi ON p (x);
CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'`

// aloneStatements are statements that may be impossible in a transaction.
var aloneStatements = []struct {
	sql   string
	since int  // a major version
	never bool // it can't be in a transaction, and its text shows that
	knows bool // it can't, and only the server knows
	only  bool // tested only in a transaction: executed, it would change the whole server
}{
	{sql: "CREATE INDEX CONCURRENTLY c ON t (y)", never: true},
	{sql: "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS cu ON t (x)", never: true},
	{sql: "REINDEX TABLE CONCURRENTLY t", never: true},
	{sql: "REINDEX (VERBOSE) INDEX CONCURRENTLY i", never: true},
	{sql: "REINDEX SCHEMA public", never: true},
	{sql: "REINDEX DATABASE DB", never: true},
	{sql: "REINDEX SYSTEM DB", never: true},
	{sql: "DROP INDEX CONCURRENTLY j", never: true},
	{sql: "VACUUM", never: true},
	{sql: "VACUUM (FULL, ANALYZE) t", never: true},
	{sql: "CLUSTER", never: true},
	{sql: "CREATE DATABASE DB_more", never: true},
	{sql: "ALTER DATABASE DB_more SET TABLESPACE pg_default", never: true},
	{sql: "DROP DATABASE DB_more", never: true},
	{sql: "CREATE TABLESPACE whimbrel LOCATION '/nowhere'", never: true, only: true},
	{sql: "DROP TABLESPACE whimbrel", never: true, only: true},
	{sql: "ALTER SYSTEM SET work_mem = '4MB'", never: true, only: true},
	{sql: "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", never: true, since: 14},
	{sql: "CREATE SUBSCRIPTION whimbrel CONNECTION 'host=/nowhere' PUBLICATION x", never: true, only: true},
	{sql: "DISCARD ALL", never: true},
	{sql: "COMMIT PREPARED 'whimbrel'", never: true, only: true},
	{sql: "ROLLBACK PREPARED 'whimbrel'", never: true, only: true},

	{sql: "REINDEX TABLE p", knows: true, since: 14},
	{sql: "CLUSTER p USING pi", knows: true, since: 15},
	{sql: "CALL commits()", knows: true},
	{sql: "DO 'BEGIN COMMIT; END'", knows: true},

	{sql: "CLUSTER t USING i"},
	{sql: "REINDEX TABLE t"},
	{sql: "REINDEX INDEX i"},
	{sql: "ALTER TYPE mood ADD VALUE 'glad'"},
	{sql: "REFRESH MATERIALIZED VIEW CONCURRENTLY mv"},
	{sql: "DROP INDEX i"},
	{sql: "ANALYZE t"},
	{sql: "CREATE SUBSCRIPTION whimbrel_DB CONNECTION 'host=/nowhere' PUBLICATION x WITH (connect = false)", only: true},
	{sql: "DISCARD PLANS"},
}

// TestWhatCannotBeInATransaction: the server refuses in a transaction exactly those statements that
// the driver runs outside one. If only the server knows, its error contains the directive that
// makes the statement work.
func TestWhatCannotBeInATransaction(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c := connect(t, url)
			name := value(t, c, "SELECT current_database()")
			do(t, c, thingsToDo)
			t.Cleanup(func() { do(t, connect(t, url), "DROP DATABASE IF EXISTS "+name+"_more") })
			db := open(t, url)
			version := int64(0)
			for _, tt := range aloneStatements {
				if m.Major < tt.since {
					continue
				}
				sql := strings.ReplaceAll(tt.sql, "DB", name)
				_, err := c.PgConn().Exec(background(t), "BEGIN; "+sql).ReadAll()
				do(t, c, "ROLLBACK")
				var pg *pgconn.PgError
				refused := errors.As(err, &pg) && (pg.Code == "25001" || pg.Code == "2D000")
				if refused != (tt.never || tt.knows) {
					t.Errorf("in a transaction the server says of %s: %v", sql, err)
				}
				statements, err := sqltext.Split(sql, sqltext.PostgreSQL, sqltext.Options{})
				must(t, err)
				if never := statements[0].Tx == sqltext.TxNever; never != tt.never {
					t.Errorf("sqltext says that %s can't be in a transaction: %v", sql, never)
				}
				if tt.only {
					continue
				}
				version++
				if err = applyOne(t, db, version, script(sql)); tt.knows {
					contains(t, "the error of "+sql, as[*database.StatementError](t, err).Error(), "-- whimbrel: no-transaction")
					alone := script(sql)
					alone.NoTransaction = true
					err = applyOne(t, db, version, alone)
				}
				if err != nil {
					t.Errorf("%s: %v", sql, err)
				}
			}
		})
	}
}

func applyOne(t *testing.T, db database.Database, version int64, what *migration.Script) error {
	t.Helper()
	set, err := migration.NewSet("s", migration.Migration{Version: version, Name: "m", Up: what})
	must(t, err)
	_, err = up(t, db, set)
	return err
}

// A new enum value is added and used, by one migration or by two.
func TestNewEnumValues(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			db := open(t, url)
			_, err := up(t, db, setOf(t, "s", "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (m mood)", "ALTER TYPE mood ADD VALUE 'glad'",
				"INSERT INTO t VALUES ('glad')", "ALTER TYPE mood ADD VALUE 'odd'; INSERT INTO t VALUES ('odd')"))
			must(t, err)
			equal(t, "the moods", value(t, connect(t, url), "SELECT string_agg(m::text, ',') FROM t"), "glad,odd")
		})
	}
}

// Scripts that use a new enum value run on every server, however many transactions they take. With
// one transaction for all, they are refused before anything runs if the server would refuse the
// value. Servers accept it from 17 on; TestNewEnumValues uses every version.
func TestNewEnumValuesOfAnyScript(t *testing.T) {
	const made, added = "CREATE TYPE m AS ENUM ('a'); CREATE TABLE t (x m)", "ALTER TYPE m ADD VALUE 'n'"
	const never = 99
	cases := map[string]struct {
		scripts []string
		atomic  int // the first version that accepts it in one transaction
	}{
		"in one file":             {[]string{made + ";" + added + "; INSERT INTO t VALUES ('n')"}, 17},
		"in two files":            {[]string{made + ";" + added, "INSERT INTO t VALUES ('n')"}, 17},
		"in three files":          {[]string{made, added, "INSERT INTO t VALUES ('n')"}, 17},
		"a default":               {[]string{made, added, "ALTER TABLE t ALTER x SET DEFAULT 'n'; INSERT INTO t DEFAULT VALUES"}, 17},
		"a DO":                    {[]string{made, added, "DO $$ BEGIN INSERT INTO t VALUES ('n'); END $$"}, 17},
		"a DO that adds":          {[]string{made, "DO $$ BEGIN " + added + "; END $$; INSERT INTO t VALUES ('n')"}, 17},
		"a DO that makes":         {[]string{"DO $$ BEGIN CREATE TYPE m AS ENUM ('a'); CREATE TABLE t (x m); END $$", added, "INSERT INTO t VALUES ('n')"}, never},
		"an array":                {[]string{made, added, "INSERT INTO t SELECT unnest('{n}'::m[])"}, 17},
		"COPY":                    {[]string{made, added, "COPY t FROM stdin;\nn\n\\.\n"}, 17},
		"a function of SQL":       {[]string{made, added + "; CREATE FUNCTION f() RETURNS m LANGUAGE sql AS $$ SELECT 'n'::m $$; INSERT INTO t SELECT f()"}, 17},
		"all values":              {[]string{made, added, "INSERT INTO t SELECT (enum_range(NULL::m))[2]"}, 17},
		"a renamed value":         {[]string{made, added + "; ALTER TYPE m RENAME VALUE 'n' TO 'k'; ALTER TYPE m RENAME VALUE 'k' TO 'n'", "INSERT INTO t VALUES ('n')"}, 17},
		"a renamed type":          {[]string{"CREATE TYPE q AS ENUM ('a'); ALTER TYPE q RENAME TO m; CREATE TABLE t (x m)", added, "INSERT INTO t VALUES ('n')"}, never},
		"a value that is renamed": {[]string{made + "; ALTER TYPE m RENAME VALUE 'a' TO 'n'", "INSERT INTO t VALUES ('n')"}, 13},
		"COMMIT in between":       {[]string{made, "BEGIN;" + added + "; COMMIT; BEGIN; INSERT INTO t VALUES ('n'); COMMIT"}, never},
	}
	for i, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		for _, m := range testdb.PostgresMajors(t, []int{13, 16}[i%2], 17, 18) {
			t.Run(fmt.Sprintf("%s/%d", name, m.Major), func(t *testing.T) {
				t.Parallel()
				url := m.New(t)
				_, err := up(t, open(t, url), setOf(t, "s", c.scripts...))
				must(t, err)
				equal(t, "the rows", value(t, connect(t, url), "SELECT string_agg(x::text, ',') FROM t"), "n")

				url = m.New(t)
				_, err = whimbrel.New(open(t, url), setOf(t, "s", c.scripts...), whimbrel.Options{Atomic: true}).Up(t.Context())
				if m.Major >= c.atomic {
					must(t, err)
					equal(t, "the rows", value(t, connect(t, url), "SELECT string_agg(x::text, ',') FROM t"), "n")
					return
				}
				var atomic *whimbrel.AtomicError
				if !errors.As(err, &atomic) {
					t.Errorf("got %v, want an *AtomicError", err)
				}
				equal(t, "what is there", value(t, connect(t, url), "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"), "0")
			})
		}
	}
}

// After its connection breaks, a non-transactional statement is not repeated, on any kind of
// connection.
func TestBrokenConnectionRepeatsNothing(t *testing.T) {
	for name, open := range map[string]opener{"URL": fromURL, "pool": fromPool, "sql.DB": fromDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "CREATE SEQUENCE times")
			db, err := open(t, url, database.Options{})
			must(t, err)
			defer db.Close()
			done := make(chan error, 1)
			alone := script("SELECT nextval('times'), pg_sleep(120)")
			alone.NoTransaction = true
			go func() {
				done <- applyOne(t, db, 1, alone)
			}()
			eventually(t, "it runs", func() bool { return value(t, c, "SELECT is_called FROM times") == "true" })
			do(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()")
			if err := <-done; err == nil {
				t.Error("Up returned no error")
			}
			equal(t, "how often it ran", value(t, c, "SELECT last_value FROM times"), "1")
			equal(t, "what is applied", versions(t, db, "s"), "[]")
		})
	}
}
