package whimbrel_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func TestFrozen(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	mustMigrate(t, m, whimbrel.By(1))
	off := database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "the big sale", At: time.Now()}
	noError(t, database.UpdateSetting(t.Context(), db, off))
	for name, do := range map[string]func() error{
		"Up":       func() error { return tryUp(t, m) },
		"Rollback": func() error { return tryMigrate(t, m, whimbrel.DownTo(whimbrel.NilVersion)) },
		"Mark":     func() error { return m.Mark(t.Context(), "", 2) },
		"Forget":   func() error { return m.Forget(t.Context(), "", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			frozen := wantError[*whimbrel.FrozenError](t, do())
			wantEqual(t, "reason", frozen.Reason, "the big sale")
			wantEqual(t, "user", frozen.By, memdb.User)
			if frozen.Since.IsZero() {
				t.Error("the error has no time")
			}
		})
	}
	wantTables(t, target, "t1")
	if p := mustPlan(t, m, whimbrel.Latest()); len(p.Steps) != 1 {
		t.Errorf("the plan of a frozen database has %d steps, want 1", len(p.Steps))
	}
	// A build with nothing pending is not refused.
	mustUp(t, whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{}))
}

// A database that is frozen between Plan and Apply is refused.
func TestFrozenUnderTheLock(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	p := mustPlan(t, m, whimbrel.Latest())
	noError(t, database.UpdateSetting(t.Context(), db, database.SettingUpdate{Name: database.Frozen, Value: "true"}))
	r, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{})
	wantError[*whimbrel.FrozenError](t, err)
	wantApplied(t, r)
}

func TestMarkAndForget(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	noError(t, m.Mark(t.Context(), "made by hand", 1, 2))
	already := wantError[*whimbrel.AlreadyAppliedError](t, m.Mark(t.Context(), "", 3, 2))
	wantEqual(t, "version that is already applied", already.Version, 2)
	wantError[*whimbrel.UnknownVersionError](t, m.Mark(t.Context(), "", 7))
	mustUp(t, m)
	wantTables(t, target, "t3")
	noError(t, m.Forget(t.Context(), "", 2))
	wantError[*whimbrel.NotAppliedError](t, m.Forget(t.Context(), "", 2))
	var got []string
	for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
		noError(t, err)
		got = append(got, fmt.Sprintf("%s %d %s", e.Direction, e.Version, e.Reason))
	}
	wantEqual(t, "history", got, []string{"mark 1 made by hand", "mark 2 made by hand", "up 3 ", "forget 2 "})
}
