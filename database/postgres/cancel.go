package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// To cancel a statement, the driver sends requests in growing intervals between cancelSoon and
// cancelLater: a request that arrives before the server has begun the statement has no effect. If
// the server hasn't answered after cancelGrace, the driver closes the connection.
const (
	cancelSoon  = 20 * time.Millisecond
	cancelLater = time.Second
	cancelGrace = 10 * time.Second
)

// canceller cancels a connection's statement when a context ends.
type canceller struct {
	pc       *pgconn.PgConn
	finished chan struct{} // closed when the statement is finished
	stop     func() bool
	asked    chan struct{} // closed after the last request
	gaveUp   bool
	once     sync.Once
}

// cancelWhenDone watches ctx until end is called.
func cancelWhenDone(ctx context.Context, pc *pgconn.PgConn) *canceller {
	k := &canceller{pc: pc, finished: make(chan struct{}), asked: make(chan struct{})}
	k.stop = context.AfterFunc(ctx, func() {
		defer close(k.asked)
		k.gaveUp = !k.ask()
		if k.gaveUp {
			pc.Conn().SetDeadline(time.Now())
		}
	})
	return k
}

// end stops watching: the statement is finished. When it returns, no request is pending that could
// cancel the connection's next statement. It reports whether the server was given up, so that the
// connection must be closed. It may be called more than once.
func (k *canceller) end() (gaveUp bool) {
	k.once.Do(func() {
		close(k.finished)
		if !k.stop() {
			<-k.asked
		}
	})
	return k.gaveUp
}

// ask sends requests until the statement is finished, and reports whether the server accepted all
// of them. The server closes a request's connection after passing the request on, so an accepted
// request affected its own statement or none.
func (k *canceller) ask() bool {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	for pause := cancelSoon; ; pause = min(pause*2, cancelLater) {
		if err := k.pc.CancelRequest(ctx); err != nil || ctx.Err() != nil {
			return false
		}
		select {
		case <-k.finished:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// cancelOnServer makes connections of the driver's own pools survive when the context of a Go
// function's statement ends.
type cancelOnServer struct {
	pc *pgconn.PgConn
	k  *canceller
}

func (h *cancelOnServer) HandleCancel(ctx context.Context) { h.k = cancelWhenDone(ctx, h.pc) }

func (h *cancelOnServer) HandleUnwatchAfterCancel() {
	if gaveUp := h.k.end(); !gaveUp {
		h.pc.Conn().SetDeadline(time.Time{})
	}
}
