package classic

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// held is a database whose set is locked by a transaction that is open already. Begin returns this
// transaction once. So the engine works under the lock that Lock has taken.
type held struct {
	database.Database
	tx    database.Tx // nil once it was given to the engine
	found database.Found
}

func (h *held) State(ctx context.Context, set string) (*database.State, error) {
	if h.tx != nil { // the caller's database may be a single connection
		return h.tx.State(ctx)
	}
	return h.Database.State(ctx, set)
}

func (h *held) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	tx := h.tx
	if tx == nil {
		return h.Database.Begin(ctx, set, opts)
	}
	h.tx = nil
	return tx, h.found, nil
}

// Guard gives the transaction's lock back first: a statement that can't be in a transaction must
// not wait for one. Another process can take the lock in between; the engine then sees what it did.
func (h *held) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	if err := h.end(ctx); err != nil {
		return nil, database.Found{}, err
	}
	return h.Database.Guard(ctx, set, opts)
}

// BlocksWriters and Check are powers of the database that the engine asks for.
func (h *held) BlocksWriters() bool { return database.BlocksWriters(h.Database) }

func (h *held) Check(st sqltext.Statement) string { return database.Check(h.Database, st) }

// end gives the lock back, unless the transaction was given to the engine, which has ended it.
func (h *held) end(ctx context.Context) error {
	tx := h.tx
	if tx == nil {
		return nil
	}
	h.tx = nil
	return tx.Rollback(ctx)
}
