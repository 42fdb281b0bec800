package postgres_test

import (
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// A connection that breaks at any message of the server never makes a state look like that of a
// database without tables.
func TestStateOfABrokenConnection(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
	proxy := testdb.NewProxy(t, url)
	db := open(t, proxy.URL)
	proxy.Reset()
	equal(t, "what is applied", versions(t, db, "s"), "[1]")
	all := proxy.Messages(testdb.ToClient)
	for n := range all {
		db := open(t, proxy.URL)
		proxy.Reset()
		proxy.CutAfter(testdb.ToClient, n)
		if st, err := db.State(background(t), "s"); err == nil {
			equal(t, fmt.Sprintf("the number of applied migrations after %d messages of %d", n, all), st.Applied.Len(), 1)
		}
	}
}

// The tables are created in one round trip, after which the first transaction begins. What prevents
// that costs more round trips, and nothing else.
func TestTablesAreCreatedAtOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before string
		turns  int // of connecting, State and Begin
		where  string
	}{
		"in an empty database":                      {"", 5, "whimbrel_history"},
		"with objects of those names elsewhere":     {"CREATE SCHEMA app; CREATE SEQUENCE app.whimbrel_journal", 10, "whimbrel_history"},
		"with a system schema first in the path":    {"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = pg_catalog, public', current_database()); END $$", 10, "whimbrel_history"},
		"with another schema first in the path":     {`CREATE SCHEMA "An app"; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = "An app", public', current_database()); END $$`, 5, `"An app".whimbrel_history`},
		"with an event trigger that uses the path":  {`CREATE TABLE public.seen (x int); CREATE FUNCTION public.see() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (1); END $$; CREATE EVENT TRIGGER see ON ddl_command_end EXECUTE FUNCTION public.see()`, 5, "whimbrel_history"},
		"with an event trigger that adds a trigger": {`CREATE FUNCTION public.drop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; CREATE FUNCTION public.see() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN CREATE TRIGGER t BEFORE INSERT ON public.whimbrel_settings FOR EACH ROW EXECUTE FUNCTION public.drop(); EXCEPTION WHEN undefined_table OR duplicate_object THEN NULL; END $$; CREATE EVENT TRIGGER see ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.see()`, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			if tt.before != "" {
				do(t, c, tt.before)
			}
			proxy := testdb.NewProxy(t, url)
			db := open(t, proxy.URL)
			equal(t, "what is applied before", versions(t, db, "s"), "[]")
			tx, _, err := db.Begin(background(t), "s", database.LockOptions{})
			if tt.where == "" {
				equal(t, "the problem", as[*database.TablesError](t, err).Problem, database.TablesAltered)
				equal(t, "the number of tables that remain", value(t, c, "SELECT count(*) FROM pg_class WHERE relname ~ '^whimbrel' AND relkind = 'r'"), "0")
				return
			}
			must(t, err)
			equal(t, "the round trips", proxy.Turns(), tt.turns)
			must(t, tx.Rollback(background(t)))
			equal(t, "where the history is", value(t, c, "SELECT oid::regclass FROM pg_class WHERE relname = 'whimbrel_history'"), tt.where)
			must(t, apply(t, db, "s", 1, script("SELECT 1")))
			equal(t, "what is applied", versions(t, open(t, url), "s"), "[1]")
		})
	}
}
