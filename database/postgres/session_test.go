package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// callers sets up a session as a pool's owner may.
const callers = `SET search_path = app; SET tcp_keepalives_idle = 77; SET tcp_user_timeout = 77000; SET ROLE pg_signal_backend; SET lock_timeout = '7s'; SET app.tenant = 'blue'; SET application_name = 'the owner';
CREATE TEMP TABLE kept (x int); CREATE TEMP SEQUENCE kept_too; PREPARE kept AS SELECT 1; LISTEN kept; SELECT pg_advisory_lock_shared(77)`

// describe reads the state of a session.
const describe = `SELECT concat_ws(E'\n', current_setting('search_path'), current_setting('role'), current_setting('lock_timeout'), current_setting('app.tenant', true),
	current_setting('application_name'), current_setting('work_mem'), coalesce(current_setting('whim.x', true), ''), current_setting('client_connection_check_interval', true),
	(SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE source = 'session'),
	(SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
	(SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements WHERE from_sql), (SELECT string_agg(c, ' ') FROM pg_listening_channels() c),
	(SELECT count(*) FROM pg_cursors WHERE name <> ''),
	(SELECT string_agg(objid::text, ' ') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()))`

// The caller's session survives, whatever a script does to it, and whether or not the script
// succeeds.
func TestCallersSessionSurvives(t *testing.T) {
	changes := map[string]string{
		"other settings":               `SET search_path = pg_catalog; SET lock_timeout = 0; SET app.tenant = 'red'; SET application_name = 'x'; SET work_mem = '7MB'; SET whim.x = 'y'; SET quote_all_identifiers = on`,
		"settings for the transaction": `SET LOCAL search_path = pg_catalog; SET LOCAL lock_timeout = 0; SET LOCAL app.tenant = 'red'; SET LOCAL ROLE NONE; SET LOCAL whim.x = 'y'`,
		"settings put back":            `RESET search_path; RESET lock_timeout; RESET application_name; RESET ROLE; RESET SESSION AUTHORIZATION; RESET app.tenant`,
		"role":                         `SET ROLE NONE; SET SESSION AUTHORIZATION pg_monitor`,
		"objects of its own": `RESET ROLE; CREATE TEMP TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY); CREATE TEMP VIEW v AS SELECT * FROM t;
CREATE FUNCTION pg_temp.f() RETURNS t LANGUAGE sql AS 'SELECT * FROM t'; CREATE TYPE pg_temp.e AS ENUM ('a'); PREPARE p AS SELECT * FROM t;
DECLARE c CURSOR WITH HOLD FOR SELECT 1; LISTEN other; SELECT pg_advisory_lock(78)`,
		"no channels":     `UNLISTEN *`,
		"another channel": `UNLISTEN kept; LISTEN other`,
	}
	shelf := newShelf(t, func() (string, string) { url := testdb.Postgres(t); return url, url })
	for name, change := range changes {
		for _, ending := range []string{"", "; SELECT 1 / 0"} {
			t.Run(name+ending, func(t *testing.T) {
				t.Parallel()
				place := shelf.take(t)
				url := place.url
				do(t, place.conn, "CREATE SCHEMA app; GRANT ALL ON SCHEMA app, public TO pg_signal_backend, pg_monitor")
				pool := newPool(t, url, ofSize(1), simpleAfterConnect(callers))
				before := poolValue(t, pool, describe)
				db := postgres.NewPool(pool, database.Options{App: "whimbrel's", Schema: "public"})
				for i, way := range []func(s string) error{
					func(s string) error { return apply(t, db, "s", 1, script(s)) },
					func(s string) error {
						r := guard(t, db, "s")
						defer r.Close(context.Background())
						err := execAll(background(t), db, r, script(s))
						if err == nil {
							_, err = r.Record(background(t), event(2))
						}
						return err
					},
				} {
					if err := way(change + ending); (err == nil) != (ending == "") {
						t.Fatal(err)
					}
					equal(t, []string{"the session after a transaction", "the session after a run"}[i], poolValue(t, pool, describe), before)
				}
				equal(t, "the number of connections that the pool made", pool.Stat().NewConnsCount(), 1)
			})
		}
	}
}

func simpleAfterConnect(sql string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
			return err
		}
	}
}

// If the session can't be restored, the connection is closed: the pool makes a new one.
func TestSessionThatCannotBeRestoredIsClosed(t *testing.T) {
	for name, change := range map[string]string{
		"DISCARD ALL": "DISCARD ALL", "DROP TABLE": "DROP TABLE kept", "DEALLOCATE": "DEALLOCATE ALL", "DISCARD TEMP": "DISCARD TEMP",
		"RESET ALL": "RESET ALL", // with settings that the server doesn't list
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			do(t, connect(t, url), "CREATE SCHEMA app; GRANT ALL ON SCHEMA app, public TO pg_signal_backend")
			pool := newPool(t, url, ofSize(1), simpleAfterConnect(callers))
			before := poolValue(t, pool, describe)
			db := postgres.NewPool(pool, database.Options{})
			r := guard(t, db, "s")
			must(t, execAll(background(t), db, r, script(change)))
			_, err := r.Record(background(t), event(1))
			must(t, err)
			must(t, r.Close(background(t)))
			equal(t, "the session", poolValue(t, pool, describe), before)
			equal(t, "the number of connections that the pool made", pool.Stat().NewConnsCount(), 2)
		})
	}
}

// Statements that the client library prepared for itself survive, too.
func TestClientsPreparedStatementsSurvive(t *testing.T) {
	t.Parallel()
	pool := newPool(t, testdb.Postgres(t), ofSize(1)) // it prepares and keeps statements
	const cached = "SELECT '42'"
	for range 2 {
		equal(t, "the answer", poolValue(t, pool, cached), "42")
		db := postgres.NewPool(pool, database.Options{})
		must(t, apply(t, db, "s", 1, script("PREPARE p AS SELECT 1; SET work_mem = '7MB'")))
		must(t, apply(t, db, "s", 2, script("DEALLOCATE ALL")))
	}
	equal(t, "the answer", poolValue(t, pool, cached), "42")
}

// Between two scripts of a Tx, the session is restored: the next script and the history don't see
// the changes of the first.
func TestSessionIsRestoredBetweenScripts(t *testing.T) {
	t.Parallel()
	pooled, direct := testdb.PgBouncer(t)
	must(t, apply(t, open(t, direct), "probe", 1, script("CREATE TABLE probe (x int)")))
	for name, url := range map[string]string{"directly": direct, "through PgBouncer": pooled} {
		b := begin(t, open(t, url, database.Options{HistoryTable: name}), "s")
		for _, group := range sessionChanges {
			for _, s := range group {
				must(t, b.Exec(background(t), script(s.change)))
				must(t, b.Record(background(t), event(1)))
				must(t, b.Exec(background(t), script(s.probe()+"; DO $$ BEGIN IF EXISTS (SELECT FROM public.probe) THEN RAISE 'it is still there'; END IF; END $$")))
				if _, err := b.State(background(t)); err != nil {
					t.Fatalf("%s: %v", s.change, err)
				}
			}
		}
		must(t, errOf(b.Commit(background(t))))
	}
}

// No change of a Tx to its session reaches another client of a pooler, not even if the Tx fails.
func TestNothingLeaksThroughPgBouncer(t *testing.T) {
	t.Parallel()
	pooled, direct := testdb.PgBouncer(t)
	db := open(t, pooled, database.Options{App: "whimbrel's"})
	must(t, apply(t, open(t, direct), "probe", 1, script("CREATE TABLE probe (x int)")))
	var found []string
	for name, group := range sessionChanges {
		for _, s := range group {
			must(t, apply(t, db, "s", 1, script(s.change)))
			if err := apply(t, db, "s", 1, script(s.change+"; SELECT 1 / 0")); err == nil {
				t.Fatal("no error")
			}
			if name != "application" { // PgBouncer passes it from client to client itself
				found = append(found, s.found)
			}
		}
	}
	// PgBouncer uses its server connections in turn, so this meets all of them.
	other := connect(t, pooled)
	for range 30 {
		do(t, other, sessionChange{found: strings.Join(found, " OR ")}.probe())
	}
	equal(t, "the number of changes that leaked", value(t, connect(t, direct), "SELECT count(*) FROM probe"), "0")
}

// Changes by a called function are detected if the server reports them. Custom settings are an
// exception (see the package's documentation).
func TestWhatFunctionsChange(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	pool := newPool(t, url, ofSize(1))
	db := postgres.NewPool(pool, database.Options{})
	must(t, apply(t, db, "s", 1, script(`CREATE FUNCTION sneaky() RETURNS int LANGUAGE sql AS $$
SELECT set_config('work_mem', '7MB', false); SELECT set_config('whim.x', 'y', false); SELECT 1 $$;
CREATE TABLE t (x int); CREATE FUNCTION sneakier() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET maintenance_work_mem = '7MB'; RETURN NEW; END $$;
CREATE TRIGGER sneakier BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION sneakier();`)))
	must(t, apply(t, db, "s", 2, script("SELECT sneaky()")))
	equal(t, "the setting", poolValue(t, pool, "current_setting('work_mem')"), "4MB")
	equal(t, "the setting with a dot", poolValue(t, pool, "current_setting('whim.x')"), "y")
	must(t, apply(t, db, "s", 3, script("INSERT INTO t VALUES (1)")))
	equal(t, "the setting that a trigger changed", poolValue(t, pool, "current_setting('maintenance_work_mem')"), "7MB")
}

// Timeouts that a script requests end with it, and take no round trip.
func TestTimeoutsEndWithTheirScript(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	pool := newPool(t, url+"&lock_timeout=7s", ofSize(1))
	db := postgres.NewPool(pool, database.Options{})
	must(t, apply(t, db, "s", 1, script("CREATE TABLE seen (x text)")))
	const look = "INSERT INTO seen SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')"
	b := begin(t, db, "s")
	// one leaves the session unchanged, for the other that is unknown
	for _, text := range []string{look, look + "; SELECT 1"} {
		s := script(text)
		s.LockTimeout, s.StatementTimeout = 2*time.Minute, time.Minute
		must(t, b.Exec(background(t), s))
		must(t, b.Exec(background(t), script(look)))
	}
	must(t, errOf(b.Commit(background(t))))
	equal(t, "what the scripts saw", poolValue(t, pool, "string_agg(x, ', ') FROM seen"), "2min 1min, 7s 0, 2min 1min, 7s 0")
	equal(t, "what is left", poolValue(t, pool, "current_setting('lock_timeout')"), "7s")

	r := guard(t, db, "s")
	s := script("DELETE FROM seen; " + look)
	s.LockTimeout = time.Minute
	must(t, execAll(background(t), db, r, s))
	must(t, r.Close(background(t)))
	equal(t, "what the run saw", poolValue(t, pool, "string_agg(x, ', ') FROM seen"), "1min 0")
	equal(t, "what is left", poolValue(t, pool, "current_setting('lock_timeout')"), "7s")
}
