package exampledriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var errOpenTransaction = errors.New("the script has opened a transaction and not ended it")

// run implements database.Run.
type run struct {
	*hold
	head  int64
	own   *data // the copy of the transaction that the script has opened; nil for none
	saved savepoints
}

func (r *run) State(ctx context.Context) (*database.State, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.leave()
	committed, err := r.db.store.snapshot()
	if err != nil {
		return nil, err
	}
	return r.db.state(committed, r.set), nil
}

// transact changes the data and commits that.
func (r *run) transact(change func(*data) error) error {
	work, err := r.db.store.snapshot()
	if err != nil {
		return err
	}
	if err := change(work); err != nil {
		return err
	}
	return r.db.store.commit(work)
}

func (r *run) Journal(ctx context.Context, j *database.Journal) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	if r.own != nil {
		return errOpenTransaction
	}
	return r.transact(func(d *data) error {
		if j == nil {
			delete(d.history(r.db.name).Journals, r.set)
		}
		r.db.setJournal(d, r.set, j)
		return nil
	})
}

// Announce leaves j.Before empty: every statement of this database can be in a transaction.
func (r *run) Announce(ctx context.Context, _ sqltext.Statement, j *database.Journal) error {
	return r.Journal(ctx, j)
}

func (r *run) Outcome(ctx context.Context, _ sqltext.Statement, _ string, _ database.LockOptions) (*database.Outcome, error) {
	return &database.Outcome{Verdict: database.Unclear, Why: "the file does not tell"}, ctx.Err()
}

func (r *run) Exec(ctx context.Context, _ *migration.Script, st sqltext.Statement, _ io.Reader, done *database.Journal) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	switch {
	case st.Tx == sqltext.TxNever && done != nil:
		return fmt.Errorf("%w: %s", database.ErrNoTransaction, st.Why)
	case st.Tx.Control() && st.Tx != sqltext.TxSavepoint:
		return r.control(st, done)
	case r.own != nil && done != nil:
		return errOpenTransaction
	case r.own != nil:
		return r.saved.execute(r.own, st)
	}
	return r.transact(func(d *data) error { // the statement and its journal in one transaction
		r.db.setJournal(d, r.set, done)
		return new(savepoints).execute(d, st)
	})
}

// control begins and ends the script's own transaction.
func (r *run) control(st sqltext.Statement, done *database.Journal) (err error) {
	own := r.own
	switch {
	case st.Tx == sqltext.TxBegin && own == nil:
		r.saved = savepoints{}
		r.own, err = r.db.store.snapshot()
		return err
	case st.Tx == sqltext.TxRollback && own != nil:
		r.own = nil
		return nil
	case st.Tx == sqltext.TxCommit && own != nil:
		r.own = nil
		r.db.setJournal(own, r.set, done)
		return r.db.store.commit(own)
	}
	return failed(st, "there is no such transaction")
}

func (r *run) Record(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
	var recorded database.Recorded
	if err := r.enter(ctx); err != nil {
		return recorded, err
	}
	defer r.leave()
	if r.own != nil {
		return recorded, errOpenTransaction
	}
	var all []database.Entry
	err := r.transact(func(d *data) error {
		for _, e := range entries {
			if e.StartedAt.IsZero() {
				e.StartedAt = time.Now()
			}
			all = append(all, r.db.append(d, r.set, []database.Entry{e})...)
		}
		return nil
	})
	if err != nil {
		return recorded, err
	}
	if n := len(all); n > 0 {
		r.head = all[n-1].ID
	}
	return database.Recorded{Entries: all, Head: r.head}, nil
}

// Close forgets the transaction that the script left open.
func (r *run) Close(context.Context) error {
	r.end()
	return nil
}
