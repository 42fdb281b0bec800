package faults

import (
	"context"
	"io"
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
	{name: "what was begun counts as not happened", mutate: func(m *mutant) { m.verdict = database.NotHappened }},
	{name: "what was begun counts as happened", mutate: func(m *mutant) { m.verdict = database.Happened }},
	{name: "what a statement has left behind stays", mutate: func(m *mutant) { m.noRepair = true }, onlyBlocked: true},
	{name: "the journal stays when the event is recorded", mutate: func(m *mutant) { m.staysOpen = true }},
	{name: "the journal ends before the event is recorded", mutate: func(m *mutant) { m.endsFirst = true }},
}

// mutant is a database whose runs break one promise.
type mutant struct {
	database.Database
	doneFirst, doneLater, noIntent, noRepair, staysOpen, endsFirst bool

	verdict database.Verdict
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
	if r.noIntent && j != nil && j.Begun != "" {
		return nil
	}
	r.last = j
	return r.Run.Journal(ctx, j)
}

func (r *mutantRun) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
	r.last = done
	switch {
	case r.doneFirst && done != nil && st.Tx == sqltext.TxAny:
		if err := r.Run.Journal(ctx, done); err != nil {
			return err
		}
		return r.Run.Exec(ctx, s, st, data, nil)
	case r.doneLater && done != nil && st.Tx == sqltext.TxAny:
		if err := r.Run.Exec(ctx, s, st, data, nil); err != nil {
			return err
		}
		return r.Run.Journal(ctx, done)
	}
	return r.Run.Exec(ctx, s, st, data, done)
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
	}
	recorded, err := r.Run.Record(ctx, entries...)
	if err == nil && r.staysOpen {
		err = r.Run.Journal(ctx, r.last)
	}
	return recorded, err
}

// forMutants has a statement of each kind, and no more.
var forMutants = &scenario{
	name: "for mutants", before: to(1), do: up,
	files: []file{tableA, {up: "CREATE TABLE m (x int); INSERT INTO m VALUES (1); CREATE INDEX{concurrently} m_x ON m (x); INSERT INTO m VALUES (2)"}},
}

// catches reports whether a fault reveals a mutant. It tries every point from a given one on, every
// sixth of them first.
func (r *rig) catches(t *testing.T, w way, from int) bool {
	t.Helper()
	const step = 6
	for first := range step {
		if _, err := r.tryEveryPoint(t.Context(), forMutants, w, from+first, step); err != nil {
			t.Log(err)
			return true
		}
	}
	return false
}

// TestMutantsAreCaught shows that the rig finds what is wrong with each of the mutants.
func TestMutantsAreCaught(t *testing.T) {
	for _, m := range mutants {
		mutate := func(db database.Database) database.Database {
			broken := &mutant{Database: db}
			m.mutate(broken)
			return broken
		}
		t.Run("in memory/"+m.name, func(t *testing.T) {
			t.Parallel()
			r := &rig{place: &memory{}, mutate: mutate}
			if !slices.ContainsFunc(r.ways(), func(w way) bool { return r.catches(t, w, 0) }) {
				t.Error("no fault revealed the mutant")
			}
		})
		t.Run("PostgreSQL/"+m.name, func(t *testing.T) {
			t.Parallel()
			r := onPostgres(testdb.Postgres)(t)
			r.mutate = mutate
			if m.onlyBlocked {
				if err := r.blocked(t, "cut"); err == nil {
					t.Error("no fault revealed the mutant")
				}
				return
			}
			const connected = 50 // earlier messages connect and read the history
			if !r.catches(t, r.ways()[0], connected) {
				t.Error("no fault revealed the mutant")
			}
		})
	}
}
