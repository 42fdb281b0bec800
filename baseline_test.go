package whimbrel_test

import (
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// based returns a set with a baseline, and with n plain migrations except the first ones, whose
// files are gone.
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
	atomicAndNot(t, func(t *testing.T, opts whimbrel.Options) {
		target := memdb.New()
		db := open(t, target)
		m := whimbrel.New(db, based(t, 3, 0, 2, schema2), opts)
		r := mustUp(t, m)
		wantApplied(t, r, 2, 3)
		wantRecorded(t, r, 1)
		wantHistory(t, db, "baseline 2", "mark 1", "mark 2", "up 3")
		wantVerified(t, m)
		wantRolledBack(t, mustMigrate(t, m, whimbrel.DownTo(1)), 3, 2)
		wantTables(t, target, "t1")
	})
}

func TestABaselineWhoseFilesAreGone(t *testing.T) {
	t.Parallel()
	old, fresh := open(t, memdb.New()), open(t, memdb.New())
	mustUp(t, whimbrel.New(old, newSet(t, plain(2)...), whimbrel.Options{}))
	for name, db := range map[string]*memdb.Database{"old": old, "fresh": fresh} {
		t.Run(name, func(t *testing.T) {
			m := whimbrel.New(db, based(t, 3, 2, 2, schema2), whimbrel.Options{})
			mustUp(t, m)
			s := mustStatus(t, m)
			wantInState(t, s, whimbrel.StateUnknown)
			wantInState(t, s, whimbrel.StateModified)
			wantPending(t, s)
			wantVerified(t, m)
		})
	}
	// The files come back, e.g. with another branch.
	m := whimbrel.New(fresh, based(t, 3, 0, 2, schema2), whimbrel.Options{})
	wantNothingToDo(t, m)
	s := mustStatus(t, m)
	wantPending(t, s)
	wantInState(t, s, whimbrel.StateModified)
	err := tryMigrate(t, m, whimbrel.DownTo(1))
	if irreversible := wantError[*whimbrel.IrreversibleError](t, err); !irreversible.Baseline {
		t.Errorf("%v: the error does not name the baseline as the reason", err)
	}
}

func TestABaselineIsOneTransactionOrARun(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := migrator(t, target, based(t, 3, 0, 2, "CREATE TABLE t1 (x);\nCREATE INDEX CONCURRENTLY i ON t1 (x)"))
	mustUp(t, m) // as a run
	wantTables(t, target, "t1", "t3")
	target = memdb.New()
	m = migrator(t, target, based(t, 3, 0, 2, "CREATE TABLE t1 (x); NONSENSE"))
	wantError[*whimbrel.MigrationError](t, tryUp(t, m))
	wantTables(t, target)
	wantEqual(t, "version", mustStatus(t, m).Version, whimbrel.NilVersion)
}

func TestBaselineRecordsAnExistingSchema(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := migrator(t, target, newSet(t, plain(4)...))
	tryBaseline := func(version int64, opts whimbrel.BaselineOptions) error {
		_, err := m.Baseline(t.Context(), version, opts)
		return err
	}
	wantError[*whimbrel.UnknownVersionError](t, tryBaseline(9, whimbrel.BaselineOptions{}))
	r, err := m.Baseline(t.Context(), 3, whimbrel.BaselineOptions{})
	noError(t, err)
	wantRecorded(t, r, 1, 2, 3)
	wantTables(t, target)

	history := wantError[*whimbrel.HistoryExistsError](t, tryBaseline(4, whimbrel.BaselineOptions{}))
	wantEqual(t, "number of applied migrations", history.AppliedCount, 3)
	wantEqual(t, "version", history.Version, 3)
	wantEqual(t, "direction of the last entry", history.Last.Direction, database.Mark)

	wantErrorText(t, tryBaseline(2, whimbrel.BaselineOptions{Force: true}), "reason")
	r, err = m.Baseline(t.Context(), 2, whimbrel.BaselineOptions{Force: true, Reason: "restored from a dump"})
	noError(t, err)
	wantRecorded(t, r)
	wantEqual(t, "applied versions", mustStatus(t, m).AppliedVersions(), []int64{1, 2})

	// Nothing is applied, but a history exists.
	noError(t, m.Forget(t.Context(), "", 1, 2))
	history = wantError[*whimbrel.HistoryExistsError](t, tryBaseline(1, whimbrel.BaselineOptions{}))
	wantEqual(t, "version", history.Version, whimbrel.NilVersion)
}

func TestBaselineOfSquashesAndBaselineFiles(t *testing.T) {
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
			m := migrator(t, memdb.New(), tt.set)
			r, err := m.Baseline(t.Context(), tt.version, whimbrel.BaselineOptions{})
			wantRecorded(t, r, tt.want...)
			if tt.want == nil {
				wantError[*whimbrel.UnknownVersionError](t, err)
				return
			}
			noError(t, err)
			wantVerified(t, m)
			s := mustStatus(t, m)
			wantEqual(t, "version", s.Version, tt.version)
			for _, v := range s.PendingVersions() {
				if v < tt.version {
					t.Errorf("version %d is pending below the baseline %d", v, tt.version)
				}
			}
		})
	}
}
