package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// interruption is a statement that waits for a blocker when it is interrupted.
type interruption struct {
	name, before, blocker, script string
	want                          string // the final state, besides that no index is invalid
	since                         int
}

var interruptions = []interruption{
	{
		name: "CREATE INDEX CONCURRENTLY", blocker: "INSERT INTO t VALUES (1)",
		script: `CREATE UNIQUE INDEX CONCURRENTLY "I ""1" ON t (x) INCLUDE (y)`,
		want:   `(SELECT count(*) FROM pg_indexes WHERE indexname = 'I "1') = 1`,
	},
	{
		name: "when it waits for a snapshot", blocker: "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class",
		script: "CREATE INDEX CONCURRENTLY i ON t (x)",
		want:   "to_regclass('i') IS NOT NULL",
	},
	{
		name: "without a name", before: "CREATE INDEX ON t (x)", blocker: "INSERT INTO t VALUES (1)",
		script: "CREATE INDEX CONCURRENTLY ON t (x)",
		want:   "(SELECT count(*) FROM pg_indexes WHERE tablename = 't') = 2",
	},
	{
		name: "in the search path that the script sets", before: "CREATE SCHEMA other; CREATE TABLE other.t (x int); CREATE INDEX i ON t (x)", blocker: "INSERT INTO other.t VALUES (1)",
		script: "SET search_path = other; CREATE INDEX CONCURRENTLY i ON t (x)",
		want:   "(SELECT count(*) FROM pg_indexes WHERE indexname = 'i') = 2",
	},
	{
		name: "IF NOT EXISTS", blocker: "INSERT INTO t VALUES (1)",
		script: "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (lower(y), x)",
		want:   "to_regclass('i') IS NOT NULL",
	},
	{
		name: "DROP INDEX CONCURRENTLY", before: "CREATE INDEX i ON t (x)", blocker: "SELECT FROM t",
		script: "DROP INDEX CONCURRENTLY i",
		want:   "to_regclass('i') IS NULL",
	},
	{
		name: "REINDEX INDEX CONCURRENTLY", before: "CREATE INDEX i ON t (x)", blocker: "INSERT INTO t VALUES (1)",
		script: "REINDEX INDEX CONCURRENTLY i",
		want:   "(SELECT count(*) FROM pg_indexes WHERE tablename = 't') = 1",
	},
	{
		name: "REINDEX INDEX CONCURRENTLY that has taken the place", before: "CREATE INDEX i ON t (x)", blocker: "SELECT FROM t",
		script: "REINDEX INDEX CONCURRENTLY public.i",
		want:   "(SELECT count(*) FROM pg_indexes WHERE tablename = 't') = 1",
	},
	{
		name: "REINDEX TABLE CONCURRENTLY", before: "CREATE INDEX i ON t (x); ALTER TABLE t ADD PRIMARY KEY (x)", blocker: "INSERT INTO t VALUES (1)",
		script: "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
		want:   "(SELECT count(*) FROM pg_index WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass)) = 1",
	},
	{
		name: "REINDEX SCHEMA CONCURRENTLY", before: "CREATE INDEX i ON t (x)", blocker: "INSERT INTO t VALUES (1)",
		script: "REINDEX SCHEMA CONCURRENTLY public",
		want:   "(SELECT count(*) FROM pg_indexes WHERE tablename = 't') = 1",
	},
	{
		name: "DETACH PARTITION CONCURRENTLY", before: `CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE "P1" PARTITION OF p FOR VALUES IN (1)`, blocker: "SELECT FROM p", since: 14,
		script: `ALTER TABLE p DETACH PARTITION "P1" CONCURRENTLY`,
		want:   `NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'p'::regclass) AND to_regclass('"P1"') IS NOT NULL`,
	},
	{
		name: "VACUUM", blocker: "SELECT FROM t", script: "VACUUM FULL t", want: "true",
	},
}

const invalidIndexes = "SELECT count(*) FROM pg_index WHERE NOT indisvalid OR NOT indislive"

// After a process is killed while such statements wait, the next process cleans up.
func TestInterruptedStatementIsCleanedUp(t *testing.T) {
	majors := testdb.PostgresMajors(t)
	for nth, m := range majors {
		var all []interruption
		for i, tt := range interruptions {
			if m.Major >= tt.since && runsOn(majors, nth, i) {
				all = append(all, tt)
			}
		}
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			interrupt(t, all, func() (url, direct string) {
				url = m.New(t)
				return url, url
			})
		})
	}
}

// So it does through a pooler, where the server doesn't detect a dead client.
func TestInterruptedStatementIsCleanedUpThroughPgBouncer(t *testing.T) {
	t.Parallel()
	var all []interruption
	for _, tt := range interruptions {
		// a pooler's refusals
		if !strings.HasPrefix(tt.script, "SET") && !strings.HasPrefix(tt.script, "VACUUM FULL") && !strings.Contains(tt.script, "CONCURRENTLY ON") {
			all = append(all, tt)
		}
	}
	interrupt(t, all, func() (url, direct string) { return testdb.PgBouncer(t) })
}

// interrupt kills a process that runs all interruptions, each in a database of its own, and lets
// others resume.
func interrupt(t *testing.T, all []interruption, create func() (url, direct string)) {
	var jobs []job
	var conns []*pgx.Conn
	var blockers []*blocker
	for _, tt := range all {
		url, direct := create()
		c := connect(t, direct)
		do(t, c, "CREATE TABLE t (x int, y text); "+tt.before)
		conns, blockers = append(conns, c), append(blockers, block(t, direct, tt.blocker))
		jobs = append(jobs, job{URL: url, Sets: map[string][]string{"s": {"CREATE TABLE first (x int); " + tt.script + "; CREATE TABLE last (x int)"}}})
	}
	p := start(t, job{Jobs: jobs})
	p.begin()
	for _, c := range conns {
		becomesBlocked(t, c)
	}
	p.kill()
	for i, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.resume(t, open(t, jobs[i].URL), conns[i], blockers[i], jobs[i].Sets["s"])
		})
	}
}

func (tt interruption) resume(t *testing.T, db database.Database, c *pgx.Conn, release *blocker, scripts []string) {
	st, err := db.State(background(t), "s")
	must(t, err)
	equal(t, "how many statements took effect", st.Interrupted.Done, 1+strings.Count(tt.script, ";"))
	release.when(t, db, scripts)
	equal(t, "the number of invalid indexes", value(t, c, invalidIndexes), "0")
	equal(t, "that "+tt.want, value(t, c, "SELECT "+tt.want), "true")
	equal(t, "the last table", value(t, c, "SELECT count(*) FROM pg_class WHERE relname = 'last'"), "1")
	equal(t, "the applied versions", versions(t, db, "s"), "[1]")
}

// A statement that is cancelled on the server leaves the same. The attempt cleans up, or the run
// remains interrupted at the statement, and the next attempt completes it.
func TestCancelledStatementIsCleanedUp(t *testing.T) {
	t.Parallel()
	for _, tt := range interruptions {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "CREATE TABLE t (x int, y text); "+tt.before)
			b := block(t, url, tt.blocker)
			db, set := open(t, url), setOf(t, "s", tt.script)
			failed := make(chan error, 1)
			go func() {
				_, err := up(t, db, set, whimbrel.Options{LockTimeout: whimbrel.NoTimeout})
				failed <- err
			}()
			becomesBlocked(t, c)
			do(t, c, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
			b.end(t)
			if err := <-failed; err == nil {
				t.Fatal("the statement was not cancelled")
			}
			const incomplete = "SELECT EXISTS (SELECT FROM pg_index WHERE NOT indisvalid OR NOT indislive) OR EXISTS (SELECT FROM pg_inherits h WHERE to_jsonb(h) @> '{\"inhdetachpending\": true}')"
			if st, err := db.State(background(t), "s"); err != nil || (st.Interrupted == nil || st.Interrupted.Begun == "") && value(t, c, incomplete) == "true" {
				t.Errorf("the interrupted run is %+v (%v), but something remains of the statement", st.Interrupted, err)
			}
			_, err := up(t, db, set)
			must(t, err)
			equal(t, "the number of invalid indexes", value(t, c, invalidIndexes), "0")
			equal(t, "that "+tt.want, value(t, c, "SELECT "+tt.want), "true")
		})
	}
}

// blocker is a transaction that blocks others.
type blocker struct{ c *pgx.Conn }

func block(t testing.TB, url, sql string) *blocker {
	t.Helper()
	c := connect(t, url)
	do(t, c, "BEGIN; "+sql)
	return &blocker{c}
}

func (b *blocker) end(t testing.TB) {
	t.Helper()
	do(t, b.c, "ROLLBACK")
}

// when makes another attempt, and ends the blocker after the attempt found the leftovers or a
// statement still running.
func (b *blocker) when(t testing.TB, db database.Database, scripts []string) {
	t.Helper()
	found := make(chan struct{})
	var once sync.Once
	done := make(chan error, 1)
	go func() {
		opts := whimbrel.Options{MigrationLockTimeout: waitLimit, Observe: func(_ context.Context, e whimbrel.Event) {
			switch e.(type) {
			case whimbrel.LockWaiting, whimbrel.CleanedUp, whimbrel.Resumed:
				once.Do(func() { close(found) })
			}
		}}
		r, err := whimbrel.New(db, setOf(t, "s", scripts...), opts).Up(background(t))
		if err == nil && len(r.Resumed) != 1 {
			err = fmt.Errorf("it did not resume the interrupted run")
		}
		once.Do(func() { close(found) })
		done <- err
	}()
	<-found
	b.end(t)
	must(t, <-done)
}

func becomesBlocked(t testing.TB, c *pgx.Conn) {
	t.Helper()
	eventually(t, "a statement waits for a lock", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") != "0"
	})
}

// invalid creates an invalid index, as an interrupted build leaves it.
func invalid(t testing.TB, url, build, blockedBy string) {
	t.Helper()
	b := block(t, url, blockedBy)
	defer b.end(t)
	c := connect(t, url)
	c.Exec(background(t), "SET lock_timeout = '50ms'")
	if _, err := c.Exec(background(t), build); err == nil {
		t.Fatal("the index was built")
	}
	equal(t, "the number of invalid indexes", value(t, c, invalidIndexes), "1")
}

// IF NOT EXISTS doesn't accept an invalid index of any origin. An index that the statement can't
// mean is left alone, and so is an invalid one without IF NOT EXISTS.
func TestExistingInvalidIndex(t *testing.T) {
	for name, tt := range map[string]struct{ left, script, problem string }{
		"the same":         {left: "CREATE INDEX CONCURRENTLY i ON t (x)", script: "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (x)"},
		"another":          {left: "CREATE INDEX CONCURRENTLY i ON t (y)", script: "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (x)", problem: `invalid index "public"."i"`},
		"of another table": {left: "CREATE INDEX CONCURRENTLY i ON t (x)", script: "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON u (z)", problem: `invalid index "public"."i"`},
		"the same name":    {left: "CREATE INDEX CONCURRENTLY i ON t (x)", script: "CREATE INDEX CONCURRENTLY i ON t (x)", problem: "that index is invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "CREATE TABLE t (x int, y int); CREATE TABLE u (z int)")
			invalid(t, url, tt.left, "INSERT INTO t VALUES (1)")
			oid := value(t, c, "SELECT 'i'::regclass::oid")
			var notices []database.Notice
			db := open(t, url, database.Options{Notice: func(n database.Notice) { notices = append(notices, n) }})
			_, err := up(t, db, setOf(t, "s", tt.script))
			same := value(t, c, "SELECT 'i'::regclass::oid") == oid
			if tt.problem != "" {
				failed := as[*database.StatementError](t, err)
				equal(t, "that the cause is elsewhere", failed.Elsewhere, true)
				contains(t, "the error", failed.Error(), tt.problem, `DROP INDEX CONCURRENTLY "public"."i"`)
				equal(t, "that the index is the same", same, true)
				equal(t, "the applied versions", versions(t, db, "s"), "[]")
				return
			}
			must(t, err)
			equal(t, "that the index is the same", same, false)
			equal(t, "the number of invalid indexes", value(t, c, invalidIndexes), "0")
			contains(t, "the notices", fmt.Sprint(notices), `index "public"."i" was invalid`, "is being rebuilt")
		})
	}
}

// An index that another session is still building is left alone, even if the role can't see that
// session's query.
func TestIndexThatIsStillBuilt(t *testing.T) {
	const build = "CREATE INDEX CONCURRENTLY i ON t (x)"
	for name, query := range map[string]string{"as a superuser": build, "as another role": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "CREATE TABLE t (x int)")
			db := open(t, url)
			if query == "" {
				role := newRole(t, c)
				do(t, c, "GRANT CREATE, USAGE ON SCHEMA public TO "+role+"; ALTER TABLE t OWNER TO "+role)
				db = open(t, asRole(url, role))
			}
			b := block(t, url, "INSERT INTO t VALUES (1)")
			built := make(chan error, 1)
			builder := connect(t, url)
			go func() {
				_, err := builder.Exec(background(t), build)
				built <- err
			}()
			becomesBlocked(t, c)
			oid := value(t, c, "SELECT 'i'::regclass::oid")

			waits := make(chan database.Holder, 100)
			r, _, err := db.Guard(background(t), "s", database.LockOptions{Blocked: func(b database.Blockage) { waits <- b.First() }})
			must(t, err)
			defer r.Close(context.Background())
			st := statement(t, "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (x)")
			before := announce(t, r, st)
			_, err = r.Outcome(background(t), st, before, database.LockOptions{})
			h := as[*database.LockedError](t, err).Holder
			equal(t, "what is at work", h.Query, query)
			done := make(chan error, 1)
			go func() { done <- r.Exec(background(t), script(st.Text), st, nil, nil) }()
			equal(t, "whom it waits for", (<-waits).PID, h.PID)
			b.end(t)
			must(t, <-done)
			must(t, <-built)
			equal(t, "the index", value(t, c, "SELECT indexrelid FROM pg_index WHERE indisvalid AND indrelid = 't'::regclass"), oid)
		})
	}
}

// announce announces a statement, and returns what the journal says of the target before it.
func announce(t testing.TB, r database.Run, st sqltext.Statement) string {
	t.Helper()
	j := &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 1, Begun: st.Text}
	must(t, r.Announce(background(t), st, j))
	return j.Before
}

func statement(t testing.TB, sql string) sqltext.Statement {
	t.Helper()
	all, err := sqltext.Split(sql, sqltext.PostgreSQL, sqltext.Options{})
	must(t, err)
	return all[0]
}

// A failed build leaves no invalid index, without a retry, and removes no older one.
func TestFailedBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int); CREATE TABLE u (x int); INSERT INTO t VALUES (1), (1)")
	invalid(t, url, "CREATE INDEX CONCURRENTLY kept ON u (x)", "INSERT INTO u VALUES (1)")
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (x)"))
	equal(t, "Code", as[*database.StatementError](t, err).Code, "23505")
	equal(t, "the invalid indexes", value(t, c, "SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE NOT indisvalid"), "kept")
	do(t, c, "DELETE FROM t")
	_, err = up(t, db, setOf(t, "s", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (x)"))
	must(t, err)
}

// The outcome of a statement follows from the objects that it creates or drops.
func TestOutcome(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c := connect(t, url)
			name := value(t, c, "SELECT current_database()")
			do(t, c, thingsToDo+"; CREATE SUBSCRIPTION sub CONNECTION 'host=/nowhere' PUBLICATION x WITH (connect = false)")
			t.Cleanup(func() {
				do(t, c, "DROP DATABASE IF EXISTS "+name+"_more")
				do(t, c, "ALTER SUBSCRIPTION sub SET (slot_name = NONE)")
				do(t, c, "DROP SUBSCRIPTION IF EXISTS sub")
			})
			r := guard(t, open(t, url), "s")
			for _, tt := range []struct {
				sql          string
				not, happens database.Verdict // without and with executing the statement
				since        int
			}{
				{"CREATE INDEX CONCURRENTLY c ON t (y)", database.NotHappened, database.Happened, 13},
				{"CREATE INDEX CONCURRENTLY ON t (y, x)", database.NotHappened, database.Happened, 13},
				{"CREATE INDEX CONCURRENTLY IF NOT EXISTS c ON t (y)", database.NotHappened, database.NotHappened, 13},
				{"DROP INDEX CONCURRENTLY c", database.NotHappened, database.Happened, 13},
				{"DROP INDEX CONCURRENTLY IF EXISTS c", database.NotHappened, database.NotHappened, 13},
				{"REINDEX TABLE CONCURRENTLY t", database.NotHappened, database.NotHappened, 13},
				{"REINDEX TABLE p", database.NotHappened, database.NotHappened, 14},
				{"REINDEX DATABASE CONCURRENTLY " + name, database.NotHappened, database.NotHappened, 13},
				{"ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", database.NotHappened, database.Happened, 14},
				{"CREATE DATABASE " + name + "_more", database.NotHappened, database.Happened, 13},
				{"DROP DATABASE " + name + "_more", database.NotHappened, database.Happened, 13},
				{"ALTER SUBSCRIPTION sub SET PUBLICATION x, y WITH (refresh = false)", database.NotHappened, database.NotHappened, 13},
				{"ALTER SUBSCRIPTION sub ADD PUBLICATION z WITH (refresh = false)", database.NotHappened, database.Happened, 14},
				{"VACUUM t", database.NotHappened, database.NotHappened, 13},
				{`CREATE INDEX CONCURRENTLY U&"u\0061" ON t (y)`, database.NotHappened, database.Unclear, 13},
				{"CALL commits()", database.Unclear, database.Unclear, 13},
				{"DO 'BEGIN CREATE TABLE made (x int); COMMIT; END'", database.Unclear, database.Unclear, 13},
			} {
				if m.Major < tt.since {
					continue
				}
				st := statement(t, tt.sql)
				before := announce(t, r, st)
				o, err := r.Outcome(background(t), st, before, database.LockOptions{})
				must(t, err)
				equal(t, "the verdict of "+tt.sql+" before ("+o.Why+")", o.Verdict, tt.not)
				must(t, r.Exec(background(t), script(tt.sql), st, nil, nil))
				o, err = r.Outcome(background(t), st, before, database.LockOptions{})
				must(t, err)
				equal(t, "the verdict of "+tt.sql+" afterwards ("+o.Why+")", o.Verdict, tt.happens)
				equal(t, "what is to be done first", len(o.First), 0)
			}
			o, err := r.Outcome(background(t), statement(t, "DO 'BEGIN COMMIT; END'"), "", database.LockOptions{})
			must(t, err)
			equal(t, "the verdict of one of which nothing is known", o.Verdict, database.Unclear)
		})
	}
}

// An index build has no lock timeout, whatever set one, and reports the blocking session;
// afterwards the timeout is restored.
func TestNoLockTimeoutForConcurrently(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int); CREATE TABLE seen (lock_timeout text)")
	b := block(t, url, "INSERT INTO t VALUES (1)")
	do(t, b.c, "SET application_name = 'blocker'")
	db := open(t, url+"&lock_timeout=30ms")
	found := make(chan database.Holder)
	ctx, cancel := context.WithCancel(background(t))
	defer cancel()
	r, _, err := db.Guard(ctx, "s", database.LockOptions{Blocked: func(b database.Blockage) {
		select {
		case found <- b.First():
		case <-ctx.Done():
		}
	}})
	must(t, err)
	defer r.Close(context.Background())
	s := script("CREATE INDEX CONCURRENTLY ON t (x); INSERT INTO seen VALUES (current_setting('lock_timeout'))")
	s.LockTimeout = 20_000_000
	done := make(chan error, 1)
	go func() { done <- execAll(ctx, db, r, s) }()
	h := <-found
	equal(t, "the blocking application", h.App, "blocker")
	equal(t, "the process", fmt.Sprint(h.PID), value(t, b.c, "SELECT pg_backend_pid()"))
	b.end(t)
	for running := true; running; {
		select {
		case err := <-done:
			must(t, err)
			running = false
		case <-found:
		}
	}
	equal(t, "the timeout afterwards", value(t, c, "SELECT lock_timeout FROM seen"), "20ms")
	must(t, r.Close(background(t)))
	eventually(t, "the connection that reported it is closed", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_blocking_pids%' AND pid <> pg_backend_pid()") == "0"
	})
}
