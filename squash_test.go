package whimbrel_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// squashed returns the set of n plain migrations in which a squash replaces those from one version
// to another; keep leaves the originals in the set.
func squashed(t testing.TB, n, from, to int, keep bool) *migration.Set {
	t.Helper()
	var all []migration.Migration
	var ups, downs []string
	up := migration.Text("squash.up.sql", "")
	for _, m := range newSet(t, plain(n)...).All() {
		inside := m.Version >= int64(from) && m.Version <= int64(to)
		if !inside || keep {
			all = append(all, m)
		}
		if inside {
			u, _, _ := m.Up.Text(1 << 10)
			d, _, _ := m.Down.Text(1 << 10)
			ups, downs = append(ups, u+";"), append([]string{d + ";"}, downs...)
			noError(t, up.Direct(fmt.Sprintf("replaces %d %s", m.Version, m.Up.Checksum)))
		}
	}
	text := migration.Text("squash.up.sql", strings.Join(ups, "\n"))
	text.Replaces = up.Replaces
	set, err := migration.NewSet("shop", append(all, migration.Migration{
		Version: int64(to), Name: "squash", Up: text, Down: migration.Text("squash.down.sql", strings.Join(downs, "\n")),
	})...)
	noError(t, err)
	return set
}

// A range is squashed in ten different histories. All of them end with the same tables and the
// recorded squash, can be verified, and can be rolled back.
func TestSquashInAnyHistory(t *testing.T) {
	t.Parallel()
	up := func(goals ...whimbrel.Goal) []whimbrel.Goal { return goals }
	for _, tt := range []struct {
		name     string
		before   []whimbrel.Goal // reached with the originals
		gone     bool            // the originals' files
		applied  []int64
		recorded []int64
	}{
		{name: "fresh", gone: true, applied: []int64{1, 5, 6, 7}},
		{name: "fresh, with the originals' files", applied: []int64{1, 5, 6, 7}},
		{name: "rolled back to nothing", before: up(whimbrel.Latest(), whimbrel.DownTo(whimbrel.NilVersion)), gone: true, applied: []int64{1, 5, 6, 7}},
		{name: "before the range", before: up(whimbrel.UpTo(1)), gone: true, applied: []int64{5, 6, 7}},
		{name: "rolled back to before the range", before: up(whimbrel.UpTo(4), whimbrel.DownTo(1)), gone: true, applied: []int64{5, 6, 7}},
		{name: "at the range's first", before: up(whimbrel.UpTo(2)), applied: []int64{3, 4, 5, 6, 7}, recorded: []int64{5}},
		{name: "inside the range", before: up(whimbrel.UpTo(4)), applied: []int64{5, 6, 7}, recorded: []int64{5}},
		{name: "at its end", before: up(whimbrel.UpTo(5)), gone: true, applied: []int64{6, 7}, recorded: []int64{5}},
		{name: "after the range", before: up(whimbrel.UpTo(6), whimbrel.Redo(3)), gone: true, applied: []int64{7}, recorded: []int64{5}},
		{name: "at the newest", before: up(whimbrel.Latest()), applied: nil, recorded: []int64{5}},
	} {
		for _, atomic := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,atomic=%v", tt.name, atomic), func(t *testing.T) {
				t.Parallel()
				target := memdb.New()
				target.Queue(atomic)
				db := open(t, target)
				opts := whimbrel.Options{Atomic: atomic}
				for _, g := range tt.before {
					mustMigrate(t, whimbrel.New(db, newSet(t, plain(7)...), opts), g)
				}
				m := whimbrel.New(db, squashed(t, 7, 2, 5, !tt.gone), opts)
				r := mustUp(t, m)
				wantApplied(t, r, tt.applied...)
				wantRecorded(t, r, tt.recorded...)
				wantTables(t, target, "t1", "t2", "t3", "t4", "t5", "t6", "t7")
				wantVerified(t, m)
				s := mustStatus(t, m)
				wantInState(t, s, whimbrel.StateApplied, 1, 5, 6, 7)
				wantEqual(t, "number of migrations", len(s.Migrations), 4)
				wantNothingToDo(t, m)
				wantRolledBack(t, mustMigrate(t, m, whimbrel.DownTo(1)), 7, 6, 5)
				wantTables(t, target, "t1")
			})
		}
	}
}

func TestSquashIsRecordedWithoutRunning(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	before := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	mustUp(t, before)
	m := whimbrel.New(db, squashed(t, 3, 1, 3, false), whimbrel.Options{})
	s := mustStatus(t, m)
	wantInState(t, s, whimbrel.StateReplaced, 1, 2, 3)
	wantPending(t, s)
	wantEqual(t, "replacement of the first version", s.Migrations[0].ReplacedBy, 3)

	p := mustPlan(t, m, whimbrel.Latest())
	if len(p.Steps) != 1 {
		t.Fatalf("the plan has the steps %+v, want one", p.Steps)
	}
	step := p.Steps[0]
	wantEqual(t, "mode", step.Mode, whimbrel.InTransaction)
	wantEqual(t, "direction", step.Direction, database.Mark)
	wantEqual(t, "version", step.Version, 3)
	wantEqual(t, "versions that the step records", step.Records(), []int64{1, 2})

	_, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{Reason: "tidy"})
	noError(t, err)
	var words []string
	for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
		noError(t, err)
		if e.Checksum.IsZero() {
			t.Errorf("history entry %d has no checksum", e.ID)
		}
		if e.Name == "" {
			t.Errorf("history entry %d has no name", e.ID)
		}
		if e.Direction != database.Up {
			words = append(words, fmt.Sprintf("%s %d %s", e.Direction, e.Version, e.Reason))
		}
	}
	wantEqual(t, "history", words, []string{"mark 3 tidy", "forget 1 tidy", "forget 2 tidy"})

	// An older build gets an error, and so does Mark for a version that the squash contains.
	mismatch := wantError[*whimbrel.ChecksumMismatchError](t, tryUp(t, before))
	wantEqual(t, "version that differs for the older build", mismatch.Version, 3)
	wantError[*whimbrel.AlreadyAppliedError](t, m.Mark(t.Context(), "", 2))
}

func TestSquashOfAnotherText(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		t.Run(fmt.Sprintf("originals kept: %v", keep), func(t *testing.T) {
			db := open(t, memdb.New())
			scripts := plain(3)
			scripts[1].up = "CREATE TABLE t2 (y)"
			mustUp(t, whimbrel.New(db, newSet(t, scripts...), whimbrel.Options{}))
			m := whimbrel.New(db, squashed(t, 3, 1, 3, keep), whimbrel.Options{})
			mismatch := wantError[*whimbrel.ChecksumMismatchError](t, tryUp(t, m))
			wantEqual(t, "version", mismatch.Version, 2)
			wantEqual(t, "stored checksum", mismatch.Stored, migration.Sum("CREATE TABLE t2 (y)"))
			wantEqual(t, "expected checksum", mismatch.Expected, migration.Sum("CREATE TABLE t2 (x)"))
			wantInState(t, mustStatus(t, m), whimbrel.StateModified, 2)
		})
	}
}

func TestSquashFailingLeavesNothing(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	mustUp(t, whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}))
	failAt(db, memdb.OpTxCommit, errors.New("the disk is full"))
	m := whimbrel.New(db, squashed(t, 2, 1, 2, false), whimbrel.Options{})
	failed := wantError[*whimbrel.MigrationError](t, tryUp(t, m))
	wantEqual(t, "direction", failed.Direction, database.Mark)
	db.SetHook(nil)
	wantInState(t, mustStatus(t, m), whimbrel.StateReplaced, 1, 2)
}
