package whimbrel_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// squashed returns the set of n plain migrations in which those from one version to another
// are replaced by a squash; keep leaves the originals there.
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
			if err := up.Direct(fmt.Sprintf("replaces %d %s", m.Version, m.Up.Checksum)); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := migration.Text("squash.up.sql", strings.Join(ups, "\n"))
	text.Replaces = up.Replaces
	set, err := migration.NewSet("shop", append(all, migration.Migration{
		Version: int64(to), Name: "squash", Up: text, Down: migration.Text("squash.down.sql", strings.Join(downs, "\n")),
	})...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A range is squashed in ten different histories. All end with the same tables, in the
// recorded squash, and verified; and all can be taken back again.
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
		{name: "fresh, with the originals there", applied: []int64{1, 5, 6, 7}},
		{name: "taken back to nothing", before: up(whimbrel.Latest(), whimbrel.DownTo(whimbrel.NilVersion)), gone: true, applied: []int64{1, 5, 6, 7}},
		{name: "before the range", before: up(whimbrel.UpTo(1)), gone: true, applied: []int64{5, 6, 7}},
		{name: "taken back to before the range", before: up(whimbrel.UpTo(4), whimbrel.DownTo(1)), gone: true, applied: []int64{5, 6, 7}},
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
					if _, err := whimbrel.New(db, newSet(t, plain(7)...), opts).Migrate(t.Context(), g, whimbrel.ApplyOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				m := whimbrel.New(db, squashed(t, 7, 2, 5, !tt.gone), opts)
				r, err := m.Up(t.Context())
				if err != nil || !slices.Equal(versions(r.Applied), tt.applied) || !slices.Equal(versions(r.Recorded), tt.recorded) {
					t.Fatalf("applied %v, recorded %v (%v); want %v, %v", versions(r.Applied), versions(r.Recorded), err, tt.applied, tt.recorded)
				}
				wantTables(t, target, "t1", "t2", "t3", "t4", "t5", "t6", "t7")
				if err := m.Verify(t.Context()); err != nil {
					t.Error(err)
				}
				s, err := m.Status(t.Context())
				if err != nil || !slices.Equal(s.InState(whimbrel.StateApplied), []int64{1, 5, 6, 7}) || len(s.Migrations) != 4 {
					t.Errorf("the status is %+v, %v", s.Migrations, err)
				}
				if p, err := m.Plan(t.Context(), whimbrel.Latest()); err != nil || len(p.Steps) > 0 {
					t.Errorf("still to do: %+v, %v", p, err)
				}
				if r, err := m.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{}); err != nil || !slices.Equal(versions(r.RolledBack), []int64{7, 6, 5}) {
					t.Fatalf("taken back: %+v, %v", r, err)
				}
				wantTables(t, target, "t1")
			})
		}
	}
}

func TestSquashIsRecordedWithoutRunning(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	if _, err := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := whimbrel.New(db, squashed(t, 3, 1, 3, false), whimbrel.Options{})
	s, err := m.Status(t.Context())
	if err != nil || !slices.Equal(s.InState(whimbrel.StateReplaced), []int64{1, 2, 3}) || len(s.PendingVersions()) > 0 || s.Migrations[0].ReplacedBy != 3 {
		t.Errorf("before: %+v, %v", s.Migrations, err)
	}
	p, err := m.Plan(t.Context(), whimbrel.Latest())
	if err != nil || len(p.Steps) != 1 || p.Steps[0].Mode != whimbrel.InTransaction {
		t.Fatalf("the plan is %+v, %v", p, err)
	}
	step := p.Steps[0]
	if step.Direction != database.Mark || step.Version != 3 || !slices.Equal(step.StandsFor(), []int64{1, 2}) {
		t.Errorf("the step is %+v", step)
	}
	if _, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{Note: "tidy"}); err != nil {
		t.Fatal(err)
	}
	var words []string
	for e, err := range m.History(t.Context()) {
		if err != nil || e.Checksum.IsZero() || e.Name == "" {
			t.Fatalf("%+v, %v", e, err)
		}
		if e.Direction != database.Up {
			words = append(words, fmt.Sprintf("%s %d %s", e.Direction, e.Version, e.Note))
		}
	}
	if want := []string{"mark 3 tidy", "forget 1 tidy", "forget 2 tidy"}; !slices.Equal(words, want) {
		t.Errorf("the history has %q, want %q", words, want)
	}
	// The build before it is told, and so is who marks what the squash holds.
	var mismatch *whimbrel.ChecksumMismatchError
	if _, err := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{}).Up(t.Context()); !errors.As(err, &mismatch) || mismatch.Version != 3 {
		t.Errorf("the build before: %v", err)
	}
	var already *whimbrel.AlreadyAppliedError
	if err := m.Mark(t.Context(), "", 2); !errors.As(err, &already) {
		t.Errorf("marking what the squash holds: %v", err)
	}
}

func TestSquashOfAnotherText(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		db := open(t, memdb.New())
		scripts := plain(3)
		scripts[1].up = "CREATE TABLE t2 (y)"
		if _, err := whimbrel.New(db, newSet(t, scripts...), whimbrel.Options{}).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := whimbrel.New(db, squashed(t, 3, 1, 3, keep), whimbrel.Options{})
		var mismatch *whimbrel.ChecksumMismatchError
		if _, err := m.Up(t.Context()); !errors.As(err, &mismatch) || mismatch.Version != 2 || mismatch.Stored != migration.Sum("CREATE TABLE t2 (y)") || mismatch.Expected != migration.Sum("CREATE TABLE t2 (x)") {
			t.Errorf("originals there %v: got %v", keep, err)
		}
		s, err := m.Status(t.Context())
		if err != nil || !slices.Equal(s.InState(whimbrel.StateModified), []int64{2}) {
			t.Errorf("originals there %v: %+v, %v", keep, s.Migrations, err)
		}
	}
}

func TestSquashFailingLeavesNothing(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.SetHook(func(op string) error {
		if op == memdb.OpTxCommit {
			return errors.New("the disk is full")
		}
		return nil
	})
	m := whimbrel.New(db, squashed(t, 2, 1, 2, false), whimbrel.Options{})
	var failed *whimbrel.MigrationError
	if _, err := m.Up(t.Context()); !errors.As(err, &failed) || failed.Direction != database.Mark {
		t.Errorf("got %v", err)
	}
	db.SetHook(nil)
	if s, err := m.Status(t.Context()); err != nil || !slices.Equal(s.InState(whimbrel.StateReplaced), []int64{1, 2}) {
		t.Errorf("%+v, %v", s, err)
	}
}
