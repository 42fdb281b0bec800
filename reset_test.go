package whimbrel_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func reset(t testing.TB, db database.Database, confirm string, opts whimbrel.ResetOptions) (*whimbrel.ResetResult, error) {
	t.Helper()
	opts.Confirm, opts.Note = confirm, "because"
	return whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{LockTimeout: whimbrel.TryOnce}).Reset(t.Context(), opts)
}

// migrated returns a database with two tables.
func migrated(t testing.TB) (*memdb.Target, *memdb.Database) {
	t.Helper()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return target, db
}

func TestReset(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	r, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Dropped) != 2 || r.Dropped[0].String() != "table t1" || !slices.Equal(r.Sets, []string{"shop"}) || r.Database != memdb.Name {
		t.Errorf("got %+v", r)
	}
	wantTables(t, target)
	var last database.Entry
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	for last, err = range m.History(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if last.Direction != database.Reset || last.Note != "because" || last.ToolVersion == "" {
		t.Errorf("the history ends with %+v", last)
	}
	up, err := m.Up(t.Context())
	if err != nil || !slices.Equal(versions(up.Applied), []int64{1, 2}) {
		t.Errorf("after it, Up applied %+v, %v", up, err)
	}
	wantTables(t, target, "t1", "t2")
}

func TestResetWantsTheDatabasesName(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	for _, confirm := range []string{"", "another"} {
		r, err := reset(t, db, confirm, whimbrel.ResetOptions{})
		var e *whimbrel.ConfirmError
		if !errors.As(err, &e) || e.Database != memdb.Name || e.Confirm != confirm || r.Dropped != nil {
			t.Errorf("saying %q: got %+v, %v", confirm, r, err)
		}
	}
	wantTables(t, target, "t1", "t2")
}

func TestResetDryRun(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	r, err := reset(t, db, "", whimbrel.ResetOptions{DryRun: true})
	if err != nil || len(r.Dropped) != 2 || !r.DryRun {
		t.Errorf("got %+v, %v", r, err)
	}
	wantTables(t, target, "t1", "t2")
	st, err := db.State(t.Context(), "shop")
	if err != nil || st.Applied.Len() != 2 {
		t.Errorf("%d versions are applied, %v", st.Applied.Len(), err)
	}
	if held := target.Locked(); len(held) > 0 {
		t.Errorf("locks are held: %v", held)
	}
}

// A protected database wants its name said by another word than that with which any is reset.
func TestResetRefused(t *testing.T) {
	t.Parallel()
	for _, dry := range []bool{false, true} {
		target, db := migrated(t)
		setting(t, db, database.Protected, "true")
		var protected *whimbrel.ProtectedError
		if _, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{DryRun: dry}); !errors.As(err, &protected) || protected.What != "reset" || protected.Reason != "because" {
			t.Errorf("a protected database: got %v", err)
		}
		overruled := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
		if _, err := overruled.Reset(t.Context(), whimbrel.ResetOptions{DryRun: true, Overrule: memdb.Name}); err != nil {
			t.Errorf("whoever says that he knows may: %v", err)
		}
		var confirm *whimbrel.ConfirmError
		if _, err := overruled.Reset(t.Context(), whimbrel.ResetOptions{Overrule: memdb.Name}); !errors.As(err, &confirm) {
			t.Errorf("and that it is a reset which is meant: got %v", err)
		}
		setting(t, db, database.Protected, "false")
		setting(t, db, database.Frozen, "true")
		var mode *whimbrel.FrozenError
		if _, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{DryRun: dry}); !errors.As(err, &mode) {
			t.Errorf("migrations are off: got %v", err)
		}
		wantTables(t, target, "t1", "t2")
	}
}

// What is decided before the lock is decided again under it.
func TestResetIsRefusedUnderTheLock(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	db.SetHook(func(op string) error {
		if op == memdb.OpBegin {
			setting(t, open(t, target), database.Protected, "true")
		}
		return nil
	})
	var protected *whimbrel.ProtectedError
	if _, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{}); !errors.As(err, &protected) {
		t.Errorf("got %v", err)
	}
	wantTables(t, target, "t1", "t2")
}

func TestResetOfAnotherLibrarysSet(t *testing.T) {
	t.Parallel()
	target, db := migrated(t)
	b, _, err := open(t, target).Begin(t.Context(), "jobs", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Record(t.Context(), database.Entry{Version: 1, Direction: database.Up}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	run, _, err := open(t, target).Guard(t.Context(), "jobs", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var locked *database.LockedError
	if _, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{}); !errors.As(err, &locked) || locked.Set != "jobs" {
		t.Errorf("while the other set is migrated: got %v", err)
	}
	wantTables(t, target, "t1", "t2")
	if err := run.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{})
	if err != nil || !slices.Equal(r.Sets, []string{"jobs", "shop"}) {
		t.Errorf("got %+v, %v", r, err)
	}
}

// A database that Whimbrel never migrated is not Whimbrel's to empty.
func TestResetOfADatabaseThatNobodyMigrated(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	for range 2 {
		r, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{})
		if err != nil || r.Sets != nil {
			t.Errorf("got %+v, %v", r, err)
		}
		setting(t, db, database.LockTimeout, "1s")
	}
}

func TestKilledWhileResetting(t *testing.T) {
	t.Parallel()
	for _, op := range []string{memdb.OpBegin, memdb.OpTxState, memdb.OpTxReset, memdb.OpTxCommit} {
		target, db := migrated(t)
		db.SetHook(func(at string) error {
			if at == op {
				return memdb.ErrKilled
			}
			return nil
		})
		if _, err := reset(t, db, memdb.Name, whimbrel.ResetOptions{}); !errors.Is(err, memdb.ErrKilled) {
			t.Errorf("%s: got %v", op, err)
		}
		wantTables(t, target, "t1", "t2")
		if held := target.Locked(); len(held) > 0 {
			t.Errorf("%s: locks are held: %v", op, held)
		}
	}
}
