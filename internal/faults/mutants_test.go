package faults

import (
	"cmp"
	"context"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// mutants are drivers that keep the journal incorrectly.
var mutants = []struct {
	name   string
	mutate func(*mutant)
	// onlyBlocked is set for a mutant that only an interrupted statement shows. When a connection
	// ends, the server finishes its statement, unless the statement waits for a lock.
	onlyBlocked bool
}{
	{name: "a statement is marked as done before it is executed", mutate: func(m *mutant) { m.doneFirst = true }},
	{name: "a statement is marked as done in a transaction after its own", mutate: func(m *mutant) { m.doneLater = true }},
	{name: "nothing is written before a statement that can't be in a transaction", mutate: func(m *mutant) { m.noIntent = true }},
	{name: "an interrupted statement counts as not happened", mutate: func(m *mutant) { m.verdict = database.NotHappened }},
	{name: "an interrupted statement counts as happened", mutate: func(m *mutant) { m.verdict = database.Happened }},
	{name: "the remains of a statement are not removed", mutate: func(m *mutant) { m.noRepair = true }, onlyBlocked: true},
	{name: "the journal remains when the entry is recorded", mutate: func(m *mutant) { m.remains = true }},
	{name: "the journal ends before the entry is recorded", mutate: func(m *mutant) { m.endsFirst = true }},
}

// mutant is a database whose runs break one promise.
type mutant struct {
	database.Database
	doneFirst, doneLater, noIntent, noRepair, remains, endsFirst bool

	verdict database.Verdict
	exposed func() // called in each moment in which an interruption shows the mutant
}

func (m *mutant) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	r, found, err := m.Database.Guard(ctx, set, opts)
	if err != nil {
		return nil, found, err
	}
	return &mutantRun{Run: r, mutant: m}, found, nil
}

type mutantRun struct {
	database.Run
	*mutant
	last *database.Journal
}

func (r *mutantRun) Journal(ctx context.Context, j *database.Journal) error {
	r.last = j
	return r.Run.Journal(ctx, j)
}

func (r *mutantRun) Announce(ctx context.Context, st sqltext.Statement, j *database.Journal) error {
	if r.noIntent {
		return nil
	}
	r.last = j
	err := r.Run.Announce(ctx, st, j)
	if r.verdict == database.Happened {
		r.exposed()
	}
	return err
}

func (r *mutantRun) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
	r.last = done
	switch {
	case r.doneFirst && done != nil && st.Tx == sqltext.TxAny:
		if err := r.Run.Journal(ctx, done); err != nil {
			return err
		}
		r.exposed()
		return r.Run.Exec(ctx, s, st, data, nil)
	case r.doneLater && done != nil && st.Tx == sqltext.TxAny:
		if err := r.Run.Exec(ctx, s, st, data, nil); err != nil {
			return err
		}
		r.exposed()
		return r.Run.Journal(ctx, done)
	}
	err := r.Run.Exec(ctx, s, st, data, done)
	if r.noIntent || r.verdict == database.NotHappened {
		r.exposed()
	}
	return err
}

func (r *mutantRun) Outcome(ctx context.Context, st sqltext.Statement, before string, opts database.LockOptions) (*database.Outcome, error) {
	o, err := r.Run.Outcome(ctx, st, before, opts)
	if err == nil && r.verdict != "" {
		o.Verdict = r.verdict
	}
	if err == nil && r.noRepair {
		o.First = nil
	}
	return o, err
}

func (r *mutantRun) Record(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
	if r.endsFirst {
		if err := r.Run.Journal(ctx, nil); err != nil {
			return database.Recorded{}, err
		}
		r.exposed()
	}
	recorded, err := r.Run.Record(ctx, entries...)
	if err == nil && r.remains {
		err = r.Run.Journal(ctx, r.last)
	}
	return recorded, err
}

// forMutants has a statement of each kind, and no more.
var forMutants = &scenario{
	name: "for mutants", before: to(1), do: up,
	files: []file{tableA, {up: "CREATE TABLE m (x int); INSERT INTO m VALUES (1); CREATE INDEX{concurrently} m_x ON m (x); INSERT INTO m VALUES (2)"}},
}

// catches reports whether a fault reveals a mutant. It tries every point, first those that follow a
// moment in which an interruption shows the mutant: of hundreds of messages, one or two do. On a
// wire, cut what goes to the client: what the server has answered, it has committed. Of what goes
// to the server, it may execute nothing before the next process takes over.
func (r *rig) catches(t *testing.T, m *mutant, w way) bool {
	t.Helper()
	all := w.arm(math.MaxInt)
	var exposed []int
	m.exposed = func() { exposed = append(exposed, all.points()) }
	want, err := r.playThrough(t.Context(), all.open, forMutants)
	m.exposed = func() {}
	for _, n := range soonAfter(exposed, all.points()) {
		if err == nil {
			_, err = r.tryPoint(t.Context(), forMutants, w, n, want)
		}
	}
	if err != nil {
		t.Log(err)
	}
	return err != nil
}

// soonAfter returns the numbers below n, ordered by how soon they follow one of the moments.
func soonAfter(moments []int, n int) []int {
	points := make([]int, n)
	after := make([]int, n)
	for p := range points {
		points[p], after[p] = p, n
		for _, m := range moments {
			if p >= m {
				after[p] = min(after[p], p-m)
			}
		}
	}
	slices.SortStableFunc(points, func(a, b int) int { return cmp.Compare(after[a], after[b]) })
	return points
}

// TestMutantsAreCaught shows that the rig finds what is wrong with each of the mutants.
func TestMutantsAreCaught(t *testing.T) {
	for _, tt := range mutants {
		mutated := func(p place) (*rig, *mutant) {
			m := &mutant{exposed: func() {}}
			tt.mutate(m)
			return &rig{place: p, mutate: func(db database.Database) database.Database {
				one := *m
				one.Database, one.exposed = db, func() { m.exposed() }
				return &one
			}}, m
		}
		t.Run("in memory/"+tt.name, func(t *testing.T) {
			t.Parallel()
			r, m := mutated(&memory{})
			if !slices.ContainsFunc(r.ways(), func(w way) bool { return r.catches(t, m, w) }) {
				t.Error("no fault revealed the mutant")
			}
		})
		t.Run("PostgreSQL/"+tt.name, func(t *testing.T) {
			t.Parallel()
			r, m := mutated(onPostgres(testdb.Postgres)(t).place)
			if tt.onlyBlocked {
				if err := r.blocked(t, "cut"); err == nil {
					t.Error("no fault revealed the mutant")
				}
				return
			}
			if !r.catches(t, m, r.way(cut+" "+testdb.ToClient.String())) {
				t.Error("no fault revealed the mutant")
			}
		})
	}
}
