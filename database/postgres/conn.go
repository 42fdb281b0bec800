package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// conn is a leased connection on which everything is done at the protocol's own
// level: no prepared statements, no type registry, nothing that a pooler minds.
type conn struct{ lease }

// A cancelled statement is asked to end at once and then every second; a server that
// has not answered after this time is given up, and the connection closed.
const (
	cancelEvery = time.Second
	cancelGrace = 10 * time.Second
)

// do calls f with the connection. When ctx is done, f's statement is cancelled on the
// server and its answer awaited; the error is then both the context's and f's.
func (c *conn) do(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return c.use(func(pc *pgx.Conn) error {
		inner, giveUp := context.WithCancel(context.WithoutCancel(ctx))
		defer giveUp()
		finished := make(chan struct{})
		stop := context.AfterFunc(ctx, func() { cancelUntil(finished, pc.PgConn(), giveUp) })
		err := f(inner, pc)
		close(finished)
		stop()
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return err
	})
}

// cancelUntil asks the server to cancel what the connection runs, until it is
// finished, and gives up when the server can't be asked or doesn't answer.
func cancelUntil(finished <-chan struct{}, pc *pgconn.PgConn, giveUp func()) {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	for {
		if err := pc.CancelRequest(ctx); err != nil {
			break
		}
		select {
		case <-finished:
			return
		case <-ctx.Done():
		case <-time.After(cancelEvery):
			continue
		}
		break
	}
	select {
	case <-finished:
	default:
		giveUp()
	}
}

// query is one statement of a pipeline.
type query struct {
	sql     string
	args    []arg
	formats []int16            // of the answer's columns; nil means text
	row     func(r *row) error // for each row of the answer; nil drops them
	done    func(pgconn.CommandTag) error
	fail    func(*pgconn.PgError) error // explains the server's error; nil leaves it
}

// pipeline sends the queries together, and reads the answers in order: one round trip.
// The first error ends it; the server then ignores the rest.
func (c *conn) pipeline(ctx context.Context, queries ...query) error {
	return c.do(ctx, func(ctx context.Context, pc *pgx.Conn) error {
		p := pc.PgConn().StartPipeline(ctx)
		for _, q := range queries {
			p.SendQueryParams(q.sql, encode(q.args), nil, nil, q.formats)
		}
		err := p.Sync()
		for i := 0; err == nil && i < len(queries); i++ {
			err = readAnswer(p, queries[i])
		}
		if cerr := p.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

func readAnswer(p *pgconn.Pipeline, q query) error {
	res, err := p.GetResults()
	if err == nil {
		rr, ok := res.(*pgconn.ResultReader)
		if !ok {
			return fmt.Errorf("unexpected answer %T", res)
		}
		var rowErr error
		for rr.NextRow() {
			if q.row != nil && rowErr == nil {
				rowErr = q.row(&row{values: rr.Values()})
			}
		}
		var tag pgconn.CommandTag
		if tag, err = rr.Close(); err == nil {
			err = rowErr
		}
		if err == nil && q.done != nil {
			err = q.done(tag)
		}
	}
	var pg *pgconn.PgError
	if q.fail != nil && errors.As(err, &pg) {
		return q.fail(pg)
	}
	return err
}

// inTransaction reports whether the connection is in a transaction, also a failed one.
func (c *conn) inTransaction() bool {
	in := false
	c.use(func(pc *pgx.Conn) error {
		in = !pc.IsClosed() && pc.PgConn().TxStatus() != 'I'
		return nil
	})
	return in
}

// closeNow closes the connection without waiting for anything.
func (c *conn) closeNow() {
	c.use(func(pc *pgx.Conn) error {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return pc.Close(ctx)
	})
}

// rollback ends a transaction, also when ctx is done. If the server does not answer the
// connection is closed, which ends the transaction too.
func (c *conn) rollback(ctx context.Context) {
	if !c.inTransaction() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer cancel()
	if err := c.pipeline(ctx, query{sql: "ROLLBACK"}); err != nil {
		c.closeNow()
	}
}

// arg is a parameter in text form; nil is NULL.
type arg = *string

func text(s string) arg { return &s }

func number(n int64) arg { return text(strconv.FormatInt(n, 10)) }

func boolean(b bool) arg { return text(strconv.FormatBool(b)) }

// textOrNull is NULL for the empty string.
func textOrNull(s string) arg {
	if s == "" {
		return nil
	}
	return &s
}

func encode(args []arg) [][]byte {
	values := make([][]byte, len(args))
	for i, a := range args {
		if a != nil {
			values[i] = []byte(*a)
		}
	}
	return values
}

// row reads the columns of an answer one after the other.
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

// time reads a timestamptz in binary form.
func (r *row) time() time.Time {
	b := r.bytes()
	if len(b) != 8 {
		return time.Time{}
	}
	const epoch2000 = 946_684_800_000_000 // microseconds from 1970 to 2000
	return time.UnixMicro(int64(binary.BigEndian.Uint64(b)) + epoch2000).UTC()
}
