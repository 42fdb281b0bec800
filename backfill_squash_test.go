package whimbrel_test

import (
	"testing"
	"testing/synctest"

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

// A backfill with triggers can't continue after it was cancelled.
func TestRetryAfterTheTriggersWereRemoved(t *testing.T) {
	t.Parallel()
	for _, directive := range []string{"recheck", "sync"} {
		synctest.Test(t, func(t *testing.T) {
			target, set := memdb.New(), after(t, "detach", "check SELECT 0", directive)
			users(t, target, set, 10)
			m := migrator(t, target, set)
			_, err := m.Up(t.Context())
			wantError[*whimbrel.UnfinishedError](t, err)
			change := database.BackfillChange{Action: database.ActionCancel}
			change.Version = 2
			_, err = m.ChangeBackfill(t.Context(), change)
			noError(t, err)
			change.Action = database.ActionRetry
			_, err = m.ChangeBackfill(t.Context(), change)
			if directive == "sync" {
				wantErrorText(t, err, "the triggers that kept its rows in step were removed when it was cancelled")
			} else {
				noError(t, err)
			}
		})
	}
}
