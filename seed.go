package whimbrel

import (
	"context"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

const seedWord = "seed"

// SeedOptions are the options of Migrator.Seed.
type SeedOptions struct {
	// Again also runs scripts that ran before and have not changed since.
	Again bool
	// Reason is kept with each entry that the call adds to the history.
	Reason string
	// Overrule allows it for a database whose setting "protected" is true, and must be its name.
	Overrule string
}

// Seed runs scripts with development data, in the given order, each in a transaction with its
// history entry, or all in one with Options.Atomic. It omits scripts that ran before and have not
// changed since. If the database's setting "protected" is true, Seed returns a *ProtectedError,
// unless opts.Overrule is the database's name.
func (m *Migrator) Seed(ctx context.Context, scripts []migration.Named, opts SeedOptions) (*Result, error) {
	call := ApplyOptions{Reason: opts.Reason, Overrule: opts.Overrule}
	m = m.with(ctx, call)
	start := time.Now()
	r := &Result{Set: m.set.Name()}
	p, err := m.planSeed(ctx, scripts, opts)
	if err == nil {
		r, err = m.Apply(ctx, p, call)
	}
	r.Duration = time.Since(start)
	return r, err
}

func (m *Migrator) planSeed(ctx context.Context, scripts []migration.Named, opts SeedOptions) (*Plan, error) {
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return nil, err
	}
	if err := CheckProtected(st, seedWord, m.opts.Overrule); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var moves []move
	for _, n := range scripts {
		if n.Name == "" || n.Script == nil {
			return nil, fmt.Errorf("a seed needs a name and a script (got name %q)", n.Name)
		}
		if seen[n.Name] {
			return nil, fmt.Errorf("two seeds have the name %q", n.Name)
		}
		seen[n.Name] = true
		if opts.Again || st.Seeded[n.Name].Checksum != n.Script.Checksum {
			moves = append(moves, namedMove(n, database.Seed, st.Seeded[n.Name]))
		}
	}
	if st.Interrupted != nil {
		if moves, err = resumeSeed(m.set.Name(), moves, *st.Interrupted); err != nil {
			return nil, err
		}
	}
	return m.newPlan(ctx, st, Goal{kind: goalSeed}, moves)
}
