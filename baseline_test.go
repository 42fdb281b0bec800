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

// based returns the set of n plain migrations, without those up to gone, with a baseline.
func based(t testing.TB, n, gone int, version int64, text string) *migration.Set {
	t.Helper()
	set, err := migration.Contents{
		Migrations: newSet(t, plain(n)...).All()[gone:],
		Baselines:  []migration.Migration{{Version: version, Name: "schema", Up: migration.Text("B_schema.sql", text)}},
	}.Set("shop")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const schema2 = "CREATE TABLE t1 (x); CREATE TABLE t2 (x)"

func TestAnEmptyDatabaseStartsFromTheBaseline(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic=%v", atomic), func(t *testing.T) {
			t.Parallel()
			target := memdb.New()
			m := whimbrel.New(open(t, target), based(t, 3, 0, 2, schema2), whimbrel.Options{Atomic: atomic})
			r, err := m.Up(t.Context())
			if err != nil || !slices.Equal(versions(r.Applied), []int64{2, 3}) || !slices.Equal(versions(r.Recorded), []int64{1}) {
				t.Fatalf("got %+v, %v", r, err)
			}
			var words []string
			for e := range m.History(t.Context()) {
				words = append(words, fmt.Sprint(e.Direction, " ", e.Version))
			}
			if want := []string{"baseline 2", "mark 1", "mark 2", "up 3"}; !slices.Equal(words, want) {
				t.Errorf("the history has %q, want %q", words, want)
			}
			if err := m.Verify(t.Context()); err != nil {
				t.Error(err)
			}
			if r, err := m.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{}); err != nil || !slices.Equal(versions(r.RolledBack), []int64{3, 2}) {
				t.Fatalf("each can be taken back: %+v, %v", r, err)
			}
			wantTables(t, target, "t1")
		})
	}
}

func TestABaselineWhoseFilesAreGone(t *testing.T) {
	t.Parallel()
	old, fresh := open(t, memdb.New()), open(t, memdb.New())
	if _, err := whimbrel.New(old, newSet(t, plain(2)...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, db := range map[string]*memdb.Database{"old": old, "fresh": fresh} {
		m := whimbrel.New(db, based(t, 3, 2, 2, schema2), whimbrel.Options{})
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(name, err)
		}
		s, err := m.Status(t.Context())
		if err != nil || len(s.InState(whimbrel.StateUnknown, whimbrel.StateModified)) > 0 || len(s.PendingVersions()) > 0 {
			t.Errorf("%s: %+v, %v", name, s.Migrations, err)
		}
		if err := m.Verify(t.Context()); err != nil {
			t.Error(name, err)
		}
	}
	// The files come back, with another branch.
	m := whimbrel.New(fresh, based(t, 3, 0, 2, schema2), whimbrel.Options{})
	if p, err := m.Plan(t.Context(), whimbrel.Latest()); err != nil || len(p.Steps) > 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if s, err := m.Status(t.Context()); err != nil || len(s.PendingVersions()) > 0 || len(s.InState(whimbrel.StateModified)) > 0 {
		t.Errorf("%+v, %v", s.Migrations, err)
	}
	var irreversible *whimbrel.IrreversibleError
	if _, err := m.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{}); !errors.As(err, &irreversible) || !irreversible.Baseline {
		t.Errorf("what stands for several can't be taken back: %v", err)
	}
}

func TestABaselineIsOneTransactionOrARun(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := whimbrel.New(open(t, target), based(t, 3, 0, 2, "CREATE TABLE t1 (x);\nCREATE INDEX CONCURRENTLY i ON t1 (x)"), whimbrel.Options{})
	if _, err := m.Up(t.Context()); err != nil { // it is a run, which goes on where it is stopped
		t.Errorf("got %v", err)
	}
	wantTables(t, target, "t1", "t3")
	target = memdb.New()
	m = whimbrel.New(open(t, target), based(t, 3, 0, 2, "CREATE TABLE t1 (x); NONSENSE"), whimbrel.Options{})
	if _, err := m.Up(t.Context()); err == nil {
		t.Error("it has succeeded")
	}
	wantTables(t, target)
	if s, err := m.Status(t.Context()); err != nil || s.Version != whimbrel.NilVersion {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestBaselineRecordsAnExistingSchema(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := whimbrel.New(open(t, target), newSet(t, plain(4)...), whimbrel.Options{})
	var unknown *whimbrel.UnknownVersionError
	if _, err := m.Baseline(t.Context(), 9, whimbrel.BaselineOptions{}); !errors.As(err, &unknown) {
		t.Errorf("an unknown version: %v", err)
	}
	r, err := m.Baseline(t.Context(), 3, whimbrel.BaselineOptions{})
	if err != nil || !slices.Equal(versions(r.Recorded), []int64{1, 2, 3}) {
		t.Fatalf("got %+v, %v", r, err)
	}
	wantTables(t, target)
	var history *whimbrel.HistoryExistsError
	if _, err := m.Baseline(t.Context(), 4, whimbrel.BaselineOptions{}); !errors.As(err, &history) || history.AppliedCount != 3 || history.Version != 3 || history.Last.Direction != database.Mark {
		t.Errorf("a second time: %v", err)
	}
	if _, err := m.Baseline(t.Context(), 2, whimbrel.BaselineOptions{Force: true}); err == nil || !strings.Contains(err.Error(), "reason") {
		t.Errorf("by force without a reason: %v", err)
	}
	r, err = m.Baseline(t.Context(), 2, whimbrel.BaselineOptions{Force: true, Reason: "restored from a dump"})
	if err != nil || len(r.Recorded) != 0 {
		t.Fatalf("got %+v, %v", r, err)
	}
	s, err := m.Status(t.Context())
	if err != nil || !slices.Equal(s.AppliedVersions(), []int64{1, 2}) {
		t.Errorf("what is above is forgotten: %+v, %v", s, err)
	}
	if err := m.Forget(t.Context(), "", 1, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Baseline(t.Context(), 1, whimbrel.BaselineOptions{}); !errors.As(err, &history) || history.Version != whimbrel.NilVersion {
		t.Errorf("nothing applied, but a history: %v", err)
	}
}

func TestBaselineOfWhatElseASetHas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		set     *migration.Set
		version int64
		want    []int64 // nil: no such version
	}{
		{"a squash", squashed(t, 5, 2, 4, false), 5, []int64{1, 4, 5}},
		{"at a squash", squashed(t, 5, 2, 4, true), 4, []int64{1, 4}},
		{"inside a squash", squashed(t, 5, 2, 4, true), 3, []int64{1, 2, 3}},
		{"inside a squash whose originals are gone", squashed(t, 5, 2, 4, false), 3, nil},
		{"a baseline file", based(t, 3, 2, 2, schema2), 2, []int64{2}},
		{"above a baseline file", based(t, 3, 2, 2, schema2), 3, []int64{3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := whimbrel.New(open(t, memdb.New()), tt.set, whimbrel.Options{})
			r, err := m.Baseline(t.Context(), tt.version, whimbrel.BaselineOptions{})
			if (err != nil) != (tt.want == nil) || !slices.Equal(versions(r.Recorded), tt.want) {
				t.Fatalf("recorded %v, %v; want %v", versions(r.Recorded), err, tt.want)
			}
			if err != nil {
				return
			}
			if err := m.Verify(t.Context()); err != nil {
				t.Error(err)
			}
			s, err := m.Status(t.Context())
			if err != nil || s.Version != tt.version || slices.ContainsFunc(s.PendingVersions(), func(v int64) bool { return v < tt.version }) {
				t.Errorf("%+v, %v", s.Migrations, err)
			}
		})
	}
}
