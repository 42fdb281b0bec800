package whimbrel_test

import (
	"errors"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A script with a Problem is refused by what would run it, before anything runs, and by nothing else.
func TestAProblemOfAScriptBlocksWhatWouldRunIt(t *testing.T) {
	unwritten := errors.New("3_m3.up.sql: nobody has written it")
	target := memdb.New()
	db := open(t, target)
	with := func(problem error) *whimbrel.Migrator {
		set := newSet(t, plain(4)...)
		m, _ := set.Get(3)
		m.Up.Problem = problem
		return whimbrel.New(db, set, whimbrel.Options{})
	}
	ctx, m := t.Context(), with(unwritten)
	for name, goal := range map[string]whimbrel.Goal{"latest": whimbrel.Latest(), "up to it": whimbrel.UpTo(3), "beyond it": whimbrel.Version(4), "steps": whimbrel.By(3)} {
		if _, err := m.Migrate(ctx, goal, whimbrel.ApplyOptions{}); !errors.Is(err, unwritten) {
			t.Errorf("%s: %v", name, err)
		}
		wantTables(t, target)
	}
	if _, err := m.Migrate(ctx, whimbrel.UpTo(2), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	wantTables(t, target, "t1", "t2")
	s, err := m.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, ms := range s.Migrations {
		if want := map[int64]error{3: unwritten}[ms.Version]; !errors.Is(ms.Problem, want) {
			t.Errorf("version %d has the problem %v, want %v", ms.Version, ms.Problem, want)
		}
	}
	if err := m.Verify(ctx); err != nil {
		t.Error(err)
	}
	if _, err := m.Migrate(ctx, whimbrel.DownTo(1), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	wantTables(t, target, "t1")
	if _, err := with(nil).Up(ctx); err != nil { // somebody has written it
		t.Fatal(err)
	}
	wantTables(t, target, "t1", "t2", "t3", "t4")
	if s, err = m.Status(ctx); err != nil || s.Migrations[2].Problem != nil {
		t.Errorf("an applied migration has a problem: %v, %v", s, err)
	}
	if _, err := m.Migrate(ctx, whimbrel.By(-2), whimbrel.ApplyOptions{}); err != nil { // what it was applied from has been taken away again
		t.Error(err)
	}
	if _, err := migration.NewSet("", migration.Migration{Version: 1, Up: &migration.Script{Problem: unwritten}}); err != nil {
		t.Error(err)
	}
}
