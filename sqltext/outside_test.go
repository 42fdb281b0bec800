package sqltext

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkOutside reads lines "effects | statement". Effects are "outer: words [maybe] [whole]",
// joined by "; ", or "-" for none.
func checkOutside(t *testing.T, d Dialect, table string, own ...string) {
	t.Helper()
	for line := range strings.Lines(table) {
		want, text, ok := strings.Cut(strings.TrimSpace(line), " | ")
		if !ok {
			continue
		}
		for _, text := range []string{text, "/* DROP ROLE x; */ " + text} {
			st := one(t, d, text)
			if st.Kind == Empty {
				t.Errorf("%s: is empty", text)
			}
			if got := effectsText(st.Outside(d, own...)); got != want {
				t.Errorf("%s\n\tgot  %s\n\twant %s", text, got, want)
			}
		}
	}
}

func effectsText(effects []Effect) string {
	var all []string
	for _, e := range effects {
		s := string(e.Outer) + ": " + e.Words
		if e.Maybe {
			s += " maybe"
		}
		if e.Whole {
			s += " whole"
		}
		all = append(all, s)
	}
	if all == nil {
		return "-"
	}
	return strings.Join(all, "; ")
}

func TestPostgreSQLOutside(t *testing.T) {
	checkOutside(t, PostgreSQL, `
		roles: CREATE ROLE whole | CREATE ROLE app LOGIN PASSWORD 'x'
		roles: CREATE USER whole | create user app
		roles: CREATE GROUP whole | CREATE GROUP app
		roles: ALTER ROLE whole | ALTER ROLE app SET search_path = a
		roles: ALTER USER whole | ALTER USER ALL SET statement_timeout = 1
		roles: DROP ROLE whole | DROP ROLE IF EXISTS app
		roles: DROP OWNED | DROP OWNED BY app
		roles: REASSIGN OWNED | REASSIGN OWNED BY app TO other
		roles: GRANT of a role whole | GRANT readers TO app WITH ADMIN OPTION
		roles: GRANT of a role whole | GRANT readers, writers TO app
		roles: REVOKE of a role whole | REVOKE ADMIN OPTION FOR readers FROM app
		roles: COMMENT ON ROLE whole | COMMENT ON ROLE app IS 'x'
		roles: SECURITY ON ROLE whole | SECURITY LABEL FOR p ON ROLE app IS 'x'
		- | CREATE USER MAPPING FOR app SERVER s
		- | ALTER USER MAPPING FOR app SERVER s OPTIONS (SET password 'x')
		- | GRANT SELECT ON t TO app
		- | GRANT SELECT (a, b), UPDATE (a) ON TABLE t TO app
		- | GRANT ALL ON ALL TABLES IN SCHEMA s TO app
		- | REVOKE GRANT OPTION FOR SELECT ON t FROM app
		- | ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO readers
		- | ALTER TABLE t OWNER TO app
		- | CREATE TABLE role (role text, "user" text, database text, system text)
		- | ALTER TABLE t ADD COLUMN role text
		- | DROP TABLE role
		- | SET ROLE app
		- | SET SESSION AUTHORIZATION app
		databases: CREATE DATABASE whole | CREATE DATABASE shop
		databases: DROP DATABASE whole | DROP DATABASE IF EXISTS shop WITH (FORCE)
		databases: ALTER DATABASE whole | ALTER DATABASE shop SET search_path = a
		databases: ALTER DATABASE whole | ALTER DATABASE shop CONNECTION LIMIT 10
		- | ALTER DATABASE mine SET search_path = a
		- | ALTER DATABASE "mine" OWNER TO app
		databases: ALTER DATABASE whole | ALTER DATABASE "Mine" OWNER TO app
		databases: GRANT ON DATABASE whole | GRANT CONNECT, TEMPORARY ON DATABASE shop TO app
		- | GRANT CONNECT ON DATABASE mine TO app
		databases: REVOKE ON DATABASE whole | REVOKE ALL ON DATABASE shop FROM PUBLIC
		databases: COMMENT ON DATABASE whole | COMMENT ON DATABASE shop IS 'x'
		- | COMMENT ON TABLE t IS 'DROP ROLE x'
		- | COMMENT ON COLUMN database.t IS 'x'
		databases: writing pg_database | UPDATE pg_database SET datallowconn = false WHERE datname = 'shop'
		databases: writing pg_authid | UPDATE pg_catalog.pg_authid SET rolpassword = NULL
		databases: writing pg_db_role_setting | WITH x AS (DELETE FROM pg_db_role_setting RETURNING 1) SELECT * FROM x
		- | SELECT * FROM pg_database
		- | SELECT rolname FROM pg_roles WHERE rolname = 'app' FOR UPDATE
		tablespaces: CREATE TABLESPACE whole | CREATE TABLESPACE fast LOCATION '/fast'
		tablespaces: DROP TABLESPACE whole | DROP TABLESPACE fast
		tablespaces: ALTER TABLESPACE whole | ALTER TABLESPACE fast RENAME TO slow
		tablespaces: GRANT ON TABLESPACE whole | GRANT CREATE ON TABLESPACE fast TO app
		- | CREATE TABLE t (a int) TABLESPACE fast
		- | ALTER TABLE t SET TABLESPACE fast
		settings: ALTER SYSTEM whole | ALTER SYSTEM SET work_mem = '1GB'
		settings: GRANT ON PARAMETER whole | GRANT SET ON PARAMETER work_mem TO app
		- | SET work_mem = '1GB'
		servers: CREATE SUBSCRIPTION | CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p
		servers: ALTER SUBSCRIPTION | ALTER SUBSCRIPTION s DISABLE
		servers: DROP SUBSCRIPTION | DROP SUBSCRIPTION s
		- | CREATE PUBLICATION p FOR ALL TABLES
		servers: CREATE SERVER | CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw
		servers: CREATE FOREIGN TABLE | CREATE FOREIGN TABLE f (a int) SERVER s
		servers: IMPORT FOREIGN SCHEMA | IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b
		- | DROP SERVER s
		- | DROP FOREIGN TABLE f
		- | CREATE FOREIGN DATA WRAPPER w
		- | ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u
		files: COPY TO a file whole | COPY t TO '/tmp/x'
		files: COPY TO a file whole | COPY (SELECT a FROM t WHERE b IN (SELECT 1)) TO '/tmp/x' WITH CSV
		programs: COPY TO PROGRAM whole | COPY t TO PROGRAM 'cat'
		programs: COPY FROM PROGRAM | COPY t (a, b) FROM PROGRAM 'cat /x'
		- | COPY t FROM '/tmp/x'
		- | COPY t TO STDOUT
		files: lo_export() | SELECT lo_export(1, '/tmp/x')
		files: pg_file_write() | SELECT pg_catalog.pg_file_write('a', 'b', false)
		- | SELECT pg_read_file('x')
		server: pg_terminate_backend() | SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		server: pg_reload_conf() | SELECT "pg_reload_conf"()
		server: pg_create_logical_replication_slot() | SELECT * FROM pg_create_logical_replication_slot('a', 'pgoutput')
		server: pg_switch_wal() | WITH x AS (SELECT pg_switch_wal()) SELECT * FROM x
		servers: dblink_exec() | SELECT public.dblink_exec('dbname=shop', 'DROP TABLE users')
		servers: dblink() | CREATE VIEW v AS SELECT * FROM dblink('s', 'SELECT 1') AS t (a int)
		- | SELECT dblink FROM t
		- | CREATE EXTENSION dblink
		- | SELECT pg_notify('a', 'b'), pg_advisory_lock(1), nextval('s')
		- | INSERT INTO t VALUES ('CREATE ROLE app', 'pg_terminate_backend(1)') -- DROP ROLE app
		- | SELECT 'DROP DATABASE shop', $$ALTER SYSTEM SET a = 1$$
		- | CREATE VIEW v AS SELECT 'DROP ROLE app' AS a
		- | CREATE TABLE t (a text DEFAULT 'CREATE ROLE x' CHECK (a <> 'DROP ROLE y'))
		- | PREPARE p AS SELECT 1
		- | NOTIFY a
		- | LISTEN a

		roles: CREATE ROLE maybe whole | DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN CREATE ROLE app; END IF; END $$
		roles: CREATE ROLE maybe whole | DO $$ BEGIN CREATE ROLE app; EXCEPTION WHEN duplicate_object THEN RAISE NOTICE 'there is %', 'app'; END $$
		roles: CREATE ROLE maybe whole; roles: GRANT of a role maybe whole | DO $x$ BEGIN CREATE ROLE app; GRANT app TO me; END $x$
		roles: CREATE ROLE maybe | DO $$ BEGIN CREATE ROLE app; CREATE TABLE t (a int); END $$
		roles: CREATE ROLE maybe | DO $$ BEGIN IF make_table() THEN CREATE ROLE app; END IF; END $$
		roles: DROP OWNED maybe; roles: DROP ROLE maybe | DO $$ BEGIN DROP OWNED BY app; DROP ROLE app; END $$
		roles: CREATE ROLE maybe | DO $$ BEGIN EXECUTE 'CREATE ROLE app'; END $$
		roles: CREATE ROLE maybe | DO $$ BEGIN EXECUTE format('CREATE ROLE %I', 'app'); END $$
		roles: CREATE ROLE maybe | DO 'BEGIN EXECUTE ''CREATE ROLE app''; END'
		roles: CREATE ROLE maybe | DO E'BEGIN\nCREATE ROLE app; END'
		roles: CREATE ROLE maybe | DO $a$ BEGIN EXECUTE $b$ DO $c$ BEGIN CREATE ROLE app; END $c$ $b$; END $a$
		- | DO $$ BEGIN RAISE EXCEPTION 'CREATE ROLE first'; END $$
		- | DO $$ BEGIN /* CREATE ROLE app; */ PERFORM 1; /* DROP ROLE app */ END $$
		- | DO $$ BEGIN CREATE TABLE t (role text); GRANT SELECT ON t TO app; END $$
		databases: ALTER DATABASE maybe | DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET a = 1'; END $$
		server: pg_terminate_backend() maybe | DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity; END $$
		files: COPY TO a file maybe whole | DO $$ BEGIN COPY t TO '/x'; END $$
		roles: CREATE USER maybe | CREATE FUNCTION f(name text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE USER ' || name; END $$
		servers: dblink_exec() maybe | CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS $$ SELECT dblink_exec('x', 'y') $$
		servers: dblink() | CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT a FROM dblink('x', 'y') AS t (a int); END
		programs: LANGUAGE plpython3u maybe | CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS $$ return 1 $$
		programs: LANGUAGE plperlu maybe | DO LANGUAGE plperlu $$ system("x") $$
		programs: LANGUAGE c maybe | CREATE FUNCTION f() RETURNS int AS 'lib', 'f' LANGUAGE C STRICT
		- | CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.role := 'x'; RETURN NEW; END $$
	`, "mine")
}

// TestPostgreSQLOutsideEscaped has names and code that are written with escapes or in parts, or
// reached indirectly.
func TestPostgreSQLOutsideEscaped(t *testing.T) {
	checkOutside(t, PostgreSQL, `
		databases: writing pg_authid | UPDATE U&"pg_auth\0069d" SET rolcanlogin = false
		databases: writing pg_authid | update u&"pg_auth!0069d" uescape '!' set rolcanlogin = false
		databases: writing pg_authid | update u&"pg_auth!+000069d" /* - */ uescape E'\x21' set rolcanlogin = false
		databases: writing pg_authid | update u&"pg_auth!0069d" uescape $$!$$ set rolcanlogin = false
		databases: writing pg_authid | DELETE FROM U&"pg\005fcatalog" . U&"pg_authid"
		databases: U& with escapes that can't be read maybe | UPDATE U&"pg_auth!0069d" UESCAPE 'ab' SET a = 1
		databases: U& with escapes that can't be read maybe | UPDATE U&"pg_auth\zzzzd" SET a = 1
		- | UPDATE U&"d\0061t" SET a = U&'pg_auth\0069d'
		- | UPDATE U&"d\0061t" SET a = U&'it''s !0027 "' UESCAPE '!'
		server: pg_reload_conf() | SELECT U&"pg\005freload_conf"()
		server: pg_reload_conf() | SELECT U&"pg!005freload_conf" UESCAPE '!' ()
		- | ALTER DATABASE U&"m\0069ne" SET a = 1
		roles: DROP ROLE maybe | DO U&'BEGIN \0044ROP ROLE app; END'
		roles: DROP ROLE maybe | DO LANGUAGE plpgsql U&'BEGIN !0044ROP ROLE app; END' uescape '!'
		roles: DROP ROLE maybe | DO $$ BEGIN EXECUTE U&'!0044ROP ROLE app' UESCAPE '!'; END $$
		programs: LANGUAGE plperlu maybe | DO LANGUAGE U&"pl\0070erlu" $$ system("x") $$
		databases: writing pg_authid | UPDATE ONLY (pg_authid) SET a = 1
		databases: writing pg_authid | UPDATE shop.pg_catalog.pg_authid SET a = 1
		databases: writing pg_authid | TRUNCATE t, pg_authid
		databases: writing pg_authid | LOCK TABLE pg_authid
		databases: writing pg_authid | ALTER TABLE pg_catalog.pg_authid ADD a int
		databases: writing pg_authid | COPY pg_authid (rolname) FROM '/x'
		databases: writing enabled_roles | DELETE FROM information_schema.enabled_roles
		databases: a view of pg_authid maybe | CREATE VIEW v AS SELECT * FROM pg_authid
		databases: a view of pg_authid maybe | CREATE OR REPLACE TEMP VIEW v AS TABLE U&"pg_auth\0069d"
		databases: a view of pg_database maybe | CREATE SCHEMA s CREATE VIEW v AS SELECT * FROM pg_catalog.pg_database
		databases: a view of pg_authid maybe | CREATE SCHEMA s CREATE VIEW a AS SELECT 1 AS a CREATE TEMP VIEW v AS SELECT * FROM pg_authid
		databases: a view of pg_authid maybe | DO $$ BEGIN CREATE VIEW v AS SELECT * FROM pg_authid; END $$
		- | CREATE MATERIALIZED VIEW v AS SELECT * FROM pg_database
		- | CREATE VIEW v AS SELECT * FROM pg_roles
		- | CREATE TABLE t AS SELECT * FROM pg_authid
		databases: the name pg_authid maybe | DO $$ BEGIN EXECUTE 'UPDATE ' || 'pg_authid SET rolcanlogin = false'; END $$
		databases: the name pg_authid maybe | DO $$ BEGIN EXECUTE format('UPDATE %s SET a = 1', 'pg_catalog.pg_authid'); END $$
		server: pg_logical_emit_message() | SELECT pg_logical_emit_message(false, 'a', 'b')
		- | SELECT * FROM pg_logical_slot_peek_changes('s', NULL, NULL)
		server: pg_log_backend_memory_contexts() | SELECT pg_log_backend_memory_contexts(1)
		server: pg_reload_conf() maybe | SELECT query_to_xml('SELECT pg_reload_conf()', true, false, '')
		server: pg_reload_conf() maybe | SELECT * FROM ts_stat('SELECT pg_reload_conf()::text::tsvector')
		servers: dblink() maybe | SELECT * FROM crosstab($$ SELECT * FROM dblink('x', 'y') AS t (a int) $$) AS t (a int)
		- | SELECT query_to_xml('SELECT 1', true, false, '')
	`, "mine")
	pieces, err := Split("DO 'BEGIN EXECUTE ''CREATE RO'\n'LE x''; END'; SELECT 'DROP ROLE '\n'x'", PostgreSQL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pieces) != 2 {
		t.Fatalf("len(pieces) = %v, want 2", len(pieces))
	}
	for i, want := range []string{"roles: CREATE ROLE maybe", "-"} {
		if got := effectsText(pieces[i].Outside(PostgreSQL)); got != want {
			t.Errorf("%q: %s, want %s", pieces[i].Text, got, want)
		}
	}
}

func TestSQLiteOutside(t *testing.T) {
	checkOutside(t, SQLite, `
		files: ATTACH | ATTACH 'other.db' AS other
		files: ATTACH | ATTACH DATABASE 'file:x?mode=rw' AS other
		files: ATTACH | attach ?1 as other
		files: ATTACH | ATTACH '' || 'x.db' AS other
		- | ATTACH ':memory:' AS other
		- | ATTACH DATABASE '' AS other
		- | DETACH other
		- | EXPLAIN ATTACH 'x' AS y
		files: VACUUM INTO whole | VACUUM INTO 'copy.db'
		files: VACUUM INTO whole | VACUUM main INTO 'copy.db'
		- | VACUUM
		programs: load_extension() | SELECT load_extension('x')
		files: writefile() | SELECT writefile('x', a) FROM t
		- | SELECT readfile('x')
		files: PRAGMA temp_store_directory whole | PRAGMA temp_store_directory = '/x'
		files: PRAGMA data_store_directory whole | PRAGMA data_store_directory('/x')
		- | PRAGMA temp_store_directory
		- | PRAGMA journal_mode = WAL
		- | PRAGMA main.user_version = 3
		files: USING zipfile | CREATE VIRTUAL TABLE z USING zipfile('x.zip')
		- | CREATE VIRTUAL TABLE f USING fts5(a)
		programs: load_extension() maybe | CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT load_extension('x'); END
		- | INSERT INTO t VALUES ('ATTACH ''x'' AS y', 'load_extension(1)')
		- | CREATE TABLE attach_log (a text DEFAULT 'VACUUM INTO x')
		- | INSERT INTO t SELECT a FROM other.t
	`)
}

func TestMySQLOutside(t *testing.T) {
	checkOutside(t, MySQL, `
		databases: USE | USE shop
		- | USE mine
		- | SELECT * FROM t USE INDEX (i)
		databases: CREATE DATABASE whole | CREATE DATABASE IF NOT EXISTS shop
		databases: DROP SCHEMA whole | DROP SCHEMA shop
		databases: ALTER DATABASE whole | ALTER DATABASE shop CHARACTER SET utf8mb4
		databases: CREATE DATABASE whole | CREATE DATABASE /*!32312 IF NOT EXISTS*/ 'shop'
		- | CREATE DATABASE IF NOT EXISTS mine
		- | ALTER DATABASE CHARACTER SET utf8mb4
		- | ALTER DATABASE DEFAULT COLLATE utf8mb4_bin
		roles: CREATE USER whole | CREATE USER IF NOT EXISTS app@localhost IDENTIFIED BY 'x'
		roles: DROP USER whole | DROP USER app@'%.example.com'
		roles: RENAME USER whole | RENAME USER a@b TO c@d
		roles: CREATE ROLE whole | CREATE OR REPLACE ROLE readers
		roles: GRANT whole | GRANT SELECT ON shop.* TO app@localhost
		roles: REVOKE whole | REVOKE ALL ON mine.users FROM app@db.example.com
		roles: SET PASSWORD whole | SET PASSWORD FOR app@localhost = PASSWORD('x')
		roles: SET DEFAULT ROLE whole | SET DEFAULT ROLE readers TO app
		- | SET ROLE readers
		- | CREATE TABLE user (user int, role int)
		- | ALTER TABLE t ADD user int, ADD role int
		- | CREATE DEFINER=user@localhost VIEW v AS SELECT 1
		- | CREATE DEFINER='user'@'db.example.com' SQL SECURITY DEFINER VIEW v AS SELECT 1
		- | CREATE DEFINER=app@db.example.com TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.a = OLD.b
		settings: SET GLOBAL whole | SET GLOBAL max_connections = 5
		settings: SET GLOBAL whole | SET @@GLOBAL.max_connections = 5
		settings: SET PERSIST whole | SET PERSIST max_connections = 5
		settings: SET GLOBAL | SET @a = 1, GLOBAL max_connections = 5
		settings: SET GLOBAL whole | SET STATEMENT max_statement_time = 1 FOR SET GLOBAL max_connections = 5
		- | SET @old = @@GLOBAL.max_connections
		- | SET SESSION sql_mode = 'x', @@session.time_zone = '+00:00', NAMES utf8mb4
		server: SET sql_log_bin whole | SET SQL_LOG_BIN = 0
		server: SET sql_log_bin whole | SET @@SESSION.SQL_LOG_BIN= 0
		settings: SET GLOBAL whole | SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ ''
		server: FLUSH whole | FLUSH PRIVILEGES
		server: KILL whole | KILL 5
		server: RESET whole | RESET MASTER
		server: PURGE whole | PURGE BINARY LOGS TO 'x'
		server: CHANGE whole | CHANGE MASTER TO MASTER_HOST = 'x'
		server: START REPLICA whole | START REPLICA
		server: SHUTDOWN whole | SHUTDOWN
		server: LOCK INSTANCE whole | LOCK INSTANCE FOR BACKUP
		server: ALTER INSTANCE whole | ALTER INSTANCE ROTATE INNODB MASTER KEY
		- | START TRANSACTION
		- | LOCK TABLES t WRITE
		- | SELECT flush, reset, start FROM t
		programs: INSTALL PLUGIN whole | INSTALL PLUGIN x SONAME 'x.so'
		programs: CREATE FUNCTION SONAME | CREATE FUNCTION f RETURNS INTEGER SONAME 'x.so'
		programs: sys_exec() | SELECT sys_exec('rm')
		files: INTO OUTFILE whole | SELECT * FROM t INTO OUTFILE '/x'
		files: INTO DUMPFILE whole | SELECT a INTO DUMPFILE '/x' FROM t
		files: DATA DIRECTORY | CREATE TABLE t (a int) DATA DIRECTORY = '/x'
		- | LOAD DATA INFILE '/x' INTO TABLE t
		- | SELECT a INTO @a FROM t
		servers: CREATE SERVER | CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')
		servers: ENGINE = FEDERATED | CREATE TABLE t (a int) ENGINE=FEDERATED CONNECTION='mysql://x/shop/t'
		servers: ENGINE = CONNECT | CREATE TABLE t (a int) ENGINE=connect
		- | CREATE TABLE t (engine int, data int) ENGINE=InnoDB
		tablespaces: CREATE TABLESPACE whole | CREATE TABLESPACE x ADD DATAFILE 'x.ibd'
		tablespaces: DROP TABLESPACE whole | DROP UNDO TABLESPACE x

		databases: the name shop.users | INSERT INTO shop.users VALUES (1)
		databases: the name shop.users | INSERT shop.users VALUES (1)
		databases: the name shop.users | UPDATE shop.users SET a = 1
		databases: the name shop.users | UPDATE t, shop.users SET t.a = users.a
		databases: the name shop.users | DELETE FROM shop.users
		databases: the name shop.users | DROP TABLE IF EXISTS shop.users
		databases: the name shop.users | TRUNCATE shop.users
		databases: the name shop.users | ALTER TABLE t RENAME TO shop.users
		databases: the name shop.users | RENAME TABLE t TO shop.users
		databases: the name shop.users | CREATE TABLE t LIKE shop.users
		databases: the name shop.users | CREATE TABLE t (a int REFERENCES shop.users (id))
		databases: the name shop.users | CREATE INDEX i ON shop.users (a)
		databases: the name shop.r | CREATE TRIGGER shop.r BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1
		databases: the name shop.clean | CALL shop.clean()
		databases: the name shop.area | SELECT shop.area(1)
		databases: the name shop.users | INSERT INTO t SELECT users.shop FROM shop.users
		databases: the name shop.users | INSERT INTO shop.users (shop) VALUES (1)
		databases: the name mysql.user | UPDATE mysql.user SET a = 1
		databases: the name mysql.user | DELETE FROM mysql.user WHERE User = 'x'
		databases: the name performance_schema.setup_consumers | UPDATE performance_schema.setup_consumers SET ENABLED = 'YES'
		- | SELECT * FROM mysql.time_zone_name
		- | SELECT count(*) FROM information_schema.columns c WHERE c.table_schema = DATABASE()
		- | INSERT INTO mine.users VALUES (1)
		- | SELECT t.a, u.b FROM t JOIN users AS u ON u.id = t.id WHERE t.c = 'shop.users'
		- | SELECT EXTRACT(YEAR FROM o.created), TRIM(BOTH ' ' FROM o.name) FROM orders o
		- | INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE t.a = t.a + 1.5
		- | INSERT INTO t VALUES (1) AS new ON DUPLICATE KEY UPDATE a = new.a
		- | DELETE a FROM t AS a JOIN u ON a.id = u.id
		- | DELETE t.* FROM t
		- | SELECT 'shop'.* FROM shop
		- | SELECT @@session.sql_mode, @@global.max_connections
		- | UPDATE t SET a = JSON_EXTRACT(t.b, '$.x.y')
		- | INSERT INTO t VALUES ('USE shop', "DROP USER app", 'see shop.users') # DROP DATABASE x
		- | ALTER TABLE t COMMENT 'USE shop'

		roles: DROP USER maybe | CREATE PROCEDURE p() BEGIN DROP USER app; END
		server: FLUSH maybe | CREATE PROCEDURE p() BEGIN SET @a = 1; FLUSH PRIVILEGES; END
		databases: the name shop.users maybe | CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW INSERT INTO shop.users VALUES (NEW.id)
		databases: the name shop.users maybe | CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM shop.users
		databases: the name shop.p | CREATE PROCEDURE shop.p() BEGIN SELECT 1; END
		settings: SET GLOBAL maybe | BEGIN NOT ATOMIC SET GLOBAL max_connections = 5; END
		- | CREATE PROCEDURE p(reset int) BEGIN DECLARE flush int; SET flush = reset; SELECT t.a FROM t; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'DROP USER first'; END
		roles: DROP USER maybe | CREATE PROCEDURE p() BEGIN SET @s = 'DROP USER app'; PREPARE q FROM @s; EXECUTE q; END
		roles: CREATE USER maybe | PREPARE s FROM 'CREATE USER app'
		databases: DROP DATABASE maybe | EXECUTE IMMEDIATE 'DROP DATABASE shop'
		databases: the name shop.users maybe | SET @s = 'DELETE FROM shop.users'
		roles: DROP USER maybe | SELECT CONCAT('DROP USER ', a) INTO @s FROM t
		databases: DROP DATABASE maybe | SET @s = CONCAT('DROP DATABASE ', @name)
		- | SET @s = 'see shop.users'
		databases: USE | /*!40000 USE shop */
		roles: CREATE USER whole | /*!50003 CREATE USER app */
	`, "mine")
}

// TestMySQLOutsideQuoted has names in backticks, which the table above can't contain.
func TestMySQLOutsideQuoted(t *testing.T) {
	checkOutside(t, MySQL, strings.ReplaceAll(`
		databases: USE | USE ^shop^
		databases: the name ^shop^.^users^ | INSERT INTO ^shop^.^users^ VALUES (1)
		databases: the name ^shop^.^users^ | CREATE VIEW v AS SELECT ^shop^.^users^.^id^ AS ^id^ FROM ^t^
		- | INSERT INTO ^mine^.^users^ VALUES (1)
		- | CREATE VIEW v AS SELECT ^users^.^id^ AS ^id^ FROM ^users^
		- | CREATE DEFINER=^root^@^localhost^ PROCEDURE ^p^() SELECT 1
	`, "^", "`"), "mine")
}

// TestMySQLOutsideOfAnyMode: the text does not tell whether double quotes or brackets quote names,
// which depends on sql_mode.
func TestMySQLOutsideOfAnyMode(t *testing.T) {
	checkOutside(t, MySQL, strings.ReplaceAll(`
		databases: the name "shop"."w" | insert into "shop"."w" values (62)
		databases: the name "shop".w | insert into "shop".w values (62)
		databases: the name shop."w" | insert into shop . "w" values (62)
		databases: the name "shop".^w^ | UPDATE "shop".^w^ SET a = 1
		databases: the name "SHOP"."w" | DELETE FROM "SHOP"."w"
		databases: the name "shop"."users" | CREATE VIEW v AS SELECT "shop"."users"."id" FROM "t"
		databases: the name "shop"."area" | SELECT "shop"."area"(1)
		databases: the name "mysql"."user" | UPDATE "mysql"."user" SET a = 1
		databases: the name "shop"."w" maybe | CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW INSERT INTO "shop"."w" VALUES (1)
		databases: the name "shop"."w" maybe | PREPARE s FROM 'insert into "shop"."w" values (1)'
		databases: a qualified name in brackets maybe | insert into [shop].[w] values (62)
		databases: a qualified name in brackets maybe | insert into shop.[w] values (62)
		databases: a qualified name in brackets maybe | insert into [shop].w values (62)
		- | insert into "mine"."w" values (62)
		- | insert into [w] values (62)
		- | SELECT "u"."id" FROM "users" "u"
		- | SELECT "users"."id" FROM "users" WHERE "users"."a" = 'x'
		- | INSERT INTO t VALUES ("shop.users", "a", "$.b"), ("x"".y", 1.5, "z")
		- | CREATE DEFINER="root"@"db.example.com" PROCEDURE p() SELECT 1
		programs: sys_exec() | SELECT "sys_exec"('x')
		- | ALTER DATABASE "mine" CHARACTER SET utf8mb4
		servers: ENGINE = FEDERATED | CREATE TABLE t (a int) ENGINE='federated'
		servers: ENGINE = SPIDER | CREATE TABLE t (a int) ENGINE "Spider"
	`, "^", "`"), "mine")
}

// TestOutsideSaysWhere: the place is that of the words, also within a body.
func TestOutsideSaysWhere(t *testing.T) {
	for _, tt := range []struct {
		d          Dialect
		text, want string
	}{
		{PostgreSQL, "CREATE TABLE é (a int);\n  DROP ROLE app;", "f:2:3"},
		{PostgreSQL, "DO $$\nBEGIN\n  é := 1; CREATE ROLE app;\nEND $$;", "f:3:11"},
		{PostgreSQL, "DO '\nBEGIN\n  CREATE ROLE app; END';", "f:3:3"},
		{PostgreSQL, "CREATE FUNCTION f() RETURNS void AS $$\nBEGIN\n EXECUTE 'CREATE ROLE app'; END $$ LANGUAGE plpgsql;", "f:3:11"},
		{PostgreSQL, "DO\n E'BEGIN\\nCREATE ROLE app; END';", "f:2:2"},
		{PostgreSQL, "SELECT U&'é!00e9' UESCAPE\n'!', pg_reload_conf();", "f:2:6"},
		{SQLite, "SELECT 1; ATTACH 'x' AS y;", "f:1:11"},
		{MySQL, "SELECT 1;\nINSERT INTO a SELECT * FROM\n shop.users;", "f:3:2"},
		{MySQL, "CREATE PROCEDURE p()\nBEGIN\n  DROP USER app;\nEND;", "f:3:3"},
	} {
		pieces, err := Split(tt.text, tt.d, Options{File: "f"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, st := range pieces {
			for _, e := range st.Outside(tt.d) {
				got = append(got, e.Pos.String())
			}
		}
		if fmt.Sprint(got) != "["+tt.want+"]" {
			t.Errorf("%q: at %s, want %s", tt.text, got, tt.want)
		}
	}
}

// TestOrdinaryMigrationsStayInside finds nothing in the migrations of the examples and tests,
// except those about effects outside.
func TestOrdinaryMigrationsStayInside(t *testing.T) {
	files := 0
	for _, dir := range []string{"../examples", "../source/testdata", "../bench"} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil || e.IsDir() || filepath.Ext(path) != ".sql" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			dialects := []Dialect{PostgreSQL, SQLite, MySQL}
			if filepath.Base(filepath.Dir(path)) == "postgresql" { // it names a schema, which is a database elsewhere
				dialects = dialects[:1]
			}
			for _, d := range dialects {
				pieces, _ := Split(string(text), d, Options{File: path}) // another dialect may split what one can't
				for _, st := range pieces {
					for _, e := range st.Outside(d) {
						t.Errorf("%s, as %s: %s: %s", e.Pos, d, e.Outer, e.Words)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 8 {
		t.Fatalf("only %d files were found", files)
	}
}
