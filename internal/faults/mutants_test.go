package faults

import (
	"context"
	"io"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// mutants are drivers that keep the journal in a way that doesn't hold.
var mutants = []struct {
	name   string
	mutate func(*mutant)
}{
	{"a statement is marked as done before it is executed", func(m *mutant) { m.doneFirst = true }},
	{"a statement is marked as done in a transaction after its own", func(m *mutant) { m.doneLater = true }},
	{"nothing is written before a statement that can't be in a transaction", func(m *mutant) { m.noIntent = true }},
	{"what was begun counts as not happened", func(m *mutant) { m.verdict = database.NotHappened }},
	{"what was begun counts as happened", func(m *mutant) { m.verdict = database.Happened }},
	{"what a statement has left behind stays", func(m *mutant) { m.noRepair = true }},
	{"the journal stays when the event is recorded", func(m *mutant) { m.staysOpen = true }},
	{"the journal ends before the event is recorded", func(m *mutant) { m.endsFirst = true }},
}

// mutant is a database whose runs break one promise.
type mutant struct {
	database.Database
	doneFirst, doneLater, noIntent, noRepair, staysOpen, endsFirst bool

	verdict database.Verdict
}

func (m *mutant) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, error) {
	r, err := m.Database.Guard(ctx, set, opts)
	if err != nil {
		return nil, err
	}
	return &mutantRun{Run: r, mutant: m}, nil
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

func (r *mutantRun) Record(ctx context.Context, events ...database.Event) ([]database.Event, error) {
	if r.endsFirst {
		if err := r.Run.Journal(ctx, nil); err != nil {
			return nil, err
		}
	}
	recorded, err := r.Run.Record(ctx, events...)
	if err == nil && r.staysOpen {
		err = r.Run.Journal(ctx, r.last)
	}
	return recorded, err
}

// isCaught reports whether any fault shows that a driver is not what it should be.
func (r *rig) isCaught(t *testing.T) bool {
	t.Helper()
	for _, s := range []*scenario{scenarioOf("a mixed run"), scenarioOf("a run down")} {
		for _, w := range r.ways() {
			if _, err := r.exhaust(t.Context(), s, w, 0, 1); err != nil {
				t.Logf("%s: %v", s.name, err)
				return true
			}
		}
	}
	return false
}

// A rig that finds nothing proves nothing: it must find what is wrong with each of the mutants.
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
			if !r.isCaught(t) {
				t.Error("the rig has not noticed")
			}
		})
		t.Run("PostgreSQL/"+m.name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			r := &rig{place: newPostgres(t, url, url), mutate: mutate}
			if !r.isCaught(t) {
				t.Error("the rig has not noticed")
			}
		})
	}
}
