package sqlite

import (
	"context"
	"time"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// watch interrupts what the connection executes once ctx is done, until stop is called. It returns
// the context for those statements: one that doesn't end, so that the client doesn't watch them as
// well. Without a native, the client watches.
func (c *conn) watch(ctx context.Context) (quiet context.Context, stop func()) {
	if c.native.db == 0 || ctx.Done() == nil {
		return ctx, func() {}
	}
	over, ended := make(chan struct{}), make(chan struct{})
	unused := context.AfterFunc(ctx, func() {
		defer close(ended)
		interrupt(c.native.db, over)
	})
	return context.WithoutCancel(ctx), func() {
		if !unused() {
			close(over)
			<-ended // the handle may be closed now
		}
	}
}

// interrupt interrupts a connection until over. An interrupt between two statements has no effect,
// so it repeats.
func interrupt(handle uintptr, over <-chan struct{}) {
	tls := libc.NewTLS()
	defer tls.Close()
	for {
		lib.Xsqlite3_interrupt(tls, handle)
		select {
		case <-over:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// watching runs do, in which the statements of the connection are watched together.
func (c *conn) watching(ctx context.Context, do func() error) error {
	quiet, stop := c.watch(ctx)
	defer stop()
	c.quiet = quiet
	defer func() { c.quiet = nil }()
	return do()
}
