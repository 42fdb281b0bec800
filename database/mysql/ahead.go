package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var _ database.RunSequencer = (*run)(nil)

// ahead are the calls of a run that follow. The worker executes them in one message, and each call
// returns when the server has answered its statements.
type ahead struct {
	calls []*call
	next  int    // the call that the engine makes next
	text  string // of the message
	waits waits  // of all scripts
	since int64  // the newest entry of the set before the message

	ctx  context.Context // ends when the rest is to be stopped; nil until the message is sent
	stop func()
	done chan struct{} // closed when the server has answered everything, or a statement has failed

	more    chan struct{} // receives when answers has grown
	mu      sync.Mutex
	answers []answer
	over    bool
	err     error // of the statement that failed, or of the connection

	resolved bool // what was executed beyond the answers is known:
	known    int  // the last call whose write has happened
}

// call is one of them.
type call struct {
	database.Call
	a      *announcement  // of a statement
	head   *call          // the call whose write announces the statement, too; nil for its own
	values []string       // of the row that it writes
	entry  database.Entry // of a Record
	index  int
	first  int // of its statements in the message
	count  int // of these
}

// own returns how many statements there are up to the call's own.
func (c *call) own() int {
	if c.head == nil {
		return ofAnnouncement + 1
	}
	return 1
}

// together reports whether the row announces other statements, too.
func (c *call) together() bool { return c.head != nil || c.a != nil && len(c.a.list) > 1 }

// began is the user variable with the time at which a step began.
const began = "@whimbrel_began"

// Times of a step, as SQL expressions.
const (
	nowUTC   = "UTC_TIMESTAMP(6)"
	sinceNow = "TIMESTAMPDIFF(MICROSECOND, " + began + ", " + nowUTC + ")"
)

// Ahead implements database.RunSequencer. It takes statements that can be sent with an announcement
// which needs no query.
func (r *run) Ahead(ctx context.Context, next []database.Call) (n int, err error) {
	err = r.do(ctx, func(ctx context.Context) error {
		if f := r.db.learnt(); r.own || f == nil || !f.returning() {
			return nil
		}
		q, err := r.queue(ctx, next)
		if err == nil && len(q.calls) > 0 {
			r.ahead, n = q, len(q.calls)
		}
		return err
	})
	return n, err
}

// returning reports whether the server executes INSERT … SELECT … RETURNING.
func (f *facts) returning() bool {
	var major, minor int
	fmt.Sscanf(f.version, "%d.%d.", &major, &minor)
	return f.maria && (major > 10 || major == 10 && minor >= 5)
}

// queue prepares the message, as if each statement succeeded. It has as many of the calls as the
// server accepts in one message.
func (r *run) queue(ctx context.Context, next []database.Call) (q *ahead, err error) {
	r.h.guard.mu.Lock()
	defer r.h.guard.mu.Unlock()
	for len(next) > 0 {
		q, err = r.message(ctx, next)
		if err != nil || int64(len(q.text)) <= r.db.learnt().packet-shortTexts {
			return q, err
		}
		next = next[:len(q.calls)/2]
	}
	return &ahead{}, nil
}

// message is queue for a message of any length.
func (r *run) message(ctx context.Context, next []database.Call) (*ahead, error) {
	h := r.h
	q := &ahead{since: h.head.mine, more: make(chan struct{}, 1), done: make(chan struct{})}
	made := r.made
	made.indexes = slices.Clip(made.indexes)
	row, hasRow := h.row, h.hasRow
	defer func() { h.row, h.next, h.hasRow = row, nil, hasRow }()
	var texts []string
	var head *call // of the last announcement
	announce := func() error {
		if head == nil {
			return nil
		}
		if err := h.prepare(head.a, q.since); err != nil {
			return err
		}
		head.values, texts[head.first] = h.next, ownWaits(h.lockWait, head.a.write.sql)
		h.row, h.hasRow = h.next, true
		return nil
	}
	var last *database.Journal
	for i, of := range next {
		c := &call{Call: of, index: i, first: len(texts)}
		var statements []string
		switch {
		case of.Entry == nil:
			may, err := r.announceAhead(ctx, q, c, last, &made)
			if err != nil {
				return nil, err
			}
			if !may {
				break
			}
			if head != nil && head.a.takes(c.a) {
				c.head, head.a.list = head, append(head.a.list, c.a)
			} else {
				if err := announce(); err != nil {
					return nil, err
				}
				head, c.a.list = c, []*announcement{c.a}
				statements = []string{"", checkOf(last)}
			}
			if statements = append(statements, c.Statement.Text); r.db.opts.Notice != nil {
				statements = append(statements, "SHOW WARNINGS")
			}
		case last != nil && last.EndedBy(*of.Entry):
			text, err := h.entryAhead(c)
			if err != nil {
				return nil, err
			}
			statements = []string{text}
		}
		if statements == nil {
			break
		}
		if last = nil; c.a != nil {
			last = c.a.j
		}
		c.count = len(statements)
		texts, q.calls = append(texts, statements...), append(q.calls, c)
	}
	if err := announce(); err != nil {
		return nil, err
	}
	q.text = strings.Join(texts, betweenCalls)
	return q, nil
}

// betweenCalls is between two statements of the message: the first can end in a comment. The second
// begins on a line of its own.
const betweenCalls = "\n; "

// checkOf returns the statement after an announcement. last is the journal of the statement before
// it in the same run.
func checkOf(last *database.Journal) string {
	if last == nil {
		return ifWritten + ", " + began + " = " + nowUTC
	}
	return ifWritten
}

// announceAhead prepares the announcement of a statement but for its write. may is false if the
// statement needs a query. last is the journal of the statement before it in the same run.
func (r *run) announceAhead(ctx context.Context, q *ahead, c *call, last *database.Journal, made *made) (may bool, err error) {
	h, st := r.h, c.Statement
	w := waitsOf(limitOf(h.opts, c.Script))
	if !r.together(st) || c.Script.StatementTimeout > 0 || r.db.Check(st) != "" || len(q.calls) > 0 && w != q.waits {
		return false, nil
	}
	q.waits = w
	b, deep, err := h.unread(ctx, st)
	if err != nil {
		return false, err
	}
	made.announce(st, b)
	a := &announcement{st: st, j: &c.Journal, b: b}
	if a.asks = b != nil && !made.lacks(b); a.asks && !h.mayAsk(b, deep) {
		return false, nil
	}
	made.follow(st, nil)
	a.quick = a.listable()
	if last != nil {
		a.j.StartedAt = last.StartedAt
	}
	// The time identifies the write, so that reread can find it.
	drivers.Stamp(a.j, h.clock.now().Add(time.Duration(c.index)*time.Microsecond), h.user, h.db.process)
	c.a = a
	return true, nil
}

// entryAhead returns the SQL that appends an entry. It fails if the lock was lost, so that the
// server executes nothing more of the message. The next run begins with it.
func (h *hold) entryAhead(c *call) (string, error) {
	c.entry = *c.Entry
	c.entry.Set = h.set
	values, err := h.entryValues(&c.entry, began, sinceNow+" * "+mustBe(h.guard.form.fence(h.guard, h.set)))
	if err != nil {
		return "", err
	}
	insert := h.db.sql.fill(drivers.InsertEntry("{history}")) + "VALUES (" + values + ")"
	if limit := limitOf(h.opts, c.Script); limit == 0 || limit > h.lockWait { // otherwise that is enough
		insert = ownWaits(h.lockWait, insert)
	}
	return insert + " RETURNING " + storedColumns + ", " + began + " := " + nowUTC, nil
}

// following returns the call that was told ahead if it is the one that is made now; nil otherwise.
func (r *run) following(is func(*call) bool) *call {
	if r.ahead == nil || !is(r.ahead.calls[r.ahead.next]) {
		return nil
	}
	return r.ahead.calls[r.ahead.next]
}

// execAhead is ExecAnnounced for a statement that was told ahead; is reports whether it was.
func (r *run) execAhead(outer context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) (is, announced bool, err error) {
	ctx, leave, err := r.Enter(outer)
	if err != nil {
		return true, false, err
	}
	defer leave()
	c := r.following(func(c *call) bool {
		return c.a != nil && c.Script == s && c.Statement.Text == st.Text && c.Journal.Version == j.Version && c.Journal.Done == j.Done
	})
	if c == nil {
		return false, false, nil
	}
	q := r.ahead
	if q.ctx == nil {
		if err := r.sendAhead(ctx, outer, q, s); err != nil {
			r.ahead = nil
			return true, false, err
		}
	}
	*j = c.Journal
	r.made.announce(st, c.a.b)
	executed, err := r.outcome(ctx, c)
	if errors.Is(err, errOneByOne) {
		r.withdraw()
		return false, false, nil
	}
	if announced = c.a.state != notWritten; announced {
		if err != nil && !q.resolved && c.together() {
			err = r.announceAlone(ctx, c, err)
		}
		*j = *c.a.j
	}
	if announced && !q.resolved && number(err) == erParse {
		// it was not executed, and the error quotes what follows it in the message
		r.withdraw()
		under, stop := r.h.under(ctx)
		defer stop()
		return true, true, r.exec(under, s, st, nil, nil)
	}
	r.executed++
	r.made.follow(st, err)
	r.refuses(st, err)
	if err == nil && len(executed) > c.own() {
		r.db.pass(executed[c.own()])
	}
	r.called(q, err)
	return true, announced, err
}

// called moves on to the next call.
func (r *run) called(q *ahead, err error) {
	if q.next++; err == nil && q.next < len(q.calls) {
		return
	}
	<-q.done
	q.stop()
	r.ahead = nil
}

// outcome returns what the server has answered to the statements of a call, and their error.
func (r *run) outcome(ctx context.Context, c *call) (executed []answer, err error) {
	q, h, begun := r.ahead, r.h, time.Now()
	if !q.resolved {
		watched := func(error) {}
		if !q.answered(c) {
			watched = h.watchWaits(c.Statement, limitOf(h.opts, c.Script))
		}
		executed, err = q.wait(ctx, c)
		watched(err)
		if c.head == nil {
			h.next = c.values
			err = h.answered(q.ctx, c.a, executed, err, begun)
		} else {
			c.a.state = written
			h.follows(c.a.j)
		}
		// the server may have executed more than it could answer
		if c.a.state == written && c.together() && err != nil && h.unsure(q.ctx, err) {
			c.a.state = unsure
		}
		if c.a.state == unsure {
			if rerr := r.resolve(ctx, q, c); rerr != nil {
				c.a.state = written // nobody relies on it
				err = errors.Join(err, rerr)
			}
		}
	}
	if q.resolved {
		err = q.err
		switch c.a.state = written; {
		case q.known < c.index:
			c.a.state = notWritten
		case q.known > c.index:
			err = nil
			fallthrough
		default:
			h.follows(c.a.j)
			h.row = nil
		}
	}
	own, isOwn := drivers.AsType[*ownFailure](err)
	switch {
	case err == nil, q.ctx.Err() != nil:
		return executed, err
	case isOwn:
		return executed, own.error
	}
	return executed, statementError(c.Statement, err)
}

// recordAhead is Record for an entry that was told ahead; is reports whether it was executed.
func (r *run) recordAhead(ctx context.Context, entries []database.Entry) (recorded database.Recorded, is bool, err error) {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return recorded, true, err
	}
	defer leave()
	c := r.following(func(c *call) bool {
		return c.Entry != nil && len(entries) == 1 && c.Entry.Version == entries[0].Version && c.Entry.Direction == entries[0].Direction
	})
	if c == nil {
		return recorded, false, nil
	}
	q := r.ahead
	if !q.resolved {
		executed, err := q.wait(ctx, c)
		switch {
		case err == nil && len(executed[0].rows) == 1:
			err = store(&c.entry, executed[0].rows[0])
		case err == nil:
			err = errors.New("the server did not return the history entry")
		case number(err) == 0, number(err) == erInterrupted, q.ctx.Err() != nil:
			if err = r.resolve(ctx, q, c); err == nil && q.known < c.index {
				r.withdraw()
				return recorded, false, nil
			}
		default: // the guard finds out why
			r.withdraw()
			return recorded, false, nil
		}
		if err != nil {
			r.called(q, err)
			return recorded, true, err
		}
	} else if q.known < c.index {
		r.withdraw()
		return recorded, false, nil
	}
	r.h.ended, r.h.journal = true, nil
	recorded = r.h.recorded([]database.Entry{c.entry})
	r.called(q, nil)
	return recorded, true, nil
}

// sendAhead sends the message. Sending continues after ctx, until outer ends or the lock is lost.
func (r *run) sendAhead(ctx, outer context.Context, q *ahead, s *migration.Script) error {
	h := r.h
	under, release := h.under(ctx)
	defer release()
	if under.Err() != nil {
		return drivers.Reason(under)
	}
	if err := h.checkNow(under); err != nil {
		return err
	}
	if r.timed != s {
		r.timed, r.executed, r.rows, r.waits = s, 0, false, q.waits
	}
	text, add := q.text, q.add
	if w := r.waits; w == (waits{}) || w == h.worker.waits {
		r.waits = waits{}
	} else {
		text = h.worker.setWaits(w) + betweenCalls + text
		limited := false
		add = func(a answer) {
			if limited {
				q.add(a)
				return
			}
			limited, h.worker.waits, r.waits = true, w, waits{} // nothing else uses them before done is closed
		}
	}
	stopped, stop := context.WithCancel(outer)
	var free func()
	q.ctx, free = h.under(stopped)
	q.stop = func() { stop(); free() }
	h.row = nil
	go func() {
		defer close(q.done)
		err := h.worker.do(q.ctx, func(ctx context.Context) error {
			_, err := h.worker.wire.exec(ctx, h.worker, text, add)
			return err
		})
		q.mu.Lock()
		defer q.mu.Unlock()
		q.over, q.err = true, err
	}()
	return nil
}

// add notes that the server has executed one more statement.
func (q *ahead) add(a answer) {
	q.mu.Lock()
	q.answers = append(q.answers, a)
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// answered reports whether the server has answered all statements of a call.
func (q *ahead) answered(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.answers) >= c.first+c.count || q.over
}

// wait waits until the server has answered the statements of a call, or one has failed.
func (q *ahead) wait(ctx context.Context, c *call) (executed []answer, err error) {
	defer context.AfterFunc(ctx, q.stop)()
	for !q.answered(c) {
		select {
		case <-q.more:
		case <-q.done:
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	executed = q.answers[min(c.first, len(q.answers)):min(c.first+c.count, len(q.answers))]
	switch {
	case len(executed) == c.count, c.a != nil && len(executed) >= c.own(): // all but the warnings
		return executed, nil
	case q.err == nil:
		return executed, errors.New("the server did not say that it has executed the statement")
	}
	return executed, q.err
}

// resolve finds out what the server has executed of a message from a call on, after the connection
// broke or the message was canceled. It makes sure that the server no longer executes it. If it
// fails, the run can write nothing any more.
func (r *run) resolve(ctx context.Context, q *ahead, from *call) (err error) {
	<-q.done
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer stop()
	h := r.h
	defer func() {
		if err != nil {
			h.guard.mu.Lock()
			h.guard.c.drop()
			h.guard.mu.Unlock()
		}
	}()
	row, err := r.reread(ctx)
	if err != nil {
		return err
	}
	stored := map[string][]string{}
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	err = h.guard.c.each(ctx, h.db.sql.fill("SELECT version, direction, "+storedColumns+" FROM {history?} WHERE set_name = ? AND id > ?"), []any{h.set, q.since},
		func(scan func(...any) error) error {
			values := make([]string, 5)
			err := scan(&values[0], &values[1], &values[2], &values[3], &values[4])
			stored[values[0]+" "+values[1]] = values[2:]
			return err
		})
	if err != nil {
		return ownError("reading the history", err)
	}
	q.resolved, q.known = true, from.index-1
	several := false
	for _, c := range q.calls {
		if c.a != nil && c.head == nil && row.has(c.a.j) {
			several = c.together()
			q.known, c.a.j.Before = max(q.known, c.index), row.before
		}
		if c.a != nil || c.index < from.index {
			continue
		}
		if values := stored[fmt.Sprintf("%d %s", c.entry.Version, c.entry.Direction)]; values != nil {
			if err := store(&c.entry, values); err != nil {
				return err
			}
			q.known = c.index
		}
	}
	if !several {
		return nil
	}
	j, err := h.narrow(ctx)
	if j == nil || err != nil {
		return err
	}
	for _, c := range q.calls[from.index:] {
		if c.a != nil && c.Journal.Version == j.Version && c.Journal.Direction == j.Direction && c.Journal.Done == j.Done {
			q.known, c.a.j.Before = c.index, j.Before
		}
	}
	return nil
}

// announceAlone makes the journal announce only the statement of a call, which has failed. If it
// fails, the run can write nothing any more.
func (r *run) announceAlone(ctx context.Context, c *call, failed error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer stop()
	h := r.h
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	if h.guard.c.gone {
		return failed
	}
	h.row = nil
	err := c.a.refused(failed)
	if err != nil {
		return errors.Join(failed, err)
	}
	_, err = h.writeAll(ctx, h.guard.c, h.journalWrite(c.a.j, hexText(c.a.j.DoneSum.Digits()), hexText(c.a.j.Before), h.head.mine))
	if err != nil {
		h.guard.c.drop()
		return errors.Join(failed, err)
	}
	h.wrote(c.a.j)
	return failed
}

// withdraw stops the calls that were told ahead and not made. What the database has of them is then
// unknown to the run.
func (r *run) withdraw() {
	q := r.ahead
	if q == nil {
		return
	}
	r.ahead = nil
	if q.ctx == nil {
		return
	}
	q.stop()
	<-q.done
	// the row may announce a statement that was executed
	r.h.row, r.h.hasRow, r.h.ended = nil, r.h.hasRow || len(q.answers) > 0, false
}
