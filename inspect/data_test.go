package inspect

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// wantNotShown expects, for each statement, the effect that a schema does not show.
func wantNotShown(t *testing.T, dialect sqltext.Dialect, effects map[string]string) {
	t.Helper()
	for sql, want := range effects {
		if got := outside(sql, dialect); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

func TestWhatASchemaDoesNotShow(t *testing.T) {
	t.Parallel()
	const harmless = ""
	wantNotShown(t, sqltext.PostgreSQL, map[string]string{
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
		"GRANT CONNECT ON DATABASE shop TO app":                  ofServer,
		"REVOKE CREATE ON TABLESPACE fast FROM app":              ofServer,
		"GRANT SET ON PARAMETER work_mem TO app":                 ofServer,
		"GRANT CREATE ON SCHEMA s TO app":                        harmless,
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
	})
	wantNotShown(t, sqltext.SQLite, map[string]string{
		"PRAGMA foreign_keys = off":     harmless,
		"PRAGMA user_version = 7":       "is kept in the file, and not in its schema",
		"pragma main.journal_mode(wal)": "is kept in the file, and not in its schema",
		"PRAGMA user_version":           harmless,
		"REPLACE INTO t VALUES (1)":     writesRows,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1); END": harmless,
		"CREATE TEMP TABLE t AS SELECT 1":                                        writesRows,
		"INSERT INTO f(f) VALUES ('rebuild')":                                    writesRows,
	})
	wantNotShown(t, sqltext.MySQL, map[string]string{
		"CREATE TABLE t (a int AUTO_INCREMENT PRIMARY KEY, `select` text COMMENT 'as select', b text DEFAULT 'values') -- select": harmless,
		"CREATE TABLE t (a int) SELECT 1 AS a":                                 writesRows,
		"CREATE OR REPLACE TEMPORARY TABLE t AS VALUES (1)":                    writesRows,
		"create table t like u":                                                harmless,
		"CREATE TABLE t (a int) ENGINE=InnoDB AUTO_INCREMENT=7":                moves,
		"ALTER TABLE t AUTO_INCREMENT = 7":                                     moves,
		"ALTER TABLE t MODIFY a int AUTO_INCREMENT":                            harmless,
		"ALTER TABLE t COMMENT 'drop partition', ADD b int":                    harmless,
		"ALTER TABLE t TRUNCATE PARTITION p":                                   writesRows,
		"ALTER SEQUENCE q RESTART 5":                                           moves,
		"RENAME TABLE a TO b":                                                  harmless,
		"RENAME USER a TO b":                                                   ofServer,
		"CREATE DATABASE other":                                                ofServer,
		"DROP SCHEMA other":                                                    ofServer,
		"CREATE USER app IDENTIFIED BY 'x'":                                    ofServer,
		"GRANT SELECT ON t TO app":                                             ofServer,
		"CREATE PROCEDURE p() BEGIN INSERT INTO t VALUES (1); END":             harmless,
		"CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW DELETE FROM u":       harmless,
		"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM u":              harmless,
		"/*!50001 CREATE ALGORITHM=UNDEFINED */ /*!50001 VIEW v AS SELECT 1*/": harmless,
		"/*!40101 SET NAMES utf8mb4 */":                                        harmless,
		"/*!40000 ALTER TABLE `t` DISABLE KEYS */":                             harmless,
		"/*M!100100 INSERT INTO t VALUES (1) */":                               writesRows,
		"/*! CREATE TABLE t */ /* select */ /*!50100 (a int) */":               harmless,
		"SET GLOBAL event_scheduler = 1":                                       ofServer,
		"SET @@GLOBAL.max_connections = 1":                                     ofServer,
		"SET @old = @@GLOBAL.sql_mode, sql_mode = ''":                          harmless,
		"SET @x = f()": calls,
		"SET STATEMENT max_statement_time = 5 FOR UPDATE t SET a = 1":      writesRows,
		"SET STATEMENT max_statement_time = 5 FOR ALTER TABLE t ADD b int": harmless,
		"SELECT 1":                         harmless,
		"SELECT f()":                       calls,
		"DO release_lock('x')":             calls,
		"SELECT a FROM t INTO OUTFILE 'x'": writesRows,
		"LOCK TABLES t WRITE":              harmless,
		"UNLOCK TABLES":                    harmless,
		"REPLACE INTO t VALUES (1)":        writesRows,
		"TRUNCATE t":                       writesRows,
		"CALL p()":                         mayWrite,
		"EXECUTE s":                        mayWrite,
		"BEGIN NOT ATOMIC INSERT INTO t SELECT 1; END": mayWrite,
	})
}
