package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// everything creates one object of each kind, and some with circular dependencies.
const everything = `
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TYPE pair AS (a int, b mood);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE SEQUENCE numbers;
CREATE TABLE "Parent ""1""" (id serial PRIMARY KEY, child int, m mood, p pair, n int DEFAULT nextval('numbers'));
CREATE TABLE child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent int REFERENCES "Parent ""1""" ON DELETE RESTRICT, d positive, s span);
ALTER TABLE "Parent ""1""" ADD FOREIGN KEY (child) REFERENCES child DEFERRABLE;
INSERT INTO "Parent ""1""" (m) VALUES ('glad');
INSERT INTO child (parent) VALUES (1);
CREATE TABLE old () INHERITS (child);
CREATE TABLE log (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON log (at);
CREATE VIEW moods AS SELECT m FROM "Parent ""1""";
CREATE MATERIALIZED VIEW glad AS SELECT * FROM moods;
CREATE VIEW older AS SELECT 1 AS id;
CREATE VIEW newer AS SELECT id FROM child;
CREATE OR REPLACE VIEW older AS SELECT id::int FROM newer;
CREATE FUNCTION words(child) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1.id::text';
CREATE INDEX ON child (words(child));
CREATE FUNCTION many(a int, VARIADIC b text[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE act(INOUT a int) LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
CREATE AGGREGATE nothing(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION touch();
CREATE RULE quiet AS ON DELETE TO log DO INSTEAD NOTHING;
ALTER TABLE child ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON child USING (words(child) <> '');
CREATE FUNCTION same(pair, pair) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR === (LEFTARG = pair, RIGHTARG = pair, FUNCTION = same);
CREATE FUNCTION place(pair, pair) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 0';
CREATE OPERATOR CLASS by_place FOR TYPE pair USING btree AS OPERATOR 3 ===, FUNCTION 1 place(pair, pair);
CREATE OPERATOR FAMILY alone USING hash;
CREATE FUNCTION pair_text(pair) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1.b::text';
CREATE CAST (pair AS text) WITH FUNCTION pair_text(pair);
CREATE STATISTICS "both" ON at, what FROM log;
CREATE COLLATION plain FROM "C";
CREATE CONVERSION back FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH DICTIONARY stems (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION search (PARSER = default);
ALTER TEXT SEARCH CONFIGURATION search ADD MAPPING FOR word WITH stems;
CREATE FOREIGN DATA WRAPPER elsewhere;
CREATE SERVER far FOREIGN DATA WRAPPER elsewhere;
CREATE FOREIGN TABLE there (x int) SERVER far;
CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER whimbrel_seen ON ddl_command_start EXECUTE FUNCTION seen();
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
CREATE PUBLICATION told FOR TABLE child;
CREATE SCHEMA "Two words";
CREATE TABLE "Two words".t (x mood);
CREATE VIEW across AS SELECT * FROM "Two words".t;
CREATE SCHEMA IF NOT EXISTS public;
`

// contents lists the objects in the schemas of a database, except Whimbrel's.
func contents(t testing.TB, c *pgx.Conn) string {
	t.Helper()
	return value(t, c, `SELECT coalesce(string_agg(i.type || ' ' || i.identity, E'\n' ORDER BY 1), '')
FROM (SELECT DISTINCT d.classid, d.objid FROM pg_depend d JOIN pg_namespace n ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
	WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND deptype = 'n') o, pg_identify_object(o.classid, o.objid, 0) i
WHERE i.identity NOT LIKE 'public.whimbrel%'`)
}

func reset(t testing.TB, target string) (*whimbrel.ResetResult, error) {
	t.Helper()
	db := open(t, target)
	m := whimbrel.New(db, setOf(t, "s"), whimbrel.Options{})
	dry, err := m.Reset(background(t), whimbrel.ResetOptions{DryRun: true})
	if err != nil {
		return dry, err
	}
	r, err := whimbrel.New(db, setOf(t, "s"), whimbrel.Options{}).Reset(background(t), whimbrel.ResetOptions{Confirm: dry.Database})
	if err == nil {
		same(t, "the dropped objects, compared with the dry run", r.Dropped, dry.Dropped)
		same(t, "the objects that remain, compared with the dry run", r.Left, dry.Left)
	}
	return r, err
}

func TestResetOfEverything(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			target := m.New(t)
			c := connect(t, target)
			set := setOf(t, "s", everything)
			for range 2 { // the remains don't prevent a second one
				_, err := up(t, open(t, target), set)
				must(t, err)
				r, err := reset(t, target)
				must(t, err)
				equal(t, "what is left in the database", contents(t, c), "")
				equal(t, "schemas", value(t, c, `SELECT count(*)::text FROM pg_namespace WHERE nspname = 'Two words'`), "0")
				contains(t, "what was dropped", strings.Join(dropped(r), "\n"), `table public."Parent ""1"""`, "table public.child", `schema "Two words"`,
					`table "Two words".t`, "materialized view public.glad", "function public.many(integer,pg_catalog.text[])", "type public.mood", "sequence public.numbers")
				equal(t, "left", strings.Join(left(r), "\n"), "foreign-data wrapper elsewhere: it is in no schema\npublication told: it is in no schema\nserver far: it is in no schema")
				equal(t, "versions", versions(t, open(t, target), "s"), "[]")
				// outside schemas
				do(t, c, `DROP SERVER far; DROP FOREIGN DATA WRAPPER elsewhere; DROP PUBLICATION told`)
			}
		})
	}
}

// role creates a role that is dropped after the test.
func role(t testing.TB, c *pgx.Conn, name, options string) string {
	t.Helper()
	name += "_" + strings.ToLower(rand.Text())
	do(t, c, "CREATE ROLE "+name+" "+options)
	t.Cleanup(func() {
		if _, err := c.Exec(context.Background(), "DROP OWNED BY "+name+" CASCADE"); err != nil {
			t.Error(err)
		}
		if _, err := c.Exec(context.Background(), "DROP ROLE "+name); err != nil {
			t.Error(err)
		}
	})
	return name
}

// urlOf returns a URL with another user.
func urlOf(t testing.TB, raw, user string) string {
	t.Helper()
	u, err := url.Parse(raw)
	must(t, err)
	u.User = url.User(user)
	return u.String()
}

func dropped(r *whimbrel.ResetResult) (names []string) {
	for _, o := range r.Dropped {
		names = append(names, o.String())
	}
	return names
}

func left(r *whimbrel.ResetResult) (names []string) {
	for _, o := range r.Left {
		names = append(names, o.String()+": "+o.Why)
	}
	return names
}

// An ordinary role drops the objects of itself and of roles that it is a member of; a superuser
// drops no more.
func TestResetLeavesWhatOthersOwn(t *testing.T) {
	for _, super := range []string{"", "SUPERUSER"} {
		t.Run("role "+super, func(t *testing.T) {
			t.Parallel()
			target := testdb.Postgres(t)
			c := connect(t, target)
			me, group, other := role(t, c, "me", "LOGIN "+super), role(t, c, "group", ""), role(t, c, "other", "")
			do(t, c, "GRANT "+group+" TO "+me+"; GRANT ALL ON SCHEMA public TO "+me+", "+group+", "+other+"; GRANT CREATE ON DATABASE "+value(t, c, "SELECT quote_ident(current_database())")+" TO "+me)
			mine := urlOf(t, target, me)
			_, err := up(t, open(t, mine), setOf(t, "s", "CREATE TABLE mine (x int); CREATE TABLE ours (x int); ALTER TABLE ours OWNER TO "+group))
			must(t, err)
			do(t, c, "CREATE EXTENSION citext")
			do(t, c, "CREATE TABLE theirs (x int); ALTER TABLE theirs OWNER TO "+other)
			do(t, c, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f() OWNER TO "+other)
			do(t, c, "CREATE SCHEMA apart CREATE TABLE t (x int)")
			do(t, c, "CREATE FUNCTION apart.seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER seen ON sql_drop EXECUTE FUNCTION apart.seen()")
			r, err := reset(t, mine)
			must(t, err)
			equal(t, "dropped", strings.Join(dropped(r), "\n"), "table public.ours\ntable public.mine")
			got := left(r)
			slices.Sort(got)
			equal(t, "left", strings.Join(got, "\n"), "event trigger seen: it is in no schema\nextension citext: an extension and what it owns stay\nfunction public.f(): it belongs to "+other+
				"\nschema apart: the history does not cover it\ntable public.theirs: it belongs to "+other)
			contains(t, "the database", contents(t, c), "table apart.t", "table public.theirs", "type public.citext")
		})
	}
}

// whatOthersMade are objects that depend on those to drop, and how the error names them.
var whatOthersMade = map[string]struct{ make, want string }{
	"view":           {"CREATE VIEW apart.v AS SELECT * FROM t", "view apart.v depends on"},
	"views":          {"CREATE VIEW apart.v AS SELECT * FROM t; CREATE VIEW apart.w AS SELECT * FROM apart.v", "view apart.v depends on"},
	"foreign key":    {"CREATE TABLE apart.c (x int REFERENCES t)", "c_x_fkey on apart.c depends on"},
	"column":         {"CREATE TABLE apart.c (m mood)", "table column apart.c.m depends on type public.mood"},
	"array":          {"CREATE TABLE apart.c (m mood[])", "table column apart.c.m depends on"},
	"row type":       {"CREATE TABLE apart.c (r t)", "table column apart.c.r depends on type public.t"},
	"default":        {"CREATE TABLE apart.c (m int DEFAULT one())", "for apart.c.m depends on function public.one()"},
	"check":          {"CREATE TABLE apart.c (m int CHECK (m > one()))", "depends on function public.one()"},
	"index":          {"CREATE TABLE apart.c (m int); CREATE INDEX i ON apart.c ((m + one()))", "index apart.i depends on function public.one()"},
	"policy":         {"CREATE TABLE apart.c (m int); CREATE POLICY mine ON apart.c USING (m = one())", "policy mine on apart.c depends on function public.one()"},
	"trigger":        {"CREATE TABLE apart.c (m int); CREATE TRIGGER tr BEFORE INSERT ON apart.c FOR EACH ROW EXECUTE FUNCTION touch()", "tr on apart.c depends on function public.touch()"},
	"rule":           {"CREATE TABLE apart.c (m int); CREATE RULE r AS ON INSERT TO apart.c DO ALSO DELETE FROM t", "apart.c depends on table"},
	"inheritance":    {"CREATE TABLE apart.c () INHERITS (t)", "table apart.c depends on table public.t"},
	"partition":      {"CREATE TABLE apart.p PARTITION OF log DEFAULT", "table apart.p depends on table public.log"},
	"statistics":     {"CREATE STATISTICS apart.st ON x, y FROM t", "statistics object apart.st depends on"},
	"function":       {"CREATE FUNCTION apart.f(public.t) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function apart.f(public.t) depends on type public.t"},
	"aggregate":      {"CREATE AGGREGATE apart.a(int) (SFUNC = public.two, STYPE = int)", "aggregate apart.a(integer) depends on function public.two(integer,integer)"},
	"operator":       {"CREATE OPERATOR apart.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = two)", "depends on function public.two(integer,integer)"},
	"domain":         {"CREATE DOMAIN apart.d AS mood", "type apart.d depends on type public.mood"},
	"composite":      {"CREATE TYPE apart.duo AS (a mood, b int)", "apart.duo.a depends on type public.mood"},
	"foreign":        {"CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE apart.ft (m mood) SERVER s", "apart.ft.m depends on type public.mood"},
	"sequence":       {"CREATE TABLE apart.c (n int DEFAULT nextval('numbers'))", "for apart.c.n depends on sequence public.numbers"},
	"extension":      {"CREATE EXTENSION citext SCHEMA apart; CREATE VIEW ev AS SELECT * FROM t; ALTER EXTENSION citext ADD VIEW ev", "view public.ev depends on table"},
	"another role's": {"CREATE VIEW v AS SELECT * FROM t; ALTER VIEW v OWNER TO ROLE", "view public.v depends on table"},
	"materialized":   {"CREATE MATERIALIZED VIEW apart.v AS SELECT * FROM t", "materialized view apart.v depends on"},
}

// Every object of others that depends on those to drop is named, and nothing is changed.
func TestResetSparesWhatDependsOnIt(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		if m.Major != 13 && m.Major != 15 && m.Major != 18 {
			continue
		}
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			target := m.New(t)
			c := connect(t, target)
			db := open(t, target)
			_, err := up(t, db, setOf(t, "s", `CREATE TABLE t (x int PRIMARY KEY, y int); CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE log (at date) PARTITION BY RANGE (at); CREATE SEQUENCE numbers;
CREATE FUNCTION one() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION two(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'`))
			must(t, err)
			somebody := role(t, c, "somebody", "")
			for name, tt := range whatOthersMade {
				do(t, c, "CREATE SCHEMA apart; "+strings.ReplaceAll(tt.make, "ROLE", somebody))
				before := contents(t, c)
				_, err = reset(t, target)
				e := as[*database.InUseError](t, err)
				contains(t, name+": the error", e.Error(), tt.want)
				equal(t, name+": the database", contents(t, c), before)
				equal(t, name+": versions", versions(t, db, "s"), "[1]")
				isFree(t, db, "s")
				do(t, c, "SET client_min_messages = error; DROP EXTENSION IF EXISTS citext CASCADE; DROP SCHEMA apart CASCADE; DROP VIEW IF EXISTS v; DROP FOREIGN DATA WRAPPER IF EXISTS w CASCADE")
			}
			_, err = reset(t, target) // no obstacle remains
			must(t, err)
			equal(t, "what is left", contents(t, c), "")
		})
	}
}

// Objects that use an extension's types are dropped; the extension stays with everything added to
// it, and so do large objects, default privileges and objects outside schemas.
func TestResetAndExtensions(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		if m.Major != 13 && m.Major != 18 {
			continue
		}
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			target := m.New(t)
			c := connect(t, target)
			_, err := up(t, open(t, target), setOf(t, "s", `CREATE SCHEMA texts; CREATE EXTENSION citext SCHEMA texts; CREATE EXTENSION btree_gist;
CREATE TABLE t (x texts.citext PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&)); CREATE DOMAIN word AS texts.citext CHECK (VALUE <> '');
CREATE TABLE u (x texts.citext REFERENCES t, w word[]); CREATE VIEW v AS SELECT x || 'a' AS x FROM t; CREATE TABLE texts.mine (w word);
CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE added (x int); ALTER EXTENSION citext ADD FUNCTION extra(); ALTER EXTENSION citext ADD TABLE added;
CREATE TABLE uses (x int DEFAULT extra()); SELECT lo_from_bytea(4711, 'x'); ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER whimbrel_watch ON sql_drop EXECUTE FUNCTION watch()`))
			must(t, err)
			r, err := reset(t, target)
			must(t, err)
			got := left(r)
			slices.Sort(got)
			equal(t, "left", strings.Join(got, "\n"), "extension btree_gist: an extension and what it owns stay\nextension citext: an extension and what it owns stay\nschema texts: it is not empty")
			for _, gone := range []string{"t", "u", "v", "uses", "texts.mine"} {
				equal(t, gone, value(t, c, "SELECT to_regclass('"+gone+"')"), "<null>")
			}
			equal(t, "what was added to the extension", value(t, c, "SELECT concat(extra(), (SELECT count(*) FROM added))"), "10")
			equal(t, "what the extension has", value(t, c, "SELECT 'A'::texts.citext OPERATOR(texts.=) 'a'"), "true")
			equal(t, "the large object", value(t, c, "SELECT convert_from(lo_get(4711), 'UTF8')"), "x")
			equal(t, "event triggers", value(t, c, "SELECT count(*) FROM pg_event_trigger"), "0")
		})
	}
}

// Reset doesn't drop another history's tables.
func TestResetKeepsItsHistory(t *testing.T) {
	t.Parallel()
	target := testdb.Postgres(t)
	c := connect(t, target)
	db := open(t, target, database.Options{Schema: "my tables"})
	_, err := up(t, db, setOf(t, "s", `CREATE TABLE public.t (x int)`, `CREATE TABLE "my tables".u (x int)`))
	must(t, err)
	r, err := whimbrel.New(db, setOf(t, "s"), whimbrel.Options{}).Reset(background(t), whimbrel.ResetOptions{Confirm: value(t, c, "SELECT current_database()")})
	must(t, err)
	equal(t, "dropped", strings.Join(dropped(r), "\n"), `table "my tables".u`)
	equal(t, "left", strings.Join(left(r), "\n"), "schema public: the history does not cover it")
	equal(t, "events", value(t, c, `SELECT string_agg(direction, ' ' ORDER BY id) FROM "my tables".whimbrel_history WHERE set_name = 's'`), "up up reset")
}
