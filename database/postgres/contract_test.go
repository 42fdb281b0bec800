package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// opener opens a database in one way.
type opener func(t *testing.T, url string, opts database.Options) (database.Database, error)

func fromURL(_ *testing.T, url string, opts database.Options) (database.Database, error) {
	return database.Open(context.Background(), url, opts)
}

func fromPool(t *testing.T, url string, opts database.Options) (database.Database, error) {
	return postgres.NewPool(newPool(t, url, ofSize(1)), opts), nil
}

func fromConn(t *testing.T, url string, opts database.Options) (database.Database, error) {
	c, err := pgx.Connect(background(t), url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return postgres.NewConn(c, opts), nil
}

func fromDB(t *testing.T, url string, opts database.Options) (database.Database, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { db.Close() })
	return postgres.NewDB(db, opts), nil
}

// contractRun is one run of the contract: a server, a way to connect to it, and an encoding.
type contractRun struct {
	major    int
	way      string // a key of openers, or viaPgBouncer
	encoding string
	// half is 1 or 2 for a run of one half of the cases. 0 is a run of all.
	half int
}

const viaPgBouncer = "PgBouncer"

var openers = map[string]opener{"URL": fromURL, "pool of one": fromPool, "connection": fromConn, "sql.DB": fromDB}

// contractRuns use each major version, each way to connect and each encoding at least once. The
// oldest and the newest version and PgBouncer are tested with UTF8, which allows all characters.
// Two versions in between, with encodings that can store few, share the cases: -every runs all on
// both.
var contractRuns = []contractRun{
	{13, "pool of one", "UTF8", 0},
	{14, "URL", "LATIN1", 1},
	{15, "URL", "EUC_JP", 2},
	{16, "sql.DB", "SQL_ASCII", 0},
	{17, "connection", "UTF8", 0},
	{17, viaPgBouncer, "UTF8", 0},
	{18, "URL", "UTF8", 0},
}

// everyContractRun adds the combinations that -every tests: every version with a URL, and
// everything else on the main version.
func everyContractRun() []contractRun {
	all := slices.Clone(contractRuns)
	for i := range all {
		all[i].half = 0
	}
	add := func(run contractRun) {
		if !slices.Contains(all, run) {
			all = append(all, run)
		}
	}
	for major := 13; major <= 18; major++ {
		add(contractRun{major, "URL", "UTF8", 0})
	}
	for way := range openers {
		add(contractRun{17, way, "UTF8", 0})
	}
	for _, encoding := range []string{"LATIN1", "SQL_ASCII", "EUC_JP"} {
		add(contractRun{17, "URL", encoding, 0})
	}
	return all
}

// TestContract runs the contract on every major version, with everything that a caller can hand in,
// through PgBouncer in transaction mode, and in databases that can't store most characters.
func TestContract(t *testing.T) {
	runs := contractRuns
	if *every {
		runs = everyContractRun()
	}
	covered := map[int]bool{}
	for _, run := range runs {
		covered[run.major] = true
		t.Run(fmt.Sprintf("%d %s %s", run.major, run.way, run.encoding), func(t *testing.T) {
			t.Parallel()
			shelf := newShelf(t, func() (string, string) { return run.database(t) })
			databasetest.Run(t, func(t *testing.T) databasetest.Target { return run.target(t, shelf) })
		})
	}
	for _, m := range testdb.PostgresMajors(t) {
		if !covered[m.Major] {
			t.Errorf("no run of the contract uses PostgreSQL %d", m.Major)
		}
	}
}

// database creates a database for the run.
func (run contractRun) database(t *testing.T) (url, direct string) {
	if run.way == viaPgBouncer {
		return testdb.PgBouncer(t)
	}
	for _, m := range testdb.PostgresMajors(t) {
		if m.Major == run.major {
			url = m.New(t)
		}
	}
	if run.encoding == "UTF8" {
		return url, url
	}
	url = encoded(t, url, run.encoding)
	direct = url + "&client_encoding=UTF8"
	if run.way != "URL" {
		url = direct // the caller sets the encoding of its connections
	}
	return url, direct
}

// has reports whether the run has a case: names and texts that not every encoding can store are in
// both halves.
func (run contractRun) has(name string) bool {
	return run.half == 0 || strings.HasPrefix(name, "odd") || int(crc32.ChecksumIEEE([]byte(name))%2) == run.half-1
}

// target returns an empty database of the shelf.
func (run contractRun) target(t *testing.T, shelf shelf) databasetest.Target {
	if name := t.Name(); !run.has(name[strings.LastIndex(name, "/")+1:]) {
		t.Skip("the other half of the cases runs on this version; -every runs all")
	}
	open := openers[run.way]
	if run.way == viaPgBouncer {
		open = fromURL
	}
	target := target(t, shelf.take(t), open)
	target.ASCIIComments = run.encoding != "UTF8"
	switch run.way {
	case "URL":
		target.Powers = append(target.Powers, database.PowerClone)
	case viaPgBouncer:
		target.Powers = append(target.Powers, database.PowerClone)
		target.Session = nil // a run has no session there; session_test.go has the transactions
		target.Break = nil   // the pooler replaces broken connections
	default:
		target.Notice = "" // the caller's configuration decides where notices go
	}
	return target
}

// encoded creates a database with an encoding on the server of another one.
func encoded(t *testing.T, server, encoding string) string {
	t.Helper()
	parsed, err := url.Parse(server)
	must(t, err)
	name := strings.TrimPrefix(parsed.Path, "/") + "_" + strings.ToLower(encoding)
	c := connectFor(t, server)
	do(t, c, fmt.Sprintf("CREATE DATABASE %s ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0", name, encoding))
	t.Cleanup(func() { do(t, c, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	parsed.Path = "/" + name
	return parsed.String()
}

// shelf holds databases to reuse after emptying them, which takes a tenth of the time of creating
// one.
type shelf chan place

// place is a database, its URLs, and a connection independent of Whimbrel.
type place struct {
	url, direct string
	conn        *pgx.Conn
}

func newShelf(t *testing.T, create func() (url, direct string)) shelf {
	s := make(shelf, 6)
	for range cap(s) {
		url, direct := create()
		s <- place{url, direct, connectFor(t, direct)}
	}
	return s
}

// connectFor is connect without a time limit: the connection serves many tests.
func connectFor(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	must(t, err)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	c, err := pgx.ConnectConfig(context.Background(), config)
	must(t, err)
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// take returns an empty database, reserved until the test ends.
func (s shelf) take(t *testing.T) place {
	t.Helper()
	p := <-s
	t.Cleanup(func() {
		empty(t, p.conn)
		s <- p
	})
	return p
}

// empty removes everything that a test left in a database, even if sessions are still connected.
func empty(t *testing.T, c *pgx.Conn) {
	t.Helper()
	do(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'")
	eventually(t, "all locks are released", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == "0"
	})
	do(t, c, `SET client_min_messages = error; DO $$ DECLARE s text; BEGIN
	FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
		EXECUTE format('DROP SCHEMA %I CASCADE', s);
	END LOOP; END $$; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC`)
}

// lockedBy executes statements in a transaction of another session, and later ones in the
// background. end ends the session.
func lockedBy(t *testing.T, url, sql string, later ...string) (end func() error) {
	t.Helper()
	c := connectFor(t, url)
	do(t, c, "BEGIN; "+sql)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, sql := range later {
			_, _ = c.Exec(context.Background(), sql)
		}
	}()
	return func() error {
		<-done
		return errors.Join(c.Close(context.Background()))
	}
}

func target(t *testing.T, p place, open opener) databasetest.Target {
	query := func(ctx context.Context, dest any, sql string) error { return p.conn.QueryRow(ctx, sql).Scan(dest) }
	n, other := 0, "" // the role of sessions that may be terminated
	return databasetest.Target{
		Powers: []database.Power{database.PowerSettings, database.PowerReset, database.PowerMetadata, database.PowerQuery, database.PowerHolder, database.PowerBackfill},
		Open:   func(_ context.Context, opts database.Options) (database.Database, error) { return open(t, p.url, opts) },
		Tables: func(ctx context.Context) (names []string, err error) {
			err = query(ctx, &names, "SELECT coalesce(array_agg(relname::text), '{}') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'")
			return names, err
		},
		RowCount: func(ctx context.Context, table string) (n int, err error) {
			err = query(ctx, &n, "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize())
			return n, err
		},
		Schemas: true,
		Holders: true,
		Session: forContract(),
		Never: func(table string) string {
			n++
			return fmt.Sprintf("CREATE INDEX CONCURRENTLY index_%d ON %s (x)", n, table)
		},
		Again: "ALTER SYSTEM RESET cursor_tuple_fraction",
		Half: func(ctx context.Context, table string) (string, func() error, error) {
			_, err := p.conn.Exec(ctx, "CREATE INDEX doomed ON "+table+" (x)")
			return "DROP INDEX CONCURRENTLY doomed", func() error {
				_, err := p.conn.Exec(ctx, "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'doomed'::regclass")
				return err
			}, err
		},
		Func: func(id, table string, fail error) *migration.Script {
			return postgres.Func(id, func(ctx context.Context, tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, "CREATE TABLE "+table+" (x int)"); err != nil {
					return err
				}
				return fail
			})
		},
		Block: func(_ context.Context, table string) (func() error, error) {
			if other == "" {
				other = role(t, p.conn, "blocker", "LOGIN")
			}
			do(t, p.conn, "GRANT ALL ON "+table+" TO "+other)
			return lockedBy(t, asRole(p.direct, other), "LOCK TABLE "+table), nil
		},
		Deadlock: func(_ context.Context, held, wanted string) (func() error, error) {
			end := lockedBy(t, p.direct, "SET LOCAL deadlock_timeout = '1h'; LOCK TABLE "+wanted, "LOCK TABLE "+held)
			eventually(t, "the other session waits", func() bool {
				return value(t, p.conn, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass($1)", held) == "1"
			})
			return end, nil
		},
		Blockers: true, Terminates: true, Counters: counters(t, p),
		Break: func(database.Database) {
			do(t, p.conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		},
		Slow:   "SELECT pg_sleep(120)",
		Notice: "DO $$ BEGIN RAISE NOTICE 'whimbrel says hello'; END $$",
	}
}

// counters are the counters that a backfill changes.
func counters(t *testing.T, p place) *databasetest.Counters {
	do := func(ctx context.Context, sql string, args ...any) error {
		_, err := p.conn.Exec(ctx, sql, args...)
		return err
	}
	return &databasetest.Counters{
		Create: func(ctx context.Context, rows int) error {
			err := do(ctx, "CREATE TABLE counters (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, bad boolean NOT NULL DEFAULT false, CHECK (n = 0 OR NOT bad))")
			if err != nil {
				return err
			}
			return do(ctx, "INSERT INTO counters SELECT generate_series(1, $1::int)", rows)
		},
		Body: "UPDATE counters SET n = n + 1 WHERE id BETWEEN :first AND :last",
		Read: func(ctx context.Context) (map[int]int, error) {
			rows, err := p.conn.Query(ctx, "SELECT id, n FROM counters")
			if err != nil {
				return nil, err
			}
			counts := map[int]int{}
			var id, n int
			_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
				counts[id] = n
				return nil
			})
			return counts, err
		},
		Insert: func(ctx context.Context, key int) error { return do(ctx, "INSERT INTO counters VALUES ($1)", key) },
		Delete: func(ctx context.Context, key int) error {
			return do(ctx, "DELETE FROM counters WHERE id = $1", key)
		},
		Fail: func(ctx context.Context, key int, fails bool) error {
			return do(ctx, "UPDATE counters SET bad = $1 WHERE id = $2", fails, key)
		},
	}
}
