package sqltext

import (
	"fmt"
	"strings"
	"testing"
)

// txNames is how the tables below write a Tx.
var txNames = map[Tx]string{
	TxAny: "any", TxBegin: "begin", TxCommit: "commit", TxRollback: "rollback",
	TxSavepoint: "savepoint", TxCommitChain: "commit chain", TxRollbackChain: "rollback chain", TxOther: "other", TxNever: "never", TxNoEffect: "no effect",
}

// checkClasses reads lines "tx [(why)]: statement".
func checkClasses(t *testing.T, d Dialect, table string) {
	t.Parallel()
	for line := range strings.Lines(table) {
		want, text, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		for _, text := range []string{text, strings.ToLower(text), "/* COMMIT */ " + strings.ReplaceAll(text, " ", " -- x\n\t")} {
			st := one(t, d, text)
			if st.Kind != SQL {
				t.Errorf("%s: Kind is %v, want SQL", text, st.Kind)
			}
			got := txNames[st.Tx]
			if w := st.Why; w != "" {
				got += " (" + w + ")"
			}
			if !strings.EqualFold(got, want) {
				t.Errorf("%s: %s, want %s", text, got, want)
			}
		}
	}
}

func TestPostgreSQLTransactions(t *testing.T) {
	checkClasses(t, PostgreSQL, `
		begin: BEGIN
		begin: BEGIN ISOLATION LEVEL SERIALIZABLE
		begin: START TRANSACTION READ ONLY
		commit: COMMIT
		commit: COMMIT WORK
		commit: END TRANSACTION
		commit: COMMIT TRANSACTION AND NO CHAIN
		commit chain: COMMIT AND CHAIN
		commit chain: END WORK AND CHAIN
		rollback chain: ROLLBACK AND CHAIN
		rollback: ROLLBACK
		rollback: ABORT WORK
		rollback: ROLLBACK AND NO CHAIN
		savepoint: ROLLBACK TO a
		savepoint: ROLLBACK TRANSACTION TO SAVEPOINT a
		savepoint: SAVEPOINT a
		savepoint: RELEASE a
		other: PREPARE TRANSACTION 'a'
		any: PREPARE transaction AS SELECT 1
		any: PREPARE p AS SELECT 1
		any: SET TRANSACTION READ ONLY
		any: SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
		any: DO 'BEGIN COMMIT; END'
		any: SELECT 1
		any: (SELECT 1)

		never (COMMIT PREPARED): COMMIT PREPARED 'a'
		never (ROLLBACK PREPARED): ROLLBACK PREPARED 'a'
		never (CREATE INDEX CONCURRENTLY): CREATE INDEX CONCURRENTLY i ON t (a)
		never (CREATE INDEX CONCURRENTLY): CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)
		any: CREATE INDEX concurrently_not ON t (a)
		any: CREATE INDEX i ON concurrently (a)
		never (DROP INDEX CONCURRENTLY): DROP INDEX CONCURRENTLY IF EXISTS i, j
		any: DROP INDEX i
		never (REINDEX CONCURRENTLY): REINDEX INDEX CONCURRENTLY i
		never (REINDEX CONCURRENTLY): REINDEX TABLE CONCURRENTLY t
		never (REINDEX CONCURRENTLY): REINDEX (VERBOSE, CONCURRENTLY) TABLE t
		never (REINDEX CONCURRENTLY): REINDEX (CONCURRENTLY ON) TABLE t
		any: REINDEX (CONCURRENTLY false, VERBOSE) TABLE t
		any: REINDEX (CONCURRENTLY 0) TABLE t
		never (REINDEX SCHEMA): REINDEX SCHEMA s
		never (REINDEX DATABASE): REINDEX (VERBOSE) DATABASE
		never (REINDEX SYSTEM): REINDEX SYSTEM d
		any: REINDEX TABLE t
		any: REINDEX INDEX system
		never (VACUUM): VACUUM
		never (VACUUM): VACUUM (FULL) t
		never (CLUSTER without a table): CLUSTER
		never (CLUSTER without a table): CLUSTER VERBOSE
		never (CLUSTER without a table): CLUSTER (VERBOSE)
		any: CLUSTER t USING i
		any: CLUSTER (VERBOSE) t
		never (CREATE DATABASE): CREATE DATABASE d
		never (DROP DATABASE): DROP DATABASE IF EXISTS d
		never (ALTER DATABASE SET TABLESPACE): ALTER DATABASE d SET TABLESPACE x
		any: ALTER DATABASE d SET a = 1
		any: ALTER DATABASE tablespace OWNER TO x
		never (CREATE TABLESPACE): CREATE TABLESPACE x LOCATION '/x'
		never (DROP TABLESPACE): DROP TABLESPACE x
		never (ALTER SYSTEM): ALTER SYSTEM SET a = 1
		never (DETACH PARTITION CONCURRENTLY): ALTER TABLE IF EXISTS ONLY a.t DETACH PARTITION a.p CONCURRENTLY
		never (DETACH PARTITION CONCURRENTLY): ALTER TABLE t DETACH PARTITION "P" CONCURRENTLY
		any: ALTER TABLE t DETACH PARTITION p FINALIZE
		any: ALTER TABLE t DETACH PARTITION concurrently
		any: ALTER TABLE t ATTACH PARTITION p DEFAULT
		never (CREATE SUBSCRIPTION with a replication slot): CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p
		never (CREATE SUBSCRIPTION with a replication slot): CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (enabled = false, create_slot)
		any: CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (create_slot = false)
		any: CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = 'off', enabled = false)
		any: CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH ("create_slot" = 0)
		never (DROP SUBSCRIPTION): DROP SUBSCRIPTION s
		never (ALTER SUBSCRIPTION SET failover): ALTER SUBSCRIPTION s SET (binary = true, failover = true)
		never (ALTER SUBSCRIPTION SET two_phase): ALTER SUBSCRIPTION s SET (two_phase = false)
		never (ALTER SUBSCRIPTION REFRESH): ALTER SUBSCRIPTION s REFRESH PUBLICATION
		never (ALTER SUBSCRIPTION with refresh): ALTER SUBSCRIPTION s ADD PUBLICATION p
		any: ALTER SUBSCRIPTION s SET PUBLICATION p WITH (refresh = false)
		any: ALTER SUBSCRIPTION s SET (binary = true)
		any: ALTER SUBSCRIPTION s DISABLE
		never (DISCARD ALL): DISCARD ALL
		any: DISCARD TEMP
		any: REFRESH MATERIALIZED VIEW CONCURRENTLY v
		any: ALTER TYPE t ADD VALUE 'v'
	`)
}

func TestSQLiteTransactions(t *testing.T) {
	checkClasses(t, SQLite, `
		begin: BEGIN
		begin: BEGIN IMMEDIATE TRANSACTION
		commit: COMMIT
		commit: END
		commit: END TRANSACTION
		rollback: ROLLBACK TRANSACTION
		savepoint: ROLLBACK TO a
		savepoint: ROLLBACK TRANSACTION TO SAVEPOINT a
		savepoint: SAVEPOINT a
		savepoint: RELEASE SAVEPOINT a
		never (VACUUM): VACUUM
		never (VACUUM): VACUUM main INTO 'x'
		never (DETACH): DETACH DATABASE a
		any: ATTACH 'x' AS a
		never (PRAGMA journal_mode): PRAGMA journal_mode = WAL
		never (PRAGMA journal_mode): PRAGMA main.journal_mode(WAL)
		any: PRAGMA journal_mode
		never (PRAGMA synchronous): PRAGMA synchronous = OFF
		any: PRAGMA synchronous
		never (PRAGMA temp_store): PRAGMA temp_store = 2
		never (PRAGMA wal_checkpoint): PRAGMA wal_checkpoint(TRUNCATE)
		no effect (PRAGMA foreign_keys): PRAGMA foreign_keys = ON
		no effect (PRAGMA foreign_keys): PRAGMA foreign_keys=0
		no effect (PRAGMA foreign_keys): PRAGMA "foreign_keys"(1)
		any: PRAGMA foreign_keys
		any: PRAGMA foreign_key_check
		any: PRAGMA foreign_key_check(t)
		any: PRAGMA defer_foreign_keys = ON
		no effect (PRAGMA page_size): PRAGMA page_size = 8192
		no effect (PRAGMA auto_vacuum): PRAGMA auto_vacuum = FULL
		any: PRAGMA user_version = 3
		any: REINDEX
		any: EXPLAIN QUERY PLAN SELECT 1
	`)
}

func TestMySQLTransactions(t *testing.T) {
	checkClasses(t, MySQL, `
		begin: BEGIN
		begin: BEGIN WORK
		begin: START TRANSACTION WITH CONSISTENT SNAPSHOT
		never (START REPLICA): START REPLICA
		never (BEGIN NOT ATOMIC): BEGIN NOT ATOMIC SELECT 1; END
		commit: COMMIT
		commit: COMMIT WORK AND NO CHAIN NO RELEASE
		commit chain: COMMIT AND CHAIN
		other: COMMIT RELEASE
		rollback: ROLLBACK
		savepoint: ROLLBACK WORK TO a
		savepoint: SAVEPOINT a
		savepoint: RELEASE SAVEPOINT a
		other: SET autocommit = 0
		other: SET @@autocommit := 1
		other: SET SESSION autocommit = 0
		other: SET @@session.autocommit = 0
		other: SET @old = @@AUTOCOMMIT, AUTOCOMMIT = 0
		other: /*!40101 SET autocommit = 0 */
		any: SET @autocommit = 0
		any: SET @@GLOBAL.autocommit = 0
		any: SET GLOBAL autocommit = 0
		other: SET GLOBAL a = 1, autocommit = 0
		any: SET x = @@autocommit
		any: SET TRANSACTION READ ONLY
		never (LOCK TABLES): LOCK TABLES a WRITE
		never (UNLOCK TABLES): /*!40000 UNLOCK TABLES */
		never (LOCK INSTANCE): LOCK INSTANCE FOR BACKUP
		other: XA START 'a'
		other: XA COMMIT 'a'
		never (CREATE TABLE): CREATE TABLE t (a INT)
		never (CREATE TABLE): /*!40101 CREATE TABLE t (a INT) */
		never (CREATE TEMPORARY TABLE): CREATE OR REPLACE TEMPORARY TABLE t (a INT)
		never (DROP TEMPORARY TABLE): DROP TEMPORARY TABLE t
		never (CREATE VIEW): CREATE OR REPLACE ALGORITHM = MERGE DEFINER = 'a'@'%' SQL SECURITY INVOKER VIEW v AS SELECT 1
		never (CREATE PROCEDURE): CREATE PROCEDURE p() SELECT 1
		never (CREATE INDEX): CREATE UNIQUE INDEX i ON t (a)
		never (ALTER TABLE): ALTER TABLE t ADD COLUMN b INT
		never (DROP DATABASE): DROP DATABASE IF EXISTS d
		never (TRUNCATE TABLE): TRUNCATE TABLE t
		never (TRUNCATE): TRUNCATE t
		never (RENAME TABLE): RENAME TABLE a TO b
		never (OPTIMIZE TABLE): OPTIMIZE NO_WRITE_TO_BINLOG TABLE t
		never (GRANT): GRANT ALL ON *.* TO a
		never (CALL): CALL p()
		never (PREPARE): PREPARE s FROM 'SELECT 1'
		never (EXECUTE): EXECUTE s
		never (DEALLOCATE PREPARE): DEALLOCATE PREPARE s
		never (SET PASSWORD): SET PASSWORD FOR a = 'b'
		never (SET ROLE): SET ROLE a
		never (SET ROLE): SET DEFAULT ROLE a TO b
		never (SET STATEMENT): SET STATEMENT max_statement_time = 1 FOR SELECT 1
		never (FLUSH TABLES): FLUSH TABLES
		never (SOMETHING): SOMETHING NEW
		any: SELECT 1
		any: (SELECT 1) UNION (SELECT 2)
		any: WITH a AS (SELECT 1) SELECT * FROM a
		any: INSERT INTO t VALUES (1)
		any: UPDATE t SET a = 1
		any: DELETE FROM t
		any: REPLACE INTO t VALUES (1)
		any: LOAD DATA INFILE 'a' INTO TABLE t
		any: SET @a = 1, sql_mode = ''
		any: SET NAMES utf8mb4
		any: SET FOREIGN_KEY_CHECKS = 0
		any: DO 1
		any: USE a
		any: SHOW TABLES
	`)
}

// checkSessions reads lines of statements.
func checkSessions(t *testing.T, d Dialect, want bool, table string) {
	t.Helper()
	for line := range strings.Lines(table) {
		text := strings.TrimSpace(line)
		if text == "" {
			continue
		}
		if got := one(t, d, text).Session; got != want {
			t.Errorf("%s: Session is %v", text, got)
		}
	}
}

func TestSession(t *testing.T) {
	t.Parallel()
	checkSessions(t, PostgreSQL, true, `
		SET a = 1
		SET LOCAL a = 1
		SET CONSTRAINTS ALL DEFERRED
		RESET ALL
		SELECT 1
		SELECT a INTO TEMP t FROM b
		WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a
		VALUES (1)
		TABLE t
		DO $$ BEGIN END $$
		CALL p()
		PREPARE p AS SELECT 1
		EXECUTE p
		DEALLOCATE p
		DISCARD ALL
		LISTEN a
		UNLISTEN *
		LOAD 'a'
		DECLARE c CURSOR FOR SELECT 1
		EXPLAIN ANALYZE SELECT 1
		CREATE TEMP TABLE t (a int)
		CREATE LOCAL TEMPORARY TABLE t (a int)
		CREATE OR REPLACE TEMPORARY RECURSIVE VIEW v (a) AS SELECT 1
		CREATE TEMP SEQUENCE s
		CREATE TABLE pg_temp.t (a int)
		INSERT INTO t SELECT set_config('a', 'b', false)
		UPDATE t SET a = pg_catalog."set_config"('a', 'b', false)
		ALTER TABLE t ALTER a SET DEFAULT Set_Config('a', 'b', false)
		(SELECT 1)
		FROBNICATE
	`)
	checkSessions(t, PostgreSQL, false, `
		CREATE TABLE t (a int)
		CREATE TABLE t AS SELECT 1
		CREATE UNLOGGED TABLE temp (temporary int)
		CREATE OR REPLACE FUNCTION f() RETURNS text AS $$ SELECT set_config('a', 'b', false) $$ LANGUAGE sql
		CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT set_config('a', 'b', false); END
		ALTER TABLE t ADD a int
		ALTER ROLE r SET a = 1
		ALTER DATABASE d SET a = 1
		DROP TABLE t
		COMMENT ON TABLE t IS 'set_config()'
		GRANT SELECT ON t TO r
		REVOKE ALL ON t FROM r
		INSERT INTO t VALUES ('set_config') -- set_config
		INSERT INTO t ("Set_Config") VALUES (1)
		UPDATE t SET a = 1
		DELETE FROM t
		MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE
		TRUNCATE t
		COPY t TO STDOUT
		ANALYZE
		REFRESH MATERIALIZED VIEW v
		VACUUM t
		REINDEX TABLE t
		CLUSTER t
		LOCK TABLE t
		SECURITY LABEL ON TABLE t IS 'a'
		REASSIGN OWNED BY a TO b
		IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c
		BEGIN
		COMMIT
		SAVEPOINT a
	`)
	checkSessions(t, SQLite, true, `
		SELECT 1
		PRAGMA foreign_keys = ON
		PRAGMA cache_size(10)
		ATTACH 'x' AS a
		DETACH a
		CREATE TEMP TABLE t (a)
		CREATE TABLE IF NOT EXISTS temp.t (a)
		CREATE VIRTUAL TABLE "TEMP".t USING fts5(a)
		WITH a AS (SELECT 1) DELETE FROM t
	`)
	checkSessions(t, SQLite, false, `
		CREATE TABLE t (a)
		CREATE UNIQUE INDEX temp ON t (a)
		CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END
		INSERT INTO t VALUES (1)
		REPLACE INTO t VALUES (1)
		ALTER TABLE t RENAME TO u
		PRAGMA foreign_key_check
		PRAGMA table_info(t)
		VACUUM
		BEGIN
	`)
	checkSessions(t, MySQL, true, `
		SET NAMES utf8
		/*!40101 SET NAMES utf8 */
		USE a
		SELECT 1 INTO @a
		CREATE TEMPORARY TABLE t (a INT)
		UPDATE t SET a = (@n := @n + 1)
		LOCK TABLES t READ
		CALL p()
	`)
	checkSessions(t, MySQL, false, `
		CREATE TABLE t (a INT)
		/*!50001 CREATE VIEW v AS SELECT 1 */
		CREATE OR REPLACE TABLE t (a INT)
		INSERT INTO t VALUES (1)
		REPLACE INTO t VALUES (1)
		ALTER TABLE t ADD a INT
		RENAME TABLE a TO b
		DROP TEMPORARY TABLE t
		COMMIT
	`)
}

func TestEnum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, enum, value string }{
		{"ALTER TYPE mood ADD VALUE 'it''s'", "mood", "it's"},
		{"alter type app . \"Mood\" add value if not exists 'a' before 'b'", `app . "Mood"`, "a"},
		{`ALTER TYPE t ADD VALUE E'a\'\\\x41\u017e\U0001F426\101\n''\q'`, "t", "a'\\Až🐦A\n'q"},
		{"ALTER TYPE t ADD VALUE E'a'\n  'b\\n'", "t", "ab\n"},
		{`ALTER TYPE t ADD VALUE U&'d\0061t\+01F426\\\D83D\DC26'`, "t", "dat🐦\\🐦"},
		{"ALTER TYPE t ADD VALUE $x$a'b$x$", "t", "a'b"},
		{"ALTER TYPE t ADD VALUE $$$$", "t", ""},
		{"ALTER TYPE t ADD ATTRIBUTE value int", "", ""},
		{"ALTER TYPE t RENAME VALUE 'a' TO 'b'", "t", "b"},
		{"CREATE TYPE app.t AS ENUM ('a')", "app.t", ""},
		{"CREATE TYPE t AS (a int)", "", ""},
		{"ALTER TABLE t ADD value text", "", ""},
	} {
		pieces, err := Split(c.text, PostgreSQL, Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		if len(pieces) != 1 {
			t.Fatalf("%s: len(pieces) = %v, want 1", c.text, len(pieces))
		}
		if pieces[0].EnumType != c.enum {
			t.Errorf("%s: pieces[0].EnumType = %v, want %v", c.text, pieces[0].EnumType, c.enum)
		}
		if pieces[0].EnumValue != c.value {
			t.Errorf("%s: pieces[0].EnumValue = %v, want %v", c.text, pieces[0].EnumValue, c.value)
		}
	}
}

func TestReserved(t *testing.T) {
	t.Parallel()
	reserved := []string{"whimbrel_history", "whimbrel_journal"}
	for _, c := range []struct {
		d    Dialect
		text string
		want string
	}{
		{PostgreSQL, "DROP TABLE Whimbrel_History", "whimbrel_history"},
		{PostgreSQL, `DELETE FROM app."whimbrel_journal", whimbrel_history`, "whimbrel_journal"},
		{PostgreSQL, `DROP TABLE "Whimbrel_History", whimbrel_history2, my_whimbrel_history`, ""},
		{PostgreSQL, "SELECT 'whimbrel_history', $$whimbrel_history$$ -- whimbrel_history", ""},
		{PostgreSQL, "COPY whimbrel_history FROM stdin;\n\\.\n", "whimbrel_history"},
		{PostgreSQL, "CREATE FUNCTION f() BEGIN ATOMIC DELETE FROM whimbrel_history; END", "whimbrel_history"},
		{SQLite, `DROP TABLE "Whimbrel_History"`, "whimbrel_history"},
		{SQLite, "DROP TABLE [whimbrel_HISTORY]", "whimbrel_history"},
		{SQLite, "DROP TABLE `whimbrel_history`", "whimbrel_history"},
		{SQLite, "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM whimbrel_history; END", "whimbrel_history"},
		{SQLite, "SELECT 'whimbrel_history'", ""},
		{MySQL, "DROP TABLE `Whimbrel_history`", "whimbrel_history"},
		{MySQL, "DROP TABLE a.whimbrel_journal", "whimbrel_journal"},
		{MySQL, "/*!40000 DROP TABLE whimbrel_journal */", "whimbrel_journal"},
		{MySQL, `SELECT "whimbrel_history" # whimbrel_history`, ""},
	} {
		pieces, err := Split(c.text, c.d, Options{Reserved: reserved})
		if err != nil {
			t.Fatalf("%v: %v", c.d, err)
		}
		if pieces[0].Reserved != c.want {
			t.Errorf("%v: pieces[0].Reserved = %v, want %v", c.d, pieces[0].Reserved, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	_, err := Split("SELECT 1;\n'", PostgreSQL, Options{File: "a/1.up.sql", Line: 10})
	if want := "a/1.up.sql:11:1: the string that begins here is not closed: its ' is missing"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := Split("", Dialect(9), Options{}); fmt.Sprint(err) != "sqltext: dialect(9) is no dialect that this package knows" {
		t.Errorf("got %v", err)
	}
}

// What PRAGMA foreign_keys has to do with statements of SQLite.
func TestSQLiteForeignKeys(t *testing.T) {
	t.Parallel()
	for want, texts := range map[ForeignKeys][]string{
		KeysAny: {
			"CREATE TABLE a (b REFERENCES c)", "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END", "SELECT 'DELETE'", "WITH d AS (SELECT 1) SELECT * FROM d",
			"DROP INDEX i", "ALTER TABLE a RENAME TO b", "PRAGMA foreign_keys", "PRAGMA foreign_key_check(a)", "PRAGMA defer_foreign_keys = on", "VALUES (1)", "ANALYZE",
		},
		KeysChecked:   {"INSERT INTO a VALUES (1)", "INSERT\r\n\tINTO a VALUES (1)", "INSERT/**/INTO a VALUES (1)", "INSERT INTO a VALUES ('OR REPLACE')", "INSERT OR IGNORE INTO a SELECT * FROM \"replace\"", "WITH d AS (SELECT 1) INSERT INTO a SELECT * FROM d"},
		KeysFollowed:  {"INSERT OR REPLACE INTO a VALUES (1)", "REPLACE INTO a VALUES (1)", "INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET b = 1", "INSERT INTO a VALUES ('conflict')", "UPDATE a SET b = 1", "DELETE FROM a", "DROP TABLE IF EXISTS a", "WITH d AS (SELECT 1), e(f) AS (VALUES (1)) DELETE FROM a"},
		KeysOff:       {"PRAGMA foreign_keys = OFF", "PRAGMA main.foreign_keys(0)", "PRAGMA foreign_keys = 'no'", "PRAGMA foreign_keys = 256", "PRAGMA foreign_keys = -1", "PRAGMA foreign_keys = what"},
		KeysOn:        {"PRAGMA foreign_keys = ON", "PRAGMA `foreign_keys` ( 'yes' )", "PRAGMA foreign_keys=TRUE", "PRAGMA foreign_keys = +2"},
		KeysForgotten: {"PRAGMA defer_foreign_keys = off", "PRAGMA defer_foreign_keys(0)"},
	} {
		for _, text := range texts {
			for _, text := range []string{text, strings.ToLower(text), "/* DELETE */ " + strings.ReplaceAll(text, " ", " -- x\n\t")} {
				pieces, err := Split(text, SQLite, Options{})
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if len(pieces) != 1 {
					t.Fatalf("%s: len(pieces) = %v, want 1", text, len(pieces))
				}
				if pieces[0].ForeignKeys != want {
					t.Errorf("%s: pieces[0].ForeignKeys = %v, want %v", text, pieces[0].ForeignKeys, want)
				}
			}
		}
	}
}
