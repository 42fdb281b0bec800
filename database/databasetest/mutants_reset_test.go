package databasetest

import (
	"context"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
)

// resets alters what Reset does.
func resets(alter func(b *alteredBatch, ctx context.Context, e database.Entry) (*database.Emptied, error)) func(*alteredBatch) {
	return func(b *alteredBatch) {
		b.reset = func(ctx context.Context, _ []string, e database.Entry) (*database.Emptied, error) {
			return alter(b, ctx, e)
		}
	}
}

// emptieds alters what Reset returns.
func emptieds(alter func(*database.Emptied)) func(*alteredBatch) {
	return resets(func(b *alteredBatch, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		out, err := b.Tx.Reset(ctx, nil, e)
		if err == nil {
			alter(out)
		}
		return out, err
	})
}

// emptyAlone drops what Reset would, but for what spare says, and records it for the batch's set
// alone.
func emptyAlone(b *alteredBatch, ctx context.Context, e database.Entry, spare func(table string) bool) (*database.Emptied, error) {
	out, err := b.Tx.Reset(ctx, nil, e)
	if err != nil {
		return nil, err
	}
	if err := b.restart(ctx); err != nil {
		return nil, err
	}
	for _, o := range out.Dropped {
		if spare(o.Name) {
			continue
		}
		if err := b.Tx.Exec(ctx, text("DROP TABLE "+o.Name)); err != nil {
			return nil, err
		}
	}
	e.Version, e.Direction = database.NilVersion, database.Reset
	return out, b.Tx.Record(ctx, e)
}

var resetMutants = []mutant{
	ofDB("the database has no name", stateName, states(func(_ *alteredDB, st *database.State) { st.Database = "" })),
	ofBatch("Reset leaves what no migration made", resetDrops, resets(func(b *alteredBatch, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		return emptyAlone(b, ctx, e, func(table string) bool { return table == "v" })
	})),
	{"Reset forgets the settings", resetLeaves, func() alteration {
		forgotten := false
		return alteration{
			batch: func(b *alteredBatch) {
				b.reset = func(ctx context.Context, schemas []string, e database.Entry) (*database.Emptied, error) {
					forgotten = true
					return b.Tx.Reset(ctx, schemas, e)
				}
			},
			db: states(func(_ *alteredDB, st *database.State) {
				if forgotten {
					st.Settings = database.Settings{}
				}
			}),
		}
	}},
	ofBatch("Reset is recorded for one set", resetRecords, resets(func(b *alteredBatch, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		return emptyAlone(b, ctx, e, func(string) bool { return false })
	})),
	ofBatch("the note of a Reset is lost", resetRecords, resets(func(b *alteredBatch, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		e.Note = ""
		return b.Tx.Reset(ctx, nil, e)
	})),
	ofBatch("Reset passes over a set that is locked", resetLocks, resets(func(b *alteredBatch, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		out, err := b.Tx.Reset(ctx, nil, e)
		if err != nil {
			return &database.Emptied{}, b.restart(ctx)
		}
		return out, nil
	})),
	ofBatch("Reset lets go of the other sets' locks", resetLocks, resets(func(b *alteredBatch, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		if _, err := b.Tx.Reset(ctx, nil, e); err != nil {
			return nil, err
		}
		return emptyAlone(b, ctx, e, func(string) bool { return false })
	})),
	ofBatch("Reset does not say what it dropped", resetDropped, emptieds(func(e *database.Emptied) { e.Dropped = nil })),
	ofBatch("the sets are in no order", resetSets, emptieds(func(e *database.Emptied) { slices.Reverse(e.Sets) })),
}
