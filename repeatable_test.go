package whimbrel_test

import (
	"fmt"
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
	noError(t, err)
	return set
}

func TestRepeatablesRunWhenTheyHaveChanged(t *testing.T) {
	t.Parallel()
	atomicAndNot(t, func(t *testing.T, opts whimbrel.Options) {
		target := memdb.New()
		db := open(t, target)
		up := func(scripts ...string) *whimbrel.Result {
			t.Helper()
			return mustUp(t, whimbrel.New(db, repeating(t, 2, scripts...), opts))
		}
		r := up("b", "INSERT INTO t2 VALUES (b1)", "a", "INSERT INTO t2 VALUES (a1)")
		wantApplied(t, r, 1, 2)
		wantScripts(t, r.Repeated, "a", "b")
		wantScripts(t, up("b", "INSERT INTO t2 VALUES (b1)", "a", "INSERT INTO t2 VALUES (a1)").Repeated)
		wantScripts(t, up("b", "INSERT INTO t2 VALUES (b2)").Repeated, "b")
		wantRows(t, target, "t2", "a1", "b1", "b2")
		m := whimbrel.New(db, repeating(t, 2, "b", "INSERT INTO t2 VALUES (b3)", "c", "SELECT 1"), whimbrel.Options{})
		s := mustStatus(t, m)
		var got []string
		for _, r := range s.Repeatables {
			got = append(got, fmt.Sprint(r.Name, " ", r.State, " ", !r.RanAt.IsZero()))
		}
		wantEqual(t, "repeatables: name, state, whether they ran", got, []string{"a unknown true", "b modified true", "c pending false"})
		// Repeatables have no version.
		wantPending(t, s)
		wantEqual(t, "version", s.Version, 2)
		wantVerified(t, m)
	})
}

// The objects of repeatable scripts may be gone with the tables that a full rollback drops.
func TestARollbackOfEverythingMakesScriptsRunAgain(t *testing.T) {
	t.Parallel()
	atomicAndNot(t, func(t *testing.T, opts whimbrel.Options) {
		target := memdb.New()
		m := whimbrel.New(open(t, target), repeating(t, 2, "b", "INSERT INTO t1 VALUES (b)", "a", "INSERT INTO t1 VALUES (a)"), opts)
		seeds := namedScripts("s", "INSERT INTO t1 VALUES (s)")
		wantScripts(t, mustUp(t, m).Repeated, "a", "b")
		r, err := m.Seed(t.Context(), seeds, whimbrel.SeedOptions{})
		noError(t, err)
		wantScripts(t, r.Seeded, "s")

		mustMigrate(t, m, whimbrel.By(-1))
		wantEqual(t, "repeatables after a rollback", mustStatus(t, m).PendingRepeatables(), []string{})
		wantScripts(t, mustUp(t, m).Repeated)
		wantRows(t, target, "t1", "a", "b", "s")

		wantScripts(t, mustMigrate(t, m, whimbrel.DownTo(whimbrel.NilVersion)).Repeated)
		s := mustStatus(t, m)
		wantEqual(t, "repeatables after a rollback of everything", s.PendingRepeatables(), []string{"a", "b"})
		for _, r := range s.Repeatables {
			wantEqual(t, "state of "+r.Name, r.State, whimbrel.StatePending)
		}
		wantScripts(t, mustUp(t, m).Repeated, "a", "b")
		r, err = m.Seed(t.Context(), seeds, whimbrel.SeedOptions{})
		noError(t, err)
		wantScripts(t, r.Seeded, "s")
		wantRows(t, target, "t1", "a", "b", "s")
		wantNothingToDo(t, m)
	})
}

func TestRepeatablesOutsideOfATransaction(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := migrator(t, target, repeating(t, 1, "index", "CREATE INDEX CONCURRENTLY i ON t1 (x)"))
	wantScripts(t, mustUp(t, m).Repeated, "index")
	wantIndexes(t, target, "i")
	wantNothingToDo(t, m)
}

func TestAFailingRepeatable(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := migrator(t, target, repeating(t, 1, "views", "SELECT 1; NONSENSE"))
	failed := wantError[*whimbrel.MigrationError](t, tryUp(t, m))
	wantEqual(t, "version", failed.Version, whimbrel.NilVersion)
	wantEqual(t, "name", failed.Name, "views")
	wantEqual(t, "direction", failed.Direction, database.Repeat)
	wantEqual(t, "text", failed.Error(), `script "views" (repeat) failed: R__views.sql:1:11: syntax error at or near "NONSENSE" (42601)`)
	wantTables(t, target, "t1")
}

func TestTwentyAtOnceWithEverything(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	q := squashed(t, 5, 2, 4, true)
	mustMigrate(t, migrator(t, target, newSet(t, plain(5)...)), whimbrel.Version(3))
	set, err := migration.Contents{
		Migrations: append(q.All(), newSet(t, plain(5)...).All()[1:4]...), Repeatables: namedScripts("a", "INSERT INTO t5 VALUES (a)", "b", "INSERT INTO t5 VALUES (b)"),
	}.Set("shop")
	noError(t, err)
	var wg sync.WaitGroup
	for range 20 {
		db := open(t, target)
		wg.Go(func() {
			if err := tryUp(t, whimbrel.New(db, set, whimbrel.Options{})); err != nil {
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
	m := migrator(t, target, newSet(t, plain(1)...))
	mustUp(t, m)
	seed := func(again bool, scripts ...string) []whimbrel.StepResult {
		t.Helper()
		r, err := m.Seed(t.Context(), namedScripts(scripts...), whimbrel.SeedOptions{Again: again})
		noError(t, err)
		return r.Seeded
	}
	// Seeds run in the order given, again if they have changed, and always with Again.
	wantScripts(t, seed(false, "b", "INSERT INTO t1 VALUES (b)", "a", "INSERT INTO t1 VALUES (a)"), "b", "a")
	wantScripts(t, seed(false, "b", "INSERT INTO t1 VALUES (b)", "a", "INSERT INTO t1 VALUES (a2)"), "a")
	wantScripts(t, seed(true, "b", "INSERT INTO t1 VALUES (b)"), "b")
	wantRows(t, target, "t1", "b", "a", "a2", "b")
	// Seeds are no migrations.
	s := mustStatus(t, m)
	wantEqual(t, "version", s.Version, 1)
	wantEqual(t, "number of migrations", len(s.Migrations), 1)
	if _, err := m.Seed(t.Context(), namedScripts("a", "SELECT 1", "a", "SELECT 2"), whimbrel.SeedOptions{}); err == nil {
		t.Error("two seeds of the same name are no error")
	}
}

func TestSeedOfAProtectedDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	protect := database.SettingUpdate{Name: database.Protected, Value: "true", Reason: "production"}
	noError(t, database.UpdateSetting(t.Context(), db, protect))
	m, seeds := whimbrel.New(db, newSet(t), whimbrel.Options{}), namedScripts("a", "CREATE TABLE a (x)")
	_, err := m.Seed(t.Context(), seeds, whimbrel.SeedOptions{Overrule: "another"})
	protected := wantError[*whimbrel.ProtectedError](t, err)
	wantEqual(t, "what is refused", protected.What, "seed")
	wantEqual(t, "reason", protected.Reason, "production")
	wantTables(t, target)
	_, err = m.Seed(t.Context(), seeds, whimbrel.SeedOptions{Overrule: memdb.Name})
	noError(t, err)
	wantTables(t, target, "a")
}
