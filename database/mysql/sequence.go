package mysql

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The next Tx can have the connections and the lock of the one before. Then COMMIT also begins its
// transaction.
//
// A sequence is one message with several such transactions. The server stops at the first statement
// that fails, so no later transaction begins.
var (
	_ database.Chainer     = (*transaction)(nil)
	_ database.Sequencer   = (*transaction)(nil)
	_ database.SequenceRun = (*run)(nil)
)

// passes reports whether other transactions can have the connections and the lock, and the caller
// can have another connection meanwhile.
func (h *hold) passes() bool {
	pool := h.db.pool.Stats()
	return !h.worker.unusable && !h.worker.gone && (!h.hasRow || h.ended) && h.triggers == "" && h.set != migration.ReservedSet && h.guard.form.seal(h.set) == "" &&
		(pool.MaxOpenConnections == 0 || pool.InUse < pool.MaxOpenConnections)
}

// chains reports whether the next Tx can have the connections and the lock.
func (b *transaction) chains() bool {
	return b.failed == nil && b.session == nil && b.later == nil && !b.filled && len(b.synced) == 0 && b.h.passes()
}

// commitAndChain commits a transaction and begins the next one.
const commitAndChain = "COMMIT AND CHAIN"

// same returns the first query of a transaction after another one. It fails unless the lock is held
// and Whimbrel's own set is as it was. It stores when the transaction began.
func (h *hold) same() string { return h.sameAnd("") }

// sameInMessage is same for the first transaction of a message. It also fails if the history has a
// trigger. To look for one costs the server more than the rest of a short transaction, so the
// others of the message don't.
func (h *hold) sameInMessage() string {
	return h.sameAnd(" AND " + triggersOn(h.db.names.History) + " IS NULL")
}

func (h *hold) sameAnd(condition string) string {
	return ownWaits(h.lockWait, h.db.sql.fill("SELECT "+nowUTC+", "+mustBe("(SELECT max(id) FROM {history?} WHERE set_name = {own}) <=> "+number64(h.head.own)+" AND "+h.guard.form.fence(h.guard, h.set)+condition)+
		" INTO "+began+", @whimbrel_same"))
}

// mustBe returns an expression that fails with erOutOfRange unless a condition is true.
func mustBe(condition string) string { return "EXP(IF(" + condition + ", 0, 1000))" }

// following returns the Tx after b.
func (b *transaction) following() *transaction {
	return &transaction{db: b.db, h: b.h, began: b.h.clock.now()}
}

// pass gives the connections and the lock to the next Tx.
func (b *transaction) pass(n *transaction) (database.Tx, database.Found) {
	b.passed, b.h.interrupted = true, false
	if n.Open(b.db.life, n.end) != nil { // Begin returns it
		return nil, database.Found{}
	}
	return n, b.h.found()
}

// CommitAndBegin implements database.Chainer.
func (b *transaction) CommitAndBegin(ctx context.Context, opts database.LockOptions) (r database.Recorded, next database.Tx, found database.Found, err error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return r, nil, found, err
	}
	defer leave()
	defer b.End()
	b.chained = b.chains()
	if err := conflicting(b.commit(ctx)); err != nil {
		return r, nil, found, err
	}
	r = b.h.recorded(b.recorded)
	if !b.chained {
		return r, nil, found, nil
	}
	under, stop := b.h.under(ctx)
	defer stop()
	if _, err := b.h.worker.exec(under, b.h.sameInMessage()); err != nil {
		b.h.worker.finish("ROLLBACK")
		return r, nil, found, nil
	}
	b.h.opts = opts
	next, found = b.pass(b.following())
	return r, next, found, nil
}

// Scripts of a sequence have no more bytes and statements than these.
const (
	shortScript   = 4 << 10
	fewStatements = 32
)

// Fits implements database.Sequencer.
func (b *transaction) Fits(s *migration.Script) bool { return !b.written && b.chains() && b.h.fits(s) }

// fits reports whether a script can be in a sequence.
func (h *hold) fits(s *migration.Script) bool {
	w := h.worker.wire
	if w == nil || w.refuses || s.Func() != nil || s.Size > shortScript || s.LockTimeout != 0 || s.StatementTimeout != 0 {
		return false
	}
	a, err := s.Analyze(sqltext.MySQL, h.db.Tables())
	if err != nil || a.Session || a.Never != nil || a.Control != nil || a.Statements > fewStatements {
		return false
	}
	for st, err := range a.Body() {
		if err != nil || !onlyRows(st) {
			return false
		}
	}
	return true
}

// onlyRows reports whether a statement only changes rows, the server finds its end where the driver
// does, whatever its sql_mode is, and it does not ask how many rows the one before it has changed:
// SHOW WARNINGS may be between them.
func onlyRows(st sqltext.Statement) bool {
	text := st.Text
	switch {
	case st.Kind != sqltext.SQL || st.Tx != sqltext.TxAny || st.Session || !slices.Contains([]string{"INSERT", "REPLACE", "UPDATE", "DELETE"}, st.Verb()):
		return false
	case strings.Contains(text, "/*"), strings.Contains(text, `\`) && strings.Contains(text, `"`), countsRows(text):
		return false
	}
	return !strings.Contains(text, ";") || !strings.ContainsAny(text, "\\\"`#") && !strings.Contains(text, "--")
}

// CommitEach implements database.Sequencer.
func (b *transaction) CommitEach(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return nil, database.Found{}, err
	}
	defer leave()
	defer b.End()
	b.h.opts = opts
	next, err := b.commitEach(ctx, parts, more, report)
	if next == nil {
		return nil, database.Found{}, conflicting(err)
	}
	n, found := b.pass(next)
	return n, found, nil
}

func (b *transaction) commitEach(ctx context.Context, parts []database.Part, more bool, report database.PartReport) (*transaction, error) {
	ctx, stop := b.h.under(ctx)
	defer stop()
	q := &sequence{db: b.db, h: b.h, report: report, begun: true, more: more}
	if done, err := q.commitEach(ctx, parts); !done {
		return nil, err
	}
	if b.committed = !q.more; b.committed {
		return nil, nil
	}
	return b.following(), nil
}

// StartSequence implements database.SequenceRun.
func (r *run) StartSequence(ctx context.Context, head int64) database.Sequence {
	_, leave, err := r.Enter(ctx)
	if err != nil {
		return nil
	}
	defer leave()
	if r.own || !r.h.passes() || r.h.head.sum() != head {
		return nil
	}
	return &sequenceOfRun{r}
}

// sequenceOfRun is a sequence under the lock of a run.
type sequenceOfRun struct{ r *run }

func (s *sequenceOfRun) Fits(script *migration.Script) bool { return s.r.h.fits(script) }

func (*sequenceOfRun) Rollback(context.Context) error { return nil }

func (s *sequenceOfRun) CommitEach(ctx context.Context, parts []database.Part, _ bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	return nil, database.Found{}, s.r.do(ctx, func(ctx context.Context) error {
		h := s.r.h
		defer func(was database.LockOptions) { h.opts = was }(h.opts)
		h.opts, s.r.timed = opts, nil
		q := &sequence{db: h.db, h: h, report: report}
		done, err := q.commitEach(ctx, parts)
		if !done && q.parts > 0 {
			h.worker.finish("ROLLBACK")
		}
		return err
	})
}

// sequence is the message, and what the server has answered.
type sequence struct {
	db     *Database
	h      *hold
	report database.PartReport
	begun  bool // its first transaction has
	more   bool // it begins one more at the end
	items  []item
	parts  int // how many transactions it commits

	answered  int // items
	committed int // transactions
	wrong     error
	watched   func(error) // ends the watch of the present statement
}

// item is a statement of the message.
type item struct {
	kind   itemKind
	sql    string
	st     sqltext.Statement // of a script: it, or the one before
	script *migration.Script
	doing  string
	heard  func(answer) error // notes the answer; nil: nothing
}

type itemKind int

const (
	ofWhimbrel itemKind = iota
	ofScript
	begins  // the transaction
	commits // it
)

// commitEach executes parts. If it has not executed all of the message, it returns why, or nil if
// the first part that is not committed has not begun.
func (q *sequence) commitEach(ctx context.Context, parts []database.Part) (done bool, err error) {
	if err := q.build(parts); err != nil || q.parts == 0 {
		return false, err
	}
	if err := q.h.worker.limitWaits(ctx, waitsOf(limitOf(q.h.opts, parts[0].Script))); err != nil {
		return false, err
	}
	err = q.send(ctx)
	if q.answered == len(q.items) && q.wrong == nil {
		return true, nil
	}
	q.h.worker.unusable = true // it may have temporary tables
	if q.committed == q.parts {
		return false, nil
	}
	return false, q.failure(ctx, err)
}

// build builds the message, of as many parts as the server accepts.
func (q *sequence) build(parts []database.Part) error {
	size := int64(0)
	for i, p := range parts {
		items, err := q.part(i, p)
		if err != nil {
			return err
		}
		for _, it := range items {
			size += int64(len(it.sql) + len(terminator))
		}
		if size+shortTexts > q.db.learnt().packet {
			q.more = false
			break
		}
		q.items = append(q.items, items...)
		q.parts++
	}
	switch {
	case q.more:
		q.items = append(q.items, item{kind: begins, sql: q.h.sameInMessage()})
	case q.parts > 0:
		q.items[len(q.items)-1].sql = "COMMIT"
	}
	q.items = append(q.items, item{sql: q.db.sql.fill(dropShadows)})
	return nil
}

// part returns the statements of a part, as if another transaction followed.
func (q *sequence) part(index int, p database.Part) (items []item, err error) {
	h := q.h
	begin := item{kind: begins, sql: h.same(), heard: func(answer) error { q.report.Begun(); return nil }}
	switch {
	case index == 0 && q.begun:
		begin.sql = "SET " + began + " = " + nowUTC
	case index == 0:
		items = append(items, item{kind: begins, sql: startTransaction})
		begin.sql = h.sameInMessage()
	}
	items = append(items, begin)
	a, err := p.Script.Analyze(sqltext.MySQL, q.db.Tables())
	if err != nil {
		return nil, err
	}
	var last sqltext.Statement
	for st, err := range a.Body() {
		if err != nil {
			return nil, err
		}
		last = st
		items = append(items, item{kind: ofScript, sql: st.Text, st: st, script: p.Script})
		if q.db.opts.Notice != nil {
			items = append(items, item{sql: "SHOW WARNINGS", doing: "reading the warnings", heard: func(a answer) error { q.db.pass(a); return nil }})
		}
	}
	items = append(items, item{sql: q.db.sql.hides, doing: droppingShadows}) // which the next statement writes
	recorded := make([]database.Entry, len(p.Entries))
	for i := range p.Entries {
		if i > 0 {
			items = append(items, item{sql: "SET " + began + " = " + nowUTC, doing: "reading the clock"})
		}
		e := &recorded[i]
		*e = p.Entries[i]
		entry, err := q.entry(e)
		if err != nil {
			return nil, err
		}
		items = append(items, entry...)
	}
	return append(items, item{kind: commits, sql: commitAndChain, st: last, heard: func(answer) error {
		q.committed++
		q.report.Committed(h.recorded(recorded))
		return nil
	}}), nil
}

// entry returns the statements that append an entry to the history. They fail if the lock was lost.
func (q *sequence) entry(e *database.Entry) ([]item, error) {
	e.Set = q.h.set
	start, took := began, sinceNow
	if !e.StartedAt.IsZero() {
		start, took = "", ""
	}
	insert, err := q.h.entryInsert(e, start, took)
	if err != nil {
		return nil, err
	}
	doing, stored := recording(*e), func(a answer) error { return store(e, slices.Concat(a.rows...)) }
	sql := ownWaits(q.h.lockWait, insert+" WHERE "+mustBe(q.h.guard.form.fence(q.h.guard, q.h.set)))
	if q.db.learnt().returning() {
		return []item{{sql: sql + " RETURNING " + storedColumns, doing: doing, heard: stored}}, nil
	}
	read := "SELECT " + storedColumns + q.db.sql.fill(" FROM {history?} WHERE id = LAST_INSERT_ID()")
	return []item{{sql: sql, doing: doing}, {sql: read, doing: doing, heard: stored}}, nil
}

// send sends the message, and waits for its end. It limits the waits for Whimbrel's tables.
func (q *sequence) send(ctx context.Context) (err error) {
	texts := make([]string, len(q.items))
	for i, it := range q.items {
		texts[i] = it.sql
	}
	c := q.h.worker
	own := q.db.limitLockWait(ctx, q.h.lockWait, func(ctx context.Context) error {
		err = c.do(ctx, func(ctx context.Context) error {
			_, err := c.wire.exec(ctx, c, strings.Join(texts, terminator), q.hear)
			return err
		})
		if k := q.at().kind; k == ofScript || k == commits {
			return nil
		}
		return err
	})
	if q.watched != nil {
		q.watched(err)
	}
	return cmp.Or(own, err)
}

// hear notes an answer.
func (q *sequence) hear(a answer) {
	if q.wrong != nil || q.answered == len(q.items) {
		return
	}
	if q.watched != nil {
		q.watched(nil)
		q.watched = nil
	}
	it := q.at()
	if q.answered++; it.heard != nil {
		q.wrong = it.heard(a)
	}
	if q.answered == len(q.items) {
		return
	}
	if it = q.at(); it.kind == ofScript {
		q.watched = q.h.watchWaits(it.st, limitOf(q.h.opts, it.script))
	}
}

// at returns the statement that the server has not answered yet; the last one if it has answered
// all.
func (q *sequence) at() item { return q.items[min(q.answered, len(q.items)-1)] }

// failure returns why the first part that was not committed was not, given the error of the
// message; nil if it has not begun.
func (q *sequence) failure(ctx context.Context, err error) error {
	c, it := q.h.worker, q.at()
	switch {
	case err != nil:
	case ctx.Err() != nil: // the server stopped between two statements
		err = drivers.Reason(ctx)
	default:
		err = errors.New("the server did not say that it has executed the statement")
	}
	switch {
	case q.wrong != nil:
		return q.h.unknownCommit(&database.CommitUnknownError{Err: q.wrong})
	case c.gone, it.kind == commits && number(err) == erInterrupted:
		return q.h.unknownCommit(&database.CommitUnknownError{Err: err})
	case it.kind == begins:
		return nil
	case ctx.Err() != nil:
		return err
	case it.kind == commits:
		return commitError(it.st, err)
	case it.kind == ofScript:
		if number(err) == erParse { // it was not executed, and the error quotes what follows it in the message
			_, alone := c.exec(ctx, it.sql)
			err = cmp.Or(alone, err)
		}
		return c.undo(ctx, statementError(it.st, err))
	case number(err) == erOutOfRange:
		return q.h.overtaken(write{})
	}
	return ownError(it.doing, err)
}
