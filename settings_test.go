package whimbrel_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func setting(t testing.TB, db database.Database, name, value string) {
	t.Helper()
	noError(t, database.UpdateSetting(t.Context(), db, database.SettingUpdate{Name: name, Value: value, Reason: "because", At: time.Now()}))
}

func TestAProtectedDatabaseIsNotRolledBack(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	set := newSet(t, plain(2)...)
	m := whimbrel.New(db, set, whimbrel.Options{})
	setting(t, db, database.Protected, "true")
	mustUp(t, m) // is allowed
	for _, goal := range []whimbrel.Goal{whimbrel.DownTo(1), whimbrel.By(-1), whimbrel.Version(1), whimbrel.Redo(1)} {
		if p := mustPlan(t, m, goal); len(p.Steps) == 0 {
			t.Errorf("the plan of %q, which changes nothing, is empty", goal)
		}
		for _, overrule := range []string{"", "another"} {
			t.Run(fmt.Sprintf("%s, overruling %q", goal, overrule), func(t *testing.T) {
				_, err := m.Migrate(t.Context(), goal, whimbrel.ApplyOptions{Overrule: overrule})
				protected := wantError[*whimbrel.ProtectedError](t, err)
				wantEqual(t, "database", protected.Database, memdb.Name)
				wantEqual(t, "reason", protected.Reason, "because")
			})
		}
	}
	wantTables(t, target, "t1", "t2")
	r, err := m.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{Overrule: memdb.Name})
	noError(t, err)
	wantRolledBack(t, r, 2)
}

func TestOrderSetting(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	mustUp(t, whimbrel.New(db, newSet(t, plain(3)[0], plain(3)[2]), whimbrel.Options{}))
	m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	wantError[*whimbrel.OutOfOrderError](t, tryUp(t, m))
	setting(t, db, database.Order, database.OrderAny)
	wantApplied(t, mustUp(t, m), 2)
}

// The timeout of Options has precedence over the database's setting, and that over the default.
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
				setting(t, db, database.MigrationLockTimeout, tt.stored)
			}
			tx := begin(t, target, "shop")
			defer tx.Rollback(t.Context())
			start := time.Now() // of the bubble's own clock
			err := tryUp(t, whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{MigrationLockTimeout: tt.opts}))
			wantErrorIs(t, err, database.ErrLocked)
			wantEqual(t, fmt.Sprintf("the wait with %+v", tt), time.Since(start), tt.want)
		})
	}
}

func TestFreezeWaitsForRunningProcesses(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := whimbrel.New(open(t, target), newSet(t, plain(1)...), whimbrel.Options{MigrationLockTimeout: whimbrel.TryOnce})
	tx := begin(t, target, "another")
	_, err := m.Freeze(t.Context(), "the sale", time.Time{})
	wantError[*database.UnsettledError](t, err)
	noError(t, tx.Rollback(t.Context()))

	v, err := m.Freeze(t.Context(), "the sale", time.Time{})
	noError(t, err)
	wantEqual(t, "value", v.Value, "true")
	wantEqual(t, "reason", v.Reason, "the sale")
	wantEqual(t, "reason of the refusal", wantError[*whimbrel.FrozenError](t, tryUp(t, m)).Reason, "the sale")

	v, err = m.Thaw(t.Context(), "it is over")
	noError(t, err)
	if !v.IsDefault {
		t.Errorf("the setting after Thaw is %+v, want the default", v)
	}
	mustUp(t, m)
}

func TestFreezeNeedsAReason(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	m := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{})
	if _, err := m.Freeze(t.Context(), "", time.Time{}); err == nil {
		t.Error("Freeze without a reason is no error")
	}
	s, err := m.Settings(t.Context())
	noError(t, err)
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
	noError(t, err)
	wantEqual(t, "value", v.Value, database.OrderAny)
	if v.ChangedAt.IsZero() {
		t.Error("the setting has no time of its change")
	}
	var recorded []string
	for e, err := range db.History(t.Context(), database.HistoryQuery{}) {
		noError(t, err)
		if e.Direction == database.Setting {
			recorded = append(recorded, e.Remark+": "+e.Reason)
		}
	}
	wantEqual(t, "remarks and reasons of the history", recorded, []string{"order=any: a merge"})
	_, err = m.ChangeSetting(t.Context(), database.SettingUpdate{Name: "colour", Value: "red"})
	wantError[*database.SettingError](t, err)
}
