package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// sequencer returns a Tx of set s that can execute scripts with CommitEach, after versions 1 and 2.
func sequencer(t *testing.T, db database.Database) database.Sequencer {
	t.Helper()
	tx := begin(t, db, "s")
	for v := int64(1); v < 3; v++ {
		must(t, tx.Record(t.Context(), event(v)))
		_, next, _, err := database.CommitAndBegin(t.Context(), tx, database.LockOptions{})
		must(t, err)
		tx = next
	}
	s := tx.(database.Sequencer)
	equal(t, "whether a short script fits", s.Fits(script("CREATE TABLE t (x int)")), true)
	return s
}

// commitEach executes scripts as versions 3, 4, …. It returns how many were committed, and the next
// Tx.
func commitEach(t *testing.T, s database.Sequencer, scripts ...string) (done int, next database.Tx, err error) {
	t.Helper()
	return commitEachWith(t, t.Context(), s, database.LockOptions{}, func() {}, scripts...)
}

func commitEachWith(t *testing.T, ctx context.Context, s database.Sequencer, opts database.LockOptions, committed func(), scripts ...string) (done int, next database.Tx, err error) {
	t.Helper()
	var parts []database.Part
	for i, text := range scripts {
		equal(t, fmt.Sprintf("whether %q fits", text), s.Fits(script(text)), true)
		parts = append(parts, database.Part{Script: script(text), Entries: []database.Entry{event(int64(3 + i))}})
	}
	next, _, err = s.CommitEach(ctx, parts, true, opts, database.PartReport{Begun: func() {}, Committed: func(database.Recorded) {
		done++
		committed()
	}})
	return done, next, err
}

// A sequence takes one round trip, and each of its migrations eight statements, of which the server
// parses the script's.
func TestCostOfASequence(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	proxy := testdb.NewProxy(t, url)
	var parsed, executed atomic.Int64
	tap := testdb.NewTap(t, proxy.URL, func(_ int, m any) {
		switch m.(type) {
		case *pgproto3.Parse:
			parsed.Add(1)
		case *pgproto3.Bind:
			executed.Add(1)
		}
	})
	s := sequencer(t, open(t, tap.URL))
	for _, n := range []int{5, 20} { // the first one prepares the statements
		scripts := make([]string, n)
		for i := range scripts {
			scripts[i] = fmt.Sprintf("CREATE TABLE t%d_%d (x int)", n, i)
		}
		proxy.Reset()
		parsed.Store(0)
		executed.Store(0)
		done, next, err := commitEach(t, s, scripts...)
		must(t, err)
		equal(t, "how many were committed", done, n)
		s = next.(database.Sequencer)
	}
	// The first Tx has begun, and names its script by itself. The last five begin the next one.
	equal(t, "the statements", executed.Load(), 4+19*8+5)
	equal(t, "those that the server parses", parsed.Load(), 1+20)
	// The server may answer the first statements of a long pipeline before it has them all.
	if turns := proxy.Turns(); turns > 10 {
		t.Errorf("20 migrations took %d round trips, want 1, or a few more on a busy machine", turns)
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	s := sequencer(t, open(t, testdb.Postgres(t)))
	for text, want := range map[string]bool{
		"CREATE TABLE t (x int)":                                  true,
		"ALTER TABLE t ADD y int; UPDATE t SET y = 1":             true,
		"SET search_path = a":                                     false, // the session is read after it
		"COPY t FROM stdin;\n1\n\\.\n":                            false, // data follow
		"INSERT INTO t VALUES ($1)":                               false, // see needsSimple
		strings.Repeat("DROP TABLE t;\n", 33):                     false, // chunks are faster
		"CREATE TABLE t (x int) -- " + strings.Repeat("x", 4<<10): false,
	} {
		equal(t, fmt.Sprintf("whether %.40q fits", text), s.Fits(script(text)), want)
	}
}

// onInsert returns statements for a table that executes others at the COMMIT of a transaction that
// has inserted a row.
func onInsert(table, statements string) string {
	return strings.NewReplacer("TABLE", table, "STATEMENTS", statements).Replace(`create table TABLE (x int);
CREATE FUNCTION TABLE() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN STATEMENTS; RETURN NULL; END $f$;
CREATE CONSTRAINT TRIGGER TABLE AFTER INSERT ON TABLE DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION TABLE()`)
}

// The server begins no transaction of a sequence after a change that a Tx by itself would find.
func TestSequenceEnds(t *testing.T) {
	for name, change := range map[string]string{
		"another entry":     "INSERT INTO whimbrel_history (set_name, version, name, direction, has_down_text, up_directives, down_directives, started_at, duration_us, db_user, os_user, host, app, actor, tool_version, reason) VALUES ('s', 9, '', 'up', false, '', '', now(), 1, '', '', '', '', '', '', '')",
		"a freeze":          "INSERT INTO whimbrel_history (set_name, version, name, direction, has_down_text, up_directives, down_directives, started_at, duration_us, db_user, os_user, host, app, actor, tool_version, reason) VALUES ('whimbrel', 0, '', 'setting', false, '', '', now(), 1, '', '', '', '', '', '', '')",
		"a journal":         "INSERT INTO whimbrel_journal (set_name, token, lock_key, done) VALUES ('s', 'x', 1, 1)",
		"a trigger":         "CREATE TRIGGER x AFTER INSERT ON whimbrel_history EXECUTE FUNCTION noop()",
		"a rule":            "CREATE RULE x AS ON INSERT TO whimbrel_settings DO NOTHING",
		"row security":      "ALTER TABLE whimbrel_history ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
		"a renamed history": "ALTER TABLE whimbrel_history RENAME TO h; CREATE TABLE whimbrel_history (LIKE h)",
		"a deleted entry":   "DELETE FROM whimbrel_history WHERE set_name = 's'",
		"a forgotten head":  "RESET ALL",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "+onInsert("armed", change))
			db := open(t, url)
			done, next, err := commitEach(t, sequencer(t, db), "CREATE TABLE a (x int)", "INSERT INTO armed VALUES (1)", "CREATE TABLE b (x int)", "CREATE TABLE c (x int)")
			must(t, err)
			equal(t, "how many were committed", done, 2)
			equal(t, "whether a Tx follows", next != nil, false)
			equal(t, "the tables", value(t, c, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('a', 'b', 'c')"), "a")
			equal(t, "the armed rows", value(t, c, "SELECT count(*) FROM armed"), "1")
		})
	}
}

// A process that waits for the lock can get it between two transactions of a sequence.
func TestSequenceLosesTheLock(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c, other := connect(t, url), connect(t, url)
	db := open(t, url)
	s := sequencer(t, db)
	key := value(t, c, "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	got := make(chan error, 1)
	go func() {
		_, err := other.PgConn().Exec(background(t), "SELECT pg_advisory_lock("+key+")").ReadAll()
		got <- err
	}()
	eventually(t, "the other session waits", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == "1"
	})
	done, next, err := commitEach(t, s, "CREATE TABLE a (x int)", "CREATE TABLE b (x int)", "CREATE TABLE c (x int)")
	must(t, err)
	must(t, <-got)
	equal(t, "how many were committed", done, 1)
	equal(t, "whether a Tx follows", next != nil, false)
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3]")
}

// A sequence ends with the first part that fails. The error is that part's, and those before it are
// committed.
func TestSequenceFails(t *testing.T) {
	for name, tt := range map[string]struct {
		bad   string
		check func(t *testing.T, err error)
	}{
		"a statement": {"CREATE TABLE x (x int);\nINSERT INTO x SELECT 1/0", func(t *testing.T, err error) {
			equal(t, "the place", as[*database.StatementError](t, err).Pos.Line, 2)
		}},
		"COMMIT": {"INSERT INTO child VALUES (1)", func(t *testing.T, err error) {
			contains(t, "the error", err.Error(), "child_x_fkey")
		}},
		"a lock": {"ALTER TABLE locked ADD y int", func(t *testing.T, err error) {
			is(t, err, database.ErrLockTimeout)
		}},
		"the session's end": {"INSERT INTO deadly VALUES (1)", func(t *testing.T, err error) {
			contains(t, "the error", err.Error(), "57P01")
			as[*database.CommitUnknownError](t, err) // the trigger runs at COMMIT
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c, other := connect(t, url), connect(t, url)
			do(t, c, "CREATE TABLE parent (x int PRIMARY KEY); CREATE TABLE child (x int REFERENCES parent DEFERRABLE INITIALLY DEFERRED); CREATE TABLE locked (x int); "+onInsert("deadly", "PERFORM pg_terminate_backend(pg_backend_pid())"))
			do(t, other, "BEGIN; LOCK TABLE locked")
			db := open(t, url)
			opts := database.LockOptions{LockTimeout: 50 * time.Millisecond}
			done, next, err := commitEachWith(t, t.Context(), sequencer(t, db), opts, func() {}, "CREATE TABLE a (x int)", "CREATE TABLE b (x int)", tt.bad, "CREATE TABLE c (x int)", "CREATE TABLE d (x int)")
			if err == nil {
				t.Fatal("no error")
			}
			tt.check(t, err)
			equal(t, "how many were committed", done, 2)
			equal(t, "whether a Tx follows", next != nil, false)
			becomesFree(t, db, "s")
			equal(t, "what is applied", versions(t, db, "s"), "[1 2 3 4]")
			equal(t, "the tables", value(t, c, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('a', 'b', 'c', 'd', 'x')"), "a b")
		})
	}
}

// The server reports a COMMIT before a script that may take long, which the session names. A
// context that ends meanwhile cancels that script and all after it.
func TestSequenceIsCancelled(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	c := connect(t, url)
	do(t, c, onInsert("slow", "PERFORM pg_sleep(600)"))
	s := sequencer(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	begun := func() {
		eventually(t, "the session names the script", func() bool {
			return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'whimbrel: 1_x' AND wait_event = 'PgSleep'") == "1"
		})
		cancel()
	}
	done, next, err := commitEachWith(t, ctx, s, database.LockOptions{}, begun, "CREATE TABLE a (x int)", "INSERT INTO slow VALUES (1)", "CREATE TABLE b (x int)")
	is(t, err, context.Canceled)
	equal(t, "how many were committed", done, 1)
	equal(t, "whether a Tx follows", next != nil, false)
	becomesFree(t, db, "s")
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3]")
}

// If the connection breaks before the answers of a transaction, the server may have committed it
// nevertheless.
func TestSequenceLosesTheConnection(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	proxy := testdb.NewProxy(t, url)
	s := sequencer(t, open(t, proxy.URL))
	proxy.CutWhenAnswered(func(message []byte) bool { return bytes.Contains(message, []byte("BEGIN")) })
	done, next, err := commitEach(t, s, "CREATE TABLE a (x int)", "CREATE TABLE b (x int)", "CREATE TABLE c (x int)")
	as[*database.CommitUnknownError](t, err)
	equal(t, "how many are known to be committed", done, 1)
	equal(t, "whether a Tx follows", next != nil, false)
	db := open(t, url)
	becomesFree(t, db, "s")
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3 4 5]")
}

// The server reports a COMMIT before a script that waits for another session.
func TestSequenceWaits(t *testing.T) {
	for name, waits := range map[string]string{
		"DROP":        "DROP TABLE locked",
		"COMMENT":     "COMMENT ON TABLE locked IS 'x'",
		"a key":       "CREATE TABLE b (x int REFERENCES locked)",
		"inheritance": "CREATE TABLE b () INHERITS (locked)",
		"LIKE":        "CREATE TABLE b (LIKE locked)",
		"a sequence":  "CREATE SEQUENCE b OWNED BY locked.x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			other := connect(t, url)
			do(t, other, "CREATE TABLE locked (x int PRIMARY KEY)")
			do(t, other, "BEGIN; LOCK TABLE locked")
			opts := database.LockOptions{LockTimeout: waitLimit / 2}
			done := 0
			_, next, err := commitEachWith(t, t.Context(), sequencer(t, open(t, url)), opts, func() {
				if done++; done == 1 {
					do(t, other, "COMMIT")
				}
			}, "CREATE TABLE a (x int)", waits)
			must(t, err)
			equal(t, "how many were committed", done, 2)
			must(t, next.Rollback(t.Context()))
		})
	}
}
