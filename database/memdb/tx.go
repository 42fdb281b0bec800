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

// batch is a transaction: a clone of the content as it was at Begin, and the changes
// that were made to it. Commit does the changes again to what is there then; what
// other sets have committed meanwhile is kept, and where it is in the way of a change,
// Commit fails.
type batch struct {
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
	since   time.Time // when the batch began, or an event was recorded last
	queue   []func(context.Context) error
	failed  error // the first error, after which only Rollback helps
}

// placed is a change with the statement that made it.
type placed struct {
	change
	st sqltext.Statement
}

func (b *batch) State(ctx context.Context) (*database.State, error) {
	if err := b.enter(ctx, OpTxState); err != nil {
		return nil, err
	}
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	b.db.target.mu.Lock()
	defer b.db.target.mu.Unlock()
	return b.db.target.state(b.db.own, b.set, b.events), nil
}

func (b *batch) Exec(ctx context.Context, s *migration.Script) error {
	if err := b.enter(ctx, OpTxExec); err != nil {
		return err
	}
	return b.do(ctx, func(ctx context.Context) error { return b.script(ctx, s) })
}

func (b *batch) Record(ctx context.Context, entries ...database.Entry) error {
	if err := b.enter(ctx, OpTxRecord); err != nil {
		return err
	}
	return b.do(ctx, func(context.Context) error {
		b.db.target.mu.Lock()
		defer b.db.target.mu.Unlock()
		for _, e := range entries {
			now := time.Now()
			if e.StartedAt.IsZero() {
				e.StartedAt, e.Duration = b.since, now.Sub(b.since)
			}
			b.since, e.Set = now, b.set
			b.events = append(b.events, b.db.keep(e))
		}
		return nil
	})
}

func (b *batch) Commit(ctx context.Context) (recorded database.Recorded, err error) {
	err = b.enter(ctx, OpTxCommit)
	lost := errors.Is(err, ErrCommitted)
	if err == nil || lost {
		if ferr := b.flush(ctx); ferr != nil {
			err, lost = ferr, false
		}
	}
	b.db.target.mu.Lock()
	defer b.db.target.mu.Unlock()
	if b.hold.over {
		if err == nil {
			err = errOver
		}
		return recorded, err
	}
	defer b.db.release(b.hold)
	defer b.releaseOthers()
	if err == nil || lost {
		if cerr := b.publish(); cerr != nil {
			return recorded, cerr
		}
	}
	if lost || errors.Is(err, ErrNotCommitted) {
		return recorded, &database.CommitUnknownError{Err: err}
	}
	if err != nil {
		return recorded, err
	}
	return b.recorded(), nil
}

// publish makes the batch part of the target, or nothing of it. mu is held.
func (b *batch) publish() error {
	t := b.db.target
	next := t.live.clone()
	for _, p := range b.changes {
		if err := p.change(next); err != nil {
			return statementError(p.st, err)
		}
	}
	t.live = next
	l := t.ledger(b.db.own, true)
	l.add(b.events...)
	if b.facts != nil {
		l.facts = *b.facts
	}
	return nil
}

// recorded returns what Commit has made durable.
func (b *batch) recorded() database.Recorded {
	r := database.Recorded{Head: b.hold.head + head(b.events, b.set)}
	for _, e := range b.events {
		e.UpText, e.DownText = "", ""
		r.Entries = append(r.Entries, e)
	}
	return r
}

func (b *batch) Rollback(context.Context) error {
	err := b.db.enter(context.Background(), OpTxRollback)
	b.db.target.mu.Lock()
	defer b.db.target.mu.Unlock()
	if b.hold.over {
		return nil
	}
	b.releaseOthers()
	b.db.release(b.hold)
	return err
}

// enter begins each call that needs the batch to be alive and well.
func (b *batch) enter(ctx context.Context, op string) error {
	err := b.db.enter(ctx, op)
	if err == nil || errors.Is(err, ErrCommitted) {
		if over := b.isOver(); over != nil {
			return over
		}
		if b.failed != nil {
			return fmt.Errorf("memdb: the transaction is aborted since: %w", b.failed)
		}
	}
	return b.fail(err)
}

func (b *batch) isOver() error {
	b.db.target.mu.Lock()
	defer b.db.target.mu.Unlock()
	if b.hold.over {
		return errOver
	}
	return nil
}

func (b *batch) fail(err error) error {
	if err != nil && b.failed == nil && !errors.Is(err, ErrCommitted) {
		b.failed = err
	}
	return err
}

// do does something, or queues it.
func (b *batch) do(ctx context.Context, what func(context.Context) error) error {
	b.db.target.mu.Lock()
	queued := b.db.target.queued
	b.db.target.mu.Unlock()
	if queued {
		b.queue = append(b.queue, what)
		return nil
	}
	return b.fail(what(ctx))
}

func (b *batch) flush(ctx context.Context) error {
	for _, what := range b.queue {
		if err := what(ctx); err != nil {
			return b.fail(err)
		}
	}
	b.queue = nil
	return nil
}

// script runs a script with a session of its own.
func (b *batch) script(ctx context.Context, s *migration.Script) error {
	sess := session{}
	if fn := s.Func(); fn != nil {
		return b.function(ctx, s, sess)
	}
	a, err := s.Analyze(sqltext.PostgreSQL, b.db.Tables())
	if err != nil {
		return err
	}
	return b.statements(ctx, s, a.Body(), sess)
}

func (b *batch) function(ctx context.Context, s *migration.Script, sess session) error {
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
			return b.statements(ctx, s, a.All(), sess)
		},
		rows: func(table string) ([]string, error) {
			b.db.target.mu.Lock()
			defer b.db.target.mu.Unlock()
			return b.content.rows(table, nil)
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.File, err)
	}
	return nil
}

func (b *batch) statements(ctx context.Context, s *migration.Script, all iter.Seq2[sqltext.Statement, error], sess session) error {
	next, stop := iter.Pull2(all)
	defer stop()
	for {
		st, err, ok := next()
		if !ok || err != nil {
			return err
		}
		ctx, done := limit(ctx, s.Directives)
		err = b.statement(ctx, st, next, sess)
		done()
		if err != nil {
			return statementError(st, err)
		}
	}
}

// savepoint executes a statement about one.
func (b *batch) savepoint(st sqltext.Statement) error {
	b.db.target.mu.Lock()
	defer b.db.target.mu.Unlock()
	left, err := b.saved.control(st, b.changes)
	if err != nil || len(left) == len(b.changes) {
		return err
	}
	b.changes = left
	b.content, err = b.db.target.live.after(left)
	return err
}

func (b *batch) statement(ctx context.Context, st sqltext.Statement, next func() (sqltext.Statement, error, bool), sess session) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case st.Tx == sqltext.TxNever:
		return sqlError("25001", "%s cannot run inside a transaction block", st.Why)
	case st.Tx == sqltext.TxSavepoint:
		return b.savepoint(st)
	case st.Tx.Control():
		return sqlError("2D000", "transaction control inside a migration's transaction")
	}
	do, err := b.db.run(ctx, st, database.CopyData(next), sess)
	if err != nil {
		return err
	}
	b.db.target.mu.Lock()
	defer b.db.target.mu.Unlock()
	if b.hold.over {
		return errOver
	}
	if err := do(b.content); err != nil {
		return err
	}
	b.changes = append(b.changes, placed{do, st})
	return nil
}
