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
		if err != nil || len(pieces) != 1 {
			t.Fatal(tt.text, err)
		}
		if got := Reads(pieces[0], tt.d); got != tt.reads {
			t.Errorf("%s: %s: reads %v", tt.d, tt.text, got)
		}
	}
}
