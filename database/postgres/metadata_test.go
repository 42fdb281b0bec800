package postgres_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
)

// describable has an object of each kind that can be described, and others.
const describable = `
CREATE SCHEMA "My app";
CREATE TABLE "My app"."T.1" (id int, "Odd ""c" text);
CREATE TABLE parted (x int) PARTITION BY RANGE (x);
CREATE TABLE part PARTITION OF parted DEFAULT;
CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE far (y text) SERVER files OPTIONS (filename '/dev/null');
CREATE VIEW seen AS SELECT x AS vx FROM parted;
CREATE MATERIALIZED VIEW kept AS SELECT 1 AS mx;
CREATE TYPE mood AS ENUM ('happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN "My app".positive AS int CHECK (VALUE > 0);
CREATE TYPE span AS RANGE (subtype = int);
CREATE FUNCTION f(a int, b double precision[], OUT c mood) LANGUAGE sql AS $$ SELECT 'happy'::mood $$;
CREATE FUNCTION f(a "My app".positive[], VARIADIC b mood[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE "My app".total(int) (sfunc = int4pl, stype = int);
CREATE TEMP TABLE mine (x int);
CREATE INDEX i ON parted (x); CREATE SEQUENCE s;
`

var describedNames = []string{
	"column My app.\"T.1\".\"Odd \"\"c\"", "column My app.\"T.1\".id", "column public.far.y", "column public.part.x", "column public.parted.x",
	"function My app.total(integer)", "function public.f(\"My app\".positive[], public.mood[])", "function public.f(integer, double precision[])", "function public.p()",
	"schema My app", "schema public",
	"table My app.\"T.1\"", "table public.far", "table public.part", "table public.parted",
	"type My app.positive", "type public.mood", "type public.pair", "type public.span",
	"view column public.kept.mx", "view column public.seen.vx", "view public.kept", "view public.seen",
}

func metadataOf(t testing.TB, db database.Database) *metadata.State {
	t.Helper()
	s, err := database.ReadMetadata(background(t), db)
	must(t, err)
	return s
}

func put(t testing.TB, db database.Database, change func(*metadata.State) (*metadata.Change, error)) error {
	t.Helper()
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	defer b.Rollback(background(t))
	s, err := database.TxMetadata(background(t), b)
	must(t, err)
	c, err := change(s)
	must(t, err)
	if err := database.TxPutMetadata(background(t), b, c); err != nil {
		return err
	}
	return errOf(b.Commit(background(t)))
}

// describeAll describes every object by its own name.
func describeAll(t testing.TB) func(*metadata.State) (*metadata.Change, error) {
	return func(s *metadata.State) (*metadata.Change, error) {
		var all []metadata.Entry
		for _, o := range s.Objects {
			all = append(all, metadata.Entry{Name: o.Name, Facts: metadata.Facts{Description: "It's\n\\" + o.Name.String()}})
		}
		d, err := metadata.NewDocument(all...)
		must(t, err)
		return s.Apply(d)
	}
}

func TestEverythingCanBeDescribed(t *testing.T) {
	t.Parallel()
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c := connect(t, url)
			do(t, c, describable)
			do(t, c, `ALTER DATABASE `+"\""+value(t, c, "current_database()")+"\""+` SET search_path = "My app", pg_catalog`)
			for _, opts := range []database.Options{{Schema: "public"}, {Schema: "whimbrel"}} {
				db := open(t, url, opts)
				must(t, put(t, db, describeAll(t)))
				s := metadataOf(t, db)
				var names []string
				for _, o := range s.Objects {
					if opts.Schema == "public" || o.Name.Object != "whimbrel" {
						names = append(names, string(o.Name.Kind)+" "+o.Name.String())
					}
					if want := "It's\n\\" + o.Name.String(); o.Comment != want && o.Name.Object != "whimbrel" {
						t.Errorf("the comment of %s is %q", o.Name, o.Comment)
					}
				}
				slices.Sort(names)
				if !slices.Equal(names, describedNames) {
					t.Errorf("objects %s", strings.Join(names, "\n"))
				}
				if all := s.Inconsistent(); len(all) != 0 {
					t.Error(all)
				}
				must(t, put(t, db, func(s *metadata.State) (*metadata.Change, error) { return s.Reset(), nil }))
				if left := value(t, c, `SELECT count(*) FROM pg_description d WHERE description LIKE 'It''s%'`); left != "0" {
					t.Errorf("%s comments are left", left)
				}
				do(t, c, "DROP TABLE IF EXISTS public.whimbrel_history, public.whimbrel_settings, public.whimbrel_journal, public.whimbrel_metadata")
			}
		})
	}
}

func TestMetadataOfChangedObjects(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, `CREATE TABLE users (id int, email text); CREATE TABLE gone (x int); CREATE TABLE anew (x int); CREATE TABLE tv (x int);
		CREATE VIEW v AS SELECT 1 AS x; CREATE VIEW again AS SELECT 1 AS x; CREATE TYPE mood AS ENUM ('a'); CREATE SCHEMA app; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`)
	db := open(t, url)
	must(t, put(t, db, describeAll(t)))
	for _, sql := range []string{
		`ALTER TABLE users RENAME TO people`, `ALTER TABLE people RENAME COLUMN email TO mail`, `ALTER TABLE people SET SCHEMA app`,
		`DROP TABLE gone`, `DROP TABLE anew`, `CREATE TABLE anew (x int)`, `DROP TABLE tv`, `CREATE VIEW tv AS SELECT 1 AS x`,
		`CREATE OR REPLACE VIEW v AS SELECT 1 AS x, 2 AS y`, `DROP VIEW again`, `CREATE VIEW again AS SELECT 1 AS x`,
		// the table keeps its identity
		`ALTER TYPE mood RENAME TO feeling`, `DROP FUNCTION f`, `VACUUM FULL app.people`, `VACUUM FULL anew`,
	} {
		do(t, c, sql)
	}
	got := map[string]string{}
	for _, in := range metadataOf(t, db).Inconsistent() {
		got[in.Name.Kind.Type()+" "+in.Name.String()] = in.Reason
	}
	const another = "dropped and created again: another %s has the name now"
	want := map[string]string{
		"table public.users":        "renamed to app.people",
		"column public.users.id":    "renamed to app.people.id",
		"column public.users.email": "renamed to app.people.mail",
		"table public.gone":         "it no longer exists",
		"column public.gone.x":      "its table no longer exists",
		"table public.anew":         fmt.Sprintf(another, "table"),
		"column public.anew.x":      fmt.Sprintf(another, "column"),
		"table public.tv":           "it is a view now",
		"column public.tv.x":        "it belongs to a view now",
		"view public.again":         fmt.Sprintf(another, "view"),
		"column public.again.x":     fmt.Sprintf(another, "column"),
		"type public.mood":          "renamed to public.feeling",
		"function public.f()":       "it no longer exists",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	must(t, put(t, db, func(s *metadata.State) (*metadata.Change, error) { return s.Reload(), nil }))
	var left []string
	for _, in := range metadataOf(t, db).Inconsistent() {
		left = append(left, in.Name.String())
	}
	if want := []string{"public.gone", "public.gone.x", "public.tv", "public.tv.x", "public.f()"}; !slices.Equal(left, want) {
		t.Errorf("after a reload %q are left", left)
	}
	if got := value(t, c, "obj_description('anew'::regclass)"); got != "It's\n\\public.anew" {
		t.Errorf("the comment of what was created anew is %q", got)
	}
}

// In a restored dump, and in a manual copy, other objects have the same names: then only names
// count.
func TestRestoredMetadata(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE a (x int)")
	db := open(t, url)
	must(t, put(t, db, describeAll(t)))
	do(t, c, `CREATE TABLE copy AS TABLE whimbrel_metadata`)
	do(t, c, `DROP TABLE whimbrel_metadata`)
	do(t, c, `ALTER TABLE copy RENAME TO whimbrel_metadata; DROP TABLE a; CREATE TABLE a (x int)`)
	s := metadataOf(t, db)
	equal(t, "the number of entries", len(s.Entries), 3)
	equal(t, "the id of the first", s.Entries[0].ID, "")
	equal(t, "the number of inconsistent entries", len(s.Inconsistent()), 0)
}

// A failure for lack of privileges leaves nothing behind.
func TestMetadataWithoutPrivileges(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE mine (x int)")
	db := open(t, url)
	must(t, put(t, db, func(s *metadata.State) (*metadata.Change, error) { return &metadata.Change{}, nil }))
	do(t, c, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	role := newRole(t, c)
	do(t, c, fmt.Sprintf("GRANT USAGE ON SCHEMA public TO %[1]s; GRANT ALL ON ALL TABLES IN SCHEMA public TO %[1]s", role))
	other := open(t, asRole(url, role))
	if s := metadataOf(t, other); len(s.Objects) == 0 {
		t.Error("it sees nothing")
	}
	// writing needs only GRANTs
	must(t, put(t, other, func(*metadata.State) (*metadata.Change, error) { return &metadata.Change{}, nil }))
	err := put(t, other, describeAll(t))
	st := as[*database.StatementError](t, err)
	equal(t, "the code", st.Code, "42501")
	contains(t, "the message", st.Message, "must be owner")
	if s := metadataOf(t, db); len(s.Entries) != 0 {
		t.Errorf("%+v", s.Entries)
	}
}

func TestQueryValues(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	rows, err := database.ReadQuery(background(t), db, `SELECT 1::int, 9223372036854775807, 1.50::numeric, 'NaN'::numeric, 2.5::float8, '-Infinity'::float4, true, NULL, '', 'ä'::text,
		'\x01ff'::bytea, ARRAY[1,2], '{"a": 1}'::jsonb, DATE '2026-01-02', 7::oid`)
	must(t, err)
	want := []any{
		int64(1), int64(9223372036854775807), json.Number("1.50"), "NaN", json.Number("2.5"), "-Infinity", true, nil, "", "ä",
		`\x01ff`, "{1,2}", `{"a": 1}`, "2026-01-02", int64(7),
	}
	same(t, "the rows", rows.Rows, [][]any{want})
}

func TestQueriesThatAreNotPassedOn(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	for statement, want := range map[string]string{
		"":                             "there is no statement",
		"-- nothing\n":                 "there is no statement",
		"SELECT 1; SELECT 2":           "query:1:11: a second statement begins here",
		"BEGIN":                        "there is no transaction to control",
		"\\d":                          "is a command of psql",
		"COPY pg_class TO STDOUT":      "query:1:1: a query only reads",
		"CREATE TABLE t (x int)":       "query:1:1: a query only reads",
		"VACUUM":                       "query:1:1: a query only reads",
		"COPY t FROM stdin;\n1\n\\.\n": "this is not a statement of the server",
		"SELECT 'open":                 "query:1:8",
		"SELECT *\nFROM nothing":       `query:2:6: relation "nothing" does not exist (42P01)`,
		"SELECT 1/0":                   "division by zero (22012)",
	} {
		_, err := database.ReadQuery(background(t), db, statement)
		if err == nil {
			t.Errorf("%q was executed", statement)
			continue
		}
		contains(t, "the error of "+statement, err.Error(), want)
	}
	b := begin(t, db, "s")
	rows, err := database.TxQuery(background(t), b, "CREATE TABLE t (x int)")
	must(t, err)
	same(t, "the columns", rows.Columns, []string(nil))
	same(t, "the rows", rows.Rows, [][]any(nil))
	rows, err = database.TxQuery(background(t), b, "INSERT INTO t VALUES (1), (2);")
	must(t, err)
	equal(t, "the number of changed rows", rows.Changed, 2)
	must(t, errOf(b.Commit(background(t))))
	rows, err = database.ReadQuery(background(t), db, "SELECT x FROM t WHERE false")
	must(t, err)
	equal(t, "the number of columns", len(rows.Columns), 1)
	same(t, "the rows", rows.Rows, [][]any{})
}

// Ten thousand columns don't take a query each.
func TestTenThousandColumns(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "DO $$ BEGIN FOR t IN 1..100 LOOP EXECUTE (SELECT format('CREATE TABLE t%s (%s)', t, string_agg('c' || n || ' int', ', ')) FROM generate_series(1, 100) n); END LOOP; END $$")
	proxy := testdb.NewProxy(t, url)
	db := open(t, proxy.URL)
	must(t, put(t, db, describeAll(t)))
	turns := proxy.Turns()
	if turns > 60 {
		t.Errorf("%d turns, of which some are for each of the columns", turns)
	}
	s := metadataOf(t, db)
	equal(t, "the number of entries", len(s.Entries), 100*101+1)
	equal(t, "the number of inconsistent entries", len(s.Inconsistent()), 0)
	if got := proxy.Turns() - turns; got > 5 {
		t.Errorf("reading takes %d turns", got)
	}
}

// The connection is cut after every message: entries, comments and the history entry are written
// all or none, and a second attempt succeeds.
func TestMetadataWholeOrNotAtAll(t *testing.T) {
	for _, direction := range []testdb.Direction{testdb.ToServer, testdb.ToClient} {
		t.Run(fmt.Sprint(direction), func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "CREATE TABLE a (x int, y int)")
			db := open(t, url)
			// creates the tables
			must(t, put(t, db, func(*metadata.State) (*metadata.Change, error) { return &metadata.Change{}, nil }))
			table := metadata.Name{Kind: metadata.Table, Schema: "public", Object: "a"}
			column := metadata.Name{Kind: metadata.Column, Schema: "public", Object: "a", Column: "y"}
			proxy := testdb.NewProxy(t, url)
			proxy.Quiet = 0
			messages := 1000
			for n := 0; n < messages; n += 1 + n/5 {
				text := fmt.Sprintf("cut at %d", n)
				d, err := metadata.NewDocument(metadata.Entry{Name: table, Facts: metadata.Facts{Description: text}}, metadata.Entry{Name: column, Facts: metadata.Facts{Description: text}})
				must(t, err)
				proxy.Reset()
				proxy.CutAfter(direction, n)
				first := applyOnce(t, proxy.URL, d)
				if first == nil {
					messages = min(messages, proxy.Messages(direction))
				}
				proxy.CutAfter(direction, -1)
				b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit}) // behind the lock the server has decided
				must(t, err)
				must(t, b.Rollback(background(t)))
				kept := value(t, c, "SELECT count(*) FROM whimbrel_metadata WHERE facts LIKE '%\""+text+"\"%'")
				set := value(t, c, `SELECT count(*) FROM pg_description WHERE description = '`+text+`'`)
				recorded := value(t, c, `SELECT count(*) FROM whimbrel_history WHERE direction = 'metadata' AND reason = '`+text+`'`)
				if all := kept + set + recorded; all != "221" && (all != "000" || first == nil) {
					t.Errorf("%s (%v): %s entries, %s comments, %s events", text, first, kept, set, recorded)
				}
				must(t, applyOnce(t, url, d))
				if got := value(t, c, "SELECT obj_description('a'::regclass) || col_description('a'::regclass, 2)"); got != text+text {
					t.Errorf("%s: the comments are %q", text, got)
				}
			}
		})
	}
}

func applyOnce(t *testing.T, url string, d *metadata.Document) error {
	ctx := background(t)
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	m := whimbrel.New(db, setOf(t, "s", "SELECT 1"), whimbrel.Options{MigrationLockTimeout: waitLimit})
	_, err = metadb.Apply(ctx, m, d, metadb.Options{Reason: d.Entries()[0].Description})
	return err
}
