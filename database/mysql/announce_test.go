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
