package whimbrel_test

import (
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// A process that applies a migration in a transaction has nothing in the journal: whoever holds the
// migration lock is at work.
func TestStatusNamesTheProcessThatMigrates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		app  string
		want int64 // the version
	}{
		{"test", whimbrel.NilVersion},
		{"whimbrel: 0002_m2", 2},
		{"my: app", whimbrel.NilVersion},
		{"whimbrel: 0099_elsewhere", whimbrel.NilVersion},
	} {
		target := memdb.New()
		set := newSet(t, plain(3)...)
		m := migrator(t, target, set)
		mustMigrate(t, m, whimbrel.By(1))
		wantEqual(t, "a process without a lock", mustStatus(t, m).Running, nil)
		db, err := target.Open(t.Context(), database.Options{App: tt.app})
		noError(t, err)
		tx, _, err := db.Begin(t.Context(), set.Name(), database.LockOptions{})
		noError(t, err)
		s := mustStatus(t, m)
		if s.Running == nil {
			t.Fatal("status names no process")
		}
		wantEqual(t, "application", s.Running.App, tt.app)
		wantEqual(t, "version of "+tt.app, s.Running.Version, tt.want)
		for _, ms := range s.Migrations {
			wantEqual(t, "a migration is running", ms.Running, ms.Version == tt.want)
		}
		wantPending(t, s, 2, 3) // until its transaction is committed
		noError(t, tx.Rollback(t.Context()))
		wantEqual(t, "the process after its end", mustStatus(t, m).Running, nil)
		noError(t, db.Close())
	}
}

// Nothing is pending while another process rolls back.
func TestStatusNamesTheProcessThatRollsBack(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := newSet(t, plain(2)...)
	m := migrator(t, target, set)
	mustUp(t, m)
	db, err := target.Open(t.Context(), database.Options{App: "whimbrel: 0002_m2"})
	noError(t, err)
	tx, _, err := db.Begin(t.Context(), set.Name(), database.LockOptions{})
	noError(t, err)
	s := mustStatus(t, m)
	wantPending(t, s)
	if s.Running == nil || s.Running.Version != 2 {
		t.Errorf("the process that migrates is %+v, want one that rolls back version 2", s.Running)
	}
	for _, ms := range s.Migrations {
		wantEqual(t, "a migration is running", ms.Running, ms.Version == 2)
		wantEqual(t, "its state", ms.State, whimbrel.StateApplied) // until the transaction is committed
	}
	noError(t, tx.Rollback(t.Context()))
	noError(t, db.Close())
}
