package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// histories lists the schemas that have a history.
func histories(t testing.TB, c *pgx.Conn) string {
	t.Helper()
	return value(t, c, "SELECT coalesce(string_agg(nspname, ' ' ORDER BY nspname), '') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'whimbrel_history'")
}

// Whatever changes the first schema of the search path, the history is found, and no migration runs
// twice.
func TestHistoryIsFoundWhateverSchemaComesFirst(t *testing.T) {
	t.Parallel()
	const path = "&search_path=app,public"
	for name, change := range map[string]struct {
		url  string // added to the URL, of all or only the later processes
		late string
		sql  string // of a migration
		then string // executed afterwards by an administrator; %s is the database
	}{
		"a migration creates the schema of the user":          {sql: `CREATE SCHEMA postgres`},
		"a migration creates a schema that comes first":       {url: path, sql: `CREATE SCHEMA app`},
		"a migration sets the search path of the database":    {sql: `CREATE SCHEMA app; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = app', current_database()); END $$`},
		"a migration sets the search path of the session":     {sql: `CREATE SCHEMA app; SET search_path = app`},
		"a role has another search path":                      {sql: `CREATE SCHEMA app`, then: `ALTER ROLE postgres IN DATABASE %s SET search_path = app`},
		"a process has another search path":                   {sql: `CREATE SCHEMA app`, late: "&search_path=app"},
		"a process has a search path that leads nowhere":      {late: "&search_path=nowhere"},
		"an administrator renames the schema":                 {url: path, sql: `CREATE SCHEMA app`, then: `ALTER SCHEMA public RENAME TO renamed`},
		"an administrator moves the tables":                   {sql: `CREATE SCHEMA app`, then: `ALTER TABLE whimbrel_history SET SCHEMA app; ALTER TABLE whimbrel_settings SET SCHEMA app; ALTER TABLE whimbrel_journal SET SCHEMA app`},
		"a schema that comes first has a table of that name":  {url: path, sql: `CREATE SCHEMA app`, then: `CREATE TABLE app.whimbrel_history (x int)`},
		"a schema that comes first has a copy of the history": {url: path, sql: `CREATE SCHEMA app`, then: `CREATE TABLE app.whimbrel_history AS TABLE public.whimbrel_history`},
		"a schema that comes first has a view of the history": {url: path, sql: `CREATE SCHEMA app`, then: `CREATE VIEW app.whimbrel_history AS TABLE public.whimbrel_history`},
	} {
		for _, atomic := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, atomic %v", name, atomic), func(t *testing.T) {
				t.Parallel()
				url := testdb.Postgres(t)
				c := connect(t, url)
				set := setOf(t, "s", "CREATE TABLE public.t (x int)", "SELECT 1;"+change.sql, "INSERT INTO public.t VALUES (1)")
				opts := whimbrel.Options{Atomic: atomic}
				_, err := up(t, open(t, url+change.url), set, opts)
				must(t, err)
				if change.then != "" {
					do(t, c, strings.ReplaceAll(change.then, "%s", value(t, c, "SELECT quote_ident(current_database())")))
				}
				before := histories(t, c)
				later := open(t, url+change.url+change.late)
				equal(t, "what is applied", versions(t, later, "s"), "[1 2 3]")
				equal(t, "the number of events", count(t, later), 4)
				res, err := up(t, later, set, opts)
				must(t, err)
				equal(t, "how many migrations ran again", len(res.Applied), 0)
				res, err = up(t, later, setOf(t, "s", "CREATE TABLE public.t (x int)", "SELECT 1;"+change.sql, "INSERT INTO public.t VALUES (1)", "SELECT 4"), opts)
				must(t, err)
				equal(t, "how many new ones ran", len(res.Applied), 1)
				equal(t, "the schemas with a history", histories(t, c), before)
			})
		}
	}
}

// With two histories, the schema must be named.
func TestTwoHistories(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE SCHEMA a")
	must(t, apply(t, open(t, url, database.Options{Schema: "a"}), "s", 1, script("SELECT 1")))
	must(t, apply(t, open(t, url, database.Options{Schema: "b"}), "s", 2, script("SELECT 1")))
	for _, path := range []string{"", "&search_path=a", "&search_path=b,a"} {
		db := open(t, url+path)
		for what, err := range attempts(t, db) {
			e := as[*database.TablesError](t, err)
			equal(t, what+": the problem", e.Problem, database.TablesSeveral)
			equal(t, what+": the schemas", fmt.Sprint(e.Schemas), "[a b]")
		}
	}
	equal(t, "what is applied in a", versions(t, open(t, url+"&search_path=b", database.Options{Schema: "a"}), "s"), "[1]")
	equal(t, "what is applied in b", versions(t, open(t, url+"&search_path=a", database.Options{Schema: "b"}), "s"), "[2]")
	equal(t, "what is applied in a schema that has none", versions(t, open(t, url, database.Options{Schema: "c"}), "s"), "[]")
}

// attempts calls everything that accesses the tables, and returns the errors.
func attempts(t testing.TB, db database.Database) map[string]error {
	t.Helper()
	ctx := background(t)
	all := map[string]error{}
	_, all["State"] = db.State(ctx, "s")
	for _, err := range db.History(ctx, database.HistoryQuery{}) {
		all["History"] = err
	}
	b, _, err := db.Begin(ctx, "s", database.LockOptions{})
	all["Begin"] = err
	if err == nil {
		must(t, b.Rollback(ctx))
	}
	r, _, err := db.Guard(ctx, "s", database.LockOptions{})
	all["Guard"] = err
	if err == nil {
		must(t, r.Close(ctx))
	}
	all["UpdateSetting"] = database.UpdateSetting(ctx, db, database.SettingUpdate{Name: database.Protected, Value: "true"})
	_, all["Metadata"] = database.ReadMetadata(ctx, db)
	return all
}

// Naming the schema and finding it lead to the same lock, even after the schema is renamed.
// Histories in two schemas don't affect each other.
func TestLockOfTheHistoryThatIsFound(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	named := open(t, url, database.Options{Schema: "tenant"})
	must(t, apply(t, named, "s", 1, script("SELECT 1")))
	holder := begin(t, named, "s")
	equal(t, "whether the lock is held for who finds the schema", isHeld(t, open(t, url), "s"), true)
	other := open(t, url, database.Options{Schema: "other"})
	equal(t, "whether it is held for another schema's history", isHeld(t, other, "s"), false)
	do(t, c, "DROP SCHEMA other CASCADE; ALTER SCHEMA tenant RENAME TO renamed")
	equal(t, "whether the lock is held under the new name", isHeld(t, open(t, url), "s"), true)
	must(t, holder.Rollback(background(t)))
	isFree(t, open(t, url), "s")
}

// Processes that would create the tables in different schemas create them once, and no migration
// runs twice.
func TestFirstMigrationFromManySearchPaths(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE public.n (x int)")
	set := setOf(t, "s", "INSERT INTO public.n VALUES (1)", "INSERT INTO public.n VALUES (2)")
	var wait sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wait.Add(1)
		go func() {
			defer wait.Done()
			errs[i] = upOnce(t, url+[]string{"", "&search_path=a", "&search_path=b,public"}[i%3], set, whimbrel.Options{MigrationLockTimeout: waitLimit})
		}()
	}
	wait.Wait()
	must(t, errors.Join(errs...))
	equal(t, "the number of rows", value(t, c, "SELECT count(*) FROM public.n"), "2")
	equal(t, "the number of schemas with a history", len(strings.Fields(histories(t, c))), 1)
}

// A process that waits for the creation of the tables by another one reports that process, and
// respects its lock timeout.
func TestWaitingForTheTables(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "BEGIN; SELECT pg_advisory_xact_lock("+strings.Replace(postgres.CreationKey, "$1", "'whimbrel_history'", 1)+")")
	for what, try := range map[string]func(db database.Database, opts database.LockOptions) error{
		"Begin": func(db database.Database, opts database.LockOptions) error {
			b, _, err := db.Begin(background(t), "s", opts)
			if err == nil {
				err = b.Rollback(background(t))
			}
			return err
		},
		"Guard": func(db database.Database, opts database.LockOptions) error {
			r, _, err := db.Guard(background(t), "s", opts)
			if err == nil {
				err = r.Close(background(t))
			}
			return err
		},
	} {
		var holders []database.Holder
		err := try(open(t, url), database.LockOptions{Waiting: func(h database.Holder) { holders = append(holders, h) }})
		locked := as[*database.LockedError](t, err)
		equal(t, what+": what is locked", locked.What, "the creation of Whimbrel's tables")
		equal(t, what+": the process that holds it", locked.Holder.PID, int64(c.PgConn().PID()))
		equal(t, what+": the statement of Whimbrel's own that it executes", locked.Holder.Query, "")
		equal(t, what+": the holder passed to Waiting", len(holders) == 1 && holders[0].PID == locked.Holder.PID, true)
	}
	do(t, c, "COMMIT")
	must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
}

// hostile creates a role that may create objects in public, and with it Whimbrel's tables with a
// trigger that would make the role a superuser.
func hostile(t *testing.T, url string) (role string, asThem *pgx.Conn) {
	t.Helper()
	c := connect(t, url)
	role = newRole(t, c)
	do(t, c, "GRANT CREATE ON SCHEMA public TO "+role+"; CREATE TABLE fired (who text); GRANT ALL ON fired TO PUBLIC")
	must(t, apply(t, open(t, asRole(url, role)), "s", 1, script("SELECT 1")))
	asThem = connect(t, asRole(url, role))
	do(t, asThem, `CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.fired VALUES (current_user); RETURN NEW; END'`)
	for _, table := range []string{"history", "settings", "journal"} {
		do(t, asThem, "CREATE TRIGGER fire BEFORE INSERT OR UPDATE OR DELETE ON whimbrel_"+table+" FOR EACH ROW EXECUTE FUNCTION fire()")
	}
	return role, asThem
}

// A superuser doesn't touch tables owned by an untrusted role.
func TestTablesOfAnotherOwner(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role, asThem := hostile(t, url)
	for what, err := range attempts(t, open(t, url)) {
		e := as[*database.TablesError](t, err)
		equal(t, what+": the problem", e.Problem, database.TablesUntrusted)
		equal(t, what+": the owner", e.Owner, role)
		contains(t, what+": the error", err.Error(), "whimbrel_history", role, `"postgres"`, "GRANT")
	}
	equal(t, "how many triggers fired", value(t, c, "SELECT count(*) FROM fired"), "0")

	// Not even with trust in that role do triggers fire.
	trusting := open(t, url, database.Options{TablesOwner: role})
	for what, err := range attempts(t, trusting) {
		if what != "Metadata" {
			equal(t, what+": the problem", as[*database.TablesError](t, err).Problem, database.TablesAltered)
		}
	}
	equal(t, "how many triggers fired", value(t, c, "SELECT count(*) FROM fired"), "0")

	for _, table := range []string{"history", "settings", "journal"} {
		do(t, asThem, "DROP TRIGGER fire ON whimbrel_"+table)
	}
	equal(t, "what is applied", versions(t, trusting, "s"), "[1]")
	do(t, c, "GRANT "+role+" TO postgres")
	equal(t, "what is applied for a member of the role", versions(t, open(t, url), "s"), "[1]")
}

// Foreign tables beside Whimbrel's are neither used nor obstacles; a history in another role's
// schema doesn't prevent one elsewhere.
func TestDecoys(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	do(t, c, "CREATE SCHEMA decoy AUTHORIZATION "+role)
	must(t, apply(t, open(t, asRole(url, role)+"&search_path=decoy"), "s", 9, script("SELECT 1")))

	// It is not ignored either: it may be the intended one.
	_, err := open(t, url).State(background(t), "s")
	e := as[*database.TablesError](t, err)
	equal(t, "the problem", e.Problem, database.TablesUntrusted)
	equal(t, "the table", e.Table, `"decoy"."whimbrel_history"`)
	contains(t, "the error", err.Error(), "name the schema")
	equal(t, "what is applied in a schema that is named", versions(t, open(t, url, database.Options{Schema: "public"}), "s"), "[]")

	must(t, apply(t, open(t, url, database.Options{Schema: "public"}), "s", 1, script("SELECT 1")))
	for _, path := range []string{"", "&search_path=decoy,public"} {
		equal(t, "what is applied beside the decoy", versions(t, open(t, url+path), "s"), "[1]")
	}
	_, err = open(t, url, database.Options{Schema: "decoy"}).State(background(t), "s")
	equal(t, "the problem", as[*database.TablesError](t, err).Problem, database.TablesUntrusted)
	equal(t, "what is applied for the role itself", versions(t, open(t, asRole(url, role)+"&search_path=decoy", database.Options{Schema: "decoy"}), "s"), "[9]")
}

// An ordinary role trusts the owner of the database and superusers, who have power over it anyway.
func TestTablesOfTheDatabasesOwner(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	owner := newRole(t, c)
	grantee := newRole(t, connect(t, testdb.Postgres(t)))
	t.Cleanup(func() { do(t, c, "DROP OWNED BY "+grantee) })
	do(t, c, `GRANT CREATE ON SCHEMA public TO `+owner)
	must(t, apply(t, open(t, asRole(url, owner)), "s", 1, script("SELECT 1")))
	do(t, c, `GRANT USAGE ON SCHEMA public TO `+grantee+`; GRANT SELECT, INSERT ON whimbrel_history TO `+grantee+`;
		GRANT SELECT ON whimbrel_settings TO `+grantee+`; GRANT SELECT, INSERT, UPDATE, DELETE ON whimbrel_journal TO `+grantee)
	_, err := open(t, asRole(url, grantee)).State(background(t), "s")
	equal(t, "the problem", as[*database.TablesError](t, err).Problem, database.TablesUntrusted)
	must(t, apply(t, open(t, asRole(url, grantee), database.Options{TablesOwner: owner}), "s", 2, script("SELECT 1")))

	do(t, c, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO `+owner+`', current_database()); END $$`)
	t.Cleanup(func() {
		do(t, c, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO postgres', current_database()); END $$`)
	})
	db := open(t, asRole(url, grantee))
	must(t, apply(t, db, "s", 3, script("SELECT 1")))
	_, err = up(t, db, setOf(t, "run", "VACUUM pg_description"))
	must(t, err)
	_, err = open(t, url).State(background(t), "s")
	equal(t, "the problem for a superuser", as[*database.TablesError](t, err).Problem, database.TablesUntrusted)

	do(t, c, `ALTER TABLE whimbrel_history OWNER TO postgres; ALTER TABLE whimbrel_settings OWNER TO postgres; ALTER TABLE whimbrel_journal OWNER TO postgres`)
	equal(t, "what is applied", versions(t, open(t, asRole(url, grantee)), "s"), "[1 2 3]")
}

// alterations are changes of the tables, with the expected error.
var alterations = map[string]struct {
	sql     string
	problem database.TablesProblem
	says    string
	// only the owner can do it, and it takes effect slowly: State finds it, and Begin needn't check
	// again
	slow bool
}{
	"a trigger":           {`CREATE TRIGGER t BEFORE INSERT ON whimbrel_history FOR EACH ROW EXECUTE FUNCTION swallow()`, database.TablesAltered, `DROP TRIGGER "t" ON "public"."whimbrel_history"`, false},
	"of the settings":     {`CREATE TRIGGER t BEFORE INSERT ON whimbrel_settings FOR EACH STATEMENT EXECUTE FUNCTION swallow()`, database.TablesAltered, `DROP TRIGGER "t" ON "public"."whimbrel_settings"`, false},
	"of the journal":      {`CREATE TRIGGER t AFTER UPDATE ON whimbrel_journal FOR EACH STATEMENT EXECUTE FUNCTION swallow()`, database.TablesAltered, `DROP TRIGGER "t" ON "public"."whimbrel_journal"`, false},
	"a rule":              {`CREATE RULE r AS ON INSERT TO whimbrel_history DO INSTEAD NOTHING`, database.TablesAltered, `DROP RULE "r" ON "public"."whimbrel_history"`, false},
	"row-level security":  {`ALTER TABLE whimbrel_history ENABLE ROW LEVEL SECURITY; ALTER TABLE whimbrel_history FORCE ROW LEVEL SECURITY`, database.TablesHidden, `DISABLE ROW LEVEL SECURITY`, false},
	"a policy on the set": {`ALTER TABLE whimbrel_history ENABLE ROW LEVEL SECURITY; ALTER TABLE whimbrel_history FORCE ROW LEVEL SECURITY; CREATE POLICY p ON whimbrel_history USING (set_name <> 's')`, database.TablesHidden, `hide rows`, false},
	"of the settings too": {`ALTER TABLE whimbrel_settings ENABLE ROW LEVEL SECURITY; ALTER TABLE whimbrel_settings FORCE ROW LEVEL SECURITY`, database.TablesHidden, `"public"."whimbrel_settings"`, false},
	"a default":           {`ALTER TABLE whimbrel_history ALTER reason SET DEFAULT code()`, database.TablesAltered, `function public.code()`, true},
	"a generated column":  {`ALTER TABLE whimbrel_history ADD more text GENERATED ALWAYS AS (code()) STORED`, database.TablesAltered, `function public.code()`, true},
	"a constraint":        {`ALTER TABLE whimbrel_history ADD CHECK (code() IS NOT NULL)`, database.TablesAltered, `function public.code()`, true},
	"an index":            {`CREATE INDEX ON whimbrel_history ((code() || set_name))`, database.TablesAltered, `function public.code()`, true},
	"a partial index":     {`CREATE INDEX ON whimbrel_journal (version) WHERE code() <> 'x'`, database.TablesAltered, `function public.code()`, true},
	"a domain":            {`CREATE DOMAIN d AS text CHECK (code() IS NOT NULL); ALTER TABLE whimbrel_history ALTER host TYPE d`, database.TablesAltered, `type public.d`, true},
	"a child":             {`CREATE TABLE child () INHERITS (whimbrel_history)`, database.TablesAltered, `inherits`, true},
	"a parent":            {`CREATE TABLE parent (set_name text NOT NULL); ALTER TABLE whimbrel_history INHERIT parent`, database.TablesAltered, `inherits`, true},
	"no log":              {`ALTER TABLE whimbrel_history SET UNLOGGED`, database.TablesAltered, `SET LOGGED`, true},
	"a view in its place": {`ALTER TABLE whimbrel_history RENAME TO h; CREATE VIEW whimbrel_history AS TABLE h`, database.TablesAltered, `is a view`, false},
	"partitions":          {`ALTER TABLE whimbrel_history RENAME TO h; CREATE TABLE whimbrel_history (LIKE h) PARTITION BY LIST (set_name)`, database.TablesAltered, `is a partitioned table`, false},
	"a copy":              {`ALTER TABLE whimbrel_history RENAME TO h; CREATE TABLE whimbrel_history AS TABLE h`, database.TablesAltered, `is a copy`, false},
	"a column less":       {`ALTER TABLE whimbrel_history DROP down_text`, database.TablesForeign, `lost columns`, true},
	"a settings' column":  {`ALTER TABLE whimbrel_settings DROP until`, database.TablesForeign, `lost columns`, true},
	"a journal's column":  {`ALTER TABLE whimbrel_journal DROP error`, database.TablesForeign, `lost columns`, true},
	"no settings":         {`DROP TABLE whimbrel_settings`, database.TablesMissing, `CREATE TABLE "public"."whimbrel_settings"`, false},
	"no journal":          {`DROP TABLE whimbrel_journal`, database.TablesMissing, `CREATE TABLE "public"."whimbrel_journal"`, false},
	"no history":          {`DROP TABLE whimbrel_history`, database.TablesMissing, `but its history`, false},
	"no rows":             {`TRUNCATE whimbrel_history`, database.TablesEmpty, `left out of a dump`, false},
	"no first row":        {`DELETE FROM whimbrel_history WHERE set_name = 'whimbrel'`, database.TablesEmpty, `lacks its first entry`, false},
}

// Each alteration of the tables is an error that names it and what to do, on every version. No
// migration runs.
func TestAlteredTables(t *testing.T) {
	majors := testdb.PostgresMajors(t)
	for nth, m := range majors {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			admin := connect(t, url)
			owner := newRole(t, admin)
			do(t, admin, "CREATE SCHEMA own AUTHORIZATION "+owner+"; GRANT CREATE ON SCHEMA public TO "+owner)
			for i, name := range slices.Sorted(maps.Keys(alterations)) {
				a := alterations[name]
				if !runsOn(majors, nth, i) {
					continue
				}
				c := connect(t, asRole(url, owner))
				do(t, c, `CREATE FUNCTION code() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''x''::text';
					CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
				must(t, apply(t, open(t, asRole(url, owner)), "s", 1, script("SELECT 1")))
				knows := open(t, asRole(url, owner)) // knows the tables before the alteration
				equal(t, "what is applied", versions(t, knows, "s"), "[1]")
				do(t, c, a.sql)
				for who, db := range map[string]database.Database{"a new process": open(t, asRole(url, owner)), "one that knows": knows} {
					all := map[string]error{}
					if m.Major == 18 {
						all = attempts(t, db)
					}
					_, all["State"] = db.State(background(t), "s")
					_, all["up"] = up(t, db, setOf(t, "other", "CREATE TABLE made (x int)"))
					for what, err := range all {
						switch late := what == "Begin" || what == "Guard" || what == "UpdateSetting"; {
						case what == "Metadata": // it is in another table
							continue
						case a.slow && who == "one that knows" && late:
							continue
						}
						where := fmt.Sprintf("%s, %s of %s: ", name, what, who)
						e := as[*database.TablesError](t, err)
						equal(t, where+"the problem", e.Problem, a.problem)
						if e.Problem != database.TablesMissing || who != "one that knows" {
							contains(t, where+"the error", err.Error(), a.says)
						}
					}
				}
				equal(t, "the table of a migration", value(t, c, "SELECT to_regclass('made')"), "<null>")
				do(t, c, "DROP OWNED BY "+owner)
				do(t, admin, "CREATE SCHEMA IF NOT EXISTS own AUTHORIZATION "+owner+"; GRANT CREATE ON SCHEMA public TO "+owner)
			}
		})
	}
}

// The statement in the error about a missing table creates the table.
func TestMissingTableIsCreatedAsTheErrorSays(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
	do(t, c, "DROP TABLE whimbrel_settings, whimbrel_journal")
	for range 2 {
		_, err := open(t, url).State(background(t), "s")
		do(t, c, as[*database.TablesError](t, err).Fix)
	}
	equal(t, "what is applied", versions(t, open(t, url), "s"), "[1]")
	_, err := up(t, open(t, url), setOf(t, "t", "VACUUM pg_description"))
	must(t, err)
}

// For a role that can't see the tables, every call names the necessary GRANTs: all of them at once
// for reading, and then all for writing.
func TestTablesThatCanNotBeSeen(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
	do(t, c, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
	var fix string
	for what, err := range attempts(t, open(t, asRole(url, role))) {
		e := as[*database.TablesError](t, err)
		equal(t, what+": the problem", e.Problem, database.TablesHidden)
		fix = e.Fix
	}
	contains(t, "what to do", fix, "GRANT USAGE", "GRANT SELECT", role)
	do(t, c, fix)
	db := open(t, asRole(url, role))
	equal(t, "what is applied", versions(t, db, "s"), "[1]")
	_, err := up(t, db, setOf(t, "other", "SELECT 1"))
	e := as[*database.TablesError](t, err)
	contains(t, "the error of up", err.Error(), "GRANT SELECT, INSERT ON")
	equal(t, "the problem", e.Problem, database.TablesHidden)
}

// Reading needs no privilege on the texts, as docs/postgresql.md says.
func TestRoleThatMayNotReadTheTexts(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
	do(t, c, `GRANT USAGE ON SCHEMA public TO `+role+`; GRANT SELECT ON whimbrel_settings, whimbrel_journal TO `+role+`;
		GRANT SELECT (id, set_name, version, name, direction, checksum, down_checksum, has_down_text, up_directives, down_directives,
		started_at, duration_us, tried, error, retries, lock_wait_us, db_user, os_user, host, app, actor, tool_version, reason, remark) ON whimbrel_history TO `+role)
	db := open(t, asRole(url, role))
	equal(t, "what is applied", versions(t, db, "s"), "[1]")
	equal(t, "the number of events", count(t, db), 2)
}

// Tables that were replaced after planning are not touched.
func TestTablesExchangedBeforeTheLock(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(database.Database) error{
		"Begin": func(db database.Database) error {
			_, _, err := db.Begin(context.Background(), "s", database.LockOptions{})
			return err
		},
		"Guard": func(db database.Database) error {
			_, _, err := db.Guard(context.Background(), "s", database.LockOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
			db := open(t, url)
			equal(t, "what is applied", versions(t, db, "s"), "[1]")
			do(t, c, "DROP TABLE whimbrel_history, whimbrel_settings, whimbrel_journal")
			hostile(t, url)
			equal(t, "the problem", as[*database.TablesError](t, begin(db)).Problem, database.TablesUntrusted)
			equal(t, "how many triggers fired", value(t, c, "SELECT count(*) FROM fired"), "0")
		})
	}
}

// Tables recreated by a trusted role are found, and with them their lock.
func TestRecreatedTables(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	do(t, connect(t, url), "DROP TABLE whimbrel_history, whimbrel_settings, whimbrel_journal")
	other := open(t, url)
	must(t, apply(t, other, "s", 2, script("SELECT 1")))
	holder := begin(t, other, "s")
	equal(t, "whether the lock is held", isHeld(t, db, "s"), true)
	must(t, holder.Rollback(background(t)))
	must(t, apply(t, db, "s", 3, script("SELECT 1")))
	equal(t, "what is applied", versions(t, db, "s"), "[2 3]")
}

// A row that the history didn't store is an error before COMMIT, whatever the cause.
func TestHistoryThatTakesNoRow(t *testing.T) {
	t.Parallel()
	swallow := func(on string) string {
		return `CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
DO $$ BEGIN EXECUTE 'CREATE TRIGGER t BEFORE INSERT ON whimbrel' || '_` + on + ` FOR EACH ROW EXECUTE FUNCTION swallow()'; END $$`
	}
	rule := `DO $$ BEGIN EXECUTE 'CREATE RULE r AS ON INSERT TO whimbrel' || '_history DO INSTEAD NOTHING'; END $$`
	for name, text := range map[string]string{"a trigger": swallow("history"), "a rule": rule} {
		for kind, head := range map[string]string{"a transaction": "", "a run": "-- whimbrel: no-transaction\n"} {
			t.Run(name+" in "+kind, func(t *testing.T) {
				t.Parallel()
				url := testdb.Postgres(t)
				db := open(t, url)
				_, err := up(t, db, setOf(t, "s", "SELECT 1", head+"CREATE TABLE made (x int);\n"+text))
				if err == nil {
					t.Fatal("up succeeded")
				}
				c := connect(t, url)
				if name == "a trigger" && kind == "a transaction" {
					equal(t, "the problem", as[*database.TablesError](t, err).Problem, database.TablesAltered)
				}
				if kind == "a transaction" {
					equal(t, "the table of the migration", value(t, c, "SELECT to_regclass('made')"), "<null>")
					equal(t, "what is applied", versions(t, db, "s"), "[1]")
				}
				equal(t, "the entries of the migration", value(t, c, "SELECT count(*) FROM whimbrel_history WHERE version = 2 AND set_name = 's' AND direction <> 'failed'"), "0")
			})
		}
	}
}

// If the lock timeout for Whimbrel's tables expires, the error names the session that holds the
// lock.
func TestLockedTables(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
	c := connect(t, url+"&application_name=locker")
	for _, table := range []string{"history", "settings", "journal"} {
		do(t, c, "BEGIN; LOCK TABLE whimbrel_"+table)
		for what, err := range attempts(t, open(t, url, database.Options{MigrationLockTimeout: 10 * time.Millisecond})) {
			if what == "Metadata" || what == "History" && table != "history" {
				must(t, err)
				continue
			}
			e := as[*database.LockedError](t, err)
			equal(t, what+": what is locked", e.What, `Whimbrel's table "public"."whimbrel_`+table+`"`)
			equal(t, what+": who locks it", e.Holder.App, "locker")
			contains(t, what+": the error", err.Error(), "is locked by another process", "locker")
		}
		do(t, c, "ROLLBACK")
	}
	for what, err := range attempts(t, open(t, url)) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}

	// A lock that is released in time is no error.
	do(t, c, "BEGIN; LOCK TABLE whimbrel_history")
	waiting, released := make(chan database.Holder, 1), make(chan error, 1)
	go func() {
		<-waiting
		_, err := c.Exec(context.Background(), "ROLLBACK")
		released <- err
	}()
	b, _, err := open(t, url).Begin(background(t), "s", database.LockOptions{Timeout: waitLimit, Waiting: func(h database.Holder) {
		select {
		case waiting <- h:
		default:
		}
	}})
	must(t, err)
	must(t, <-released)
	must(t, b.Rollback(background(t)))
}

// A schema's name can have a special meaning in a search path.
func TestHistoryInASchemaNamedLikeASearchPath(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	opts := database.Options{Schema: "$user"}
	must(t, apply(t, open(t, url, opts), "s", 1, script("SELECT 1")))
	equal(t, "what is applied", versions(t, open(t, url, opts), "s"), "[1]")
	equal(t, "what is applied if the schema is found", versions(t, open(t, url), "s"), "[1]")
}

// A trigger, a rule or a policy on Whimbrel's tables that has no effect changes nothing, also if it
// comes while a Database is open. One that has an effect is refused.
func TestAdditionsWithoutEffect(t *testing.T) {
	t.Parallel()
	for name, add := range map[string][2]string{
		"trigger": {
			"CREATE TRIGGER t BEFORE INSERT ON whimbrel_history FOR EACH ROW EXECUTE FUNCTION swallow(); ALTER TABLE whimbrel_history DISABLE TRIGGER t",
			"ALTER TABLE whimbrel_history ENABLE TRIGGER t",
		},
		"rule": {
			"CREATE RULE r AS ON INSERT TO whimbrel_history DO INSTEAD NOTHING; ALTER TABLE whimbrel_history DISABLE RULE r",
			"ALTER TABLE whimbrel_history ENABLE RULE r",
		},
		"policy": {"ALTER TABLE whimbrel_settings ENABLE ROW LEVEL SECURITY", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			db, conn := open(t, url), connect(t, url)
			must(t, apply(t, db, "s", 1, script("SELECT 1")))
			do(t, conn, "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "+add[0])
			for v := range int64(2) {
				must(t, apply(t, db, "s", 2+v, script("SELECT 1")))
			}
			if add[1] != "" {
				do(t, conn, add[1])
				_, _, err := db.Begin(background(t), "s", database.LockOptions{})
				equal(t, "the problem of a "+name+" that has an effect", as[*database.TablesError](t, err).Problem, database.TablesAltered)
			}
			equal(t, "the versions in the history", value(t, conn, "SELECT string_agg(version::text, ' ' ORDER BY id) FROM whimbrel_history WHERE set_name = 's'"), "1 2 3")
		})
	}
}
