package pgddl

import (
	"strings"
	"testing"
)

func TestBlocksNobody(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE INDEX CONCURRENTLY i ON t (x)":                                 true,
		"CREATE INDEX i ON t (x)":                                              false,
		"DROP INDEX CONCURRENTLY i":                                            true,
		"REINDEX (CONCURRENTLY, VERBOSE) TABLE t":                              true,
		"REINDEX (CONCURRENTLY off) TABLE t":                                   false,
		"ALTER TABLE p DETACH PARTITION c CONCURRENTLY":                        true,
		"ALTER TABLE p DETACH PARTITION c":                                     false,
		"ALTER TABLE p ATTACH PARTITION c FOR VALUES IN (1)":                   false,
		"REFRESH MATERIALIZED VIEW CONCURRENTLY m":                             true,
		"REFRESH MATERIALIZED VIEW m":                                          false,
		"VACUUM":                                                               true,
		"VACUUM (ANALYZE, FULL off) t":                                         true,
		"VACUUM FREEZE t":                                                      true,
		"VACUUM FULL t":                                                        false,
		"VACUUM (VERBOSE, FULL) t":                                             false,
		"VACUUM (FULL true) t":                                                 false,
		"ANALYZE t (x)":                                                        true,
		"COMMENT ON COLUMN t.x IS 'y'":                                         true,
		"CREATE STATISTICS s ON x, y FROM t":                                   true,
		"alter table only s.\"T\" validate constraint c":                       true,
		"ALTER TABLE IF EXISTS t VALIDATE CONSTRAINT c, VALIDATE CONSTRAINT d": true,
		"ALTER TABLE t VALIDATE CONSTRAINT c, ADD x int":                       false,
		"ALTER TABLE t ALTER COLUMN x SET STATISTICS 100, ALTER y SET (n_distinct=5)": true,
		"ALTER TABLE t ALTER COLUMN x SET STORAGE plain":                              false,
		"ALTER TABLE t ALTER x SET DEFAULT 1":                                         false,
		"ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = off)":               true,
		"ALTER TABLE t SET (toast.autovacuum_enabled = off)":                          true,
		"ALTER TABLE t RESET (fillfactor)":                                            true,
		"ALTER TABLE t SET (user_catalog_table = on)":                                 false,
		"ALTER TABLE t SET (fillfactor = 70), SET SCHEMA s":                           false,
		"ALTER TABLE t CLUSTER ON i":                                                  true,
		"ALTER TABLE t SET WITHOUT CLUSTER":                                           true,
		"ALTER TABLE t SET LOGGED":                                                    false,
		"ALTER TABLE t":                                                               false,
		"ALTER TABLE validate":                                                        false,
		"SELECT 1":                                                                    false,
		"UPDATE t SET x = 1":                                                          false,
		"":                                                                            false,
	} {
		if got := BlocksNobody(text); got != want {
			t.Errorf("BlocksNobody(%q) = %t", text, got)
		}
	}
}

func TestRewritesOutside(t *testing.T) {
	for text, want := range map[string]bool{
		"VACUUM FULL t": true, "VACUUM t": false, "CLUSTER": true, "CLUSTER t USING i": true,
		"REINDEX SCHEMA s": true, "REINDEX TABLE CONCURRENTLY t": false, "CREATE DATABASE d": false, "DO $$ $$": false,
	} {
		if got := RewritesOutside(text); got != want {
			t.Errorf("RewritesOutside(%q) = %t", text, got)
		}
	}
}

// TestOtherStatementsAreNotRead: the first words of a long INSERT show that it is none of those
// that are read, so the rest costs nothing.
func TestOtherStatementsAreNotRead(t *testing.T) {
	for _, text := range []string{
		"INSERT INTO t VALUES " + strings.Repeat("(1, 'a'), ", 10_000), "(SELECT 1" + strings.Repeat(" + 1", 10_000) + ")",
		"CREATE FUNCTION f() AS '" + strings.Repeat("a b c ", 10_000) + "'", "ALTER VIEW v " + strings.Repeat("a b c ", 10_000),
	} {
		if n := testing.AllocsPerRun(10, func() { BlocksNobody(text) }); n > 8 {
			t.Errorf("BlocksNobody(%.40q…) allocates %v times", text, n)
		}
	}
	for text, want := range map[string]bool{
		"CREATE /* " + strings.Repeat("a", 1000) + " */ INDEX CONCURRENTLY i ON t (x)": true,
		"/* " + strings.Repeat("a", 1000) + " */ VACUUM t":                             true,
		"CREATE " + strings.Repeat(" ", 1000) + "INDEX CONCURRENTLY i ON t (x)":        true,
		"CREATE/**/INDEX CONCURRENTLY i ON t (x)":                                      true, "create\tindex\nconcurrently i ON t (x)": true, "VACUUM_": false, "CREATE INDEX_ CONCURRENTLY i ON t (x)": false,
		"ANALYZE;": true, "ANALYZE": true, "CREATE": false, "ALTER": false, "'VACUUM'": false,
	} {
		if got := BlocksNobody(text); got != want {
			t.Errorf("BlocksNobody(%.40q…) = %t", text, got)
		}
	}
}
