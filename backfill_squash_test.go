package whimbrel_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A squash is not recorded while a backfill that it replaces is not done: neither one in the middle
// of its range nor the newest.
func TestASquashWaitsForItsBackfills(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]int64{"in the middle": 2, "the newest": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				target := memdb.New()
				scripts := []script{{1, "CREATE TABLE users (id integer)", "-"}, {2, "SELECT 2", "-"}, {3, "SELECT 3", "-"}}
				scripts[version-1].up = touchUsers
				set := withBackfill(t, version, []string{"detach"}, scripts...)
				users(t, target, set, 100)
				mustUp(t, migrator(t, target, set))

				q := migration.Text("3_squash.up.sql", "CREATE TABLE users (id integer)")
				for _, m := range set.All() {
					q.Replaces = append(q.Replaces, migration.Replaced{Version: m.Version, Checksum: m.Up.Checksum})
				}
				whole, err := migration.NewSet("shop", append(set.All(), migration.Migration{Version: 3, Name: "squash", Up: q})...)
				noError(t, err)
				m := migrator(t, target, whole)
				_, err = m.Up(t.Context())
				unfinished := wantError[*whimbrel.UnfinishedError](t, err)
				wantEqual(t, "the backfill", unfinished.Backfill.Version, version)

				_, err = migrator(t, target, set).RunBackfill(t.Context(), version, whimbrel.RunOptions{})
				noError(t, err)
				wantTouched(t, target, 100, 1)
				mustUp(t, m)
				st := mustStatus(t, m)
				wantEqual(t, "applied versions", st.AppliedVersions(), []int64{3})
			})
		})
	}
}

// What comes after a backfill can also come after the squash that replaces it.
func TestAfterASquashedBackfill(t *testing.T) {
	t.Parallel()
	set := withBackfill(t, 2, nil, script{1, "CREATE TABLE users (id integer)", "-"}, script{2, touchUsers, "-"}, script{4, "-- whimbrel: after 2\nCREATE TABLE last (x)", "-"})
	q := migration.Text("2_squash.up.sql", "CREATE TABLE users (id integer)")
	for _, m := range set.All()[:2] {
		q.Replaces = append(q.Replaces, migration.Replaced{Version: m.Version, Checksum: m.Up.Checksum})
	}
	whole, err := migration.NewSet("shop", migration.Migration{Version: 2, Name: "squash", Up: q}, set.All()[2])
	noError(t, err)
	target := memdb.New()
	wantApplied(t, mustUp(t, migrator(t, target, whole)), 2, 4)
	for _, newest := range []bool{true, false} {
		v := int64(2)
		if !newest {
			v = 1
		}
		last := migration.Text("4_m4.up.sql", "CREATE TABLE last (x)")
		last.After = []int64{v}
		whole, err := migration.NewSet("shop", migration.Migration{Version: 2, Name: "squash", Up: q}, migration.Migration{Version: 4, Name: "m4", Up: last})
		noError(t, err)
		wantApplied(t, mustUp(t, migrator(t, memdb.New(), whole)), 2, 4)
	}
}

// A backfill whose triggers were removed when it was cancelled begins anew, with new ones.
func TestRetryAfterTheTriggersWereRemoved(t *testing.T) {
	t.Parallel()
	for _, directive := range []string{"pause 1ms", "sync"} {
		synctest.Test(t, func(t *testing.T) {
			target, set := memdb.New(), after(t, "detach", "batch 10", directive)
			users(t, target, set, 1000)
			target.SlowRows("users", time.Millisecond)
			m := migrator(t, target, set)
			wantError[*whimbrel.UnfinishedError](t, tryUp(t, m))
			_, err := m.RunBackfill(t.Context(), 2, whimbrel.RunOptions{For: 100 * time.Millisecond})
			noError(t, err)
			control := func(a database.BackfillAction) whimbrel.BackfillStatus {
				b, err := m.ChangeBackfill(t.Context(), database.BackfillChange{BackfillID: database.BackfillID{Version: 2}, Action: a, Reason: "why not"})
				noError(t, err)
				return b
			}
			was, now := control(database.ActionCancel), control(database.ActionRetry)
			wantEqual(t, "state", now.State, database.BackfillRunning)
			wantEqual(t, "entry", now.EntryID, was.EntryID)
			wantEqual(t, "rows done before", was.RowsDone > 0, true)
			wantEqual(t, "begins anew", now.RowsDone == 0, directive == "sync")
			_, err = m.RunBackfill(t.Context(), 2, whimbrel.RunOptions{})
			noError(t, err)
			counts := target.Touched("users")
			wantEqual(t, "rows", len(counts), 1000)
			for row, n := range counts {
				if n != 1 && (directive != "sync" || n != 2) {
					t.Errorf("row %s was changed %d times", row, n)
				}
			}
			mustUp(t, m)
			wantEqual(t, "history", directionsOf(t, m)[1:], []string{"start 2", "backfill 2", "backfill 2", "finish 2", "up 3"})
		})
	}
	t.Run("if the text is not kept", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			target, set := memdb.New(), after(t, "detach", "sync")
			users(t, target, set, 10)
			m := whimbrel.New(open(t, target), set, whimbrel.Options{TextLimit: -1})
			wantError[*whimbrel.UnfinishedError](t, tryUp(t, m))
			change := database.BackfillChange{BackfillID: database.BackfillID{Version: 2}, Action: database.ActionCancel}
			_, err := m.ChangeBackfill(t.Context(), change)
			noError(t, err)
			change.Action = database.ActionRetry
			empty, err := migration.NewSet("shop")
			noError(t, err)
			_, err = migrator(t, target, empty).ChangeBackfill(t.Context(), change)
			wantErrorIs(t, err, whimbrel.ErrNoText)
			_, err = m.ChangeBackfill(t.Context(), change)
			noError(t, err)
		})
	})
}
