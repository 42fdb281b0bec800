package sqltext

import "testing"

func TestReads(t *testing.T) {
	for _, tt := range []struct {
		d     Dialect
		text  string
		reads bool
	}{
		{PostgreSQL, "SELECT 1", true},
		{PostgreSQL, "/* DELETE */ ((select 1))", true},
		{PostgreSQL, "WITH x AS (SELECT 1) SELECT * FROM x", true}, // or deletes: the server says
		{PostgreSQL, "TABLE t", true},
		{PostgreSQL, "SHOW work_mem", true},
		{PostgreSQL, "EXPLAIN ANALYZE DELETE FROM t", true}, // the transaction forbids it
		{PostgreSQL, "DELETE FROM t", false},
		{PostgreSQL, "SET work_mem = '1GB'", false},
		{PostgreSQL, "VACUUM", false},
		{PostgreSQL, "REINDEX TABLE t", false},
		{PostgreSQL, "CLUSTER t", false},
		{PostgreSQL, "DO $$ BEGIN END $$", false},
		{PostgreSQL, "CALL p()", false},
		{PostgreSQL, "COPY t TO STDOUT", false},
		{PostgreSQL, "NOTIFY x", false},
		{PostgreSQL, "DESCRIBE t", false},
		{MySQL, "SELECT 1", true},
		{MySQL, "SHOW TABLES", true},
		{MySQL, "DESC t", true},
		{MySQL, "/*!40101 SELECT 1 */", true},
		{MySQL, "/*!40101 DELETE FROM t */", false},
		{MySQL, "CALL p()", false},
		{MySQL, "DO SLEEP(1)", false},
		{MySQL, "ANALYZE TABLE t", false},
		{MySQL, "SET GLOBAL x = 1", false},
		{MySQL, "FLUSH TABLES", false},
		{SQLite, "SELECT 1", true},
		{SQLite, "PRAGMA user_version", true},
		{SQLite, "PRAGMA main.table_info(t)", true},
		{SQLite, "PRAGMA user_version = 1", false},
		{SQLite, "PRAGMA user_version(1)", false},
		{SQLite, "PRAGMA main.journal_mode = wal", false},
		{SQLite, "PRAGMA table_info = t", false}, // reads as well; nobody writes it
		{SQLite, "PRAGMA optimize", false},
		{SQLite, "PRAGMA wal_checkpoint(truncate)", false},
		{SQLite, "ATTACH 'x' AS y", false},
		{SQLite, "VACUUM INTO 'x'", false},
		{SQLite, "SHOW TABLES", false},
	} {
		pieces, err := Split(tt.text, tt.d, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(pieces) != 1 {
			t.Fatalf("len(pieces) = %v, want 1", len(pieces))
		}
		if got := pieces[0].Reads(tt.d); got != tt.reads {
			t.Errorf("%s: %s: reads %v", tt.d, tt.text, got)
		}
	}
}

// TestUnheld: calls that change something although the transaction is a reading one.
func TestUnheld(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1":                                                "",
		"SELECT lo_get(1), lo_create FROM t":                      "",
		"SELECT a,\n lo_create(0) FROM t":                         "lo_create 2:2",
		"SELECT lo_import('/x')":                                  "lo_import 1:8",
		"SELECT U&\"lo\\005funlink\" (1)":                         "lo_unlink 1:8",
		"SELECT lowrite(1, 'x')":                                  "lowrite 1:8",
		"SELECT pg_catalog.pg_stat_reset()":                       "pg_stat_reset 1:19",
		"SELECT pg_stat_reset_single_table_counters(1)":           "pg_stat_reset_single_table_counters 1:8",
		"SELECT pg_stat_monitor_reset()":                          "pg_stat_monitor_reset 1:8",
		"SELECT QUERY_TO_XML('SELECT 1', true, false, '')":        "query_to_xml 1:8",
		"SELECT query_to_xml_and_xmlschema('a', true, false, '')": "query_to_xml_and_xmlschema 1:8",
		"SELECT table_to_xml('t', true, false, '')":               "table_to_xml 1:8",
		"SELECT cursor_to_xml('c', 1, true, false, '')":           "cursor_to_xml 1:8",
		"SELECT database_to_xmlschema(true, false, '')":           "database_to_xmlschema 1:8",
		"SELECT * FROM ts_stat('SELECT ' || a)":                   "ts_stat 1:15",
		"SELECT pg_notify('a', 'b')":                              "",
		"SELECT 'lo_create(1)' -- lo_create(1)":                   "",
	} {
		pieces, err := Split(text, PostgreSQL, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(pieces) != 1 {
			t.Fatalf("len(pieces) = %v, want 1", len(pieces))
		}
		got := ""
		if name, pos, ok := pieces[0].Unheld(PostgreSQL); ok {
			got = name + " " + pos.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if _, _, ok := pieces[0].Unheld(SQLite); ok {
			t.Errorf("%s: reported for SQLite", text)
		}
	}
}
