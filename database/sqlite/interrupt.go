package sqlite

import (
	"context"
	"reflect"
	"time"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// handleOf returns SQLite's handle of a client's connection, or 0 if the client is another one. The
// client has no method that interrupts a statement: it starts a goroutine for each statement whose
// context can end, which costs more than a short statement.
func handleOf(client any) uintptr {
	v := reflect.ValueOf(client)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().PkgPath() != "modernc.org/sqlite" {
		return 0
	}
	if v = v.Elem(); v.Kind() != reflect.Struct {
		return 0
	}
	if v = v.FieldByName("db"); v.Kind() != reflect.Uintptr {
		return 0
	}
	return uintptr(v.Uint())
}

// watch interrupts what the connection executes once ctx is done, until stop is called. It returns
// the context for those statements: one that doesn't end, so that the client doesn't watch them as
// well. Without a handle, the client watches.
func (c *conn) watch(ctx context.Context) (quiet context.Context, stop func()) {
	if c.handle == 0 || ctx.Done() == nil {
		return ctx, func() {}
	}
	over, ended := make(chan struct{}), make(chan struct{})
	unused := context.AfterFunc(ctx, func() {
		defer close(ended)
		interrupt(c.handle, over)
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
