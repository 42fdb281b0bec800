package mysql_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// announced announces a statement, and returns what the journal stores of the database before it.
func announced(t testing.TB, r database.Run, text string) (st sqltext.Statement, before string) {
	t.Helper()
	all, err := sqltext.Split(text, sqltext.MySQL, sqltext.Options{})
	must(t, err)
	return all[0], announce(t, r, all[0])
}

// outcome returns the verdict on a statement.
func outcome(t testing.TB, r database.Run, st sqltext.Statement, before string) database.Verdict {
	t.Helper()
	o, err := r.Outcome(background(t), st, before, database.LockOptions{Timeout: waitLimit})
	must(t, err)
	return o.Verdict
}

// A statement of every kind has happened if and only if it was executed.
func TestOutcomeOfEveryKind(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{})
	must(t, err)
	defer r.Close(background(t))
	for _, text := range []string{
		"CREATE TABLE t (a int, b int)",
		"CREATE TABLE `Of ``odd` (`'` int)",
		"CREATE TABLE copy AS SELECT * FROM t",
		"CREATE INDEX i ON t (a)",
		"CREATE UNIQUE INDEX u ON `Of ``odd` (`'`)",
		"ALTER TABLE t ADD COLUMN c int",
		"ALTER TABLE t DROP COLUMN c, COMMENT 'without'",
		"CREATE VIEW v AS SELECT a FROM t",
		"ALTER VIEW v AS SELECT b FROM t",
		"CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1",
		"CREATE PROCEDURE p(x int) SELECT x",
		"ALTER PROCEDURE p COMMENT 'p'",
		"CREATE FUNCTION f(x int) RETURNS int RETURN x",
		"CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM t",
		"ALTER EVENT e COMMENT 'e'",
		"CREATE SEQUENCE s",
		"ALTER SEQUENCE s MAXVALUE 7",
		"RENAME TABLE t TO t0, copy TO t, t0 TO copy",
		"RENAME TABLE copy TO gone",
		"ALTER TABLE gone RENAME TO back",
		"DROP EVENT e",
		"DROP FUNCTION f",
		"DROP PROCEDURE p",
		"DROP TRIGGER tr",
		"DROP VIEW v",
		"DROP SEQUENCE s",
		"DROP INDEX u ON `Of ``odd`",
		"DROP TABLE `Of ``odd`",
		"DROP TABLE back, t",
	} {
		st, before := announced(t, r, text)
		equal(t, "before "+text, string(outcome(t, r, st, before)), string(database.NotHappened))
		must(t, execute(background(t), r, text))
		equal(t, "after "+text, string(outcome(t, r, st, before)), string(database.Happened))
	}
}

// What exists already, and makes a statement fail, is not taken for its effect.
func TestOutcomeOfWhatExists(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	for _, text := range []string{"CREATE TABLE t (a int, KEY i (a))", "CREATE VIEW v AS SELECT 1 AS a", "CREATE PROCEDURE p() SELECT 1"} {
		_, err := pool.Exec(text)
		must(t, err)
	}
	for _, lock := range []string{"?lock=advisory", "?lock=lease"} {
		r, _, err := open(t, url+lock).Guard(background(t), "s", database.LockOptions{})
		must(t, err)
		for _, text := range []string{"CREATE TABLE t (b int)", "CREATE TABLE v (b int)", "CREATE VIEW t AS SELECT 1", "CREATE INDEX I ON t (a)", "CREATE PROCEDURE p() SELECT 2"} {
			st, before := announced(t, r, text)
			contains(t, text+": what is stored", before, `"there":1`)
			if execute(background(t), r, text) == nil {
				t.Fatalf("%s returned no error", text)
			}
			equal(t, lock+": "+text, string(outcome(t, r, st, before)), string(database.NotHappened))
		}
		must(t, r.Journal(background(t), nil))
		must(t, r.Close(background(t)))
	}
}

// Names in a statement that are not of what it is about lead to no object, in no database: those of
// columns, aliases, indexes and constraints, and words in strings and comments.
func TestOnlyTheSubjectIsRead(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t, "general-log", "log-output=TABLE")
	url := server.New()
	pool := testdb.OpenMariaDB(t, url)
	name := url[strings.LastIndexByte(url, '/')+1:]
	for _, text := range []string{"CREATE DATABASE c", "CREATE TABLE c.t3 (c int)", "CREATE TABLE t3 (c int, t2 int)", "CREATE TABLE t2 (c int)"} {
		_, err := pool.Exec(text)
		must(t, err)
	}
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{})
	must(t, err)
	for text, subject := range map[string]string{
		"CREATE TABLE t (c int, t3 int, INDEX t2 (c), CHECK (c > 0)) COMMENT 'c.t3'": `[{"kind":"table","schema":"` + name + `","name":"t"}]`,
		"CREATE INDEX t2 ON t3 (c)":                               `[{"kind":"index","schema":"` + name + `","of":"t3","name":"t2"}]`,
		"CREATE VIEW v AS SELECT c.t3 FROM t2 AS c /* t3 */":      `[{"kind":"view","schema":"` + name + `","name":"v"}]`,
		"CREATE PROCEDURE p() SELECT c.c FROM t3 AS c, c.t3 AS t": `[{"kind":"procedure","schema":"` + name + `","name":"p"}]`,
		"DROP TABLE t2 -- and not c.t3":                           `[{"kind":"table","schema":"` + name + `","name":"t2"}]`,
	} {
		_, before := announced(t, r, text)
		contains(t, text+": what is stored", before, subject)
	}
	_, before := announced(t, r, "ALTER TABLE t3 ADD COLUMN t2 int DEFAULT 5 COMMENT 'c.t3', ADD INDEX c (t2)")
	contains(t, "what is stored", before, `"objects":[{"kind":"table","schema":"`+name+`","name":"t3","attrs"`)
	if strings.Count(before, `"kind"`) != 1 {
		t.Errorf("more than the table is stored: %s", before)
	}
	must(t, r.Close(background(t)))
	others := "SELECT group_concat(argument) FROM mysql.general_log WHERE argument NOT LIKE '%general_log%' AND (argument LIKE 'SHOW CREATE%`c`%' OR argument LIKE '%information_schema%''c''%')"
	equal(t, "queries about the other database", value(t, pool, "SELECT coalesce(("+others+"), 'none')"), "none")
}

// A Record that finds the lock lost, or that the server interrupts, leaves neither an entry nor an
// open transaction.
func TestRecordIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"?lock=advisory", "?lock=lease"} {
		t.Run(lock, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			db := open(t, url+lock)
			r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
			must(t, err)
			announced(t, r, "CREATE TABLE t (a int)")
			history := "SELECT count(*) FROM whimbrel_history WHERE set_name = 's'"

			// a session locks the table, so the statement waits until it is interrupted
			locker, err := pool.Conn(background(t))
			must(t, err)
			defer locker.Close()
			_, err = locker.ExecContext(background(t), "LOCK TABLES whimbrel_history WRITE")
			must(t, err)
			done := make(chan error)
			go func() {
				done <- errOf(r.Record(background(t), database.Entry{Version: 1, Name: "m", Direction: database.Up}))
			}()
			eventually(t, "the entry waits", func() bool { return isRunning(t, pool, "%INSERT INTO `whimbrel_history`%") })
			guard := value(t, pool, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '%INSERT INTO `whimbrel_history`%' AND id <> CONNECTION_ID()")
			_, err = pool.Exec("KILL QUERY " + guard)
			must(t, err)
			err = <-done
			if unknown := (*database.CommitUnknownError)(nil); err == nil || errors.As(err, &unknown) {
				t.Fatalf("Record that was interrupted before its COMMIT returned %v", err)
			}
			_, err = locker.ExecContext(background(t), "UNLOCK TABLES")
			must(t, err)
			equal(t, "the entries after an interruption", value(t, pool, history), "0")
			equal(t, "an open transaction", value(t, pool, "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = ?", guard), "0")

			must(t, mysql.Lose(background(t), r))
			lost := as[*database.LockLostError](t, errOf(r.Record(background(t), database.Entry{Version: 1, Name: "m", Direction: database.Up})))
			equal(t, "the set", lost.Set, "s")
			equal(t, "the entries without the lock", value(t, pool, history), "0")
			equal(t, "the journal without the lock", value(t, pool, "SELECT count(*) FROM whimbrel_journal"), "1")
			must(t, r.Close(background(t)))
		})
	}
}

// A statement that the server refuses has not happened, although its object is as after it: the
// next attempt fails in the same way.
func TestRefusedStatementsHaveNotHappened(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, code string }{
		"a missing table": {"CREATE TABLE a (x int); DROP TABLE missing", "42S02"},
		"a missing index": {"CREATE TABLE a (x int); DROP INDEX missing ON a", "42000"},
		"a missing view":  {"CREATE TABLE a (x int); DROP VIEW missing", "42S02"},
		"an index":        {"CREATE TABLE a (x int, KEY i (x)); CREATE INDEX i ON a (x)", "42000"},
		"a second index":  {"CREATE TABLE a (x int UNIQUE, UNIQUE (x)); CREATE INDEX x_2 ON a (x)", "42000"},
		"a table":         {"CREATE TABLE a (x int); CREATE TABLE a (x int)", "42S01"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			db := open(t, url)
			for range 2 {
				_, err := up(t, db, setOf(t, "s", tt.text))
				e := as[*database.StatementError](t, err)
				equal(t, "the code and the index", fmt.Sprint(e.Code, " ", e.Index), tt.code+" 1")
				equal(t, "the announced statement", value(t, pool, "SELECT begun FROM whimbrel_journal"), "")
			}
			_, err := up(t, db, setOf(t, "s", tt.text[:strings.Index(tt.text, "; ")]))
			must(t, err)
		})
	}
}

// A statement that the server can't parse, or whose only user exists or does not, has certainly had
// no effect, so the file can be fixed. A procedure may have had some before such an error.
func TestStatementsThatCannotBeExecuted(t *testing.T) {
	t.Parallel()
	for text, begun := range map[string]string{
		"CREATE TABEL a (x int)": "", "ALTER TABEL a ADD x int": "", "CREATE USER u IDENTIFY BY 'x'": "",
		"DROP USER whimbrel_nobody": "", "DROP USER whimbrel_nobody, whimbrel_none": "DROP USER whimbrel_nobody, whimbrel_none",
		"CRATE TABLE a (x int)": "", "INSRET INTO a VALUES (1)": "", "(CREATE TABLE a (x int)": "",
		"CALL p": "CALL p", "BEGIN NOT ATOMIC EXECUTE IMMEDIATE 'CRATE'; END": "BEGIN NOT ATOMIC EXECUTE IMMEDIATE 'CRATE'; END",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			must(t, errOf(pool.ExecContext(background(t), "CREATE PROCEDURE p() EXECUTE IMMEDIATE 'CRATE'")))
			db := open(t, url)
			_, err := up(t, db, setOf(t, "s", "DELIMITER //\n"+text+"//"))
			as[*database.StatementError](t, err)
			equal(t, "the announced statement", value(t, pool, "SELECT begun FROM whimbrel_journal UNION SELECT '' LIMIT 1"), begun)
			if begun == "" {
				must(t, errOf(up(t, db, setOf(t, "s", "CREATE TABLE a (x int)"))))
			}
		})
	}
}
