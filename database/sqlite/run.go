package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// run holds the migration lock without a transaction: a row that every Tx looks for, and a locked
// file that shows that its owner is alive.
type run struct {
	drivers.Held
	d    *db
	c    *conn
	set  string
	opts database.LockOptions

	found   database.Found
	mark    *guardMark
	side    *side
	path    string // of the side file
	session *session
	keys    foreignKeys
	failed  error             // of releasing the lock
	timed   *migration.Script // the script for which SQLite's own waiting is limited
	wait    time.Duration     // that limit
}

// runBusyTimeout is how long a statement waits inside SQLite for readers when it commits: repeated
// from outside, it would do all its work again. It limits how late a canceled context is noticed.
const runBusyTimeout = 2 * time.Second

func (d *db) Guard(ctx context.Context, set string, opts database.LockOptions) (_ database.Run, found database.Found, err error) {
	ctx, cancel := d.life.Until(ctx)
	defer cancel()
	w := newWaiter(set, opts)
	c, err := d.connect(ctx, w)
	if err != nil {
		return nil, found, err
	}
	if d.hasKept() {
		d.dropJournal(c) // the script may change the mode
	}
	r := &run{d: d, c: c, set: set, opts: opts, mark: d.mark()}
	if err = r.take(ctx, w); err == nil {
		err = r.settle(ctx)
	}
	if err != nil {
		c.release()
		return nil, found, err
	}
	if err := r.Open(d.life, func() { r.failed = r.end() }); err != nil {
		return nil, found, err
	}
	return r, r.found, nil
}

// take acquires the lock: the side file and the mark, both under the database's write lock.
func (r *run) take(ctx context.Context, w *waiter) (err error) {
	if r.path, err = r.d.sidePath(ctx, r.c, r.set); err != nil {
		return err
	}
	for {
		st, err := r.d.lock(ctx, r.c, w)
		if err != nil {
			return err
		}
		r.found = database.Found{Head: st.head, Interrupted: st.open}
		if err := foreignError(st.foreign); err != nil {
			r.c.rollback()
			return err
		}
		if r.side, err = takeSide(r.path); err == nil && r.side != nil {
			err = r.commitMark(ctx)
			if err == nil || !isBusy(err) || r.opts.LockTimeout <= 0 {
				return r.d.connectError(err)
			}
			err = nil // readers were in the way
		} else {
			r.c.rollback() // another process may be testing the side file
		}
		if err == nil {
			err = w.wait(ctx, database.Holder{})
		}
		if err != nil {
			return err
		}
	}
}

// commitMark writes the mark and commits it, or releases everything.
func (r *run) commitMark(ctx context.Context) error {
	err := r.d.setGuard(r.c, r.set, r.mark)
	if err == nil {
		err = r.c.commit(ctx, commitTry(r.opts))
	}
	if err != nil {
		r.c.rollback()
		r.side.release()
		if r.path != "" {
			os.Remove(r.path)
		}
	}
	return err
}

// settle reads the session that Close restores, and lets statements wait for readers.
func (r *run) settle(ctx context.Context) (err error) {
	err = poll(ctx, fileTimeout(r.opts), func() (err error) {
		r.session, err = r.c.readSession(ctx)
		return err
	})
	if err == nil {
		err = r.keys.read(r.c)
	}
	if err == nil {
		r.wait = runBusyTimeout
		err = r.c.do(fmt.Sprintf("PRAGMA busy_timeout = %d", r.wait.Milliseconds()))
	}
	if err != nil {
		r.unguard()
		return err
	}
	// idle connections keep a WAL open, which a script may want to end
	if r.d.owned && r.path != "" {
		r.d.pool.SetMaxIdleConns(0)
	}
	return nil
}

func (r *run) State(ctx context.Context) (state *database.State, err error) {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	err = poll(ctx, fileTimeout(r.opts), func() (err error) {
		state, err = r.d.readState(ctx, r.c, r.set)
		return err
	})
	return state, err
}

func (r *run) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, _ io.Reader, done *database.Journal) error {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := refusePragma(st); err != nil {
		return err
	}
	limit := lockLimit(r.opts, s)
	if err := r.limitBusy(s, limit); err != nil {
		return err
	}
	if done != nil {
		return r.transact(ctx, s, st, done, limit)
	}
	return r.execute(ctx, s, st, limit)
}

// limitBusy sets how long SQLite itself waits in the script's statements, before the first of them:
// not longer than the limit.
func (r *run) limitBusy(s *migration.Script, limit time.Duration) error {
	if r.timed == s {
		return nil
	}
	r.timed = s
	wait := min(limit, runBusyTimeout)
	if wait == r.wait {
		return nil
	}
	r.wait = wait
	return r.c.do(fmt.Sprintf("PRAGMA busy_timeout = %d", wait.Milliseconds()))
}

// refusePragma refuses a journal mode with which SQLite could not roll back after a crash.
func refusePragma(st sqltext.Statement) error {
	why := (*db)(nil).Check(st)
	if why == "" {
		return nil
	}
	e := statementError(st, nil)
	e.Message = why
	return e
}

// Check implements database.Checker.
func (*db) Check(st sqltext.Statement) (why string) {
	l := sqltext.List(st.Text, sqltext.SQLite)
	i := 1 // of the name
	if l.Is(2, ".") {
		i = 3
	}
	const pragma = "journal_mode"
	if !l.Is(0, "PRAGMA") || !strings.EqualFold(nameOf(l.At(i)), pragma) || !refusedPragmas[pragma].value.MatchString(nameOf(l.At(i+2))) {
		return ""
	}
	return "with this journal mode " + refusedPragmas["journal_mode"].why + "; choose delete, truncate, persist or wal"
}

// execute executes a statement outside any transaction, or in the script's own.
func (r *run) execute(ctx context.Context, s *migration.Script, st sqltext.Statement, limit time.Duration) error {
	return named(st, poll(ctx, limit, func() error { return r.c.statement(ctx, s, st) }))
}

func (r *run) Record(ctx context.Context, entries ...database.Entry) (recorded database.Recorded, err error) {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return recorded, err
	}
	defer leave()
	var all []database.Entry
	err = r.write(ctx, func() error {
		all = nil
		for _, e := range entries {
			e.Set = r.set
			if e.StartedAt.IsZero() {
				e.StartedAt = time.Now()
			}
			if e, err = r.d.insert(r.c, e); err == nil {
				err = r.d.endRun(r.c, e)
			}
			if err != nil {
				return err
			}
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		return recorded, fmt.Errorf("record: %w", err)
	}
	recorded = recordedAt(r.found.Head, all)
	r.found.Head = recorded.Head
	return recorded, nil
}

func (r *run) Close(context.Context) error {
	r.Abandon()
	return r.failed
}

// end releases the lock, restores the session and releases the connection.
func (r *run) end() error {
	r.c.rollback() // the script may have left one open
	err := poll(bg, fileTimeout(r.opts), func() error {
		_, err := r.c.restore(r.session)
		return err
	})
	r.keys.changed = true // a statement may have changed it
	err = errors.Join(err, r.keys.putBack(r.c), r.unguard())
	if err != nil {
		r.c.drop()
	}
	if r.d.owned && r.path != "" {
		r.d.pool.SetMaxIdleConns(2) // the default of database/sql
	}
	r.c.release()
	return err
}

// unguard removes the mark and the side file, both under the database's write lock. A remaining
// mark does no harm: without the file's lock it is ignored.
func (r *run) unguard() error {
	ctx, cancel := context.WithTimeout(bg, 2*fileTimeout(r.opts))
	defer cancel()
	err := poll(ctx, fileTimeout(r.opts), func() error { return r.c.do("BEGIN IMMEDIATE") })
	if err == nil {
		err = r.c.do(r.d.sql.unguard, guardRow(r.set), r.mark.Token)
	}
	r.side.release()
	if err == nil && r.path != "" {
		os.Remove(r.path) // if it stays, the next Run uses it
	}
	if err == nil {
		err = r.c.commit(ctx, fileTimeout(r.opts))
	}
	if err != nil {
		r.c.rollback()
		return fmt.Errorf("release the migration lock: %w", err)
	}
	return nil
}
