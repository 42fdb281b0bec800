package whimbrel_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func setting(t testing.TB, db database.Database, name, value string) {
	t.Helper()
	if err := database.UpdateSetting(t.Context(), db, database.SettingUpdate{Name: name, Value: value, Reason: "because", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func TestProtectedDatabaseIsNotRolledBackByAccident(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	set := newSet(t, plain(2)...)
	m := whimbrel.New(db, set, whimbrel.Options{})
	setting(t, db, database.Protected, "true")
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatalf("up is not what it protects from: %v", err)
	}
	for _, goal := range []whimbrel.Goal{whimbrel.DownTo(1), whimbrel.By(-1), whimbrel.Version(1), whimbrel.Redo(1)} {
		if p, err := m.Plan(t.Context(), goal); err != nil || len(p.Steps) == 0 {
			t.Errorf("%s: a plan changes nothing, but: %+v, %v", goal, p, err)
		}
		for _, overrule := range []string{"", "another"} {
			var protected *whimbrel.ProtectedError
			_, err := m.Migrate(t.Context(), goal, whimbrel.ApplyOptions{Overrule: overrule})
			if !errors.As(err, &protected) || protected.Database != memdb.Name || protected.Reason != "because" {
				t.Errorf("%s, overruling %q: got %v", goal, overrule, err)
			}
		}
	}
	wantTables(t, target, "t1", "t2")
	r, err := m.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{Overrule: memdb.Name})
	if err != nil || !slices.Equal(versions(r.RolledBack), []int64{2}) {
		t.Errorf("whoever says the name may: %+v, %v", r, err)
	}
}

func TestOrderSetting(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(3)[0], plain(3)[2]), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	var late *whimbrel.OutOfOrderError
	if _, err := m.Up(t.Context()); !errors.As(err, &late) {
		t.Fatalf("got %v", err)
	}
	setting(t, db, database.Order, database.OrderAny)
	if r, err := m.Up(t.Context()); err != nil || !slices.Equal(versions(r.Applied), []int64{2}) {
		t.Errorf("got %+v, %v", r, err)
	}
}

// The options' timeout comes before the target's, and the target's before the default.
func TestLockTimeoutSetting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		stored string
		opts   time.Duration
		want   time.Duration
	}{
		{"", 0, 15 * time.Second},
		{"40s", 0, 40 * time.Second},
		{"40s", 3 * time.Second, 3 * time.Second},
		{"0s", 0, 0},
		{"40s", whimbrel.TryOnce, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			target := memdb.New()
			db := open(t, target)
			if tt.stored != "" {
				setting(t, db, database.LockTimeout, tt.stored)
			}
			b, _, err := open(t, target).Begin(t.Context(), "shop", database.LockOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Rollback(t.Context())
			start := time.Now() // of the bubble's own clock
			_, err = whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{LockTimeout: tt.opts}).Up(t.Context())
			if waited := time.Since(start); !errors.Is(err, database.ErrLocked) || waited != tt.want {
				t.Errorf("%+v: waited %v for %v", tt, waited, err)
			}
		})
	}
}

func TestFreezeWaitsForRunningProcesses(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	m := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{LockTimeout: whimbrel.TryOnce})
	tx, _, err := db.Begin(t.Context(), "another", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Freeze(t.Context(), "the sale", time.Time{}); !errors.As(err, new(*database.UnsettledError)) {
		t.Errorf("while a process is running: got %v, want an *UnsettledError", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := m.Freeze(t.Context(), "the sale", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Value != "true" || v.Reason != "the sale" {
		t.Errorf("the setting is %+v", v)
	}
	var frozen *whimbrel.FrozenError
	if _, err := m.Up(t.Context()); !errors.As(err, &frozen) || frozen.Reason != "the sale" {
		t.Errorf("up of a frozen database: got %v", err)
	}
	if v, err = m.Thaw(t.Context(), "it is over"); err != nil || !v.IsDefault {
		t.Errorf("thaw: %+v, %v", v, err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Errorf("up after thaw: %v", err)
	}
}

func TestFreezeNeedsAReason(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	m := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{})
	if _, err := m.Freeze(t.Context(), "", time.Time{}); err == nil {
		t.Error("there is no error")
	}
	s, err := m.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Bool(database.Frozen) {
		t.Error("the database is frozen")
	}
}

// ChangeSetting records the change in the history of Whimbrel's own set.
func TestChangeSettingIsRecorded(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	m := whimbrel.New(db, newSet(t), whimbrel.Options{})
	v, err := m.ChangeSetting(t.Context(), database.SettingUpdate{Name: database.Order, Value: database.OrderAny, Reason: "a merge"})
	if err != nil {
		t.Fatal(err)
	}
	if v.Value != database.OrderAny || v.ChangedAt.IsZero() {
		t.Errorf("the setting is %+v", v)
	}
	var notes []string
	for e, err := range db.History(t.Context(), database.HistoryQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Direction == database.Setting {
			notes = append(notes, e.Note)
		}
	}
	if want := []string{"order=any: a merge"}; !slices.Equal(notes, want) {
		t.Errorf("the history has %q, want %q", notes, want)
	}
	var unknown *database.SettingError
	if _, err := m.ChangeSetting(t.Context(), database.SettingUpdate{Name: "colour", Value: "red"}); !errors.As(err, &unknown) {
		t.Errorf("an unknown setting: got %v", err)
	}
}
