package postgres

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// At most this many chunks are unanswered, and another one is sent only if those before it have
// fewer bytes.
const (
	aheadChunks = 8
	aheadBytes  = 2 * chunkBytes
)

// longestMessage is the length of the longest text that the server accepts.
const longestMessage = 1<<30 - 2 - queryHeader

// stream sends chunks with the simple query protocol, without waiting for the answers to those
// before them. They are executed in a transaction, so after an error the server executes none of
// the others, which it answers with an error each.
type stream struct {
	conn     net.Conn      // nil until the connection is ready
	ready    chan net.Conn // receives it
	sent     chan *chunk   // in their order
	answered chan *chunk   // in their order
	failed   chan struct{} // closed at the first error
	ended    chan struct{} // closed when nothing more is read
	err      error         // the first error, once ended
	free     []*chunk      // whose memory is used again
	chunks   int           // unanswered
	bytes    int           // unanswered
}

// simple sends one chunk, and waits for the answers.
func (c *conn) simple(ctx context.Context, k *chunk) error {
	s := c.stream(ctx)
	err := s.send(ctx, k)
	if serr := s.end(); serr != nil {
		return serr
	}
	return err
}

// stream returns a stream, to which the connection belongs until its end.
func (c *conn) stream(ctx context.Context) *stream {
	s := &stream{
		ready: make(chan net.Conn, 1), sent: make(chan *chunk, aheadChunks), answered: make(chan *chunk, aheadChunks),
		failed: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		defer close(s.ended)
		s.err = c.do(ctx, func(_ context.Context, pc *pgconn.PgConn) error { return s.read(c, pc) })
	}()
	return s
}

// errStream reports that the stream has failed; end returns why.
var errStream = errors.New("a statement before it failed")

// send sends a chunk, once few enough are unanswered. After errStream, the cause comes from end.
func (s *stream) send(ctx context.Context, k *chunk) error {
	if k.len() > longestMessage {
		return errors.New("a statement has more than a gigabyte, which the server does not accept")
	}
	if s.conn == nil {
		select {
		case s.conn = <-s.ready:
		case <-s.ended:
			return errStream
		}
	}
	for s.chunks == aheadChunks || s.bytes >= aheadBytes {
		if !s.wait() {
			return errStream
		}
	}
	if ctx.Err() != nil {
		return drivers.Reason(ctx)
	}
	message := k.encoded()
	s.chunks, s.bytes = s.chunks+1, s.bytes+k.len()
	s.sent <- k
	if _, err := s.conn.Write(message); err != nil {
		// What the server has said before is read, but not waited for.
		_ = s.conn.SetReadDeadline(time.Now().Add(closeGrace))
		return errStream
	}
	return nil
}

// wait waits for the answer to a chunk, and returns false after an error.
func (s *stream) wait() bool {
	select {
	case <-s.failed:
		return false
	case <-s.ended:
		return false
	case k := <-s.answered:
		s.chunks, s.bytes = s.chunks-1, s.bytes-k.len()
		if k.len() <= aheadBytes {
			s.free = append(s.free, k)
		}
		return true
	}
}

// spare returns a chunk that has been answered, nil if there is none.
func (s *stream) spare() *chunk {
	for len(s.answered) > 0 && s.wait() {
	}
	n := len(s.free)
	if n == 0 {
		return nil
	}
	k := s.free[n-1]
	s.free = s.free[:n-1]
	return k
}

// end waits for all answers, and returns the first error.
func (s *stream) end() error {
	close(s.sent)
	<-s.ended
	return s.err
}

// read reads the answers to all chunks. It returns the first error.
func (s *stream) read(c *conn, pc *pgconn.PgConn) (failure error) {
	s.ready <- pc.Conn()
	for k := range s.sent {
		broken, err := c.answers(pc, k)
		if failure == nil && err != nil {
			failure = err
			close(s.failed)
		}
		if broken {
			closeNow(pc)
			break
		}
		s.answered <- k
	}
	return failure
}

// answers reads the answers to a chunk. If the connection is broken, its state is unknown.
func (c *conn) answers(pc *pgconn.PgConn, k *chunk) (broken bool, failure error) {
	if c.watch != nil {
		defer c.watch.watch(sent{chunk: k, message: true})()
	}
	succeeded := -k.before
	for {
		// c.do watches the context
		m, err := pc.ReceiveMessage(context.Background())
		if pg, ok := drivers.AsType[*pgconn.PgError](err); ok { // it ended the connection
			return true, k.explain(pg, succeeded)
		}
		if err != nil {
			return true, err
		}
		switch m := m.(type) {
		case *pgproto3.CommandComplete, *pgproto3.EmptyQueryResponse:
			succeeded++
			c.watch.answer(max(succeeded, 0))
		case *pgproto3.ErrorResponse:
			failure = k.explain(pgconn.ErrorResponseToPgError(m), succeeded)
		case *pgproto3.ReadyForQuery:
			return false, failure
		}
	}
}
