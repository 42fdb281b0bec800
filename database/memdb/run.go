package memdb

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// run is a lock without a transaction.
type run struct {
	db      *Database
	set     string
	session session
	hold    *hold // guarded by the target's mu, as is the field below

	own *content // of the transaction that the script opened, nil for none
	all []placed // its changes
}

func (r *run) Head() int64 {
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	return r.hold.head
}

func (r *run) State(ctx context.Context) (*database.State, error) {
	if err := r.enter(ctx, OpRunState); err != nil {
		return nil, err
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	return r.db.target.state(r.db.own, r.set, nil), nil
}

func (r *run) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader) error {
	if err := r.enter(ctx, OpRunExec); err != nil {
		return err
	}
	ctx, done := limit(ctx, s.Directives)
	defer done()
	if err := r.exec(ctx, st, data); err != nil {
		if errors.Is(err, ErrKilled) {
			return &database.LockLostError{Set: r.set, Err: err}
		}
		return statementError(st, err)
	}
	return nil
}

func (r *run) exec(ctx context.Context, st sqltext.Statement, data io.Reader) error {
	switch st.Kind {
	case sqltext.SQL, sqltext.CopyIn:
	default:
		return fmt.Errorf("memdb: not a statement: %q", st.Raw)
	}
	if st.Tx.Control() {
		r.db.target.mu.Lock()
		defer r.db.target.mu.Unlock()
		return r.control(st)
	}
	do, err := r.db.run(ctx, st, data, r.session)
	if err != nil {
		return err
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	switch {
	case r.hold.over:
		return ErrKilled
	case r.own == nil:
		return do(r.db.target.live)
	case st.Tx == sqltext.TxNever:
		return sqlError("25001", "%s cannot run inside a transaction block", st.Why)
	}
	if err := do(r.own); err != nil {
		return err
	}
	r.all = append(r.all, placed{do, st})
	return nil
}

// control is the transaction control of a script. mu is held.
func (r *run) control(st sqltext.Statement) error {
	switch {
	case st.Tx == sqltext.TxBegin && r.own == nil:
		r.own, r.all = r.db.target.live.clone(), nil
		return nil
	case st.Tx == sqltext.TxRollback && r.own != nil:
		r.own = nil
		return nil
	case st.Tx != sqltext.TxCommit || r.own == nil:
		return sqlError("25P01", "%s is not possible here", st.Text)
	}
	r.own = nil
	next := r.db.target.live.clone()
	for _, p := range r.all {
		if err := p.change(next); err != nil {
			return err
		}
	}
	r.db.target.live = next
	return nil
}

func (r *run) Record(ctx context.Context, e database.Event) (database.Event, error) {
	if err := r.enter(ctx, OpRunRecord); err != nil {
		return database.Event{}, err
	}
	e.Set = r.set
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	if r.own != nil {
		return database.Event{}, errors.New("memdb: the script has opened a transaction and not ended it")
	}
	l := r.db.target.ledger(r.db.own, true)
	e = r.db.keep(e)
	l.add(e)
	r.hold.head++
	return e, nil
}

func (r *run) Close(context.Context) error {
	err := r.db.enter(context.Background(), OpRunClose)
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	if r.hold.over {
		return nil
	}
	r.db.release(r.hold)
	return err
}

func (r *run) enter(ctx context.Context, op string) error {
	if err := r.db.enter(ctx, op); err != nil {
		if errors.Is(err, ErrKilled) {
			return &database.LockLostError{Set: r.set, Err: err}
		}
		return err
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	if r.hold.over {
		return errOver
	}
	return nil
}
