package whimbrel_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestLockedChecksBeforeAndUnderTheLock(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{})
	var calls []string
	db.SetHook(func(op string) error {
		calls = append(calls, op)
		return nil
	})
	check := func(*database.State) error {
		calls = append(calls, "check")
		return nil
	}
	err := m.Locked(t.Context(), check, func(tx database.Tx) error {
		calls = append(calls, "work")
		return tx.Exec(t.Context(), migration.Text("own.sql", "CREATE TABLE own (x)"))
	})
	if err != nil {
		t.Fatal(err)
	}
	calls = slices.DeleteFunc(calls, func(c string) bool { return !slices.Contains([]string{"check", "work", memdb.OpBegin}, c) })
	if want := []string{"check", memdb.OpBegin, "check", "work"}; !slices.Equal(calls, want) {
		t.Errorf("the calls were %q, want %q", calls, want)
	}
	wantTables(t, target, "own")
}

func TestLockedChangesNothingAfterAnError(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{})
	refused := errors.New("refused")
	allow := func(*database.State) error { return nil }
	work := func(tx database.Tx) error {
		if err := tx.Exec(t.Context(), migration.Text("own.sql", "CREATE TABLE own (x)")); err != nil {
			return err
		}
		return refused
	}
	if err := m.Locked(t.Context(), allow, work); !errors.Is(err, refused) {
		t.Errorf("an error of work: got %v", err)
	}
	deny := func(*database.State) error { return refused }
	if err := m.Locked(t.Context(), deny, work); !errors.Is(err, refused) {
		t.Errorf("an error of check: got %v", err)
	}
	setting(t, db, database.Frozen, "true")
	if err := m.Locked(t.Context(), allow, work); !errors.As(err, new(*whimbrel.FrozenError)) {
		t.Errorf("a frozen database: got %v", err)
	}
	wantTables(t, target)
	// The lock is free.
	setting(t, db, database.Frozen, "false")
	if _, err := m.Up(t.Context()); err != nil {
		t.Error(err)
	}
}
