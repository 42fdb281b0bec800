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
	opts    database.LockOptions
	hold    *hold // guarded by the target's mu, as is the field below

	own *content // of the transaction that the script opened; nil: none
	all []placed // its changes

	saved savepoints

	ahead []database.Call // the calls that follow
	done  []outcome       // theirs, once they were executed
}

func (r *run) State(ctx context.Context) (*database.State, error) {
	if err := r.enter(ctx, OpRunState); err != nil {
		return nil, err
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	return r.db.target.state(r.db.own, r.set, nil), nil
}

func (r *run) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) (err error) {
	end, err := r.enterUntil(ctx, OpRunExec)
	if err != nil {
		return err
	}
	defer func() { err = r.left(end, done != nil, err) }()
	if end == ErrNotCommitted || end == ErrHalfway && (done != nil || st.Tx.Control()) {
		return nil
	}
	ctx, stop := limit(ctx, s.Directives)
	defer stop()
	err = r.exec(ctx, st, data, done, end == ErrHalfway || end == ErrDeadlocked, waiter{r.opts, s.Directives})
	switch {
	case err == nil && end == ErrDeadlocked:
		return statementError(st, errDeadlock)
	case err == nil:
		return nil
	case errors.Is(err, ErrKilled):
		return &database.LockLostError{Set: r.set, Err: err}
	}
	return statementError(st, err)
}

func (r *run) exec(ctx context.Context, st sqltext.Statement, data io.Reader, done *database.Journal, halfway bool, w waiter) error {
	switch st.Kind {
	case sqltext.SQL, sqltext.CopyIn:
	default:
		return fmt.Errorf("memdb: not a statement: %q", st.Raw)
	}
	if st.Tx.Control() {
		r.db.target.mu.Lock()
		defer r.db.target.mu.Unlock()
		return r.control(st, done)
	}
	if st.Tx == sqltext.TxNever && done != nil {
		return fmt.Errorf("%w: %s", database.ErrNoTransaction, st.Why)
	}
	do, err := r.db.run(ctx, st, data, r.session, w)
	if err != nil {
		return err
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	switch {
	case r.hold.over:
		return ErrKilled
	case r.own != nil && done != nil:
		return errOwn
	case r.own == nil && halfway:
		return r.db.target.live.halfway(st, do)
	case r.own == nil:
		if err := do(r.db.target.live); err != nil {
			return err
		}
		return r.keep(done)
	case st.Tx == sqltext.TxNever:
		return sqlError("25001", "%s cannot run inside a transaction block", st.Why)
	}
	if err := do(r.own); err != nil {
		return err
	}
	r.all = append(r.all, placed{do, st})
	return nil
}

// control executes a script's transaction control. mu is held.
func (r *run) control(st sqltext.Statement, done *database.Journal) error {
	switch {
	case st.Tx == sqltext.TxBegin && r.own == nil:
		r.own, r.all, r.saved = r.db.target.live.clone(), nil, nil
		return nil
	case st.Tx == sqltext.TxBegin: // PostgreSQL only warns
		return nil
	case st.Tx == sqltext.TxSavepoint && r.own != nil:
		left, err := r.saved.control(st, r.all)
		if err == nil && len(left) < len(r.all) {
			r.all = left
			r.own, err = r.db.target.live.after(left)
		}
		return err
	case st.Tx == sqltext.TxRollback && r.own != nil:
		r.own = nil
		return nil
	case st.Tx != sqltext.TxCommit || r.own == nil:
		return sqlError("25P01", "%s is not possible here", st.Text)
	}
	r.own = nil
	next, err := r.db.target.live.after(r.all)
	if err != nil {
		return err
	}
	r.db.target.live = next
	return r.keep(done)
}

func (r *run) Record(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
	if o, is := r.following(ctx, func(c database.Call) bool {
		return c.Entry != nil && len(entries) == 1 && c.Entry.Version == entries[0].Version && c.Entry.Direction == entries[0].Direction
	}); is {
		return o.recorded, o.err
	}
	return r.record(ctx, entries...)
}

func (r *run) record(ctx context.Context, entries ...database.Entry) (recorded database.Recorded, err error) {
	end, err := r.enterUntil(ctx, OpRunRecord)
	if err != nil {
		return recorded, err
	}
	defer func() { err = r.left(end, true, err) }()
	if end == ErrNotCommitted {
		return recorded, nil
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	return r.add(entries)
}

// RecordAndAnnounce implements database.RunChainer.
func (r *run) RecordAndAnnounce(ctx context.Context, entries []database.Entry, _ sqltext.Statement, j *database.Journal) (recorded database.Recorded, announced bool, err error) {
	end, err := r.enterUntil(ctx, OpRunRecord)
	if err != nil {
		return recorded, false, err
	}
	defer func() { err = r.left(end, true, err) }()
	if end == ErrNotCommitted {
		return recorded, false, nil
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	if recorded, err = r.add(entries); err != nil {
		return recorded, false, err
	}
	if err = r.describe(j); err != nil {
		return recorded, false, nil
	}
	return recorded, true, r.keep(j)
}

// add appends entries. mu is held.
func (r *run) add(entries []database.Entry) (recorded database.Recorded, err error) {
	if r.own != nil {
		return recorded, errOwn
	}
	l := r.db.target.ledger(r.db.own, true)
	for _, e := range entries {
		e.Set = r.set
		e = r.db.keep(e)
		l.add(e)
		r.hold.head++
		e.UpText, e.DownText = "", ""
		recorded.Entries = append(recorded.Entries, e)
	}
	recorded.Head = r.hold.head
	return recorded, nil
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
	return r.db.isOver(r.hold)
}

// enterUntil is enter for a call that a hook can end after it has begun. It then returns the hook's
// error as end. If it returns err, the call must have no effect.
func (r *run) enterUntil(ctx context.Context, op string) (end, err error) {
	err = r.enter(ctx, op)
	for _, end := range []error{ErrDone, ErrHalfway, ErrDeadlocked, ErrCommitted, ErrNotCommitted} {
		if errors.Is(err, end) {
			if err = ctx.Err(); err == nil {
				err = r.db.isOver(r.hold)
			}
			return end, err
		}
	}
	return nil, err
}

// left ends a call that enterUntil began, as its hook requires. committing says that the call
// commits: if the connection is cut, the caller can't know the outcome.
func (r *run) left(end error, committing bool, err error) error {
	switch end {
	case nil, ErrDeadlocked:
		return err
	case ErrDone, ErrHalfway:
		r.db.Kill()
		return &database.LockLostError{Set: r.set, Err: ErrKilled}
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	r.db.release(r.hold)
	switch {
	case err != nil:
		return err
	case committing:
		return &database.CommitUnknownError{Err: end}
	}
	return &database.LockLostError{Set: r.set, Err: end}
}
