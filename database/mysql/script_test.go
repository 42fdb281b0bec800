package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// failure is a script that fails, with a mark «» at the place that the error must name, and further
// expectations.
type failure struct {
	script, code, says string
}

// A statement's error has its place, its SQLSTATE, and a hint.
func TestStatementErrorSaysWhereAndWhat(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	_, err := pool.Exec("CREATE TABLE there (x int PRIMARY KEY)")
	must(t, err)
	_, err = pool.Exec("INSERT INTO there VALUES (1)")
	must(t, err)
	for name, f := range map[string]failure{
		"a syntax error":                {"CREATE TABLE a (x int);\nSELECT 'é',\n  1 FROM «»FROM a;", "42000", "error 1064"},
		"a syntax error at the end":     {"SELECT\n 1 +«»;\nSELECT 2;", "42000", "error 1064"},
		"a table that is missing":       {"SELECT 1;\n\n  /* ö */ «»INSERT INTO missing VALUES ('ü');", "42S02", "missing"},
		"a duplicate key":               {"SELECT 1; -- ß\r\n\t«»INSERT INTO there VALUES (1);", "23000", "Duplicate entry"},
		"in a run":                      {"CREATE TABLE b (x int);\n«»ALTER TABLE b ADD COLUMN x int;", "42S21", "Duplicate column"},
		"in a procedure":                {"CREATE PROCEDURE p() BEGIN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'as it wants'; END;\n«»CALL p();", "45000", "as it wants"},
		"a file of the client's":        {"«»LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE there;", "", "LOAD DATA INFILE on the server"},
		"a definer who does not exist":  {"CREATE DEFINER=`nobody`@`nowhere` PROCEDURE q() SELECT 1;\n«»CALL q();", "", "remove DEFINER"},
		"a value too long":              {"CREATE TABLE c (x varchar(3));\n«»INSERT INTO c VALUES ('four');", "22001", "Data too long"},
		"a code that is the number":     {"«»CREATE TABLE d (x int, FOREIGN KEY (x) REFERENCES missing (x));", "1005", "Can't create table"},
		"an unknown prepared statement": {"«»EXECUTE nothing;", "", "nothing"},
	} {
		head, tail, _ := strings.Cut(f.script, "«»")
		s := migration.Text("dir/1_ß.up.sql", head+tail)
		s.Line = 10
		set, err := migration.NewSet(name, migration.Migration{Version: 1, Name: "m", Up: s})
		must(t, err)
		_, err = up(t, db, set)
		st := as[*database.StatementError](t, err)
		line := 10 + strings.Count(head, "\n")
		column := 1 + len([]rune(head[strings.LastIndexByte(head, '\n')+1:]))
		equal(t, name+": the place", st.Pos.String(), fmt.Sprintf("dir/1_ß.up.sql:%d:%d", line, column))
		if f.code != "" {
			equal(t, name+": the code", st.Code, f.code)
		}
		contains(t, name, st.Error(), f.says)
		if st.Detail == "error "+st.Code {
			t.Errorf("%s: the detail %q repeats the code", name, st.Detail)
		}
	}
}

// Routines with semicolons in their bodies work, with DELIMITER and without.
func TestRoutinesTriggersAndEvents(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := up(t, open(t, url), setOf(t, "s",
		"CREATE TABLE a (x int); CREATE TABLE log (y int);",
		"DELIMITER //\nCREATE PROCEDURE p(IN n int)\nBEGIN\n  DECLARE i int DEFAULT 0;\n  WHILE i < n DO INSERT INTO a VALUES (i); SET i = i + 1; END WHILE;\nEND//\n"+
			"CREATE FUNCTION f(n int) RETURNS int DETERMINISTIC BEGIN DECLARE m int; SET m = n * 2; RETURN m; END //\nDELIMITER ;\n",
		"CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW BEGIN INSERT INTO log VALUES (f(NEW.x)); INSERT INTO log VALUES (-1); END;\n"+
			"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM log; DELETE FROM a; END;",
		"CALL p(2);",
		"BEGIN NOT ATOMIC IF (SELECT count(*) FROM a) = 2 THEN INSERT INTO log VALUES (7); END IF; END",
	))
	must(t, err)
	equal(t, "the log", value(t, pool, "SELECT group_concat(y ORDER BY y) FROM log"), "-1,-1,0,2,7")
	equal(t, "the events", value(t, pool, "SELECT count(*) FROM information_schema.events WHERE event_schema = DATABASE()"), "1")
}

// dump has the form that mysqldump writes.
const dump = "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n/*!40101 SET NAMES utf8mb4 */;\n/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;\n" +
	"DROP TABLE IF EXISTS `child`;\n/*!40101 SET @saved_cs_client     = @@character_set_client */;\n/*!40101 SET character_set_client = utf8 */;\n" +
	"CREATE TABLE `child` (\n  `id` int(11) NOT NULL,\n  `p` int(11) DEFAULT NULL,\n  PRIMARY KEY (`id`),\n  CONSTRAINT `fk` FOREIGN KEY (`p`) REFERENCES `parent` (`id`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n" +
	"/*!40101 SET character_set_client = @saved_cs_client */;\n\nLOCK TABLES `child` WRITE;\n/*!40000 ALTER TABLE `child` DISABLE KEYS */;\nINSERT INTO `child` VALUES (1,1),(2,2);\n/*!40000 ALTER TABLE `child` ENABLE KEYS */;\nUNLOCK TABLES;\n" +
	"CREATE TABLE `parent` (`id` int(11) NOT NULL, `name` text, PRIMARY KEY (`id`));\nLOCK TABLES `parent` WRITE;\nINSERT INTO `parent` VALUES (1,'it\\'s; 🐦'),(2,\"a;b\");\nUNLOCK TABLES;\n" +
	"/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;\n/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;\n"

// A dump is a valid migration, and leaves no changes in the session.
func TestDump(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := up(t, open(t, url), setOf(t, "s", dump, "INSERT INTO parent VALUES (3, concat(@@foreign_key_checks + 0, @@character_set_client, coalesce(@OLD_FOREIGN_KEY_CHECKS, 'none')));"))
	must(t, err)
	equal(t, "the names", value(t, pool, "SELECT group_concat(name ORDER BY id SEPARATOR '|') FROM parent"), "it's; 🐦|a;b|1utf8mb4none")
	equal(t, "the children", value(t, pool, "SELECT count(*) FROM child"), "2")
}

// Scripts use the server's sql_mode, unless the URL sets another; one that changes where strings
// end is refused.
func TestSQLMode(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	usual := value(t, pool, "SELECT @@GLOBAL.sql_mode")
	_, err := up(t, open(t, url), setOf(t, "s", "CREATE TABLE a (mode text); INSERT INTO a VALUES (@@sql_mode)"))
	must(t, err)
	equal(t, "the sql_mode", value(t, pool, "SELECT mode FROM a"), usual)
	_, err = up(t, open(t, url+"?sql_mode=ANSI_QUOTES,PIPES_AS_CONCAT"), setOf(t, "other", `CREATE TABLE "b" ("c" text); INSERT INTO "b" VALUES ('x' || 'y')`))
	must(t, err)
	equal(t, "what it made", value(t, pool, "SELECT c FROM b"), "xy")
	_, err = up(t, open(t, url+"?sql_mode=NO_BACKSLASH_ESCAPES"), setOf(t, "third", "SELECT 1"))
	contains(t, "the error", fmt.Sprint(err), "connect with another sql_mode")
}

// Times in the history are UTC to the microsecond, in any session time zone, and after 2038.
func TestTimesAreUTC(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	b, _, err := db.Begin(background(t), "s", database.LockOptions{})
	must(t, err)
	at := time.Date(2040, 3, 25, 1, 30, 0, 123456000, time.UTC)
	must(t, b.Exec(background(t), migration.Text("x.sql", "SET time_zone = '-08:00'")))
	must(t, b.Record(background(t), database.Entry{Version: 1, Direction: database.Up, StartedAt: at}))
	must(t, errOf(b.Commit(background(t))))
	equal(t, "the time", value(t, pool, "SELECT started_at FROM whimbrel_history WHERE set_name = 's'"), "2040-03-25 01:30:00.123456")
}

// A statement that commits by itself is refused in a Tx, before any of its script runs.
func TestDDLIsRefusedInATransaction(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	_, err := pool.Exec("CREATE TABLE a (x int)")
	must(t, err)
	for _, script := range []string{"INSERT INTO a VALUES (1); CREATE TABLE b (x int)", "INSERT INTO a VALUES (1); CALL p()", "INSERT INTO a VALUES (1); COMMIT; INSERT INTO a VALUES (2)"} {
		b, _, err := db.Begin(background(t), "s", database.LockOptions{})
		must(t, err)
		as[*database.StatementError](t, b.Exec(background(t), migration.Text("x.sql", script)))
		must(t, b.Rollback(background(t)))
	}
	for what, fn := range map[string]func(context.Context, mysql.Tx) error{
		"CREATE": func(ctx context.Context, tx mysql.Tx) error {
			_, err := tx.ExecContext(ctx, "CREATE TABLE b (x int)")
			return err
		},
		"COMMIT": func(ctx context.Context, tx mysql.Tx) error {
			_, err := tx.QueryContext(ctx, "COMMIT")
			return err
		},
		"TRUNCATE": func(ctx context.Context, tx mysql.Tx) error {
			var n int
			return tx.QueryRowContext(ctx, "TRUNCATE a").Scan(&n)
		},
	} {
		b, _, err := db.Begin(background(t), "s", database.LockOptions{})
		must(t, err)
		must(t, b.Exec(background(t), migration.Text("x.sql", "INSERT INTO a VALUES (1)")))
		contains(t, "the error of "+what, fmt.Sprint(b.Exec(background(t), mysql.Func(what, fn))), what)
		must(t, b.Rollback(background(t)))
	}
	equal(t, "the rows", value(t, pool, "SELECT count(*) FROM a"), "0")
	equal(t, "the tables", value(t, pool, "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'b'"), "0")
}

// A script waits for locks as long as it says.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := pool.Exec("CREATE TABLE a (x int)")
	must(t, err)
	tx, err := pool.Begin()
	must(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO a VALUES (1)")
	must(t, err)
	db := open(t, url)
	for name, text := range map[string]string{"a run": "ALTER TABLE a ADD COLUMN y int", "a transaction": "UPDATE a SET x = 2"} {
		s := migration.Text("x.sql", text)
		s.LockTimeout = 50 * time.Millisecond // the server counts in seconds
		set, err := migration.NewSet(name, migration.Migration{Version: 1, Name: "m", Up: s})
		must(t, err)
		_, err = whimbrel.New(db, set, whimbrel.Options{MigrationLockTimeout: waitLimit, RetryFor: whimbrel.NoTimeout}).Up(background(t))
		contains(t, name, as[*database.StatementError](t, err).Error(), "lock-timeout")
	}
}

// A pool of one connection is refused: the lock needs another one.
func TestPoolOfOne(t *testing.T) {
	t.Parallel()
	_, pool := newDatabase(t)
	pool.SetMaxOpenConns(1)
	db, err := mysql.New(pool, database.Options{})
	must(t, err)
	_, _, err = db.Begin(background(t), "s", database.LockOptions{})
	contains(t, "the error of Begin", fmt.Sprint(err), "raise SetMaxOpenConns")
	must(t, db.Close())
	equal(t, "the pool still works", value(t, pool, "SELECT 1"), "1")
}

// Several sets migrate at once.
func TestSetsMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	var all sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		all.Go(func() {
			set, err := newSet(fmt.Sprint("set ", i), []string{fmt.Sprintf("CREATE TABLE t%d (x int)", i), fmt.Sprintf("INSERT INTO t%d VALUES (1)", i), fmt.Sprintf("INSERT INTO t%d VALUES (1); ALTER TABLE t%[1]d ADD y int", i)})
			if err == nil {
				_, err = whimbrel.New(db, set, whimbrel.Options{MigrationLockTimeout: waitLimit}).Up(context.Background())
			}
			errs[i] = err
		})
	}
	all.Wait()
	must(t, errors.Join(errs...))
	equal(t, "the events", value(t, pool, "SELECT count(*) FROM whimbrel_history WHERE set_name LIKE 'set %'"), "18")
}

// Planning with nothing pending takes one query on an open connection.
func TestTurns(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.MariaDB(t))
	db := open(t, proxy.URL)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	_, err = db.State(background(t), "s") // on an open connection
	must(t, err)
	proxy.Reset()
	_, err = db.State(background(t), "s")
	must(t, err)
	equal(t, "the round trips of State", fmt.Sprint(proxy.Turns()), "1")
	other := open(t, proxy.URL)
	proxy.Reset()
	_, _, err = database.LockHolder(background(t), other, "s")
	must(t, err)
	equal(t, "the round trips of LockHolder, those for facts about the server included", fmt.Sprint(proxy.Turns()), "2")
	for range 2 {
		proxy.Reset()
		b, _, err := db.Begin(background(t), "s", database.LockOptions{})
		must(t, err)
		must(t, b.Exec(background(t), migration.Text("x.sql", "INSERT INTO a VALUES (1)")))
		must(t, b.Record(background(t), database.Entry{Version: 2, Direction: database.Up}))
		must(t, errOf(b.Commit(background(t))))
	}
	equal(t, "the round trips of a migration in a transaction of its own", fmt.Sprint(proxy.Turns()), "9")
}

// The journal shows whether a process is at work, for each form of the lock.
func TestJournalIsHeld(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"advisory", "lease"} {
		url := testdb.MariaDB(t) + "?lock=" + lock
		db := open(t, url)
		held := func() string {
			t.Helper()
			st, err := open(t, url).State(background(t), "s")
			must(t, err)
			return fmt.Sprint(st.Interrupted.Held)
		}
		r, _, err := db.Guard(background(t), "s", database.LockOptions{})
		must(t, err)
		must(t, r.Journal(background(t), &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 2, Begun: "DROP TABLE a"}))
		equal(t, lock+": held by its run", held(), "true")
		must(t, r.Close(background(t)))
		other, _, err := db.Guard(background(t), "other", database.LockOptions{})
		must(t, err)
		equal(t, lock+": held while another set is", held(), "false")
		must(t, other.Close(background(t)))
		b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
		must(t, err)
		equal(t, lock+": held by a transaction", held(), "true")
		must(t, b.Rollback(background(t)))
	}
}

// Changes by others to global variables during a Tx are not reverted.
func TestVariablesOfTheServerAreNotRestored(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t, "log-bin=bin", "server-id=1")
	url := server.New()
	pool := testdb.OpenMariaDB(t, url)
	_, err := pool.Exec("CREATE TABLE a (x int)")
	must(t, err)
	b, _, err := open(t, url).Begin(background(t), "s", database.LockOptions{})
	must(t, err)
	must(t, b.Exec(background(t), migration.Text("x.sql", "SET @a = 1; SET sql_mode = ''")))
	before := value(t, pool, "SELECT @@GLOBAL.gtid_binlog_pos")
	for _, statement := range []string{"INSERT INTO a VALUES (1)", "SET GLOBAL max_connections = 77"} {
		_, err = pool.Exec(statement)
		must(t, err)
	}
	if before == value(t, pool, "SELECT @@GLOBAL.gtid_binlog_pos") {
		t.Fatal("no variable of the server has changed")
	}
	must(t, b.Exec(background(t), migration.Text("y.sql", "SET sql_mode = 'ANSI_QUOTES'; INSERT INTO a VALUES (2)")))
	must(t, b.Exec(background(t), migration.Text("z.sql", "INSERT INTO a SELECT 3 FROM DUAL WHERE @@sql_mode NOT LIKE '%ANSI_QUOTES%' AND @@sql_mode <> ''")))
	must(t, errOf(b.Commit(background(t))))
	equal(t, "the rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM a"), "1,2,3")
	equal(t, "max_connections", value(t, pool, "SELECT @@max_connections"), "77")
}

// The lock's holder includes the program's name if the server has it.
func TestHolderHasItsAppIfPerformanceSchemaIsOn(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t, "performance-schema=ON")
	url := server.New()
	db, err := database.Open(background(t), url, database.Options{App: "the shop: orders, and more"})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	b, _, err := db.Begin(background(t), "s", database.LockOptions{})
	must(t, err)
	_, _, err = open(t, url).Begin(background(t), "s", database.LockOptions{})
	h := as[*database.LockedError](t, err).Holder
	equal(t, "the app", h.App, "the shop  orders  and more")
	equal(t, "the user", h.User, "root")
	must(t, b.Rollback(background(t)))
}

// Changes of a script to its session don't affect the mark.
func TestMarksIgnoreTheScriptsSession(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := up(t, open(t, url), setOf(t, "s", `SET sql_mode = concat('ANSI_QUOTES,NO_BACKSLASH', '_ESCAPES');
CREATE TABLE "a" (x int);
SET SESSION TRANSACTION READ ONLY;
SELECT 1;
SET SESSION TRANSACTION READ WRITE;
USE mysql;
SET NAMES latin1;
SET time_zone = '+05:00', autocommit = 0;
DO 1;
USE `+value(t, pool, "SELECT database()")+`;
INSERT INTO a VALUES (1)`))
	must(t, err)
	equal(t, "the rows", value(t, pool, "SELECT count(*) FROM a"), "1")
	equal(t, "rows of the journal", value(t, pool, "SELECT count(*) FROM whimbrel_journal"), "0")
}

// A statement that asks how many rows the one before it has changed or found gets the right answer,
// although somebody listens to warnings. Those of other statements are heard.
func TestRowsAreCountedDespiteWarnings(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	var heard []string
	db, err := database.Open(background(t), url, database.Options{Notice: func(n database.Notice) { heard = append(heard, n.Code) }})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	_, err = up(t, db, setOf(t, "s", "CREATE TABLE t (x int PRIMARY KEY); CREATE TABLE counted (what varchar(20), n int)",
		"INSERT IGNORE INTO t VALUES (1), (1), (2); INSERT INTO counted VALUES ('in a transaction', ROW_COUNT()); INSERT IGNORE INTO t VALUES (1), (3)",
		"SELECT SQL_CALC_FOUND_ROWS x FROM t LIMIT 1; INSERT INTO counted SELECT 'found', found_rows()",
		"CREATE TABLE other (x int); BEGIN; INSERT IGNORE INTO t VALUES (4), (4), (5), (6), (7); INSERT INTO counted VALUES ('of its own', ROW_COUNT()); COMMIT",
	))
	must(t, err)
	equal(t, "the counts", value(t, pool, "SELECT GROUP_CONCAT(CONCAT(what, ' ', n) ORDER BY what DESC SEPARATOR ', ') FROM counted"), "of its own 4, in a transaction 2, found 3")
	equal(t, "the warnings", fmt.Sprint(heard), "[1062]")
}
