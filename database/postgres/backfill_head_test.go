package postgres_test

import (
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// A pause while another process migrates does not hide what that process records: entries of
// changes are written without the migration lock.
func TestBackfillEntriesAndTheHead(t *testing.T) {
	t.Parallel()
	m := testdb.PostgresMajors(t)[0]
	url := m.New(t)
	db := open(t, url)
	do(t, connect(t, url), "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0)")
	startFill(t, db, fill(t, "-- whimbrel: backfill t\nUPDATE t SET n = 1 WHERE id BETWEEN :first AND :last"))
	all, err := backfiller(db).Backfills(background(t), database.BackfillQuery{})
	must(t, err)
	set := all[0].Set
	b, _, err := db.Begin(background(t), set, database.LockOptions{Timeout: time.Minute})
	must(t, err)
	must(t, b.Record(background(t), database.Entry{Version: 22, Name: "x", Direction: database.Up, StartedAt: time.Now()}))
	_, err = b.State(background(t))
	must(t, err)
	_, err = backfiller(db).ChangeBackfill(background(t), database.BackfillChange{BackfillID: all[0].BackfillID, Action: database.ActionPause})
	must(t, err)
	before, err := db.State(background(t), set)
	must(t, err)
	_, err = b.Commit(background(t))
	must(t, err)
	after, err := db.State(background(t), set)
	must(t, err)
	if after.Head <= before.Head {
		t.Errorf("the head was %d before version 22 became visible, and is %d", before.Head, after.Head)
	}
	b, found, err := db.Begin(background(t), set, database.LockOptions{Timeout: time.Minute})
	must(t, err)
	must(t, b.Rollback(background(t)))
	if found.Head != after.Head {
		t.Errorf("the head is %d under the lock, and %d in the state", found.Head, after.Head)
	}
}
