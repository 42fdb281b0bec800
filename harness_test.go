package whimbrel_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// script is one migration in a test: version, up and down text ("-" for none).
type script struct {
	version  int64
	up, down string
}

func newSet(t testing.TB, scripts ...script) *migration.Set {
	t.Helper()
	var ms []migration.Migration
	for _, s := range scripts {
		name := fmt.Sprintf("m%d", s.version)
		m := migration.Migration{Version: s.version, Name: name, Up: migration.Text(fmt.Sprintf("%d_%s.up.sql", s.version, name), s.up)}
		if s.down != "-" {
			m.Down = migration.Text(fmt.Sprintf("%d_%s.down.sql", s.version, name), s.down)
		}
		ms = append(ms, m)
	}
	set, err := migration.NewSet("shop", ms...)
	noError(t, err)
	return set
}

// plain returns n migrations, each of which creates a table: t1, t2, ….
func plain(n int) []script {
	var all []script
	for i := 1; i <= n; i++ {
		all = append(all, script{int64(i), fmt.Sprintf("CREATE TABLE t%d (x)", i), fmt.Sprintf("DROP TABLE t%d", i)})
	}
	return all
}

func open(t testing.TB, target *memdb.Target) *memdb.Database {
	t.Helper()
	db, err := target.Open(t.Context(), database.Options{App: "test"})
	noError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func versions(done []whimbrel.StepResult) []int64 {
	var vs []int64
	for _, d := range done {
		vs = append(vs, d.Version)
	}
	return vs
}

func names(done []whimbrel.StepResult) (all []string) {
	for _, d := range done {
		all = append(all, d.Name)
	}
	return all
}

// migrator returns a Migrator of a set, in a process of its own.
func migrator(t testing.TB, target *memdb.Target, set *migration.Set) *whimbrel.Migrator {
	t.Helper()
	return whimbrel.New(open(t, target), set, whimbrel.Options{})
}

func tryUp(t testing.TB, m *whimbrel.Migrator) error {
	t.Helper()
	_, err := m.Up(t.Context())
	return err
}

func tryMigrate(t testing.TB, m *whimbrel.Migrator, goal whimbrel.Goal) error {
	t.Helper()
	_, err := m.Migrate(t.Context(), goal, whimbrel.ApplyOptions{})
	return err
}

// must returns the result of a call, which must not fail.
func must[T any](t testing.TB, call func(context.Context) (T, error)) T {
	t.Helper()
	result, err := call(t.Context())
	noError(t, err)
	return result
}

func mustUp(t testing.TB, m *whimbrel.Migrator) *whimbrel.Result {
	t.Helper()
	return must(t, m.Up)
}

func mustStatus(t testing.TB, m *whimbrel.Migrator) *whimbrel.Status {
	t.Helper()
	return must(t, m.Status)
}

func mustMigrate(t testing.TB, m *whimbrel.Migrator, goal whimbrel.Goal) *whimbrel.Result {
	t.Helper()
	r, err := m.Migrate(t.Context(), goal, whimbrel.ApplyOptions{})
	noError(t, err)
	return r
}

func mustPlan(t testing.TB, m *whimbrel.Migrator, goal whimbrel.Goal) *whimbrel.Plan {
	t.Helper()
	return must(t, func(ctx context.Context) (*whimbrel.Plan, error) { return m.Plan(ctx, goal) })
}

// begin returns a transaction of a set, which holds the set's lock.
func begin(t testing.TB, target *memdb.Target, set string) database.Tx {
	t.Helper()
	tx, _, err := open(t, target).Begin(t.Context(), set, database.LockOptions{})
	noError(t, err)
	return tx
}

// failAt lets each call of an operation fail before it does anything.
func failAt(db *memdb.Database, operation string, err error) {
	db.SetHook(func(op string) error {
		if op == operation {
			return err
		}
		return nil
	})
}

// recordCalls returns the calls of the database from now on.
func recordCalls(db *memdb.Database) *[]string {
	calls := new([]string)
	db.SetHook(func(op string) error {
		*calls = append(*calls, op)
		return nil
	})
	return calls
}

// atomicAndNot runs a test with and without Options.Atomic.
func atomicAndNot(t *testing.T, test func(t *testing.T, opts whimbrel.Options)) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic=%v", atomic), func(t *testing.T) {
			t.Parallel()
			test(t, whimbrel.Options{Atomic: atomic})
		})
	}
}
