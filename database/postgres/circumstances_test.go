package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// variety is a set with migrations of every kind: transactions, a changed session, COPY, a run, a
// function.
func variety(t *testing.T) *migration.Set {
	t.Helper()
	function := postgres.Func("f", func(ctx context.Context, tx pgx.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM a WHERE x > $1", 0).Scan(&n); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO a SELECT $1::int", n+10)
		return err
	})
	var all []migration.Migration
	for i, up := range []*migration.Script{
		script("CREATE TABLE a (x int); SET search_path = pg_catalog; SET bytea_output = escape; SET DateStyle = 'SQL, DMY'"),
		script("COPY a FROM stdin;\n1\n2\n\\.\nINSERT INTO a SELECT 3"),
		script("CREATE INDEX CONCURRENTLY by_x ON a (x)"),
		function,
	} {
		all = append(all, migration.Migration{Version: int64(i + 1), Name: "m", Up: up})
	}
	set, err := migration.NewSet("s", all...)
	must(t, err)
	return set
}

func varietyIsThere(t *testing.T, db database.Database, c *pgx.Conn) {
	t.Helper()
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3 4]")
	equal(t, "the rows", value(t, c, "SELECT string_agg(x::text, ',' ORDER BY x) FROM public.a"), "1,2,3,13")
	equal(t, "the index", value(t, c, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'public.by_x'::regclass"), "true")
	_, err := up(t, db, variety(t))
	must(t, err)
	must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Protected, Value: "true"}))
	n := 0
	for e, err := range db.History(background(t), database.HistoryQuery{}) {
		must(t, err)
		if e.StartedAt.IsZero() && e.Direction == database.Up {
			t.Errorf("event %d has no time", e.ID)
		}
		n++
	}
	equal(t, "the number of events", n, 6)
}

// Session settings from the database, the role or the URL change nothing.
func TestSettingsOfTheSession(t *testing.T) {
	shelf := newShelf(t, func() (string, string) { url := testdb.Postgres(t); return url, url })
	for _, setting := range []string{
		"default_transaction_isolation=serializable", "default_transaction_isolation=repeatable read", "default_transaction_deferrable=on", "quote_all_identifiers=on",
		"bytea_output=escape", "DateStyle=German", "IntervalStyle=iso_8601", "TimeZone=Asia/Kathmandu", "extra_float_digits=-15", "search_path=public, pg_catalog",
		"xmloption=document", "row_security=off", "client_min_messages=debug1", "default_table_access_method=heap", "enable_seqscan=off", "synchronous_commit=off",
		"idle_in_transaction_session_timeout=60000", "lock_timeout=60000", "jit_above_cost=0", "array_nulls=off", "transform_null_equals=on", "lc_messages=C", "plan_cache_mode=force_generic_plan",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			place := shelf.take(t)
			url, c := place.url, place.conn
			name := value(t, c, "SELECT quote_ident(current_database())")
			t.Cleanup(func() { do(t, c, "ALTER DATABASE "+name+" RESET ALL") })
			var set, to string
			for i, r := range setting {
				if r == '=' {
					set, to = setting[:i], setting[i+1:]
				}
			}
			if set != "search_path" {
				to = "'" + to + "'"
			}
			do(t, c, fmt.Sprintf("ALTER DATABASE %s SET %s = %s", name, set, to))
			db := open(t, url)
			_, err := up(t, db, variety(t))
			must(t, err)
			varietyIsThere(t, db, c)
		})
	}
}

// Every query mode of a pool or connection works, also with tracers.
func TestEveryQueryMode(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			tracer := &tracer{}
			pool := newPool(t, url, ofSize(1), func(c *pgxpool.Config) {
				c.ConnConfig.DefaultQueryExecMode, c.ConnConfig.Tracer = mode, tracer
				c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
					_, err := conn.Exec(ctx, "SET application_name = 'prepared'")
					return true, err
				}
				c.AfterRelease = func(conn *pgx.Conn) bool { return conn.PgConn().TxStatus() == 'I' }
			})
			db := postgres.NewPool(pool, database.Options{})
			_, err := up(t, db, variety(t))
			must(t, err)
			varietyIsThere(t, db, connect(t, url))
			equal(t, "the pool's application_name", poolValue(t, pool, "current_setting('application_name')"), "prepared")
			equal(t, "the number of the pool's connections", pool.Stat().NewConnsCount(), 1)
		})
	}
}

// Connections opened beside a pool go through the pool's own preparation.
func TestPoolsThatPrepareTheirConnections(t *testing.T) {
	for name, prepare := range map[string]func(*pgxpool.Config, string){
		"PrepareConn": func(c *pgxpool.Config, sql string) {
			c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
				_, err := conn.Exec(ctx, sql)
				return true, err
			}
		},
		"BeforeAcquire": func(c *pgxpool.Config, sql string) {
			//lint:ignore SA1019 pools have it
			c.BeforeAcquire = func(ctx context.Context, conn *pgx.Conn) bool {
				_, err := conn.Exec(ctx, sql)
				return err == nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			owner := newRole(t, c)
			do(t, c, "CREATE SCHEMA app AUTHORIZATION "+owner)
			login := role(t, c, "login", "LOGIN NOINHERIT")
			do(t, c, "GRANT "+owner+" TO "+login)
			pool := newPool(t, asRole(url, login), ofSize(1), func(c *pgxpool.Config) { prepare(c, "SET ROLE "+owner+"; SET search_path = app") }, func(c *pgxpool.Config) {
				c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
			})
			db := postgres.NewPool(pool, database.Options{})
			_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)", "CREATE INDEX CONCURRENTLY ON a (x)"))
			must(t, err)
			begin(t, db, "s") // it has the only connection
			equal(t, "what is applied", versions(t, db, "s"), "[1 2]")
			equal(t, "the owner of the history", value(t, c, "SELECT tableowner FROM pg_tables WHERE schemaname = 'app' AND tablename = 'whimbrel_history'"), owner)
		})
	}
}

type tracer struct{}

func (*tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (*tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A *sql.DB with one connection works.
func TestSQLDBOfOne(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	pool := openSQL(t, url)
	pool.SetMaxOpenConns(1)
	db := postgres.NewDB(pool, database.Options{})
	_, err := up(t, db, variety(t))
	must(t, err)
	begin(t, db, "s") // it has the only connection, and reading uses another
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3 4]")
}

// A standby can be read, and is distinguished from a writable database.
func TestStandby(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t)
	set := setOf(t, "s", "CREATE TABLE a (x int)")
	_, err := up(t, open(t, server.URL), set)
	must(t, err)
	untouched := server.New()
	server.Standby()
	db := open(t, server.URL)
	equal(t, "what is applied", versions(t, db, "s"), "[1]")
	_, err = up(t, db, set)
	must(t, err) // nothing is pending
	for what, do := range map[string]func() error{
		"a migration": func() error {
			_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)", "CREATE TABLE b (x int)"))
			return err
		},
		"a run": func() error {
			_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)", "CREATE INDEX CONCURRENTLY ON a (x)"))
			return err
		},
		"an untouched database": func() error {
			_, err := up(t, open(t, untouched), set)
			return err
		},
		"a setting": func() error {
			return database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Protected, Value: "true"})
		},
	} {
		err := do()
		if err == nil {
			t.Errorf("%s on a standby returned no error", what)
			continue
		}
		as[*database.StandbyError](t, err)
		contains(t, "the error of "+what, err.Error(), "is a standby")
	}
	equal(t, "the locks", value(t, connect(t, server.URL), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0")
}
