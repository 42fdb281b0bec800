package whimbrel_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

const touchUsers = "UPDATE users SET n = n + 1 WHERE id BETWEEN :first AND :last"

// filled returns migrations: 1 creates the table users, 2 is a backfill of it, 3 comes after that.
func filled(t testing.TB, b migration.Backfill) *migration.Set {
	t.Helper()
	set := newSet(t, script{1, "CREATE TABLE users (id integer)", "DROP TABLE users"}, script{2, touchUsers, "DELETE FROM users"}, script{3, "CREATE TABLE last (x)", "DROP TABLE last"})
	return asBackfill(t, set, 2, b)
}

// asBackfill returns the set in which a migration is a backfill of the table users.
func asBackfill(t testing.TB, set *migration.Set, version int64, b migration.Backfill) *migration.Set {
	t.Helper()
	b.Table = "users"
	all := set.All()
	for i := range all {
		if all[i].Version == version {
			text, _, err := all[i].Up.Text(1 << 20)
			noError(t, err)
			all[i].Up = migration.Text(fmt.Sprintf("%d_m%[1]d.backfill.sql", version), text)
			all[i].Up.Backfill = &b
		}
	}
	set, err := migration.NewSet("shop", all...)
	noError(t, err)
	return set
}

// users creates the table users with rows 1 … n, as migration 1 does.
func users(t testing.TB, target *memdb.Target, set *migration.Set, n int) {
	t.Helper()
	mustMigrate(t, migrator(t, target, set), whimbrel.UpTo(1))
	for i := range n {
		noError(t, target.Insert("users", strconv.Itoa(i+1)))
	}
}

// wantTouched checks that each row was changed so often.
func wantTouched(t testing.TB, target *memdb.Target, rows, times int) {
	t.Helper()
	counts := target.Touched("users")
	if len(counts) != rows {
		t.Errorf("the table has %d rows, want %d", len(counts), rows)
	}
	for _, row := range slices.Sorted(maps.Keys(counts)) {
		if counts[row] != times {
			t.Errorf("row %s was changed %d times, want %d", row, counts[row], times)
		}
	}
}

func wantBackfill(t testing.TB, m *whimbrel.Migrator, version int64, state database.BackfillState) whimbrel.BackfillStatus {
	t.Helper()
	for _, b := range must(t, m.Backfills) {
		if b.Version == version {
			wantEqual(t, "state of the backfill", b.State, state)
			return b
		}
	}
	t.Fatalf("the database has no backfill %d", version)
	return whimbrel.BackfillStatus{}
}

func TestUpExecutesABackfill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target, set := memdb.New(), filled(t, migration.Backfill{Batch: 100, Parallel: 3})
		users(t, target, set, 2500)
		target.SlowRows("users", time.Millisecond)
		events := &observed{}
		m := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: events.observe})
		p := mustPlan(t, m, whimbrel.Latest())
		wantEqual(t, "mode", p.Steps[0].Mode, whimbrel.InBatches)
		wantEqual(t, "direction", p.Steps[0].Direction, database.Start)
		r := mustUp(t, m)
		wantApplied(t, r, 2, 3)
		wantEqual(t, "finished", versions(r.Finished), []int64{2})
		wantEqual(t, "started and not finished", len(r.Started), 0)
		wantTouched(t, target, 2500, 1)
		b := wantBackfill(t, m, 2, database.BackfillDone)
		wantEqual(t, "rows", b.RowsDone, 2500)
		wantEqual(t, "percent", b.Percent, 100)
		var done []int64
		progress := 0
		for _, e := range events.all {
			switch e := e.(type) {
			case whimbrel.StepDone:
				done = append(done, e.Step.Version)
			case whimbrel.BackfillProgress:
				progress++
			}
		}
		wantEqual(t, "steps done", done, []int64{2, 3})
		if progress == 0 {
			t.Error("no progress was reported")
		}
		var dirs []database.Direction
		for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
			noError(t, err)
			dirs = append(dirs, e.Direction)
		}
		wantEqual(t, "history", fmt.Sprint(dirs), "[up start finish up]")
		wantEqual(t, "steps of the next plan", len(mustPlan(t, m, whimbrel.Latest()).Steps), 0)
	})
}
