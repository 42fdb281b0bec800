package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// conn is a connection in use. Everything on it happens at the level of the wire protocol, without
// prepared statements and type registry, so any pooler can be in between.
type conn struct {
	handle
	closing  context.Context // done when the Database is closed
	unusable bool            // a script removed state of the session, so nobody else may get it
	server   server          // the server it leads to, once known
	watch    *watcher        // of the statements of scripts; nil: none
	backend  int64           // the server process of the open transaction, once known
	lost     error           // why the connection broke, if that is known
}

// do calls f with the connection. If ctx ends, do cancels f's statement on the server and waits for
// its answer; the error is then both the context's and f's.
func (c *conn) do(ctx context.Context, f func(context.Context, *pgconn.PgConn) error) error {
	ctx, release := c.untilClosed(ctx)
	defer release()
	if ctx.Err() != nil {
		return drivers.Reason(ctx)
	}
	return c.use(func(pc *pgconn.PgConn) error {
		if c.lost != nil {
			return c.lost
		}
		k := cancelWhenDone(ctx, pc)
		defer k.end() // in case f panics
		err := f(context.WithoutCancel(ctx), pc)
		if k.end() {
			closeNow(pc)
		} else if pc.IsClosed() {
			c.lost = err
		}
		return drivers.Stopped(ctx, err)
	})
}

// untilClosed returns a context that also ends when the Database is closed.
func (c *conn) untilClosed(ctx context.Context) (context.Context, func()) {
	return drivers.Under(ctx, c.closing)
}

// within calls f with the connection, and closes the connection if f takes longer than d. It is
// used to end a transaction, even if a context is done.
func (c *conn) within(d time.Duration, f func(context.Context, *pgconn.PgConn) error) error {
	return c.use(func(pc *pgconn.PgConn) error {
		if pc.IsClosed() {
			return errBroken
		}
		tooLate := time.AfterFunc(d, func() { pc.Conn().SetDeadline(time.Now()) })
		err := f(context.Background(), pc)
		if !tooLate.Stop() {
			closeNow(pc)
		} else if pc.IsClosed() {
			c.lost = err
		}
		return err
	})
}

var errBroken = errors.New("the connection is broken")

// query is one statement of a pipeline.
type query struct {
	sql     string
	args    []arg
	oids    []uint32           // the types of args; nil lets the server infer them
	formats []int16            // of the result columns; nil means text
	row     func(r *row) error // called for each row; nil discards them
	done    func(pgconn.CommandTag) error
	// explains a server error; nil: as an error of Whimbrel's own statement
	fail  func(*pgconn.PgError) error
	at    *watched   // it is a statement of a script, or COMMIT
	quiet bool       // its notices are suppressed
	flush bool       // the server sends the answers so far before it executes the next query
	often bool       // it is repeated often enough to be prepared
	path  searchPath // pg_catalog by default
}

// size returns about how many bytes it takes to send the query.
func (q *query) size() int {
	n := len(q.sql)
	for _, a := range q.args {
		if a != nil {
			n += len(*a)
		}
	}
	return n
}

// pipeline sends the queries together and reads the answers in order, in one round trip. The first
// error ends it, and the server ignores the rest. Only pipeline sends Whimbrel's own queries; it
// pins their search path.
func (c *conn) pipeline(ctx context.Context, queries ...query) error {
	if len(queries) == 0 {
		return nil
	}
	if c.watch != nil {
		var s sent
		for _, q := range queries {
			if q.at != nil {
				s.statements = append(s.statements, *q.at)
			}
		}
		defer c.watch.watch(s)()
	}
	return c.do(ctx, watchedPipeline(queries, c.watch))
}

func pipelined(queries []query) func(context.Context, *pgconn.PgConn) error {
	return watchedPipeline(queries, nil)
}

func watchedPipeline(queries []query, w *watcher) func(context.Context, *pgconn.PgConn) error {
	return func(ctx context.Context, pc *pgconn.PgConn) error {
		m := sendMessage(ctx, pc, queries)
		return m.read(w, nil)
	}
}

// message is a pipeline that was sent.
type message struct {
	pc       *pgconn.PgConn
	pipe     *pgconn.Pipeline
	queries  []query
	prepares []bool
	known    *prepared
	next     int   // the query whose answer is read next
	over     bool  // all answers were read
	err      error // the first error: the rest is ignored
	unread   error // of an answer that we could not read; the server continues
}

func sendMessage(ctx context.Context, pc *pgconn.PgConn, queries []query) *message {
	queries = withPaths(queries, pc.TxStatus() != 'I')
	m := &message{pc: pc, pipe: pc.StartPipeline(ctx), queries: queries, prepares: make([]bool, len(queries)), known: preparedOn(pc)}
	for i, q := range queries {
		m.prepares[i] = m.known.send(m.pipe, q)
		if q.flush {
			m.pipe.SendFlushRequest()
		}
	}
	m.err = m.pipe.Sync()
	return m
}

// read reads the answers until enough returns true; nil: all. Until then the connection belongs to
// the message.
func (m *message) read(w *watcher, enough func() bool) error {
	for answered := 0; m.err == nil && m.next < len(m.queries); m.next++ {
		if enough != nil && enough() {
			return nil
		}
		q := m.queries[m.next]
		setQuiet(m.pc, q.quiet)
		if m.prepares[m.next] {
			m.err = m.known.learn(m.pipe, q)
		}
		var bad error
		if bad, m.err = readAnswer(m.pipe, q, m.err); m.unread == nil {
			m.unread = bad
		}
		if q.at != nil {
			answered++
			w.answer(answered)
		}
	}
	if m.over {
		return m.failure()
	}
	m.over = true
	setQuiet(m.pc, false)
	if err := m.pipe.Close(); m.err == nil {
		m.err = ownError("", err)
	}
	if m.err != nil {
		m.known.forget()
	}
	return m.failure()
}

// failure returns the error of a message that is over.
func (m *message) failure() error { return cmp.Or(m.err, m.unread) }

// stop cancels what the server has not executed of a message, and reads the rest of the answers.
func (c *conn) stop(m *message) {
	if m.over {
		return
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	c.use(func(pc *pgconn.PgConn) error {
		k := cancelWhenDone(ended, pc)
		defer k.end() // in case read panics
		err := m.read(nil, nil)
		if k.end() {
			closeNow(pc)
		} else if pc.IsClosed() {
			c.lost = err
		}
		return err
	})
}

// readAnswer reads one answer. unread is the error of q's own row or done function; err is the
// server's or the connection's error, or before, the error of an earlier query.
func readAnswer(p *pgconn.Pipeline, q query, before error) (unread, err error) {
	var res any
	if err = before; err == nil {
		res, err = p.GetResults()
	}
	if err == nil {
		rr, ok := res.(*pgconn.ResultReader)
		if !ok {
			return nil, fmt.Errorf("unexpected answer %T", res)
		}
		var r row
		for rr.NextRow() {
			if q.row != nil && unread == nil {
				r = row{values: rr.Values()}
				unread = q.row(&r)
			}
		}
		var tag pgconn.CommandTag
		if tag, err = rr.Close(); err == nil && unread == nil && q.done != nil {
			unread = q.done(tag)
		}
	}
	if err == nil {
		return unread, nil
	}
	var pg *pgconn.PgError
	if q.fail != nil && errors.As(err, &pg) {
		return unread, q.fail(pg)
	}
	return unread, ownError(q.sql, err)
}

// quietKey marks in a connection's custom data that notices are suppressed.
const quietKey = "whimbrel.quiet"

func setQuiet(pc *pgconn.PgConn, quiet bool) {
	if quiet {
		pc.CustomData()[quietKey] = true
	} else {
		delete(pc.CustomData(), quietKey)
	}
}

// isOwn reports whether the driver has opened the connection.
func (c *conn) isOwn() bool {
	switch c.handle.(type) {
	case *ownConn, single:
		return true
	}
	return false
}

// pid returns the process id that the client knows, which is that of the server's process unless a
// pooler is in between.
func (c *conn) pid() (pid int64) {
	c.with(func(pc *pgconn.PgConn) { pid = int64(pc.PID()) })
	return pid
}

// with calls f with the connection.
func (c *conn) with(f func(*pgconn.PgConn)) error {
	return c.use(func(pc *pgconn.PgConn) error {
		f(pc)
		return nil
	})
}

// inTransaction reports whether the connection is in a transaction, including a failed one.
func (c *conn) inTransaction() (in bool) {
	c.with(func(pc *pgconn.PgConn) { in = !pc.IsClosed() && pc.TxStatus() != 'I' })
	return in
}

// broken reports whether the connection is closed.
func (c *conn) broken() bool {
	broken := true
	c.with(func(pc *pgconn.PgConn) { broken = pc.IsClosed() })
	return broken
}

// pinned returns the configuration of a connection, reduced to the host and address to which it
// leads. If these are unknown, as with a custom dialer, it returns the whole configuration.
func (c *conn) pinned(ctx context.Context) (pinned *pgconn.Config, err error) {
	config, err := c.config()
	if err == nil {
		err = c.with(func(pc *pgconn.PgConn) { pinned = pinnedTo(ctx, config(), pc.Conn().RemoteAddr()) })
	}
	return pinned, err
}

// parameter returns a setting that the server reported on connecting, "" if unknown.
func (c *conn) parameter(name string) (value string) {
	c.with(func(pc *pgconn.PgConn) { value = pc.ParameterStatus(name) })
	return value
}

// serverMajor returns the server's major version, or 0 if unknown.
func (c *conn) serverMajor() (major int) {
	for _, digit := range c.parameter("server_version") {
		if digit < '0' || digit > '9' {
			break
		}
		major = 10*major + int(digit-'0')
	}
	return major
}

// closeNow closes the connection without waiting for anything.
func (c *conn) closeNow() { c.with(closeNow) }

func closeNow(pc *pgconn.PgConn) {
	if pc.IsClosed() {
		return
	}
	pc.Conn().SetDeadline(time.Now())
	// not Background: with it, pgx would keep watching the last statement's context
	pc.Close(context.TODO())
}

// rollback ends a transaction, even if a context is done. If the server doesn't answer, it closes
// the connection, which ends the transaction as well.
func (c *conn) rollback() {
	if !c.inTransaction() {
		return
	}
	if err := c.within(cancelGrace, pipelined([]query{silent("ROLLBACK")})); err != nil {
		c.closeNow()
	}
}

// giveBack releases the connection. If an error closed it, giveBack first gives the server a moment
// to notice.
func (c *conn) giveBack() {
	if _, callers := c.handle.(*fromConn); c.unusable && !callers {
		c.closeNow()
	}
	c.with(func(pc *pgconn.PgConn) {
		if pc.IsClosed() {
			select {
			case <-pc.CleanupDone():
			case <-time.After(closeGrace):
			}
		}
	})
	c.release()
}

// closeGrace limits the wait for the end of a broken connection.
const closeGrace = 2 * time.Second

// arg is a parameter in text form; nil is NULL.
type arg = *string

func text(s string) arg { return &s }

func number(n int64) arg { return text(strconv.FormatInt(n, 10)) }

func boolean(b bool) arg { return text(strconv.FormatBool(b)) }

func encode(args []arg) [][]byte {
	values := make([][]byte, len(args))
	for i, a := range args {
		if a != nil {
			values[i] = []byte(*a)
		}
	}
	return values
}

// row reads the columns of a result row in order.
type row struct {
	values [][]byte
	next   int
	err    error
}

func (r *row) bytes() []byte {
	if r.next >= len(r.values) {
		r.err = errors.New("the answer has too few columns")
		return nil
	}
	r.next++
	return r.values[r.next-1]
}

func (r *row) text() string { return string(r.bytes()) }

func (r *row) number() int64 {
	b := r.bytes()
	if b == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		r.err = err
	}
	return n
}

func (r *row) boolean() bool { return string(r.bytes()) == "t" }

// int64 reads a bigint in binary form; NULL is 0.
func (r *row) int64() int64 {
	b := r.bytes()
	if len(b) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

// bool reads a boolean in binary form; NULL is false.
func (r *row) bool() bool {
	b := r.bytes()
	return len(b) == 1 && b[0] == 1
}

// into returns a row function that reads the columns into *string, *int64 and *bool.
func into(columns ...any) func(*row) error {
	return func(r *row) error {
		for _, c := range columns {
			switch c := c.(type) {
			case *string:
				*c = r.text()
			case *int64:
				*c = r.number()
			case *bool:
				*c = r.boolean()
			default:
				r.err = fmt.Errorf("a column can't be read into a %T", c)
			}
		}
		return r.err
	}
}

// time reads a timestamptz in binary form.
func (r *row) time() time.Time {
	b := r.bytes()
	if len(b) != 8 {
		return time.Time{}
	}
	const epoch2000 = 946_684_800_000_000 // microseconds from 1970 to 2000
	return time.UnixMicro(int64(binary.BigEndian.Uint64(b)) + epoch2000).UTC()
}
