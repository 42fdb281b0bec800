package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// note is a statement that records what a script sees of the search path: its value, its source,
// and the schema in which objects are created.
const note = `INSERT INTO public.notes (note) SELECT public.path()`

const notes = `CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE public.notes (id int GENERATED ALWAYS AS IDENTITY, note text);
CREATE FUNCTION public.path() RETURNS text LANGUAGE sql AS $$ SELECT pg_catalog.current_setting('search_path') || ', from ' || source || ', in ' || pg_catalog.current_schema()
	FROM pg_catalog.pg_settings WHERE name = 'search_path' $$;
CREATE FUNCTION public.noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.notes (note) SELECT 'at COMMIT: ' || public.path(); RETURN NEW; END $$;
CREATE TABLE public.deferred (x int);
CREATE CONSTRAINT TRIGGER noted AFTER INSERT ON public.deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.noted();
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC; GRANT ALL ON SCHEMA public, a, b TO PUBLIC`

func pathIs(path, source, schema string) string {
	return path + ", from " + source + ", in " + schema
}

// Scripts see the session's search path, including their own changes, although Whimbrel pins the
// path for its own queries in between; and neither leaves a trace.
func TestScriptsSeeTheirSearchPath(t *testing.T) {
	const usual = `"$user", public`
	own := pathIs(usual, "default", "public")
	for _, tt := range []struct {
		name    string
		before  string // executed on the caller's connection
		scripts []string
		notes   []string
	}{
		{"the default", "", []string{note, note + "; " + note, note}, []string{own, own, own, own}},
		{"the caller's", "SET search_path = a, public", []string{note, note}, []string{pathIs("a, public", "session", "a"), pathIs("a, public", "session", "a")}},
		{"the caller's, empty", "SET search_path = ''; CREATE SCHEMA whimbrel", []string{"INSERT INTO public.notes (note) VALUES (current_setting('search_path'))"}, []string{`""`}},
		{"with names to be quoted", `CREATE SCHEMA "A, b"; SET search_path = "A, b", public`, []string{note}, []string{pathIs(`"A, b", public`, "session", "A, b")}},
		{
			"set by a script", "",
			[]string{note + "; SET search_path = b; " + note, note, note},
			[]string{own, pathIs("b", "session", "b"), own, own},
		},
		{"set by a script for its transaction", "", []string{"SET LOCAL search_path = b; " + note, note}, []string{pathIs("b", "session", "b"), own}},
		{
			"set by a script that the caller has set", "SET search_path = a",
			[]string{"SET search_path = b; " + note, note, "RESET search_path; " + note, note},
			[]string{pathIs("b", "session", "b"), pathIs("a", "session", "a"), own, pathIs("a", "session", "a")},
		},
		{"set and reset by a script", "", []string{"SET search_path = b; RESET search_path; " + note, note}, []string{own, own}},
		{
			"taken back with a block", "SET search_path = a, public",
			[]string{"DO $$ BEGIN SET LOCAL search_path = b; RAISE 'back'; EXCEPTION WHEN OTHERS THEN END $$; " + note, note},
			[]string{pathIs("a, public", "session", "a"), pathIs("a, public", "session", "a")},
		},
		{"in a block", "", []string{"DO $$ BEGIN SET LOCAL search_path = b; " + note + "; END $$", note}, []string{pathIs("b", "session", "b"), own}},
		{"at COMMIT", "SET search_path = a", []string{note, "INSERT INTO public.deferred VALUES (1)"}, []string{pathIs("a", "session", "a"), "at COMMIT: " + pathIs("a", "session", "a")}},
		{"at COMMIT, by default", "", []string{"INSERT INTO public.deferred VALUES (1)"}, []string{"at COMMIT: " + own}},
		{"under a timeout", "", []string{"-- whimbrel: lock-timeout 10s\n" + note, note}, []string{own, own}},
		{"in a long script", "", []string{strings.Repeat("SELECT 1;\n", 100) + note, note}, []string{own, own}},
		{"beside COPY", "", []string{"SET search_path = a;\nCOPY public.notes (note) FROM stdin;\nrow\n\\.\n" + note, note}, []string{"row", pathIs("a", "session", "a"), own}},
		{"with a setting of the application's", "", []string{"SET search_path = b; " + strings.Repeat("SELECT 1;\n", 100) + "SET app.tenant = 'x'; " + note, note}, []string{pathIs("b", "session", "b"), own}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			watcher := connect(t, url)
			do(t, watcher, notes)
			c := connect(t, url)
			do(t, c, "SELECT 1; "+tt.before)
			was := value(t, c, "SELECT public.path()")
			db := postgres.NewConn(c, database.Options{Schema: "public"})
			set := setOf(t, "s", tt.scripts...)
			for _, atomic := range []bool{false, true} {
				do(t, watcher, "DELETE FROM public.notes; DROP TABLE IF EXISTS public.whimbrel_history, public.whimbrel_settings, public.whimbrel_journal")
				_, err := up(t, db, set, whimbrel.Options{Atomic: atomic})
				must(t, err)
				equal(t, fmt.Sprintf("what the scripts saw (atomic: %t)", atomic), value(t, watcher, "SELECT string_agg(note, E'\n' ORDER BY id) FROM notes"), strings.Join(tt.notes, "\n"))
				equal(t, "what the session is left with", value(t, c, "SELECT public.path()"), was)
			}
		})
	}
}

// The source of the path is unchanged, too.
func TestSearchPathKeepsItsSource(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	watcher := connect(t, url)
	do(t, watcher, notes)
	apply := func(t *testing.T, db database.Database, want string) {
		t.Helper()
		do(t, watcher, "DELETE FROM notes; DROP TABLE IF EXISTS whimbrel_history, whimbrel_settings, whimbrel_journal")
		_, err := up(t, db, setOf(t, "s", note, note), whimbrel.Options{})
		must(t, err)
		equal(t, "what the scripts saw", value(t, watcher, "SELECT string_agg(DISTINCT note, E'\n') FROM notes"), want)
	}
	schema := database.Options{Schema: "public"}
	apply(t, open(t, url+"&search_path=b,public", schema), pathIs("b,public", "client", "b"))
	do(t, watcher, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = a, public', current_database()); END $$")
	apply(t, open(t, url, schema), pathIs("a, public", "database", "a"))
}

// So it is in a run: for statements alone, in Whimbrel's transactions, and in the script's own.
func TestStatementsOfARunSeeTheirSearchPath(t *testing.T) {
	const usual = `"$user", public`
	own, a, b := pathIs(usual, "default", "public"), pathIs("a", "session", "a"), pathIs("b", "session", "b")
	for name, tt := range map[string]struct{ script, notes string }{
		"the default": {note + "; BEGIN; " + note + "; COMMIT; VACUUM public.notes; " + note, own + "\n" + own + "\n" + own},
		"set":         {"SET search_path = a; " + note + "; BEGIN; " + note + "; SET LOCAL search_path = b; " + note + "; COMMIT; " + note, a + "\n" + a + "\n" + b + "\n" + a},
		"set in a transaction of its own": {
			"BEGIN; SET search_path = b; " + note + "; SAVEPOINT s; SET search_path = a; ROLLBACK TO s; " + note + "; COMMIT; " + note + "; RESET search_path; " + note,
			b + "\n" + b + "\n" + b + "\n" + own,
		},
		"reset in a transaction of its own": {"SET search_path = a; BEGIN; RESET search_path; " + note + "; COMMIT; " + note + "; SET search_path = b; DISCARD ALL; " + note, own + "\n" + own + "\n" + own},
		"at COMMIT":                         {"SET search_path = a; INSERT INTO public.deferred VALUES (1); BEGIN; SET LOCAL search_path = b; INSERT INTO public.deferred VALUES (1); COMMIT; " + note, "at COMMIT: " + a + "\nat COMMIT: " + b + "\n" + a},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			watcher := connect(t, url)
			do(t, watcher, notes)
			c := connect(t, url)
			do(t, c, "SET search_path = public; RESET search_path")
			was := value(t, c, "SELECT public.path()")
			s := script(tt.script)
			s.NoTransaction = true
			set, err := migration.NewSet("s", migration.Migration{Version: 1, Name: "m", Up: s})
			must(t, err)
			_, err = up(t, postgres.NewConn(c, database.Options{}), set)
			must(t, err)
			equal(t, "what the statements saw", value(t, watcher, "SELECT string_agg(note, E'\n' ORDER BY id) FROM notes"), tt.notes)
			equal(t, "what the session is left with", value(t, c, "SELECT public.path()"), was)
		})
	}
}

// A Go function sees the same as any script.
func TestFunctionsSeeTheirSearchPath(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, notes+"; SET search_path = a")
	saw := ""
	must(t, apply(t, postgres.NewConn(c, database.Options{Schema: "public"}), "s", 1, postgres.Func("1", func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT public.path()").Scan(&saw)
	})))
	equal(t, "what the function saw", saw, pathIs("a", "session", "a"))
}

// So does a native query.
func TestQueriesSeeTheSearchPath(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, notes+"; SET search_path = a, public; CREATE TABLE a.found (x int)")
	db := postgres.NewConn(c, database.Options{Schema: "public"})
	for range 2 {
		rows, err := database.ReadQuery(background(t), db, "SELECT path(), (SELECT count(*) FROM found)")
		must(t, err)
		equal(t, "what the query saw", fmt.Sprint(rows.Rows), "[["+pathIs("a, public", "session", "a")+" 0]]")
	}
	equal(t, "what the session is left with", value(t, c, "SELECT public.path()"), pathIs("a, public", "session", "a"))
}

// A script that fails leaves no trace either.
func TestSearchPathAfterAFailure(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, notes)
	was := value(t, c, "SELECT public.path()")
	for _, failing := range []string{"SELECT 1 / 0", "SET search_path = a; SELECT 1 / 0", "SET LOCAL search_path = b; CREATE TEMP TABLE t (x int); SELECT 1 / 0"} {
		if err := apply(t, postgres.NewConn(c, database.Options{}), "s", 1, script(failing)); err == nil {
			t.Fatalf("%s: no error", failing)
		}
		equal(t, "what the session is left with after "+failing, value(t, c, "SELECT public.path()"), was)
	}
}

// Behind a pooler the next client gets the same session, without a trace.
func TestSearchPathBehindAPooler(t *testing.T) {
	t.Parallel()
	pooled, direct := testdb.PgBouncer(t)
	do(t, connect(t, direct), notes)
	db := open(t, pooled)
	_, err := up(t, db, setOf(t, "s", note, "SET search_path = b; "+note, "VACUUM public.notes;\n"+note))
	must(t, err)
	for range db.History(background(t), database.HistoryQuery{}) {
	}
	own := pathIs(`"$user", public`, "default", "public")
	equal(t, "what the scripts saw", value(t, connect(t, direct), "SELECT string_agg(note, E'\n' ORDER BY id) FROM notes"), own+"\n"+pathIs("b", "session", "b")+"\n"+own)
	next := connect(t, pooled)
	for range 3 {
		equal(t, "what the next client finds", value(t, next, "SELECT public.path()"), own)
	}
}

// Event triggers for objects that Whimbrel creates and drops see the session's search path, as for
// any other statement. So functions that name their tables without a schema work.
func TestEventTriggersSeeTheSearchPath(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, `CREATE TABLE public.ddl (tag text); CREATE FUNCTION public.ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ddl VALUES (tg_tag); END $$;
CREATE EVENT TRIGGER ddl ON ddl_command_end EXECUTE FUNCTION public.ddl(); CREATE SCHEMA app; CREATE TABLE app.t (x int)`)
	db := open(t, url, database.Options{Schema: "whimbrel"})
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE app.u (x int)"))
	must(t, err)
	b := begin(t, db, "s")
	state, err := database.TxMetadata(background(t), b)
	must(t, err)
	must(t, database.TxPutMetadata(background(t), b, commentOn(state, "app.t")))
	_, err = database.TxReset(background(t), b, []string{"app"}, database.Entry{Reason: "test"})
	must(t, err)
	must(t, errOf(b.Commit(background(t))))
	contains(t, "what the event trigger saw", value(t, c, "SELECT string_agg(DISTINCT tag, ', ' ORDER BY tag) FROM ddl"),
		"COMMENT", "CREATE INDEX", "CREATE SCHEMA", "CREATE TABLE", "DROP SCHEMA", "DROP TABLE")
}

// commentOn returns a change that gives an object a comment.
func commentOn(s *metadata.State, name string) *metadata.Change {
	for _, o := range s.Objects {
		if o.Name.String() == name {
			return &metadata.Change{Comments: []metadata.Comment{{Name: o.Name, ID: o.ID, Text: "what it is for"}}}
		}
	}
	return &metadata.Change{}
}
