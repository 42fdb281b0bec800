package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// scripts are realistic files, with a query for the result.
var scripts = map[string]struct {
	text, query, want string
	since             int // a major version
}{
	"a transaction of its own":   {text: "BEGIN;\nCREATE TABLE a (x int);\nINSERT INTO a VALUES (1);\nCOMMIT;\n", query: "SELECT count(*) FROM a", want: "1"},
	"a comment at the very end":  {text: "CREATE TABLE a (x int); -- the end", query: "SELECT count(*) FROM a", want: "0"},
	"no statement":               {text: "-- nothing\n;;\n/* at all */", query: "SELECT 1", want: "1"},
	"CRLF":                       {text: "CREATE TABLE a (\r\n  x text DEFAULT 'two\r\nlines'\r\n);\r\nINSERT INTO a DEFAULT VALUES;\r\n", query: "SELECT length(x) FROM a", want: "10"},
	"a byte-order mark":          {text: "\ufeffCREATE TABLE a (x int)", query: "SELECT count(*) FROM a", want: "0"},
	"DO":                         {text: "DO $outer$ BEGIN EXECUTE $$CREATE TABLE a AS SELECT ';'::text AS x$$; END; $outer$;", query: "SELECT x FROM a", want: ";"},
	"BEGIN ATOMIC":               {text: "CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN n > 0 THEN $1 END; END; SELECT f(1);", query: "SELECT f(2)", want: "2", since: 14},
	"RETURN":                     {text: "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql RETURN $1 + 1;", query: "SELECT f(2)", want: "3", since: 14},
	"a rule of several actions":  {text: "CREATE TABLE a (x int); CREATE TABLE log (x int);\nCREATE RULE r AS ON INSERT TO a DO ALSO (INSERT INTO log VALUES (new.x); SELECT count(*) FROM log);\nINSERT INTO a VALUES (1);" + strings.Repeat("INSERT INTO a VALUES (1);\n", 40), query: "SELECT count(*) FROM log", want: "41"},
	"a prepared statement":       {text: "CREATE TABLE a (x int); PREPARE p (int) AS INSERT INTO a VALUES ($1); EXECUTE p(1); EXECUTE p(2); DEALLOCATE p;", query: "SELECT sum(x) FROM a", want: "3"},
	"a cursor":                   {text: "DECLARE c CURSOR FOR SELECT generate_series(1, 10); FETCH 3 FROM c; MOVE c; CREATE TABLE a AS SELECT 1; CLOSE c;", query: "SELECT count(*) FROM a", want: "1"},
	"COPY FROM stdin":            {text: "CREATE TABLE a (x int, y text);\nCOPY a FROM stdin;\n1\tone\n2\t\\N\n\\.\n\nCOPY a (x) FROM STDIN WITH (FORMAT csv);\n3\n\\.\nSELECT 1;\n", query: "SELECT string_agg(concat(x, y), ' ' ORDER BY x) FROM a", want: "1one 2 3"},
	"COPY of nothing":            {text: "CREATE TABLE a (x int);\nCOPY a FROM stdin;\n\\.\n", query: "SELECT count(*) FROM a", want: "0"},
	"COPY TO STDOUT":             {text: "CREATE TABLE a AS SELECT generate_series(1, 1000) AS x; COPY a TO STDOUT; COPY (SELECT 1) TO STDOUT WITH (FORMAT binary); INSERT INTO a VALUES (1001);", query: "SELECT count(*) FROM a", want: "1001"},
	"a long script with COPY TO": {text: strings.Repeat("SELECT 1;", 50) + "CREATE TABLE a AS SELECT generate_series(1, 1000) AS x; COPY a TO STDOUT; INSERT INTO a VALUES (1001);", query: "SELECT count(*) FROM a", want: "1001"},
	"many rows":                  {text: "SELECT repeat('x', 1000) FROM generate_series(1, 20000); CREATE TABLE a AS SELECT 1; SELECT repeat('x', 1000) FROM generate_series(1, 20000)", query: "SELECT count(*) FROM a", want: "1"},
	"many rows, many statements": {text: strings.Repeat("SELECT repeat('x', 1000) FROM generate_series(1, 1000);\n", 40) + "CREATE TABLE a AS SELECT 1;", query: "SELECT count(*) FROM a", want: "1"},
	"NOTIFY and LISTEN":          {text: "LISTEN news; NOTIFY news, 'hello'; SELECT pg_notify('news', 'again'); CREATE TABLE a AS SELECT 1", query: "SELECT count(*) FROM a", want: "1"},
	"dollars and backslashes":    {text: `CREATE TABLE a AS SELECT E'\'' || '\' || $$$1$$ || $a$$$$a$ || U&'\0041' AS x`, query: "SELECT x FROM a", want: `'\$1$$A`},
	"a setting that changes how text is read":   {text: `SET standard_conforming_strings = on; SET backslash_quote = safe_encoding; CREATE TABLE a AS SELECT '\' AS x;` + strings.Repeat("SELECT 1;", 40), query: "SELECT x FROM a", want: `\`},
	"strings with backslashes":                  {text: `SET standard_conforming_strings = off; SET escape_string_warning = off; CREATE TABLE a (x text); INSERT INTO a VALUES ('it\'s; ok');`, query: "SELECT x FROM a", want: "it's; ok"},
	"strings with backslashes in a long script": {text: `SET standard_conforming_strings = off; SET escape_string_warning = off; CREATE TABLE a (x text); INSERT INTO a VALUES ('it\'s; ok');` + strings.Repeat(`SELECT 'a\'; b';`, 40) + `SET standard_conforming_strings = on; INSERT INTO a VALUES ('\');`, query: "SELECT string_agg(x, ' ') FROM a", want: `it's; ok \`},
	"deferred constraints":                      {text: "CREATE TABLE a (x int PRIMARY KEY, y int REFERENCES a DEFERRABLE INITIALLY DEFERRED); INSERT INTO a VALUES (1, 2); INSERT INTO a VALUES (2, 1);", query: "SELECT count(*) FROM a", want: "2"},
	"a statement of 3 MB":                       {text: "CREATE TABLE a AS SELECT length('" + strings.Repeat("ä", 1_500_000) + "') AS x;", query: "SELECT x FROM a", want: "1500000"},
	"a dump":                                    {text: dump, query: "SELECT string_agg(name, ',' ORDER BY id) FROM public.birds", want: "whimbrel,curlew"},
}

const dump = `--
-- PostgreSQL database dump
--

\restrict aBcDeF123

SET statement_timeout = 0;
SET lock_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET row_security = off;
SET default_tablespace = '';
CREATE TABLE public.birds (
    id integer NOT NULL,
    name text
);
COPY public.birds (id, name) FROM stdin;
1	whimbrel
2	curlew
\.


ALTER TABLE ONLY public.birds
    ADD CONSTRAINT birds_pkey PRIMARY KEY (id);

\unrestrict aBcDeF123
`

// Scripts have the same effect as without Whimbrel, on every major version, in their own
// transaction and in one with others.
func TestScripts(t *testing.T) {
	majors := testdb.PostgresMajors(t)
	for nth, m := range majors {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			db, c := open(t, url), connect(t, url)
			for i, name := range slices.Sorted(maps.Keys(scripts)) {
				s := scripts[name]
				if m.Major < s.since || !runsOn(majors, nth, i) {
					continue
				}
				b := begin(t, db, name)
				if err := b.Exec(background(t), script(s.text)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				// unaffected by the script before
				must(t, b.Exec(background(t), script("CREATE TABLE public.next_one (x int)")))
				must(t, b.Record(background(t), event(1)))
				if _, err := b.Commit(background(t)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				equal(t, name+": "+s.query, value(t, c, s.query), s.want)
				do(t, c, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
			}
		})
	}
}

// Notices are reported while a script runs; Whimbrel's own statements cause none.
func TestNotices(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var heard []string
	db := open(t, testdb.Postgres(t), database.Options{Notice: func(n database.Notice) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, n.Severity+" "+n.Message+n.Detail+n.Hint+n.Code)
	}})
	must(t, apply(t, db, "s", 1, script(`DO $$ BEGIN RAISE NOTICE 'a %', 1 USING DETAIL = ' b', HINT = ' c '; RAISE WARNING 'd '; END $$;
DROP TABLE IF EXISTS missing; CREATE TEMP TABLE t (x int PRIMARY KEY); CREATE TEMP VIEW v AS SELECT * FROM t; SELECT pg_advisory_lock(1); SELECT pg_advisory_xact_lock(2); LISTEN x;
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'at the end '; RETURN NULL; END $$; CREATE TABLE u (x int);
CREATE CONSTRAINT TRIGGER say AFTER INSERT ON u DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION say(); INSERT INTO u VALUES (1);`)))
	equal(t, "what was heard", strings.Join(heard, "; "), `NOTICE a 1 b c 00000; WARNING d 01000; NOTICE table "missing" does not exist, skipping00000; NOTICE at the end 00000`)
	heard = nil
	r := guard(t, db, "s")
	must(t, execAll(background(t), db, r, script("DROP TABLE IF EXISTS missing; CREATE TEMP TABLE t (x int); SELECT pg_advisory_lock(1); VACUUM u")))
	must(t, r.Close(background(t)))
	equal(t, "what was heard of a run", strings.Join(heard, "; "), `NOTICE table "missing" does not exist, skipping00000`)
	equal(t, "whether the lock is held", isHeld(t, db, "s"), false)
}

// A large file is streamed: memory use doesn't grow with it.
func TestMemoryStaysBounded(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // as in a user's program
	url := testdb.Postgres(t)
	db := open(t, url)
	const half = 14 << 20
	statement := "INSERT INTO a VALUES ('" + strings.Repeat("x", 400) + "') ON CONFLICT DO NOTHING; -- and so on\n"
	file := filepath.Join(t.TempDir(), "1_large.up.sql")
	f, err := os.Create(file)
	must(t, err)
	_, err = io.Copy(f, io.MultiReader(
		strings.NewReader("CREATE TABLE a (x text);\n"), &repeated{line: []byte(statement), left: half},
		strings.NewReader("COPY a FROM stdin;\n"), &repeated{line: []byte(strings.Repeat("y", 200) + "\n"), left: half}, strings.NewReader("\\.\nSELECT 1;\n"),
	))
	must(t, err)
	must(t, f.Close())
	s, err := migration.Stream(file, func() (io.ReadCloser, error) { return os.Open(file) })
	must(t, err)
	_, err = s.Analyze(db.Dialect(), db.Tables())
	must(t, err)
	most := watchHeap(t)
	must(t, apply(t, db, "s", 1, s))
	if peak := most(); peak > 16<<20 {
		t.Errorf("the heap grew by %d MB for a file of 28", peak>>20)
	}
}

// repeated is a reader of one line, repeated.
type repeated struct {
	line []byte
	left int
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left <= 0 && r.at == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	r.left -= n
	return n, nil
}

// watchHeap returns a function for the maximum growth of the heap since.
func watchHeap(t testing.TB) func() uint64 {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithCancel(background(t))
	most := make(chan uint64)
	go func() {
		var peak uint64
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				most <- peak
				return
			case <-tick.C:
				runtime.ReadMemStats(&now)
				if now.HeapAlloc > before.HeapAlloc {
					peak = max(peak, now.HeapAlloc-before.HeapAlloc)
				}
			}
		}
	}()
	return func() uint64 {
		cancel()
		return <-most
	}
}

// A file that changes while it is read is detected, and rolled back.
func TestFileThatChanges(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	for name, format := range map[string]string{
		"statements": "CREATE TABLE a (x text);\n" + strings.Repeat("INSERT INTO a VALUES ('x');\n", 30_000) + "SELECT %d;",
		"COPY":       "CREATE TABLE a (x text);\nCOPY a FROM stdin;\n" + strings.Repeat("a row of some length\n", 30_000) + "%d\n\\.\n",
	} {
		opened := 0
		s, err := migration.Stream("1.up.sql", func() (io.ReadCloser, error) {
			opened++
			return io.NopCloser(bytes.NewReader(fmt.Appendf(nil, format, max(opened, 2)))), nil
		})
		must(t, err)
		_, err = s.Analyze(db.Dialect(), db.Tables())
		must(t, err)
		contains(t, name+": the error", apply(t, db, "s", 1, s).Error(), migration.ErrChanged.Error())
		equal(t, "the table", value(t, connect(t, url), "SELECT to_regclass('a')"), "<null>")
		becomesFree(t, db, "s")
	}
}

// The effects of a script of settings are gone before a pool gets its connection back.
func TestPoolGetsItsConnectionBackUnchanged(t *testing.T) {
	t.Parallel()
	pool := newPool(t, testdb.Postgres(t), ofSize(1))
	db := postgres.NewPool(pool, database.Options{})
	must(t, apply(t, db, "s", 1, script(dump)))
	equal(t, "the search path", poolValue(t, pool, "current_setting('search_path')"), `"$user", public`)
}

// After an error, the server executes no chunk that was sent ahead, even if one begins with a
// rollback to a savepoint.
func TestNothingIsExecutedAfterAnError(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE SEQUENCE drawn")
	many := strings.Repeat("SELECT 1;\n", 500)
	const ends = "SET client_encoding = 'UTF8';\n" // a chunk
	err := apply(t, open(t, url), "s", 1, script("SAVEPOINT a;\n"+many+"SELECT 1/0;\n"+many+ends+"ROLLBACK TO a;\nSELECT nextval('drawn');\n"+many))
	equal(t, "the code", as[*database.StatementError](t, err).Code, "22012")
	equal(t, "whether a statement after it was executed", value(t, c, "SELECT is_called FROM drawn"), "false")
}

// The chunks of a long script do not wait for each other, and its entry, however long, is sent
// together with COMMIT.
func TestLongScriptRoundTrips(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	create := "CREATE TABLE a (x int, y text)"
	_, err := up(t, open(t, url), setOf(t, "s", create))
	must(t, err)
	gate := connect(t, url)
	do(t, gate, "BEGIN; LOCK TABLE a")

	var mu sync.Mutex
	var sent []string // what the client sends on the connection with the script
	tap := testdb.NewTap(t, url, func(_ int, m any) {
		mu.Lock()
		defer mu.Unlock()
		switch m := m.(type) {
		case *pgproto3.Query:
			sent = append(sent, "chunk")
		case *pgproto3.Parse:
			for what, text := range map[string]string{"entry": `INSERT INTO "public"."whimbrel_history"`, "COMMIT": "COMMIT"} {
				if strings.Contains(m.Query, text) {
					sent = append(sent, what)
				}
			}
		case *pgproto3.Sync:
			sent = append(sent, "Sync")
		}
	})
	done := make(chan error, 1)
	go func() {
		const statements = 5000
		_, err := up(t, open(t, tap.URL), setOf(t, "s", create, strings.Repeat("INSERT INTO a VALUES (1, '"+strings.Repeat("x", 60)+"');\n", statements)))
		done <- err
	}()
	eventually(t, "chunks are sent while the first one waits", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Count(strings.Join(sent, " "), "chunk") == 8
	})
	do(t, gate, "COMMIT")
	must(t, <-done)
	mu.Lock()
	defer mu.Unlock()
	all := strings.Join(sent, " ")
	if want := strings.Repeat("chunk ", 13) + "entry COMMIT Sync"; !strings.HasSuffix(all, want) {
		t.Errorf("the client sent %q, want %q at the end", all, want)
	}
}
