package databasetest

import (
	"context"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
)

// resets alters Reset.
func resets(alter func(tx *alteredTx, ctx context.Context, e database.Entry) (*database.Emptied, error)) func(*alteredTx) {
	return func(tx *alteredTx) {
		tx.reset = func(ctx context.Context, _ []string, e database.Entry) (*database.Emptied, error) {
			return alter(tx, ctx, e)
		}
	}
}

// emptied alters what Reset returns.
func emptied(alter func(*database.Emptied)) func(*alteredTx) {
	return resets(func(tx *alteredTx, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		out, err := tx.Tx.Reset(ctx, nil, e)
		if err == nil {
			alter(out)
		}
		return out, err
	})
}

// emptyAlone drops what Reset would, but for what spare says, and records it for the transaction's
// set alone.
func emptyAlone(tx *alteredTx, ctx context.Context, e database.Entry, spare func(table string) bool) (*database.Emptied, error) {
	out, err := tx.Tx.Reset(ctx, nil, e)
	if err != nil {
		return nil, err
	}
	if err := tx.restart(ctx); err != nil {
		return nil, err
	}
	for _, o := range out.Dropped {
		if spare(o.Name) {
			continue
		}
		if err := tx.Tx.Exec(ctx, text("DROP TABLE "+o.Name)); err != nil {
			return nil, err
		}
	}
	e.Version, e.Direction = database.NilVersion, database.Reset
	return out, tx.Tx.Record(ctx, e)
}

var resetMutants = []mutant{
	ofDB("the database has no name", stateName, states(func(_ *alteredDB, st *database.State) { st.Database = "" })),
	ofTx("Reset keeps a table that no migration created", resetDrops, resets(func(tx *alteredTx, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		return emptyAlone(tx, ctx, e, func(table string) bool { return table == "v" })
	})),
	{"Reset drops the settings", resetLeaves, func() alteration {
		forgotten := false
		return alteration{
			tx: func(tx *alteredTx) {
				tx.reset = func(ctx context.Context, schemas []string, e database.Entry) (*database.Emptied, error) {
					forgotten = true
					return tx.Tx.Reset(ctx, schemas, e)
				}
			},
			db: states(func(_ *alteredDB, st *database.State) {
				if forgotten {
					st.Settings = database.Settings{}
				}
			}),
		}
	}},
	ofTx("Reset is recorded for one set", resetRecords, resets(func(tx *alteredTx, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		return emptyAlone(tx, ctx, e, func(string) bool { return false })
	})),
	ofTx("the reason of a Reset is lost", resetRecords, resets(func(tx *alteredTx, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		e.Reason = ""
		return tx.Tx.Reset(ctx, nil, e)
	})),
	ofTx("Reset skips a locked set", resetLocks, resets(func(tx *alteredTx, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		out, err := tx.Tx.Reset(ctx, nil, e)
		if err != nil {
			return &database.Emptied{}, tx.restart(ctx)
		}
		return out, nil
	})),
	ofTx("Reset releases the other sets' locks", resetLocks, resets(func(tx *alteredTx, ctx context.Context, e database.Entry) (*database.Emptied, error) {
		if _, err := tx.Tx.Reset(ctx, nil, e); err != nil {
			return nil, err
		}
		return emptyAlone(tx, ctx, e, func(string) bool { return false })
	})),
	ofTx("Dropped is empty", resetDropped, emptied(func(e *database.Emptied) { e.Dropped = nil })),
	ofTx("the sets are in no order", resetSets, emptied(func(e *database.Emptied) { slices.Reverse(e.Sets) })),
}
