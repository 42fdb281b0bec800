package whimbrel_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func TestFrozen(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	if _, err := m.Migrate(t.Context(), whimbrel.By(1), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	off := database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "the big sale", At: time.Now()}
	if err := database.UpdateSetting(t.Context(), db, off); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"Up": func() error { _, err := m.Up(t.Context()); return err },
		"Rollback": func() error {
			_, err := m.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
			return err
		},
		"Mark":   func() error { return m.Mark(t.Context(), "", 2) },
		"Forget": func() error { return m.Forget(t.Context(), "", 1) },
	} {
		var mode *whimbrel.FrozenError
		if err := do(); !errors.As(err, &mode) || mode.Reason != "the big sale" || mode.By != memdb.User || mode.Since.IsZero() {
			t.Errorf("%s: got %v, want a *FrozenError with reason, user and time", name, err)
		}
	}
	wantTables(t, target, "t1")
	done := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{})
	if _, err := done.Up(t.Context()); err != nil {
		t.Errorf("with nothing to do there is nothing to refuse: %v", err)
	}
}

// A switch that is thrown between plan and apply counts.
func TestFrozenUnderTheLock(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	p, err := m.Plan(t.Context(), whimbrel.Latest())
	if err != nil {
		t.Fatal(err)
	}
	if err := database.UpdateSetting(t.Context(), db, database.SettingUpdate{Name: database.Frozen, Value: "true"}); err != nil {
		t.Fatal(err)
	}
	var mode *whimbrel.FrozenError
	if r, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{}); !errors.As(err, &mode) || len(r.Applied) > 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestMarkAndForget(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	if err := m.Mark(t.Context(), "made by hand", 1, 2); err != nil {
		t.Fatal(err)
	}
	var already *whimbrel.AlreadyAppliedError
	if err := m.Mark(t.Context(), "", 3, 2); !errors.As(err, &already) || already.Version != 2 {
		t.Errorf("got %v", err)
	}
	var unknown *whimbrel.UnknownVersionError
	if err := m.Mark(t.Context(), "", 7); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTables(t, target, "t3")
	if err := m.Forget(t.Context(), "", 2); err != nil {
		t.Fatal(err)
	}
	var not *whimbrel.NotAppliedError
	if err := m.Forget(t.Context(), "", 2); !errors.As(err, &not) {
		t.Errorf("got %v", err)
	}
	var got []string
	for e, err := range m.History(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d %s", e.Direction, e.Version, e.Note))
	}
	if want := []string{"mark 1 made by hand", "mark 2 made by hand", "up 3 ", "forget 2 "}; !cmp.Equal(got, want) {
		t.Errorf("the history has %q, want %q", got, want)
	}
}
