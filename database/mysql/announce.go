package mysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var _ database.AnnouncedExecer = (*run)(nil)

// announcement is a write of the journal that announces a statement.
type announcement struct {
	st    sqltext.Statement
	j     *database.Journal
	b     *before
	write write
	asks  bool // the write itself determines which of the objects exist
	state announced
}

// announced is what is known of an announcement.
type announced int

const (
	notWritten announced = iota
	written
	unsure // the connection broke
)

// announcement prepares the announcement of a statement. It reads the definitions of the objects
// that the statement changes, but leaves to the write which of them exist.
func (r *run) announcement(ctx context.Context, st sqltext.Statement, j *database.Journal) (*announcement, error) {
	if r.own {
		return nil, errOwnTransaction
	}
	h := r.h
	b, deep, err := h.unread(ctx, st)
	if err != nil {
		return nil, err
	}
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	r.made.announce(st, b)
	known := r.knows(b)
	a := &announcement{st: st, j: j, b: b}
	a.asks = b != nil && !known && !deep && len(b.Objects) <= most && h.guard.form.seal(h.set) == ""
	if b != nil && !known && !a.asks {
		if err := b.read(ctx, h.guard.c, deep); err != nil {
			return nil, statementError(st, err) // a lock on an object concerns the statement
		}
	}
	if j.Before, err = b.doc(); err != nil {
		return nil, err
	}
	before := hexText(j.Before)
	if a.asks {
		if before, err = b.later(); err != nil {
			return nil, err
		}
	}
	drivers.Stamp(j, h.clock.now(), h.user, h.db.process)
	a.write = h.journalWrite(j, before, h.head.mine)
	return a, nil
}

// announce writes the journal on the guard.
func (r *run) announce(ctx context.Context, a *announcement) error {
	r.h.guard.mu.Lock()
	defer r.h.guard.mu.Unlock()
	ids, err := r.h.writeAll(ctx, r.h.guard.c, a.write)
	if err != nil {
		return err
	}
	var there uint64
	if a.asks {
		there = uint64(ids[0])
	}
	return r.h.announced(a, there)
}

// announced notes that an announcement was written. there tells which objects existed. Its caller
// holds the guard.
func (h *hold) announced(a *announcement, there uint64) (err error) {
	if a.asks {
		a.b.There = there
		if a.j.Before, err = a.b.doc(); err != nil {
			return err
		}
	}
	h.wrote(a.j)
	h.checked = time.Now() // the write shows that the guard holds the lock
	return nil
}

// ExecAnnounced implements database.AnnouncedExecer. If the server can, it writes the journal on
// the worker, in the same message as the statement.
func (r *run) ExecAnnounced(ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) (done bool, err error) {
	err = r.do(ctx, func(ctx context.Context) error {
		a, err := r.announcement(ctx, st, j)
		if err != nil {
			return err
		}
		if r.together(st) {
			err = r.exec(ctx, s, st, nil, a)
			if a.state == unsure {
				err = errors.Join(err, r.settle(ctx, a))
			}
			done = a.state != notWritten
			if !errors.Is(err, errOneByOne) {
				return err
			}
		}
		if err := r.announce(ctx, a); err != nil {
			return err
		}
		done = true
		return r.exec(ctx, s, st, nil, nil)
	})
	return done, err
}

// together reports whether a statement may be in one message with its announcement. The server
// must let the announcement have limits of its own for waits, and can't find a second statement in
// a text without a semicolon, whatever its sql_mode is.
func (r *run) together(st sqltext.Statement) bool {
	w := r.h.worker
	return w.wire != nil && !w.wire.refuses && !w.unusable && !st.Session && changesSchema(st) && !strings.Contains(st.Text, ";") &&
		r.h.compound() && r.h.guard.form.seal(r.h.set) == ""
}

// ifWritten is a statement that fails unless the one before it has changed a row.
const ifWritten = "SET @whimbrel_written = EXP(IF(ROW_COUNT() = 1, 0, 1000))"

// sendAnnounced sends an announcement and its statement in one message. The server executes the
// statement only if the announcement has changed the journal's row, which it does not if the lock
// was lost.
func (e *executor) sendAnnounced(ctx context.Context, st sqltext.Statement) error {
	a, c, begun := e.first, e.c, time.Now()
	const own = 2 // statements of the announcement
	var executed []okPacket
	err := c.do(ctx, func(ctx context.Context) (err error) {
		// all on one line, so that the lines of the server's errors are those of the statement
		executed, err = c.wire.exec(ctx, c, ownWaits(e.h.lockWait, a.write.sql)+"; "+ifWritten+"; "+st.Text)
		return err
	})
	n := len(executed)
	if err == nil && n <= own {
		err = errors.New("the server did not say that it has executed the statement")
	}
	switch {
	case n >= own:
		a.state = written
		e.h.guard.mu.Lock()
		defer e.h.guard.mu.Unlock()
		if aerr := e.h.announced(a, executed[0].id); aerr != nil {
			return errors.Join(err, aerr)
		}
		if n > own {
			c.wire.warnings = executed[own].warnings
		}
		return err
	case n == 0 && c.wire.refuses:
		return &ownFailure{errOneByOne}
	case n == 1 && number(err) == erOutOfRange:
		return &ownFailure{e.h.overtaken(a.write)}
	case n == 1, c.gone, ctx.Err() != nil, number(err) == erInterrupted, number(err) == 0:
		a.state = unsure
	case number(err) == erLockWait:
		return &ownFailure{&database.LockedError{What: "one of Whimbrel's tables", Waited: time.Since(begun)}}
	default:
		return &ownFailure{ownError(a.write.doing, err)}
	}
	return err
}

// erOutOfRange is the error of ifWritten.
const erOutOfRange = 1690

// ownFailure is an error of an announcement, after which its statement was not executed.
type ownFailure struct{ error }

func (e *ownFailure) Unwrap() error { return e.error }

// settle finds out whether an announcement was written, after the connection broke or the message
// was canceled. It makes sure that the server no longer executes the message. If it fails, the run
// can write nothing any more.
func (r *run) settle(ctx context.Context, a *announcement) (err error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer stop()
	defer func() {
		if err != nil {
			r.h.guard.mu.Lock()
			r.h.guard.c.drop()
			r.h.guard.mu.Unlock()
			a.state = written // nobody relies on it
		}
	}()
	if err := r.revive(ctx, database.LockOptions{Timeout: cancelGrace}); err != nil {
		return err
	}
	r.h.guard.mu.Lock()
	defer r.h.guard.mu.Unlock()
	var at, before string
	var done int64
	err = r.h.guard.c.row(ctx, "SELECT CAST(updated_at AS char(26)), done, `before` FROM "+r.h.journalTable()+" WHERE set_name = "+hexText(r.h.set), nil, &at, &done, &before)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		r.h.wrote(nil)
		a.state = notWritten
		return nil
	case err != nil:
		return ownError("reading the journal", err)
	}
	r.h.hasRow = true
	if at != formatTime(a.j.UpdatedAt) || done != int64(a.j.Done) {
		a.state = notWritten
		return nil
	}
	a.state, a.j.Before = written, before
	r.h.wrote(a.j)
	return nil
}
