package whimbrel_test

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// fixed is a database whose state is known.
type fixed struct {
	*memdb.Database
	st *database.State
}

func (f fixed) State(context.Context, string) (*database.State, error) { return f.st, nil }

// checked returns a Migrator of a database that has applied n migrations, and whose State costs
// nothing.
func checked(t testing.TB, n int) *whimbrel.Migrator {
	db := open(t, memdb.New())
	set := newSet(t, plain(n)...)
	_, err := whimbrel.New(db, set, whimbrel.Options{}).Up(context.Background())
	noError(t, err)
	st, err := db.State(context.Background(), set.Name())
	noError(t, err)
	return whimbrel.New(fixed{db, st}, set, whimbrel.Options{})
}

// A check with nothing pending allocates no memory for each applied migration.
func TestACheckAllocatesNothingPerMigration(t *testing.T) {
	few, many := checked(t, 10), checked(t, 1000)
	allocs := func(m *whimbrel.Migrator) float64 {
		return testing.AllocsPerRun(20, func() {
			_, err := m.Up(context.Background())
			noError(t, err)
		})
	}
	if a, b := allocs(few), allocs(many); b > a || b > 12 {
		t.Errorf("a check makes %.0f allocations with 10 applied migrations and %.0f with 1,000, want at most 12", a, b)
	}
}

// BenchmarkCheck is what the engine itself does at each start of an application with 1,000 applied
// migrations.
func BenchmarkCheck(b *testing.B) {
	m := checked(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		_, err := m.Up(context.Background())
		noError(b, err)
	}
}
