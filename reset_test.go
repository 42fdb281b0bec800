package whimbrel_test

import (
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func reset(t testing.TB, db database.Database, confirm string, opts whimbrel.ResetOptions) (*whimbrel.ResetResult, error) {
	t.Helper()
	opts.Confirm, opts.Reason = confirm, "because"
	return whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{MigrationLockTimeout: whimbrel.TryOnce}).Reset(t.Context(), opts)
}

// migrated returns a database with two tables.
func migrated(t testing.TB) (*memdb.Target, *memdb.Database) {
	t.Helper()
	target := memdb.New()
	db := open(t, target)
	mustUp(t, whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}))
	return target, db
}

func TestReset(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	r, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{})
	noError(t, err)
	wantEqual(t, "number of dropped objects", len(r.Dropped), 2)
	wantEqual(t, "first dropped object", r.Dropped[0].String(), "table t1")
	wantEqual(t, "sets", r.Sets, []string{"shop"})
	wantEqual(t, "database", r.Database, memdb.Name)
	wantTables(t, target)
	var last database.Entry
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
		noError(t, err)
		last = e
	}
	wantEqual(t, "direction of the last entry", last.Direction, database.Reset)
	wantEqual(t, "reason of the last entry", last.Reason, "because")
	if last.ToolVersion == "" {
		t.Error("the last entry has no tool version")
	}
	wantApplied(t, mustUp(t, m), 1, 2)
	wantTables(t, target, "t1", "t2")
}

func TestResetNeedsTheDatabasesName(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	for _, confirm := range []string{"", "another"} {
		r, err := reset(t, db, confirm, whimbrel.ResetOptions{})
		e := wantError[*whimbrel.ConfirmError](t, err)
		wantEqual(t, "database", e.Database, memdb.Name)
		wantEqual(t, "confirmation", e.Confirm, confirm)
		wantEqual(t, "dropped objects", r.Dropped, nil)
	}
	wantTables(t, target, "t1", "t2")
}

func TestResetDryRun(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	r, err := reset(t, db, "", whimbrel.ResetOptions{DryRun: true})
	noError(t, err)
	wantEqual(t, "number of objects to drop", len(r.Dropped), 2)
	if !r.DryRun {
		t.Error("the result does not say that it was a dry run")
	}
	wantTables(t, target, "t1", "t2")
	wantHistory(t, db, "up 1", "up 2")
	wantUnlocked(t, target)
}

// A protected database is reset only if its name is given twice: to overrule the protection, and to
// confirm the reset.
func TestResetRefused(t *testing.T) {
	t.Parallel()
	for _, dry := range []bool{false, true} {
		target, db := migrated(t)
		setting(t, db, database.Protected, "true")
		_, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{DryRun: dry})
		protected := wantError[*whimbrel.ProtectedError](t, err)
		wantEqual(t, "what is refused", protected.What, "reset")
		wantEqual(t, "reason", protected.Reason, "because")
		_, err = reset(t, db, "", whimbrel.ResetOptions{DryRun: true, Overrule: memdb.Name})
		noError(t, err)
		_, err = reset(t, db, "", whimbrel.ResetOptions{Overrule: memdb.Name})
		wantError[*whimbrel.ConfirmError](t, err)

		setting(t, db, database.Protected, "false")
		setting(t, db, database.Frozen, "true")
		_, err = reset(t, db, memdb.Name, whimbrel.ResetOptions{})
		wantError[*whimbrel.FrozenError](t, err)
		r, err := reset(t, db, "", whimbrel.ResetOptions{DryRun: true}) // it changes nothing
		noError(t, err)
		wantEqual(t, "objects that a dry run would drop", len(r.Dropped), 2)
		wantEqual(t, "frozen", r.Settings.Bool(database.Frozen), true)
		wantTables(t, target, "t1", "t2")
	}
}

// What Reset checks before it takes the lock, it checks again under the lock.
func TestResetIsRefusedUnderTheLock(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	db.SetHook(func(op string) error {
		if op == memdb.OpBegin {
			setting(t, open(t, target), database.Protected, "true")
		}
		return nil
	})
	_, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{})
	wantError[*whimbrel.ProtectedError](t, err)
	wantTables(t, target, "t1", "t2")
}

func TestResetOfAnotherLibrarysSet(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	tx := begin(t, target, "jobs")
	noError(t, tx.Record(t.Context(), database.Entry{Version: 1, Direction: database.Up}))
	_, err := tx.Commit(t.Context())
	noError(t, err)
	run, _, err := open(t, target).Guard(t.Context(), "jobs", database.LockOptions{})
	noError(t, err)
	_, err = reset(t, db, memdb.Name, whimbrel.ResetOptions{})
	wantEqual(t, "locked set", wantError[*database.LockedError](t, err).Set, "jobs")
	wantTables(t, target, "t1", "t2")
	noError(t, run.Close(t.Context()))
	r, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{})
	noError(t, err)
	wantEqual(t, "sets", r.Sets, []string{"jobs", "shop"})
}

// Reset leaves a database alone that Whimbrel never migrated.
func TestResetOfADatabaseThatWasNeverMigrated(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	for range 2 {
		r, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{})
		noError(t, err)
		wantEqual(t, "sets", r.Sets, nil)
		setting(t, db, database.MigrationLockTimeout, "1s")
	}
}

func TestKilledWhileResetting(t *testing.T) {
	t.Parallel()
	for _, op := range []string{memdb.OpBegin, memdb.OpTxState, memdb.OpTxReset, memdb.OpTxCommit} {
		target, db := migrated(t)
		failAt(db, op, memdb.ErrKilled)
		_, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{})
		wantErrorIs(t, err, memdb.ErrKilled)
		wantTables(t, target, "t1", "t2")
		wantUnlocked(t, target)
	}
}
