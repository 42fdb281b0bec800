package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// A statement that the server still executes for a killed client can't commit after another process
// has taken over, and neither can its mark. Before PostgreSQL 14 a server doesn't detect a dead
// client. The process that takes over terminates the session in the journal; a session that is not
// recorded, as behind a pooler, is fenced.
func TestOrphanIsFenced(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		if m.Major != 13 {
			continue
		}
		for name, known := range map[string]bool{"its session is known": true, "its session is not known": false} {
			t.Run(fmt.Sprintf("%d/%s", m.Major, name), func(t *testing.T) {
				t.Parallel()
				url := m.New(t)
				c := connect(t, url)
				do(t, c, "CREATE TABLE t (x int); CREATE FUNCTION waits() RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEXT 1; END $$; SELECT pg_advisory_lock(1)")
				scripts := []string{"VACUUM t; INSERT INTO t SELECT * FROM waits()"}
				p := start(t, job{URL: url, Sets: map[string][]string{"s": scripts}})
				p.begin()
				becomesStuck(t, c)
				p.kill()
				if !known {
					do(t, c, "UPDATE whimbrel_journal SET backend_pid = 0")
				}

				db := open(t, url)
				r := guard(t, db, "s")
				equal(t, "whether the orphan's statement still runs", stuck(t, c), !known)
				do(t, c, "SELECT pg_advisory_unlock(1)")
				eventually(t, "the orphan comes to its end", func() bool { return !stuck(t, c) })
				must(t, r.Close(background(t)))
				equal(t, "the number of rows", value(t, c, "SELECT count(*) FROM t"), "0")
				st, err := db.State(background(t), "s")
				must(t, err)
				equal(t, "the number of statements that remain applied", st.Interrupted.Done, 1)
				_, err = up(t, db, setOf(t, "s", scripts...))
				must(t, err)
				equal(t, "the number of rows", value(t, c, "SELECT count(*) FROM t"), "1")
			})
		}
	}
}

// interrupted are scripts whose second statement hangs, each in another way.
var interrupted = map[string]string{
	"in a transaction":                        "SELECT pg_sleep(CASE WHEN to_regclass('public.go_on') IS NULL THEN 300 ELSE 0 END)",
	"in a transaction of the script's own":    "BEGIN; SELECT pg_sleep(CASE WHEN to_regclass('public.go_on') IS NULL THEN 300 ELSE 0 END); COMMIT",
	"that commits by itself":                  "CREATE INDEX CONCURRENTLY i ON slow (sleeps(x))",
	"COPY":                                    "COPY slow FROM stdin;\n7\n8\n\\.\n",
	"that waits for a lock":                   "SELECT count(*) FROM locked",
	"that waits for a lock, and concurrently": "VACUUM FULL locked",
}

const interruptedBefore = `CREATE TABLE slow AS SELECT 1 AS x; CREATE TABLE locked (x int);
CREATE FUNCTION sleeps(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN IF to_regclass('public.go_on') IS NULL THEN PERFORM pg_sleep(300); END IF; RETURN 1; END $$;
CREATE FUNCTION sleeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM sleeps(1); RETURN NEW; END $$;
CREATE TRIGGER sleeps BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION sleeps()`

// busy reports whether any part of a migration still runs or waits.
func busy(t testing.TB, url string) bool {
	t.Helper()
	return value(t, connect(t, url), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND (wait_event IN ('PgSleep', 'advisory') OR wait_event_type = 'Lock')") != "0"
}

// A cancellation, during every kind of statement: the statement is canceled on the server, the
// journal has the reason, nothing is locked, and the next attempt resumes.
func TestCancelledRun(t *testing.T) {
	for way, through := range map[string]bool{"directly": false, "through PgBouncer": true} {
		for name, sql := range interrupted {
			if through && strings.HasPrefix(sql, "VACUUM FULL") {
				continue // a pooler keeps no lock timeout for it
			}
			t.Run(way+"/"+name, func(t *testing.T) {
				t.Parallel()
				url := testdb.Postgres(t)
				direct := url
				if through {
					url, direct = testdb.PgBouncer(t)
				}
				cancelRun(t, url, direct, sql)
			})
		}
	}
}

func cancelRun(t *testing.T, url, direct, sql string) {
	c := connect(t, direct)
	do(t, c, interruptedBefore)
	release := block(t, direct, "LOCK TABLE locked; SELECT pg_advisory_xact_lock(1)")
	db := open(t, url)
	set := setOf(t, "s", "VACUUM slow;\n"+sql+";\nINSERT INTO locked VALUES (1)")
	if strings.HasPrefix(sql, "COPY") {
		set = setOf(t, "s", "VACUUM slow;\n"+sql+"INSERT INTO locked VALUES (1)")
	}
	ctx, cancel := context.WithCancelCause(background(t))
	done := make(chan error, 1)
	go func() {
		_, err := whimbrel.New(db, set, whimbrel.Options{}).Up(ctx)
		done <- err
	}()
	eventually(t, "it hangs", func() bool { return busy(t, direct) })
	cause := errors.New("a key was pressed")
	cancel(cause)
	is(t, <-done, context.Canceled, cause)
	equal(t, "what still runs", busy(t, direct), false)
	isFree(t, db, "s")
	st, err := db.State(background(t), "s")
	must(t, err)
	equal(t, "the number of executed statements", st.Interrupted.Done, 1)
	contains(t, "why it stopped", st.Interrupted.Error, "cancelled")

	release.end(t)
	do(t, c, "CREATE TABLE go_on ()")
	r, err := up(t, db, set)
	must(t, err)
	equal(t, "where it went on", r.Resumed[0].FromStatement, 2)
	equal(t, "the number of rows at the end", value(t, c, "SELECT count(*) FROM locked"), "1")
	equal(t, "the number of invalid indexes", value(t, c, invalidIndexes), "0")
	wantRows := "1"
	if strings.HasPrefix(sql, "COPY") {
		wantRows = "3"
	}
	equal(t, "the number of rows", value(t, c, "SELECT count(*) FROM slow"), wantRows)
}

// If the connection of a statement breaks, another connection writes the reason to the journal, and
// leftovers are removed at once if possible.
func TestConnectionOfARunBreaks(t *testing.T) {
	for name, sql := range interrupted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, interruptedBefore)
			release := block(t, url, "LOCK TABLE locked; SELECT pg_advisory_xact_lock(1)")
			db := open(t, url)
			set := setOf(t, "s", "VACUUM slow;\n"+sql+"\n;")
			if strings.HasPrefix(sql, "COPY") {
				set = setOf(t, "s", "VACUUM slow;\n"+sql)
			}
			done := make(chan error, 1)
			go func() {
				_, err := up(t, db, set)
				done <- err
			}()
			eventually(t, "it hangs", func() bool { return busy(t, url) })
			do(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()")
			equal(t, "Code", as[*database.StatementError](t, <-done).Code, "57P01")
			st, err := db.State(background(t), "s")
			must(t, err)
			equal(t, "the number of executed statements", st.Interrupted.Done, 1)
			contains(t, "why it stopped", st.Interrupted.Error, "57P01")
			equal(t, "what is begun", st.Interrupted.Begun, "")
			equal(t, "the number of invalid indexes", value(t, c, invalidIndexes), "0")
			isFree(t, db, "s")
			release.end(t)
			do(t, c, "CREATE TABLE go_on ()")
			_, err = up(t, db, set)
			must(t, err)
		})
	}
}

// A run that loses its lock stops: its statement is canceled on the server, and the next attempt
// resumes. This also holds with a pool of one, and through PgBouncer.
func TestLockOfARunIsLost(t *testing.T) {
	for _, way := range []string{"directly", "with a pool of one", "through PgBouncer"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			direct := url
			if way == "through PgBouncer" {
				url, direct = testdb.PgBouncer(t)
			}
			db := open(t, url)
			if way == "with a pool of one" {
				db = postgres.NewPool(newPool(t, url, ofSize(1), func(*pgxpool.Config) {}), database.Options{})
			}
			c := connect(t, direct)
			do(t, c, interruptedBefore)
			set := setOf(t, "s", "VACUUM slow; CREATE INDEX CONCURRENTLY i ON slow (sleeps(x)); SELECT 1")
			done := make(chan error, 1)
			go func() {
				_, err := up(t, db, set)
				done <- err
			}()
			becomesStuck(t, c)
			do(t, c, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
			equal(t, "the set in the error", as[*database.LockLostError](t, <-done).Set, "s")
			equal(t, "what still runs", stuck(t, c), false)
			st, err := db.State(background(t), "s")
			must(t, err)
			equal(t, "the number of executed statements", st.Interrupted.Done, 1)
			contains(t, "what is begun", st.Interrupted.Begun, "CREATE INDEX")

			do(t, c, "CREATE TABLE go_on ()")
			r, err := up(t, db, set)
			must(t, err)
			equal(t, "where it went on", r.Resumed[0].FromStatement, 2)
			equal(t, "the number of invalid indexes", value(t, c, invalidIndexes), "0")
			equal(t, "the applied versions", versions(t, db, "s"), "[1]")
		})
	}
}

// While one process builds an index and waits for a transaction, ten others wait for it without a
// deadlock, and all succeed.
func TestProcessesWaitWhileAnIndexIsBuilt(t *testing.T) {
	for name, through := range map[string]bool{"directly": false, "through PgBouncer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			direct := url
			if through {
				url, direct = testdb.PgBouncer(t)
			}
			c := connect(t, direct)
			do(t, c, "CREATE TABLE t (x int)")
			release := block(t, direct, "INSERT INTO t VALUES (1)")
			j := job{URL: url, Sets: map[string][]string{"s": {"CREATE INDEX CONCURRENTLY i ON t (x); CREATE UNIQUE INDEX CONCURRENTLY j ON t (x); REINDEX TABLE CONCURRENTLY t", "CREATE TABLE u (x int)"}}}
			processes := []*process{start(t, j)}
			processes[0].begin()
			becomesBlocked(t, c)
			for range 10 {
				p := start(t, j)
				p.begin()
				processes = append(processes, p)
			}
			if !through { // PgBouncer keeps its own connections
				eventually(t, "the others are there", func() bool {
					return value(t, c, "SELECT count(*) >= 12 FROM pg_stat_activity WHERE application_name = 'one of many' AND datname = current_database()") == "true"
				})
			}
			release.end(t)
			for _, p := range processes {
				if err := p.wait(); err != nil {
					t.Error(err)
				}
			}
			equal(t, "the applied versions", versions(t, open(t, direct), "s"), "[1 2]")
			equal(t, "the number of valid indexes", value(t, c, "SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid = 't'::regclass"), "2")
			equal(t, "the number of invalid indexes", value(t, c, invalidIndexes), "0")
		})
	}
}

// The journal shows whether a process is at work: a run of this set, in this history.
func TestJournalIsHeld(t *testing.T) {
	for name, through := range map[string]bool{"directly": false, "through PgBouncer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			if through {
				url, _ = testdb.PgBouncer(t)
			}
			db := open(t, url)
			held := func() bool {
				t.Helper()
				st, err := open(t, url).State(background(t), "s")
				must(t, err)
				return st.Interrupted.Held
			}
			r := guard(t, db, "s")
			must(t, r.Journal(background(t), &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 2, Begun: "VACUUM"}))
			equal(t, "whether it is held in its run", held(), true)
			must(t, r.Close(background(t)))
			other := guard(t, db, "other")
			elsewhere := guard(t, open(t, url, database.Options{HistoryTable: "other_history"}), "s")
			equal(t, "whether it is held while others are at work", held(), false)
			must(t, other.Close(background(t)))
			must(t, elsewhere.Close(background(t)))
			b := begin(t, open(t, url), "s")
			equal(t, "whether it is held in a transaction", held(), true)
			must(t, b.Rollback(background(t)))
		})
	}
}

// A statement of a run reports the session that blocks it, for any kind of wait, and through a
// pooler, too.
func TestBlockingSessionIsReported(t *testing.T) {
	for name, through := range map[string]bool{"directly": false, "through PgBouncer": true} {
		for _, sql := range []string{"ALTER TABLE t ADD y int", "CREATE INDEX CONCURRENTLY i ON t (x)", "BEGIN; LOCK TABLE t; COMMIT"} {
			t.Run(name+"/"+sql, func(t *testing.T) {
				t.Parallel()
				url := testdb.Postgres(t)
				direct := url
				if through {
					url, direct = testdb.PgBouncer(t)
				}
				do(t, connect(t, direct), "CREATE TABLE t (x int)")
				b := block(t, direct, "INSERT INTO t VALUES (1)")
				pid := value(t, b.c, "SELECT pg_backend_pid()")
				var once sync.Once
				found := make(chan database.Holder, 1)
				done := make(chan error, 1)
				go func() {
					opts := whimbrel.Options{MigrationLockTimeout: waitLimit, Observe: func(_ context.Context, e whimbrel.Event) {
						if w, ok := e.(whimbrel.StatementWaiting); ok {
							once.Do(func() { found <- w.Blockage.First() })
						}
					}}
					_, err := whimbrel.New(open(t, url), setOf(t, "s", "VACUUM pg_class; "+sql), opts).Up(background(t))
					done <- err
				}()
				h := <-found
				equal(t, "the process", fmt.Sprint(h.PID), pid)
				contains(t, "what it runs", h.Query, "SELECT (SELECT pg_backend_pid())")
				b.end(t)
				must(t, <-done)
			})
		}
	}
}

// Changes of a script to its session, including its role, don't affect the mark; and they are what
// a trigger deferred to COMMIT sees.
func TestMarksIgnoreTheScriptsSession(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connectFor(t, url)
	role := fmt.Sprintf("whimbrel_marks_%d", rand.Uint64())
	do(t, c, "CREATE ROLE "+role)
	t.Cleanup(func() { do(t, c, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	do(t, c, "GRANT CREATE, USAGE ON SCHEMA public TO "+role)
	do(t, c, `CREATE TABLE who (name text); GRANT INSERT ON who TO public;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.who VALUES (current_user); RETURN NULL; END'`)
	set := setOf(t, "s", "SET ROLE "+role+`;
CREATE TABLE mine (x int);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON mine DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
CREATE INDEX CONCURRENTLY ON mine (x);
INSERT INTO mine VALUES (1);
SET SESSION AUTHORIZATION `+role+`;
BEGIN;
INSERT INTO mine VALUES (2);
COMMIT;
SET default_transaction_read_only = on;
SELECT 1;
SET default_transaction_read_only = off;
RESET SESSION AUTHORIZATION;
SET statement_timeout = '9s';
SET statement_timeout = 0;
VACUUM mine`)
	must(t, upOnce(t, url, set, whimbrel.Options{MigrationLockTimeout: waitLimit}))
	equal(t, "who inserted", value(t, c, "SELECT string_agg(DISTINCT name, ',') FROM who"), role)
	equal(t, "the rows", value(t, c, "SELECT count(*) FROM mine"), "2")
	equal(t, "the owner", value(t, c, "SELECT tableowner FROM pg_tables WHERE tablename = 'mine'"), role)
	equal(t, "rows of the journal", value(t, c, "SELECT count(*) FROM whimbrel_journal"), "0")
}
