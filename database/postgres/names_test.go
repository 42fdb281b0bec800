package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// Names may contain any characters.
func TestNamesOfAnyKind(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	for _, name := range []string{
		"plain", "Upper Case", "select", `with "quotes"`, "it's", `back\slash`, "dotted.name", "ünïcödé 🐦", "$1", "%s", "semi;colon--", "pg", strings.Repeat("x", 50),
	} {
		opts := database.Options{Schema: name, HistoryTable: name + " history", App: name}
		db := open(t, url, opts)
		must(t, apply(t, db, name, 1, script("SELECT 1")))
		r := guard(t, db, name)
		must(t, execAll(background(t), db, r, script("VACUUM pg_description")))
		_, err := r.Record(background(t), event(2))
		must(t, err)
		must(t, r.Close(background(t)))
		must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Protected, Value: "true", Reason: name}))
		st, err := open(t, url, opts).State(background(t), name)
		must(t, err)
		equal(t, "the number of applied versions", st.Applied.Len(), 2)
		v, err := st.Settings.Get(database.Protected)
		must(t, err)
		equal(t, "the reason", v.Reason, name)
		equal(t, "the number of tables in the schema", value(t, connect(t, url), "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)", name), "3")
	}
}

// A name that the server would truncate is refused: two could become one.
func TestNamesThatAreTooLong(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t), database.Options{HistoryTable: strings.Repeat("x", 60)})
	_, err := db.State(background(t), "s")
	contains(t, "the error", err.Error(), "63")
}

// The tables are created in the first existing schema of the search path, and found in any schema.
func TestSearchPathOfSeveralSchemas(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, `CREATE SCHEMA "First"; CREATE SCHEMA second`)
	// Schemas that don't exist, and the system's, are skipped.
	must(t, apply(t, open(t, url+`&search_path=nowhere,"First",second`), "s", 7, script("CREATE TABLE here (x int)")))
	equal(t, "where the history is", value(t, c, `SELECT to_regclass('"First".whimbrel_history')`), `"First".whimbrel_history`)
	equal(t, "where the script's table is", value(t, c, `SELECT to_regclass('"First".here')`), `"First".here`)
	for _, path := range []string{`second,"First"`, `second`, `nowhere`, `public`} {
		equal(t, "what is applied from "+path, versions(t, open(t, url+`&search_path=`+path), "s"), "[7]")
	}
	second := database.Options{Schema: "second"}
	equal(t, "what is applied in a schema that Options name", versions(t, open(t, url, second), "s"), "[]")
	equal(t, "the number of its events", count(t, open(t, url, second)), 0)
	must(t, apply(t, open(t, url, second), "s", 1, script("SELECT 1")))
	equal(t, "what is applied there then", versions(t, open(t, url, second), "s"), "[1]")
}

func count(t testing.TB, db database.Database) (n int) {
	t.Helper()
	for _, err := range db.History(background(t), database.HistoryQuery{}) {
		must(t, err)
		n++
	}
	return n
}

func TestSchemaOfTheUser(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	do(t, connect(t, url), `CREATE SCHEMA postgres`)
	db := open(t, url) // its search path is "$user", public
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	equal(t, "the history", value(t, connect(t, url), "SELECT to_regclass('postgres.whimbrel_history')"), "whimbrel_history")
}

// A temporary table ahead in the search path is not mistaken for the history.
func TestTemporaryTableWithTheHistorysName(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
	c := connect(t, url)
	do(t, c, "CREATE TEMP TABLE whimbrel_history (x int)")
	equal(t, "the applied versions", versions(t, postgres.NewConn(c, database.Options{}), "s"), "[1]")
}

func TestNoSchemaAtAll(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url+"&search_path=nowhere")
	equal(t, "the applied versions", versions(t, db, "s"), "[]")
	_, err := up(t, db, setOf(t, "s", "SELECT 1"))
	contains(t, "the error", err.Error(), "create one, grant USAGE on it, or name another schema")
}

// A foreign table is never written to.
func TestHistoryOfAnotherProgram(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE whimbrel_history (id int, name text)")
	db := open(t, url)
	_, err := db.State(background(t), "s")
	contains(t, "the error of State", err.Error(), "not one of Whimbrel's")
	_, _, err = db.Begin(background(t), "s", database.LockOptions{})
	contains(t, "the error of Begin", err.Error(), "not one of Whimbrel's")
	_, _, err = db.Guard(background(t), "s", database.LockOptions{})
	contains(t, "the error of Guard", err.Error(), "whimbrel_history")
	equal(t, "the number of tables", value(t, c, "SELECT count(*) FROM pg_class WHERE relname LIKE 'whimbrel%'"), "1")
}

// A history without its settings table is not mistaken for a missing history.
func TestSettingsTableIsMissing(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	set := setOf(t, "s", "CREATE TABLE a (x int)")
	_, err := up(t, db, set)
	must(t, err)
	do(t, connect(t, url), "DROP TABLE whimbrel_settings")
	_, err = up(t, db, set)
	contains(t, "the error", err.Error(), `but its table "whimbrel_settings"`)
	_, err = up(t, open(t, url), set)
	contains(t, "the error", err.Error(), `but its table "whimbrel_settings"`)
}

// newRole creates a role without any privileges but LOGIN.
func newRole(t *testing.T, c *pgx.Conn) string {
	t.Helper()
	name := value(t, c, "SELECT current_database()") + "_role"
	name = name[len("test_"):]
	do(t, c, "CREATE ROLE "+name+" LOGIN")
	t.Cleanup(func() {
		do(t, c, "DROP OWNED BY "+name)
		do(t, c, "DROP ROLE "+name)
	})
	return name
}

func asRole(url, role string) string { return strings.Replace(url, "//postgres@", "//"+role+"@", 1) }

func TestRoleThatMayNotCreateSchemas(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	db := open(t, asRole(url, role), database.Options{Schema: "app"})
	set := setOf(t, "s", "SELECT 1")
	_, err := up(t, db, set)
	equal(t, "Code", as[*database.StatementError](t, err).Code, "42501")
	contains(t, "the error", err.Error(), `can't create Whimbrel's tables in schema "app"`, "permission denied for database", "grant")
	equal(t, "what is applied", versions(t, db, "s"), "[]")

	do(t, c, "CREATE SCHEMA app AUTHORIZATION "+role)
	_, err = up(t, db, set)
	must(t, err)
	equal(t, "what is applied", versions(t, db, "s"), "[1]")
}

func TestRoleThatMayNotCreateTables(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	do(t, c, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	db := open(t, asRole(url, role))
	set := setOf(t, "s", "SELECT 1")
	_, err := up(t, db, set)
	equal(t, "Code", as[*database.StatementError](t, err).Code, "42501")
	contains(t, "the error", err.Error(), `can't create Whimbrel's tables in schema "public"`, "permission denied for schema public")

	// If another role created them, GRANTs suffice.
	_, err = up(t, open(t, url), setOf(t, "other", "SELECT 1"))
	must(t, err)
	_, err = db.State(background(t), "s")
	equal(t, "the problem", as[*database.TablesError](t, err).Problem, database.TablesHidden)
	do(t, c, "GRANT SELECT, INSERT ON whimbrel_history, whimbrel_settings, whimbrel_journal TO "+role)
	_, err = up(t, db, set)
	must(t, err)
	equal(t, "what is applied", versions(t, db, "s"), "[1]")
}

// A connection may switch to another role after logging in; the second connection does so, too.
func TestRoleThatThePoolSets(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	owner := newRole(t, c)
	do(t, c, "CREATE SCHEMA app AUTHORIZATION "+owner)
	pool := newPool(t, url, ofSize(1), afterConnect("SET ROLE "+owner+"; SET search_path = app"))
	db := postgres.NewPool(pool, database.Options{})
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)", "CREATE INDEX CONCURRENTLY ON a (x)", "RESET ROLE; SET search_path = public"))
	must(t, err)
	equal(t, "the owner of the history", value(t, c, "SELECT tableowner FROM pg_tables WHERE schemaname = 'app' AND tablename = 'whimbrel_history'"), owner)
	equal(t, "the pool's connection", poolValue(t, pool, "current_user || ' ' || current_setting('search_path')"), owner+" app")
	equal(t, "the number of the pool's connections", pool.Stat().NewConnsCount(), 1)
}

func poolValue(t testing.TB, pool interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, expr string,
) (s string) {
	t.Helper()
	if !strings.HasPrefix(expr, "SELECT") {
		expr = "SELECT " + expr
	}
	must(t, pool.QueryRow(background(t), expr).Scan(&s))
	return s
}
