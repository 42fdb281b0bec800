package mysql_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The server executes a statement only if its announcement is written: not if the journal's row is
// gone, nor if another session has locked the journal.
func TestStatementNeedsItsAnnouncement(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: time.Second})
	must(t, err)
	defer r.Close(background(t))
	const text = "CREATE TABLE x (id int)"
	s := migration.Text("x.sql", text)
	all, err := sqltext.Split(text, sqltext.MySQL, sqltext.Options{})
	must(t, err)
	try := func(want any) {
		t.Helper()
		j := database.Journal{Version: 2, Name: "m", Direction: database.Up, Of: 1, Begun: text}
		announced, err := database.ExecAnnounced(background(t), r, s, all[0], &j)
		if announced || !errors.As(err, want) {
			t.Errorf("announced is %v, with the error %v, want %T", announced, err, want)
		}
		var tables int
		must(t, pool.QueryRow("SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'x'").Scan(&tables))
		equal(t, "the tables x", fmt.Sprint(tables), "0")
	}
	migrateAlone(t, r, 1, "CREATE TABLE t (id int)")

	locker, err := pool.Conn(background(t))
	must(t, err)
	defer locker.Close()
	must(t, errOf(locker.ExecContext(background(t), "LOCK TABLES whimbrel_journal WRITE")))
	try(new(*database.LockedError))
	must(t, errOf(locker.ExecContext(background(t), "UNLOCK TABLES")))

	must(t, errOf(pool.ExecContext(background(t), "DELETE FROM whimbrel_journal")))
	try(new(*database.LockLostError))
}

// An error of the parser has its place in the statement, which is not the first in its message.
func TestPlaceOfAnErrorInAnAnnouncedStatement(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	_, err := up(t, open(t, url), setOf(t, "s", "CREATE TABLE t (id int);\nCREATE TABLE u (\n  id int,\n  c int nonsense\n)"))
	failed, ok := errors.AsType[*database.StatementError](err)
	if !ok {
		t.Fatalf("the error is %v", err)
	}
	equal(t, "the line", fmt.Sprint(failed.Pos.Line), "5")
}

// The announcement of a statement doesn't change what LAST_INSERT_ID() returns to the script.
func TestLastInsertIDAfterAnAnnouncedStatement(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := up(t, open(t, url), setOf(t, "s",
		"CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, x int) AUTO_INCREMENT = 41; CREATE TABLE ids (what varchar(9), id bigint)",
		"INSERT INTO t (x) VALUES (1); CREATE TABLE a (x int); CREATE INDEX a_x ON a (x); DROP TABLE a; INSERT INTO ids VALUES ('a row', LAST_INSERT_ID())",
		"INSERT INTO t (x) VALUES (2); INSERT INTO t (x) VALUES (3); INSERT INTO t (x) VALUES (4); CREATE TABLE b (x int); INSERT INTO ids VALUES ('a group', LAST_INSERT_ID())",
		"CREATE PROCEDURE p() INSERT INTO t (x) VALUES (5)",
		"CALL p(); CREATE VIEW v AS SELECT 1; DROP VIEW v; INSERT INTO ids SELECT 'a call', LAST_INSERT_ID()",
	))
	must(t, err)
	equal(t, "the ids", value(t, pool, "SELECT GROUP_CONCAT(CONCAT(what, ' ', id) ORDER BY id SEPARATOR ', ') FROM ids"), "a row 41, a group 44, a call 45")
}
