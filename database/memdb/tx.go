package memdb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Func returns the script of a Go function that works in the transaction of its
// migration. id stands for the function in the history: it must change when what the
// function does changes.
func Func(id string, fn func(ctx context.Context, tx Tx) error) *migration.Script {
	return migration.Func(id, fn)
}

// transaction is a Tx: a clone of the content as it was at Begin, and the changes
// that were made to it. Commit does the changes again to what is there then; what
// other sets have committed meanwhile is kept, and where it is in the way of a change,
// Commit fails.
type transaction struct {
	db  *Database
	set string

	hold   *hold   // guarded by the target's mu, as are the fields below
	others []*hold // of other sets, for Reset

	content *content
	changes []placed
	saved   savepoints
	events  []database.Entry
	dropped []string  // by Reset
	facts   *[]fact   // what PutMetadata was given last; nil: nothing
	since   time.Time // when the transaction began, or an event was recorded last
	queue   []func(context.Context) error
	failed  error // the first error, after which only Rollback helps
}

// placed is a change with the statement that made it.
type placed struct {
	change
	st sqltext.Statement
}

func (tx *transaction) State(ctx context.Context) (*database.State, error) {
	if err := tx.enter(ctx, OpTxState); err != nil {
		return nil, err
	}
	if err := tx.flush(ctx); err != nil {
		return nil, err
	}
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	return tx.db.target.state(tx.db.own, tx.set, tx.events), nil
}

func (tx *transaction) Exec(ctx context.Context, s *migration.Script) error {
	if err := tx.enter(ctx, OpTxExec); err != nil {
		return err
	}
	return tx.do(ctx, func(ctx context.Context) error { return tx.script(ctx, s) })
}

func (tx *transaction) Record(ctx context.Context, entries ...database.Entry) error {
	if err := tx.enter(ctx, OpTxRecord); err != nil {
		return err
	}
	return tx.do(ctx, func(context.Context) error {
		tx.db.target.mu.Lock()
		defer tx.db.target.mu.Unlock()
		for _, e := range entries {
			now := time.Now()
			if e.StartedAt.IsZero() {
				e.StartedAt, e.Duration = tx.since, now.Sub(tx.since)
			}
			tx.since, e.Set = now, tx.set
			tx.events = append(tx.events, tx.db.keep(e))
		}
		return nil
	})
}

func (tx *transaction) Commit(ctx context.Context) (recorded database.Recorded, err error) {
	err = tx.enter(ctx, OpTxCommit)
	lost := errors.Is(err, ErrCommitted)
	if err == nil || lost {
		if ferr := tx.flush(ctx); ferr != nil {
			err, lost = ferr, false
		}
	}
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	if tx.hold.over {
		if err == nil {
			err = errOver
		}
		return recorded, err
	}
	defer tx.db.release(tx.hold)
	defer tx.releaseOthers()
	if err == nil || lost {
		if cerr := tx.publish(); cerr != nil {
			return recorded, cerr
		}
	}
	if lost || errors.Is(err, ErrNotCommitted) {
		return recorded, &database.CommitUnknownError{Err: err}
	}
	if err != nil {
		return recorded, err
	}
	return tx.recorded(), nil
}

// publish makes the transaction part of the target, or nothing of it. mu is held.
func (tx *transaction) publish() error {
	t := tx.db.target
	next := t.live.clone()
	for _, p := range tx.changes {
		if err := p.change(next); err != nil {
			return statementError(p.st, err)
		}
	}
	t.live = next
	l := t.ledger(tx.db.own, true)
	l.add(tx.events...)
	if tx.facts != nil {
		l.facts = *tx.facts
	}
	return nil
}

// recorded returns what Commit has made durable.
func (tx *transaction) recorded() database.Recorded {
	r := database.Recorded{Head: tx.hold.head + head(tx.events, tx.set)}
	for _, e := range tx.events {
		e.UpText, e.DownText = "", ""
		r.Entries = append(r.Entries, e)
	}
	return r
}

func (tx *transaction) Rollback(context.Context) error {
	err := tx.db.enter(context.Background(), OpTxRollback)
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	if tx.hold.over {
		return nil
	}
	tx.releaseOthers()
	tx.db.release(tx.hold)
	return err
}

// enter begins each call that needs the transaction to be alive and well.
func (tx *transaction) enter(ctx context.Context, op string) error {
	err := tx.db.enter(ctx, op)
	if err == nil || errors.Is(err, ErrCommitted) {
		if over := tx.isOver(); over != nil {
			return over
		}
		if tx.failed != nil {
			return fmt.Errorf("memdb: the transaction is aborted since: %w", tx.failed)
		}
	}
	return tx.fail(err)
}

func (tx *transaction) isOver() error {
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	if tx.hold.over {
		return errOver
	}
	return nil
}

func (tx *transaction) fail(err error) error {
	if err != nil && tx.failed == nil && !errors.Is(err, ErrCommitted) {
		tx.failed = err
	}
	return err
}

// do does something, or queues it.
func (tx *transaction) do(ctx context.Context, what func(context.Context) error) error {
	tx.db.target.mu.Lock()
	queued := tx.db.target.queued
	tx.db.target.mu.Unlock()
	if queued {
		tx.queue = append(tx.queue, what)
		return nil
	}
	return tx.fail(what(ctx))
}

func (tx *transaction) flush(ctx context.Context) error {
	for _, what := range tx.queue {
		if err := what(ctx); err != nil {
			return tx.fail(err)
		}
	}
	tx.queue = nil
	return nil
}

// script runs a script with a session of its own.
func (tx *transaction) script(ctx context.Context, s *migration.Script) error {
	sess := session{}
	if fn := s.Func(); fn != nil {
		return tx.function(ctx, s, sess)
	}
	a, err := s.Analyze(sqltext.PostgreSQL, tx.db.Tables())
	if err != nil {
		return err
	}
	return tx.statements(ctx, s, a.Body(), sess)
}

func (tx *transaction) function(ctx context.Context, s *migration.Script, sess session) error {
	fn, ok := s.Func().(func(context.Context, Tx) error)
	if !ok {
		return fmt.Errorf("%s: a Go function migration for memdb is made by memdb.Func, this is a %T", s.File, s.Func())
	}
	err := fn(ctx, Tx{
		exec: func(ctx context.Context, text string) error {
			a, err := migration.Text(s.File, text).Analyze(sqltext.PostgreSQL, nil)
			if err != nil {
				return err
			}
			return tx.statements(ctx, s, a.All(), sess)
		},
		rows: func(table string) ([]string, error) {
			tx.db.target.mu.Lock()
			defer tx.db.target.mu.Unlock()
			return tx.content.rows(table, nil)
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.File, err)
	}
	return nil
}

func (tx *transaction) statements(ctx context.Context, s *migration.Script, all iter.Seq2[sqltext.Statement, error], sess session) error {
	next, stop := iter.Pull2(all)
	defer stop()
	for {
		st, err, ok := next()
		if !ok || err != nil {
			return err
		}
		ctx, done := limit(ctx, s.Directives)
		err = tx.statement(ctx, st, next, sess)
		done()
		if err != nil {
			return statementError(st, err)
		}
	}
}

// savepoint executes a statement about one.
func (tx *transaction) savepoint(st sqltext.Statement) error {
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	left, err := tx.saved.control(st, tx.changes)
	if err != nil || len(left) == len(tx.changes) {
		return err
	}
	tx.changes = left
	tx.content, err = tx.db.target.live.after(left)
	return err
}

func (tx *transaction) statement(ctx context.Context, st sqltext.Statement, next func() (sqltext.Statement, error, bool), sess session) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case st.Tx == sqltext.TxNever:
		return sqlError("25001", "%s cannot run inside a transaction block", st.Why)
	case st.Tx == sqltext.TxSavepoint:
		return tx.savepoint(st)
	case st.Tx.Control():
		return sqlError("2D000", "transaction control inside a migration's transaction")
	}
	do, err := tx.db.run(ctx, st, database.CopyData(next), sess)
	if err != nil {
		return err
	}
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	if tx.hold.over {
		return errOver
	}
	if err := do(tx.content); err != nil {
		return err
	}
	tx.changes = append(tx.changes, placed{do, st})
	return nil
}
