package whimbrel_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

func namedScripts(scripts ...string) (all []migration.Named) {
	for i := 0; i < len(scripts); i += 2 {
		all = append(all, migration.Named{Name: scripts[i], Script: migration.Text("R__"+scripts[i]+".sql", scripts[i+1])})
	}
	return all
}

// repeating returns the set of n plain migrations with repeatable scripts: name, text, ….
func repeating(t testing.TB, n int, scripts ...string) *migration.Set {
	t.Helper()
	set, err := migration.Contents{Migrations: newSet(t, plain(n)...).All(), Repeatables: namedScripts(scripts...)}.Set("shop")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func names(done []whimbrel.StepResult) (all []string) {
	for _, d := range done {
		all = append(all, d.Name)
	}
	return all
}

func wantRows(t testing.TB, target *memdb.Target, table string, want ...string) {
	t.Helper()
	got, err := target.Rows(t.Context(), table)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s has %q (%v), want %q", table, got, err, want)
	}
}

func TestRepeatablesRunWhenTheyHaveChanged(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic=%v", atomic), func(t *testing.T) {
			t.Parallel()
			target := memdb.New()
			db := open(t, target)
			up := func(set *migration.Set) *whimbrel.Result {
				t.Helper()
				r, err := whimbrel.New(db, set, whimbrel.Options{Atomic: atomic}).Up(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			r := up(repeating(t, 2, "b", "INSERT INTO t2 VALUES (b1)", "a", "INSERT INTO t2 VALUES (a1)"))
			if !slices.Equal(versions(r.Applied), []int64{1, 2}) || !slices.Equal(names(r.Repeated), []string{"a", "b"}) {
				t.Errorf("got %+v", r)
			}
			if r := up(repeating(t, 2, "b", "INSERT INTO t2 VALUES (b1)", "a", "INSERT INTO t2 VALUES (a1)")); len(r.Repeated) > 0 {
				t.Errorf("nothing has changed, and yet %+v", r)
			}
			if r := up(repeating(t, 2, "b", "INSERT INTO t2 VALUES (b2)")); !slices.Equal(names(r.Repeated), []string{"b"}) {
				t.Errorf("got %+v", r)
			}
			wantRows(t, target, "t2", "a1", "b1", "b2")
			m := whimbrel.New(db, repeating(t, 2, "b", "INSERT INTO t2 VALUES (b3)", "c", "SELECT 1"), whimbrel.Options{})
			s, err := m.Status(t.Context())
			var words []string
			for _, r := range s.Repeatables {
				words = append(words, fmt.Sprint(r.Name, " ", r.State, " ", !r.RanAt.IsZero()))
			}
			if want := []string{"a unknown true", "b modified true", "c pending false"}; err != nil || !slices.Equal(words, want) {
				t.Errorf("the status has %q, want %q (%v)", words, want, err)
			}
			if len(s.PendingVersions()) > 0 || s.Version != 2 {
				t.Errorf("repeatables have no version: %+v", s)
			}
			if err := m.Verify(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRepeatablesOutsideOfATransaction(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := whimbrel.New(open(t, target), repeating(t, 1, "index", "CREATE INDEX CONCURRENTLY i ON t1 (x)"), whimbrel.Options{})
	if r, err := m.Up(t.Context()); err != nil || !slices.Equal(names(r.Repeated), []string{"index"}) {
		t.Fatalf("got %+v, %v", r, err)
	}
	if got, _ := target.Indexes(t.Context()); !slices.Equal(got, []string{"i"}) {
		t.Errorf("the indexes are %v", got)
	}
	if p, err := m.Plan(t.Context(), whimbrel.Latest()); err != nil || len(p.Steps) > 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAFailingRepeatable(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := whimbrel.New(open(t, target), repeating(t, 1, "views", "SELECT 1; NONSENSE"), whimbrel.Options{})
	_, err := m.Up(t.Context())
	var failed *whimbrel.MigrationError
	if !errors.As(err, &failed) || failed.Version != whimbrel.NilVersion || failed.Name != "views" || failed.Direction != database.Repeat {
		t.Fatalf("got %v", err)
	}
	if want := `script "views" (repeat) failed: R__views.sql:1:11: syntax error at or near "NONSENSE" (42601)`; err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
	wantTables(t, target, "t1")
}

func TestTwentyAtOnceWithEverything(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	q := squashed(t, 5, 2, 4, true)
	if _, err := whimbrel.New(open(t, target), newSet(t, plain(5)...), whimbrel.Options{}).Migrate(t.Context(), whimbrel.Version(3), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	set, err := migration.Contents{
		Migrations: append(q.All(), newSet(t, plain(5)...).All()[1:4]...), Repeatables: namedScripts("a", "INSERT INTO t5 VALUES (a)", "b", "INSERT INTO t5 VALUES (b)"),
	}.Set("shop")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		db := open(t, target)
		wg.Go(func() {
			if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantTables(t, target, "t1", "t2", "t3", "t4", "t5")
	wantRows(t, target, "t5", "a", "b")
}

func TestSeed(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	seed := func(again bool, scripts ...string) []string {
		t.Helper()
		r, err := m.Seed(t.Context(), namedScripts(scripts...), whimbrel.SeedOptions{Again: again})
		if err != nil {
			t.Fatal(err)
		}
		return names(r.Seeded)
	}
	if got := seed(false, "b", "INSERT INTO t1 VALUES (b)", "a", "INSERT INTO t1 VALUES (a)"); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("in the order given: %v", got)
	}
	if got := seed(false, "b", "INSERT INTO t1 VALUES (b)", "a", "INSERT INTO t1 VALUES (a2)"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("what has changed: %v", got)
	}
	if got := seed(true, "b", "INSERT INTO t1 VALUES (b)"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("again: %v", got)
	}
	wantRows(t, target, "t1", "b", "a", "a2", "b")
	if s, err := m.Status(t.Context()); err != nil || s.Version != 1 || len(s.Migrations) != 1 {
		t.Errorf("seeds are no migrations: %+v, %v", s, err)
	}
	if _, err := m.Seed(t.Context(), namedScripts("a", "SELECT 1", "a", "SELECT 2"), whimbrel.SeedOptions{}); err == nil {
		t.Error("one name twice")
	}
}

func TestSeedIsRefusedWhereProtected(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if err := database.UpdateSetting(t.Context(), db, database.SettingUpdate{Name: database.Protected, Value: "true", Reason: "production"}); err != nil {
		t.Fatal(err)
	}
	seeds := namedScripts("a", "CREATE TABLE a (x)")
	_, err := whimbrel.New(db, newSet(t), whimbrel.Options{}).Seed(t.Context(), seeds, whimbrel.SeedOptions{Overrule: "another"})
	var protected *whimbrel.ProtectedError
	if !errors.As(err, &protected) || protected.What != "seed" || protected.Reason != "production" {
		t.Errorf("got %v", err)
	}
	wantTables(t, target)
	if _, err := whimbrel.New(db, newSet(t), whimbrel.Options{}).Seed(t.Context(), seeds, whimbrel.SeedOptions{Overrule: memdb.Name}); err != nil {
		t.Error(err)
	}
	wantTables(t, target, "a")
}
