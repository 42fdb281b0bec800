package postgres_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// A database that has found the tables before reads a state with a shorter query. When the tables
// have changed since, it says the same as one that finds them for the first time.
func TestStateOfKnownTables(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"unchanged":         "SELECT",
		"dropped":           "DROP TABLE whimbrel_history, whimbrel_settings, whimbrel_journal",
		"one dropped":       "DROP TABLE whimbrel_journal",
		"replaced":          "ALTER TABLE whimbrel_history RENAME TO old; CREATE TABLE whimbrel_history (id int)",
		"a column dropped":  "ALTER TABLE whimbrel_history DROP COLUMN duration_us",
		"moved":             "CREATE SCHEMA other; ALTER TABLE whimbrel_history SET SCHEMA other; ALTER TABLE whimbrel_settings SET SCHEMA other; ALTER TABLE whimbrel_journal SET SCHEMA other",
		"schema renamed":    "ALTER SCHEMA public RENAME TO other",
		"emptied":           "TRUNCATE whimbrel_history",
		"with a trigger":    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER tr BEFORE INSERT ON whimbrel_history FOR EACH ROW EXECUTE FUNCTION f()",
		"with a rule":       "CREATE RULE r AS ON INSERT TO whimbrel_journal DO ALSO SELECT 1",
		"with row security": "ALTER TABLE whimbrel_history ENABLE ROW LEVEL SECURITY",
		"of another owner":  "ALTER TABLE whimbrel_history OWNER TO pg_monitor",
		"a view":            "ALTER TABLE whimbrel_settings RENAME TO old; CREATE VIEW whimbrel_settings AS SELECT * FROM old",
		"frozen":            "INSERT INTO whimbrel_settings (name, value, reason, changed_by, changed_at) VALUES ('frozen', 'true', '', '', now())",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
			db := open(t, url)
			say := func(db database.Database) string {
				st, err := db.State(background(t), "s")
				if err != nil {
					return regexp.MustCompile(`\d{4,}`).ReplaceAllString(err.Error(), "OID")
				}
				return fmt.Sprint(st.Head, st.Applied.Versions(), st.Database != "", st.ServerMajor, st.Bare, st.Settings)
			}
			first := say(db)
			equal(t, "the state again", say(db), first)
			do(t, connect(t, url), change)
			want := say(open(t, url))
			for range 2 {
				equal(t, "the state after the change", say(db), want)
			}
		})
	}
}

// The state of known tables is one round trip, and a fraction of the bytes of the first one.
func TestStateOfKnownTablesIsShort(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	must(t, apply(t, open(t, url), "s", 1, script("SELECT 1")))
	proxy := testdb.NewProxy(t, url)
	db := open(t, proxy.URL)
	for range 3 {
		turns := proxy.Turns()
		_, err := db.State(background(t), "s")
		must(t, err)
		equal(t, "the round trips of a state", proxy.Turns()-turns, 1)
	}
	queries := proxy.Messages(testdb.ToServer)
	_, err := db.State(background(t), "s")
	must(t, err)
	// Bind, Describe, Execute of two prepared statements, and Sync
	if got := proxy.Messages(testdb.ToServer) - queries; got > 7 {
		t.Errorf("the state of known tables took %d messages to the server", got)
	}
}
