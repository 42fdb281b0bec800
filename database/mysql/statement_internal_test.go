package mysql

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// TestRepeatable: only what does the same a second time is executed again.
func TestRepeatable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"TRUNCATE t": true,
		"create /* new */ table if not exists t (a int)":                    true,
		"CREATE OR REPLACE VIEW v AS SELECT 1":                              true,
		"CREATE TABLE t (a int)":                                            false,
		"DROP TABLE IF EXISTS t":                                            true,
		"DROP TABLE t":                                                      false,
		"SET GLOBAL max_connections = 9":                                    true,
		"SET STATEMENT max_statement_time = 1 FOR INSERT INTO t VALUES (1)": false,
		"INSERT INTO t VALUES (1)":                                          false,
		"/*!50001 DROP TABLE IF EXISTS t */":                                true,
	} {
		if got := repeatable(sqltext.Statement{Text: text}); got != want {
			t.Errorf("that %s can be executed again is %v, want %v", text, got, want)
		}
	}
}

// TestReadsClientFile: a comment does not hide LOCAL.
func TestReadsClientFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"LOAD DATA LOCAL INFILE 'x' INTO TABLE t":                             true,
		"load /* now */ xml concurrent -- so\n local infile 'x' into table t": true,
		"LOAD DATA INFILE 'local' INTO TABLE t":                               false,
		"LOAD DATA LOW_PRIORITY INFILE 'x' INTO TABLE local":                  false,
	} {
		if got := readsClientFile(sqltext.Statement{Text: text}); got != want {
			t.Errorf("that %s reads a file of the client is %v, want %v", text, got, want)
		}
	}
}
