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

// Func returns the script of a Go function that works in the transaction of its migration. The
// history stores id for the function: change it when the function's effect changes. The function
// can run more than once; see [migration.Func].
func Func(id string, fn func(ctx context.Context, tx Tx) error) *migration.Script {
	return migration.Func(id, fn)
}

// transaction is a Tx: a copy of the content at Begin, and the changes that were made to it. Commit
// makes the changes again to the content at that time, which keeps what other sets have committed
// since Begin. If a change is no longer possible, Commit fails.
type transaction struct {
	db   *Database
	set  string
	opts database.LockOptions

	hold   *hold   // guarded by the target's mu, as are the fields below
	under  bool    // hold is that of a run, which keeps it
	others []*hold // of other sets, for Reset

	content *content
	changes []placed
	saved   savepoints
	entries []database.Entry
	dropped []string              // by Reset
	facts   *[]fact               // of the last PutMetadata; nil: none
	fills   []func(*ledger) error // what StartBackfill, FinishBackfill and EndBackfill do at Commit
	since   time.Time             // when the transaction began, or the last entry was recorded
	queue   []func(context.Context) error
	failed  error // the first error, after which only Rollback helps
}

// placed is a change with the statement that made it.
type placed struct {
	change
	st sqltext.Statement
}

func (tx *transaction) State(ctx context.Context) (*database.State, error) {
	if err := tx.enterAndFlush(ctx, OpTxState); err != nil {
		return nil, err
	}
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	return tx.db.target.state(tx.db.own, tx.set, tx.entries), nil
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
			tx.entries = append(tx.entries, tx.db.keep(e))
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
	defer tx.release()
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

// CommitAndBegin implements database.Chainer.
func (tx *transaction) CommitAndBegin(ctx context.Context, opts database.LockOptions) (r database.Recorded, next database.Tx, found database.Found, err error) {
	if r, err = tx.Commit(ctx); err != nil {
		return r, nil, found, err
	}
	once := opts
	once.Timeout, once.Waiting = 0, nil
	next, found, err = tx.db.Begin(ctx, tx.set, once)
	if err != nil { // the caller's Begin returns it
		return r, nil, database.Found{}, nil
	}
	next.(*transaction).opts = opts
	return r, next, found, nil
}

// Fits implements database.Sequencer.
func (tx *transaction) Fits(s *migration.Script) bool { return s.Func() == nil }

// CommitEach implements database.Sequencer.
func (tx *transaction) CommitEach(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	var now database.Tx = tx
	var found database.Found
	for i, p := range parts {
		report.Begun()
		err := now.Exec(ctx, p.Script)
		if err == nil {
			err = now.Record(ctx, p.Entries...)
		}
		if err != nil {
			_ = now.Rollback(ctx)
			return nil, database.Found{}, err
		}
		var r database.Recorded
		if more || i+1 < len(parts) {
			r, now, found, err = database.CommitAndBegin(ctx, now, opts)
		} else {
			r, err = now.Commit(ctx)
			now = nil
		}
		if err != nil {
			return nil, database.Found{}, err
		}
		report.Committed(r)
		if now != nil && (found.Head != r.Head || found.Interrupted) {
			_ = now.Rollback(ctx)
			now = nil
		}
		if now == nil {
			return nil, database.Found{}, nil
		}
	}
	return now, found, nil
}

// StartSequence implements database.SequenceStarter.
func (d *Database) StartSequence(_ context.Context, set string, head int64) database.Sequence {
	return &sequence{db: d, set: set, head: head}
}

// sequence is a Sequence.
type sequence struct {
	db   *Database
	set  string
	head int64
}

func (s *sequence) Fits(script *migration.Script) bool { return script.Func() == nil }

func (s *sequence) CommitEach(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	once := opts
	once.Timeout, once.Waiting = 0, nil
	tx, found, err := s.db.Begin(ctx, s.set, once)
	if err != nil { // the caller's Begin returns it
		return nil, database.Found{}, nil
	}
	if found.Head != s.head || found.Interrupted {
		return nil, database.Found{}, tx.Rollback(ctx)
	}
	tx.(*transaction).opts = opts
	return tx.(*transaction).CommitEach(ctx, parts, more, opts, report)
}

func (*sequence) Rollback(context.Context) error { return nil }

// runSequence is a Sequence under the lock of a run.
type runSequence struct {
	sequence
	run *run
}

// StartSequence implements database.SequenceRun.
func (r *run) StartSequence(_ context.Context, head int64) database.Sequence {
	return &runSequence{sequence{db: r.db, set: r.set, head: head}, r}
}

func (s *runSequence) CommitEach(ctx context.Context, parts []database.Part, _ bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	for _, p := range parts {
		if tx := s.begin(opts); tx != nil {
			_, _, err := tx.CommitEach(ctx, []database.Part{p}, false, opts, database.PartReport{Begun: report.Begun, Committed: func(r database.Recorded) {
				s.head = r.Head
				s.moved(r.Head)
				report.Committed(r)
			}})
			if err == nil {
				continue
			}
			return nil, database.Found{}, err
		}
		break
	}
	return nil, database.Found{}, nil
}

// begin returns a transaction under the lock of the run, or nil if something has changed.
func (s *runSequence) begin(opts database.LockOptions) *transaction {
	t := s.db.target
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.ledger(s.db.own, true)
	if j, ok := l.journals[s.set]; s.run.hold.over || head(l.entries, s.set) != s.head || ok && j.Started() {
		return nil
	}
	return &transaction{db: s.db, set: s.set, opts: opts, hold: s.run.hold, under: true, content: t.live.clone(), since: time.Now()}
}

// moved notes the head that a transaction has left.
func (s *runSequence) moved(head int64) {
	s.db.target.mu.Lock()
	defer s.db.target.mu.Unlock()
	s.run.hold.head = head
}

// publish makes all of the transaction part of the target, or nothing. mu is held.
func (tx *transaction) publish() error {
	t := tx.db.target
	next := t.live.clone()
	for _, p := range tx.changes {
		if err := p.change(next); err != nil {
			return statementError(p.st, err)
		}
	}
	l := t.ledger(tx.db.own, true)
	for _, fill := range tx.fills {
		if err := fill(l); err != nil {
			return err
		}
	}
	t.live = next
	l.add(tx.entries...)
	if tx.facts != nil {
		l.facts = *tx.facts
	}
	return nil
}

// recorded returns what Commit returns.
func (tx *transaction) recorded() database.Recorded {
	r := database.Recorded{Head: tx.hold.head + head(tx.entries, tx.set)}
	for _, e := range tx.entries {
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
	tx.release()
	return err
}

// release releases the locks. mu is held.
func (tx *transaction) release() {
	tx.releaseOthers()
	if !tx.under {
		tx.db.release(tx.hold)
	}
}

// enter begins a call that is an error after the transaction is over or has failed.
func (tx *transaction) enter(ctx context.Context, op string) error {
	err := tx.db.enter(ctx, op)
	if err == nil || errors.Is(err, ErrCommitted) {
		if over := tx.db.isOver(tx.hold); over != nil {
			return over
		}
		if tx.failed != nil {
			return fmt.Errorf("memdb: the transaction is aborted since: %w", tx.failed)
		}
	}
	return tx.fail(err)
}

func (tx *transaction) fail(err error) error {
	if err != nil && tx.failed == nil && !errors.Is(err, ErrCommitted) {
		tx.failed = err
	}
	return err
}

// do calls what, or queues it.
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

// enterAndFlush is enter for a call that executes what is queued.
func (tx *transaction) enterAndFlush(ctx context.Context, op string) error {
	if err := tx.enter(ctx, op); err != nil {
		return err
	}
	return tx.flush(ctx)
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

// script executes a script in its own session.
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
		return fmt.Errorf("%s: a Go function for memdb must be created with memdb.Func; this is a %T", s.File, s.Func())
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
		err = tx.statement(ctx, st, next, sess, waiter{tx.opts, s.Directives})
		done()
		if err != nil {
			return statementError(st, err)
		}
	}
}

// savepoint executes a statement that controls a savepoint.
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

func (tx *transaction) statement(ctx context.Context, st sqltext.Statement, next func() (sqltext.Statement, error, bool), sess session, w waiter) error {
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
	do, err := tx.db.run(ctx, st, database.CopyData(next), sess, w)
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
