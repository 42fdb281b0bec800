package whimbrel_test

import (
	"errors"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A script with a Problem is refused by everything that would run it, and by nothing else. Nothing
// runs before the refusal.
func TestAScriptWithAProblemDoesNotRun(t *testing.T) {
	unwritten := errors.New("3_m3.up.sql: nobody has written it")
	target := memdb.New()
	db := open(t, target)
	with := func(problem error) *whimbrel.Migrator {
		set := newSet(t, plain(4)...)
		m, _ := set.Get(3)
		m.Up.Problem = problem
		return whimbrel.New(db, set, whimbrel.Options{})
	}
	m := with(unwritten)
	for name, goal := range map[string]whimbrel.Goal{"latest": whimbrel.Latest(), "up to it": whimbrel.UpTo(3), "beyond it": whimbrel.Version(4), "steps": whimbrel.By(3)} {
		t.Run(name, func(t *testing.T) {
			wantErrorIs(t, tryMigrate(t, m, goal), unwritten)
			wantTables(t, target)
		})
	}
	mustMigrate(t, m, whimbrel.UpTo(2))
	wantTables(t, target, "t1", "t2")
	for _, ms := range mustStatus(t, m).Migrations {
		if want := map[int64]error{3: unwritten}[ms.Version]; !errors.Is(ms.Problem, want) {
			t.Errorf("version %d has the problem %v, want %v", ms.Version, ms.Problem, want)
		}
	}
	wantVerified(t, m)
	mustMigrate(t, m, whimbrel.DownTo(1))
	wantTables(t, target, "t1")
	mustUp(t, with(nil)) // with the finished script
	wantTables(t, target, "t1", "t2", "t3", "t4")
	if problem := mustStatus(t, m).Migrations[2].Problem; problem != nil {
		t.Errorf("an applied migration has the problem %v", problem)
	}
	mustMigrate(t, m, whimbrel.By(-2)) // the up script has the problem again
	_, err := migration.NewSet("", migration.Migration{Version: 1, Up: &migration.Script{Problem: unwritten}})
	noError(t, err)
}
