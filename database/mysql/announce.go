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
	asks  bool            // the write itself determines which of the objects exist
	quick bool            // it may be announced together with others
	list  []*announcement // all statements that the write announces, if it announces several
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
	a := &announcement{st: st, j: j, b: b}
	if a.asks = h.mayAsk(b, deep); b != nil && r.knows(b) {
		a.asks = false
	} else if b != nil && !a.asks {
		if err := b.read(ctx, h.guard.c, deep); err != nil {
			return nil, statementError(st, err) // a lock on an object concerns the statement
		}
	}
	drivers.Stamp(j, h.clock.now(), h.user, h.db.process)
	return a, h.prepare(a, h.head.mine)
}

// mayAsk reports whether the write of an announcement can determine which of the objects exist.
func (h *hold) mayAsk(b *before, deep bool) bool {
	return b != nil && !deep && len(b.Objects) <= most && h.guard.form.seal(h.set) == ""
}

// prepare sets the write of an announcement, whose journal is complete but for before. since is the
// newest entry of the set.
func (h *hold) prepare(a *announcement, since int64) (err error) {
	if a.j.Before, err = a.b.doc(); err != nil {
		return err
	}
	before, sum := hexText(a.j.Before), a.j.DoneSum.Digits()
	switch {
	case len(a.list) > 1:
		sum = severalMark
		before, err = a.several()
	case a.asks:
		before, err = a.b.later()
	}
	if err == nil {
		a.write = h.journalWrite(a.j, hexText(sum), before, since)
	}
	return err
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
	switch {
	case len(a.list) > 1:
		for _, one := range a.list {
			if one.asks {
				one.b.There, there = there&1, there>>1
			}
			if one.j.Before, err = one.b.doc(); err != nil {
				return err
			}
		}
	case a.asks:
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
	if is, done, err := r.execAhead(ctx, s, st, j); is {
		return done, err
	}
	err = r.do(ctx, func(ctx context.Context) error {
		a, err := r.announcement(ctx, st, j)
		if err != nil {
			return err
		}
		if r.together(st) && int64(len(a.write.sql)+len(st.Text)+shortTexts) < r.db.learnt().packet {
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
	first, before, check := "", 0, ifWritten
	if e.limits != (waits{}) && e.limits != c.waits {
		first, before = c.setWaits(e.limits)+"; ", 1
	}
	if a.asks && e.rows { // its LAST_INSERT_ID must not be the script's
		first, before, check = first+keepID, before+1, ifWritten+", last_insert_id = "+keptID
	}
	var executed []answer
	err := c.do(ctx, func(ctx context.Context) (err error) {
		// all on one line, so that the lines of the server's errors are those of the statement
		executed, err = c.wire.exec(ctx, c, first+ownWaits(e.h.lockWait, a.write.sql)+"; "+check+"; "+st.Text, nil)
		return err
	})
	if len(executed) > 0 && e.limits != (waits{}) {
		c.waits = e.limits
	}
	executed = executed[min(before, len(executed)):]
	if err == nil && len(executed) <= ofAnnouncement {
		err = errors.New("the server did not say that it has executed the statement")
	}
	if len(executed) > ofAnnouncement {
		c.wire.warnings = executed[ofAnnouncement].warnings
	}
	return e.h.answered(ctx, a, executed, err, begun)
}

// keptID is the user variable in which keepID keeps what LAST_INSERT_ID() returns.
const (
	keptID = "@whimbrel_id"
	keepID = "SET " + keptID + " = LAST_INSERT_ID(); "
)

// shortTexts is more than the length of what else is in such a message.
const shortTexts = 1 << 10

// ofAnnouncement is how many statements announce a statement.
const ofAnnouncement = 2

// answered notes what the server has answered to an announcement and its statement, and returns the
// error of either.
func (h *hold) answered(ctx context.Context, a *announcement, executed []answer, err error, begun time.Time) error {
	c := h.worker
	switch n := len(executed); {
	case n >= ofAnnouncement:
		a.state = written
		h.guard.mu.Lock()
		defer h.guard.mu.Unlock()
		if aerr := h.announced(a, executed[0].id); aerr != nil {
			return errors.Join(err, aerr)
		}
		return err
	case n == 0 && c.wire.refuses:
		return &ownFailure{errOneByOne}
	case n == 1 && number(err) == erOutOfRange:
		return &ownFailure{h.overtaken(a.write)}
	case n == 1, h.unsure(ctx, err):
		a.state = unsure
	case number(err) == erLockWait:
		return &ownFailure{&database.LockedError{What: "one of Whimbrel's tables", Waited: time.Since(begun)}}
	default:
		return &ownFailure{ownError(a.write.doing, err)}
	}
	return err
}

// unsure reports whether the server may have executed more of a message than it could answer.
func (h *hold) unsure(ctx context.Context, err error) bool {
	return h.worker.gone || ctx.Err() != nil || number(err) == erInterrupted || number(err) == 0
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
	row, err := r.reread(ctx)
	if err != nil {
		return err
	}
	if a.state = notWritten; row.has(a.j) {
		a.state, a.j.Before = written, row.before
		r.h.wrote(a.j)
	}
	return nil
}

// journalRow is what shows which journal a row contains, and what the row has as its before.
type journalRow struct {
	updatedAt, before string
	version, done     int64
}

func (r *journalRow) has(j *database.Journal) bool {
	return r != nil && r.updatedAt == formatTime(j.UpdatedAt) && r.version == j.Version && r.done == int64(j.Done)
}

// reread reads the set's row of the journal, after the worker's connection broke or its message was
// canceled; nil if it has none. First it makes sure that the server no longer executes the message.
func (r *run) reread(ctx context.Context) (*journalRow, error) {
	if err := r.revive(ctx, database.LockOptions{Timeout: cancelGrace}); err != nil {
		return nil, err
	}
	r.h.guard.mu.Lock()
	defer r.h.guard.mu.Unlock()
	row := &journalRow{}
	err := r.h.guard.c.row(ctx, "SELECT CAST(updated_at AS char(26)), version, done, `before` FROM "+r.h.journalTable()+" WHERE set_name = "+hexText(r.h.set), nil,
		&row.updatedAt, &row.version, &row.done, &row.before)
	if errors.Is(err, sql.ErrNoRows) {
		r.h.wrote(nil)
		return nil, nil
	}
	if err != nil {
		return nil, ownError("reading the journal", err)
	}
	r.h.hasRow = true
	return row, nil
}
