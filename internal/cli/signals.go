package cli

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// endSignals are those that end the command in good order.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// interrupted is why a context was cancelled: a signal.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted by " + i.name() }

func (i interrupted) name() string {
	switch i.signal {
	case os.Interrupt:
		return "Ctrl-C"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGHUP:
		return "SIGHUP"
	}
	return i.signal.String()
}

// code is what a shell makes of a signal: 130 for SIGINT, 143 for SIGTERM.
func (i interrupted) code() int {
	if s, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return exitFailed
}

// untilSignal returns a context that the first signal cancels. The statement that
// runs is then cancelled on the server, and the command ends when the server has
// answered. A second signal does not wait for that.
func (a *app) untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if a.Signals == nil {
		return ctx, func() { cancel(nil) }
	}
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case s := <-a.Signals:
				if n == 0 {
					cancel(interrupted{s})
					continue
				}
				a.leaveAtOnce(interrupted{s})
			}
		}
	}()
	return ctx, func() {
		close(done)
		cancel(nil)
	}
}

func (a *app) leaveAtOnce(i interrupted) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		if p := a.printer.Load(); p != nil {
			p.Leave()
		}
	}()
	select { // whoever reads stderr may be stuck
	case <-said:
	case <-time.After(time.Second):
	}
	a.Exit(i.code())
}

// bySignal returns the signal that has cancelled a context.
func bySignal(ctx context.Context) (interrupted, bool) {
	var i interrupted
	ok := errors.As(context.Cause(ctx), &i)
	return i, ok
}
