package inspect

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestWhatASchemaDoesNotShow(t *testing.T) {
	t.Parallel()
	const harmless = ""
	for sql, want := range map[string]string{
		"CREATE TABLE t (a integer DEFAULT 1, b integer GENERATED ALWAYS AS (a + 1) STORED)": harmless,
		"CREATE TABLE t AS SELECT 1":                                          writesRows,
		"create unlogged table t (a, b) as\n  (with x as (select 1) table x)": writesRows,
		"CREATE VIEW v AS SELECT f() FROM t":                                  harmless,
		"CREATE FUNCTION f() RETURNS TABLE (a int) AS $$ CREATE TABLE x AS SELECT 1; INSERT INTO x VALUES (1) $$ LANGUAGE sql": harmless,
		"CREATE ROLE app":                                        ofServer,
		"CREATE USER mike":                                       ofServer,
		"ALTER USER mike SET search_path = x":                    ofServer,
		"CREATE USER MAPPING FOR mike SERVER s":                  harmless,
		"DROP DATABASE other":                                    ofServer,
		"ALTER DATABASE app SET timezone = 'UTC'":                ofServer,
		"COMMENT ON ROLE app IS 'x'":                             ofServer,
		"COMMENT ON TABLE t IS 'the role'":                       harmless,
		"CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p":      ofServer,
		"GRANT SELECT ON t TO app":                               harmless,
		"GRANT admin TO app":                                     ofServer,
		"REVOKE admin FROM app":                                  ofServer,
		"INSERT INTO t VALUES (1)":                               writesRows,
		"update t set a = 1":                                     writesRows,
		"DELETE FROM t":                                          writesRows,
		"MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE":  writesRows,
		"TRUNCATE t":                                             writesRows,
		"COPY t FROM stdin":                                      writesRows,
		"SELECT 1":                                               harmless,
		"SELECT 1 INTO t":                                        writesRows,
		"SELECT pg_catalog.set_config('search_path', '', false)": harmless,
		"SELECT setval('s', 3)":                                  "calls functions, which may write rows",
		"SELECT set_config('a.b', f(), false)":                   "calls functions, which may write rows",
		"WITH d AS (DELETE FROM t RETURNING 1) SELECT 1 FROM d":  mayWrite,
		"CALL p()": mayWrite,
		"DO $$ BEGIN CREATE TYPE m AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$": harmless,
		"DO $$ BEGIN UPDATE t SET a = 1; END $$":                                                     mayWrite,
		"DO $$ BEGIN CREATE ROLE app; END $$":                                                        mayWrite,
		"ALTER SEQUENCE s RESTART":                                                                   moves,
		"ALTER SEQUENCE s OWNED BY t.a":                                                              harmless,
		"ALTER TABLE t ALTER a RESTART WITH 5":                                                       moves,
		"SET search_path = x":                                                                        harmless,
		"REFRESH MATERIALIZED VIEW v":                                                                harmless,
		"ANALYZE":                                                                                    harmless,
		"UNHEARD of":                                                                                 mayWrite,
	} {
		if got := outside(sql, sqltext.PostgreSQL); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	for sql, want := range map[string]string{
		"PRAGMA foreign_keys = off":     harmless,
		"PRAGMA user_version = 7":       "is kept in the file, and not in its schema",
		"pragma main.journal_mode(wal)": "is kept in the file, and not in its schema",
		"PRAGMA user_version":           harmless,
		"REPLACE INTO t VALUES (1)":     writesRows,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1); END": harmless,
		"CREATE TEMP TABLE t AS SELECT 1":                                        writesRows,
		"INSERT INTO f(f) VALUES ('rebuild')":                                    writesRows,
	} {
		if got := outside(sql, sqltext.SQLite); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}
