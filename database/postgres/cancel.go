package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// A statement that is cancelled is asked to end at once and then again and again, with
// pauses that grow between these two: a request that comes before the server has begun the
// statement goes by unheard. A server that has not answered after cancelGrace is given
// up, and the connection closed.
const (
	cancelSoon  = 20 * time.Millisecond
	cancelLater = time.Second
	cancelGrace = 10 * time.Second
)

// canceller cancels what a connection runs when a context is done.
type canceller struct {
	pc       *pgconn.PgConn
	finished chan struct{} // closed when the statement is
	stop     func() bool
	asked    chan struct{} // closed when nothing more is asked of the server
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

// end says that the statement is finished. When it returns, no request is under way that
// could meet the connection's next statement. It reports whether the server was given
// up, and the connection must be closed; it can be called more than once.
func (k *canceller) end() (gaveUp bool) {
	k.once.Do(func() {
		close(k.finished)
		if !k.stop() {
			<-k.asked
		}
	})
	return k.gaveUp
}

// ask asks the server until the statement is finished, and reports whether all of its
// requests were taken in. The server closes a request's connection when it has passed the
// request on, so one that is taken in has met what it was meant for, or nothing.
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

// reason is why a context is done: its own error, as errors.Is sees it, with the cause it was
// given; or what ended the work from our side.
func reason(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	var lost *database.LockLostError
	switch {
	case errors.As(cause, &lost), errors.Is(cause, errClosed), errors.Is(cause, err):
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// stopped says of an error that the context was done when it came.
func stopped(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, reason(ctx)) {
		return err
	}
	return fmt.Errorf("%w (%w)", reason(ctx), err)
}

// cancelOnServer is how the connections of the driver's own pools end a statement of a Go
// function whose context is done: they survive it.
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
