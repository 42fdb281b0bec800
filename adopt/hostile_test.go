package adopt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// What another role can put in the place of a tool's table is not read, and runs nothing.
func TestOnlyOrdinaryTablesAreRead(t *testing.T) {
	t.Parallel()
	const role = "whimbrel_adopt_stranger"
	trap := "CREATE FUNCTION public.trap() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the trap ran as %', current_user; END $$"
	for name, tt := range map[string]struct {
		statements []string
		problem    string
	}{
		"a view": {[]string{trap, "CREATE VIEW public.goose_db_version AS SELECT 1 AS id, public.trap() AS version_id, true AS is_applied, now()::timestamp AS tstamp"}, "it is a view"},
		"a table of another role": {[]string{
			"DO $$ BEGIN CREATE ROLE " + role + "; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
			"CREATE TABLE public.goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now())",
			"INSERT INTO public.goose_db_version (version_id, is_applied) VALUES (1, true)",
			"ALTER TABLE public.goose_db_version OWNER TO " + role,
		}, "which is not trusted"},
		"an index with a function": {[]string{
			"CREATE FUNCTION public.trap(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the trap ran as %', current_user; END $$",
			"CREATE TABLE public.goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now())",
			"CREATE INDEX ON public.goose_db_version (public.trap(version_id))",
		}, "user-defined function"},
		"a default with a function": {[]string{
			trap, "CREATE TABLE public.goose_db_version (id bigint DEFAULT public.trap(), version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now())",
		}, "user-defined function"},
		"a parent of other tables": {[]string{
			"CREATE TABLE public.goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now())",
			"CREATE TABLE public.child () INHERITS (public.goose_db_version)",
		}, "inheritance"},
		"a partitioned table": {[]string{
			"CREATE TABLE public.goose_db_version (id bigint, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now()) PARTITION BY LIST (id)",
		}, "no ordinary table"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := create(t, pg)
			x.exec(t, tt.statements...)
			db := x.open(t)
			found, err := adopt.Detect(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Tables) != 1 || !strings.Contains(found.Tables[0].Problem, tt.problem) {
				t.Errorf("detected %+v, want the problem %q", found.Tables, tt.problem)
			}
			var table *adopt.TableError
			for _, opts := range []adopt.Options{{}, {DryRun: true}, {Tool: adopt.Goose}, {Table: "public.goose_db_version"}} {
				if _, err := adopt.From(t.Context(), db, set(t, nil, 1), opts); !errors.As(err, &table) || !strings.Contains(table.Problem, tt.problem) {
					t.Errorf("%+v: the error is %v, want a TableError with %q", opts, err, tt.problem)
				}
			}
		})
	}
}

// A trigger of somebody else would run as the role that takes over, so nothing is written.
func TestNoTriggerIsExecuted(t *testing.T) {
	eachKind(t, func(t *testing.T, x target) {
		x.exec(t, gooseTable(x.kind, 1)...)
		switch x.kind {
		case pg:
			x.exec(t, "CREATE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the trap ran'; END $$",
				"CREATE TRIGGER trap BEFORE INSERT ON goose_db_version FOR EACH ROW EXECUTE FUNCTION public.trap()")
		case lite:
			x.exec(t, "CREATE TRIGGER trap BEFORE INSERT ON goose_db_version BEGIN SELECT RAISE(ABORT, 'the trap ran'); END")
		default:
			x.exec(t, "CREATE TRIGGER trap BEFORE INSERT ON goose_db_version FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the trap ran'")
		}
		db := x.open(t)
		s := set(t, nil, 1, 2)
		var table *adopt.TableError
		if _, err := adopt.From(t.Context(), db, s, adopt.Options{Block: true}); !errors.As(err, &table) || !strings.Contains(table.Problem, "trap") {
			t.Errorf("the error is %v, want a TableError that names the trigger", err)
		}
		equal(t, "what is applied", applied(t, db, s), "[]")
		if _, err := adopt.From(t.Context(), db, s, adopt.Options{}); err != nil { // it only reads
			t.Error(err)
		}
		if _, err := adopt.Reverse(t.Context(), db, s, adopt.ReverseOptions{}); !errors.As(err, &table) {
			t.Errorf("the error is %v, want a TableError", err)
		}
		equal(t, "what is applied", applied(t, db, s), "[1]")
	})
}

// Rows that no tool writes are refused, all of them, and their text stays text.
func TestHostileRows(t *testing.T) {
	t.Parallel()
	hostile := "'; DROP TABLE x; --\x1b[31m\u202e"
	quoted := strings.ReplaceAll(hostile, "'", "''")
	for name, tt := range map[string]struct {
		on         []sqltext.Dialect
		statements []string
		want       string
	}{
		"dbmate": {everywhere, []string{
			"CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)",
			"INSERT INTO schema_migrations VALUES ('" + quoted + "'), ('99999999999999999999999'), ('-1'), ('+1'), (' 1'), ('')",
		}, "6 unreadable"},
		"golang-migrate with two rows": {everywhere, []string{
			"CREATE TABLE schema_migrations (version bigint NOT NULL, dirty boolean NOT NULL)", "INSERT INTO schema_migrations VALUES (1, false), (2, false)",
		}, "1 unreadable"},
		"golang-migrate below nothing": {everywhere, []string{
			"CREATE TABLE schema_migrations (version bigint NOT NULL, dirty boolean NOT NULL)", "INSERT INTO schema_migrations VALUES (-1, true)",
		}, "1 dirty"},
		"golang-migrate with texts": {[]sqltext.Dialect{lite}, []string{
			"CREATE TABLE schema_migrations (version uint64, dirty bool)", "INSERT INTO schema_migrations VALUES ('" + quoted + "', 'maybe')",
		}, "1 unreadable"},
		"golang-migrate with NULLs": {[]sqltext.Dialect{lite}, []string{
			"CREATE TABLE schema_migrations (version uint64, dirty bool)", "INSERT INTO schema_migrations VALUES (NULL, NULL)",
		}, "1 unreadable"},
		"golang-migrate with a large number": {[]sqltext.Dialect{lite}, []string{
			"CREATE TABLE schema_migrations (version uint64, dirty bool)", "INSERT INTO schema_migrations VALUES (1e300, false)",
		}, "1 unreadable"},
		"goose": {[]sqltext.Dialect{lite}, []string{
			"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER, is_applied INTEGER, tstamp TIMESTAMP)",
			"INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES (NULL, 1, 'never'), (3, 7, x'00'), ('" + quoted + "', 1, NULL), (-5, 1, NULL), (1, 1, 'never')",
		}, "4 unreadable"},
		"sql-migrate": {everywhere, []string{
			"CREATE TABLE gorp_migrations (id varchar(255) NOT NULL PRIMARY KEY, applied_at timestamp NULL)",
			"INSERT INTO gorp_migrations (id) VALUES ('" + quoted + "'), ('')",
		}, "1 no file 1 unreadable"},
		"tern":               {[]sqltext.Dialect{pg}, []string{"CREATE TABLE schema_version (version int4 NOT NULL)", "INSERT INTO schema_version VALUES (-3)"}, "1 unreadable"},
		"tern without a row": {[]sqltext.Dialect{pg}, []string{"CREATE TABLE schema_version (version int4 NOT NULL)"}, "1 unreadable"},
	} {
		for _, kind := range tt.on {
			t.Run(name+" on "+kindNames[kind], func(t *testing.T) {
				t.Parallel()
				x := create(t, kind)
				x.exec(t, tt.statements...)
				db := x.open(t)
				s := set(t, nil, 1, 2, 3)
				_, err := adopt.From(t.Context(), db, s, adopt.Options{Block: true})
				counts := map[string]int{}
				for _, r := range refusals(t, err) {
					kind, _, _ := strings.Cut(r, " ")
					if strings.HasPrefix(r, string(adopt.NoFile)) {
						kind = string(adopt.NoFile)
					}
					counts[kind]++
				}
				var got []string
				for _, why := range []adopt.Why{adopt.Dirty, adopt.NoFile, adopt.Unreadable} {
					if n := counts[string(why)]; n > 0 {
						got = append(got, fmt.Sprint(n, " ", why))
					}
				}
				equal(t, "refused", strings.Join(got, " "), tt.want)
				if _, err := adopt.Detect(t.Context(), db); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A name is a name, whatever it contains.
func TestHostileNames(t *testing.T) {
	eachKind(t, func(t *testing.T, x target) {
		name, quote := `goose"v's\;`+"`--", func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
		if x.kind == maria {
			quote = func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
		}
		for _, s := range gooseTable(x.kind, 1) {
			x.exec(t, strings.Replace(s, "goose_db_version", quote(name), 1))
		}
		db := x.open(t)
		s := set(t, nil, 1, 2)
		if _, err := adopt.From(t.Context(), db, s, adopt.Options{Tool: adopt.Goose}); !errors.As(err, new(*adopt.NotFoundError)) {
			t.Errorf("the default name: %v", err)
		}
		for range 2 {
			r, err := adopt.From(t.Context(), db, s, adopt.Options{Tool: adopt.Goose, Table: name, Block: true})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "blocked", r.Blocked, true)
		}
		up(t, db, s)
		r, err := adopt.Reverse(t.Context(), db, s, adopt.ReverseOptions{Tool: adopt.Goose, Table: name})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "written", len(r.Written), 1)
	})
}

// interrupted is a database whose queries are cancelled.
type interrupted struct{ database.Database }

func (interrupted) Query(context.Context, string) (*database.Rows, error) {
	return nil, &database.StatementError{Pos: sqltext.Position{File: database.QueryFile, Line: 1, Column: 1}, Message: "canceled", Code: "57014"}
}

// A query that fails is none of a file.
func TestQueriesHaveNoPlace(t *testing.T) {
	t.Parallel()
	_, err := adopt.Detect(t.Context(), interrupted{create(t, lite).open(t)})
	e := &database.StatementError{}
	equal(t, "the error", errors.As(err, &e) && e.Own, true)
	equal(t, "its text", e.Error(), "reading the tables of other tools: canceled (57014)")
}

// Tables that look alike are told apart by their columns and by what is beside them.
func TestDetect(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind       sqltext.Dialect
		statements []string
		want       string
	}{
		"nothing":        {pg, nil, "[]"},
		"other columns":  {pg, []string{"CREATE TABLE schema_migrations (version bigint, dirty boolean, more text)", "CREATE TABLE goose_db_version (x int)"}, "[]"},
		"golang-migrate": {lite, []string{"CREATE TABLE schema_migrations (version uint64, dirty bool)"}, "[golang-migrate]"},
		"dbmate":         {maria, []string{"CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)"}, "[dbmate]"},
		"rails":          {lite, []string{"CREATE TABLE schema_migrations (version varchar NOT NULL PRIMARY KEY)", "CREATE TABLE ar_internal_metadata (key varchar)"}, "[rails]"},
		"ecto":           {pg, []string{"CREATE TABLE schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0))"}, "[ecto]"},
		"tern":           {pg, []string{"CREATE TABLE schema_version (version int4 NOT NULL)", "INSERT INTO schema_version VALUES (0)"}, "[tern]"},
		"no tern":        {lite, []string{"CREATE TABLE schema_version (version int4 NOT NULL)"}, "[]"},
		"old Flyway":     {maria, []string{strings.Replace(tableCases["flyway"].ddl[maria], "flyway_schema_history", "schema_version", 1)}, "[flyway]"},
		"django, alembic and bun": {pg, []string{
			"CREATE TABLE django_migrations (id bigint, app text, name text, applied timestamptz)", "CREATE TABLE alembic_version (version_num varchar(32))",
			"CREATE TABLE bun_migrations (id bigint, name text, group_id bigint, migrated_at timestamptz)", "CREATE TABLE bun_migration_locks (id bigint, table_name text)",
		}, "[alembic bun django]"},
		"river": {pg, []string{"CREATE TABLE river_migration (line text, version bigint, created_at timestamptz)", "CREATE TABLE river_job (id bigint)"}, "[river]"},
		"sqitch": {lite, []string{
			"CREATE TABLE changes (change_id, script_hash, change, project, note, committed_at, committer_name, committer_email, planned_at, planner_name, planner_email)",
			"CREATE TABLE dependencies (x int)", "CREATE TABLE events (x int)", "CREATE TABLE projects (x int)", "CREATE TABLE releases (x int)", "CREATE TABLE tags (x int)",
		}, "[sqitch]"},
		"pgmigrate": {pg, []string{"CREATE TABLE pgmigrate_migrations (id text, checksum text, execution_time_in_millis bigint, applied_at timestamptz)"}, "[pgmigrate]"},
		"godwit":    {pg, []string{"CREATE SCHEMA godwit", "CREATE TABLE godwit.migrations (x int)", "CREATE TABLE godwit.nodes (x int)"}, "[godwit]"},
		"two":       {lite, append(gooseTable(lite, 1), "CREATE TABLE schema_migrations (version uint64, dirty bool)"), "[goose golang-migrate]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := create(t, tt.kind)
			x.exec(t, tt.statements...)
			db := x.open(t)
			found, err := adopt.Detect(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			tools := []adopt.Tool{}
			for _, table := range found.Tables {
				tools = append(tools, table.Tool)
				equal(t, "the component", table.Component, table.Tool == adopt.River)
			}
			equal(t, "detected", fmt.Sprint(tools), tt.want)
			if len(tools) > 0 {
				equal(t, "other objects", found.Objects, 0)
			}
			_, err = adopt.From(t.Context(), db, set(t, nil, 1), adopt.Options{DryRun: true})
			switch {
			case len(tools) > 1:
				if !errors.As(err, new(*adopt.AmbiguousError)) {
					t.Errorf("the error is %v, want an AmbiguousError", err)
				}
			case len(tools) == 0 || name == "river":
				if !errors.As(err, new(*adopt.NotFoundError)) {
					t.Errorf("the error is %v, want a NotFoundError", err)
				}
			case !found.Tables[0].Adoptable:
				if !errors.As(err, new(*adopt.UnsupportedError)) {
					t.Errorf("the error is %v, want an UnsupportedError", err)
				}
			case err != nil:
				t.Error(err)
			}
		})
	}
}
