package cli

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
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
// answered and what is known of the outcome is written down. A second signal does not wait for that.
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
				by := interrupted{s}
				if n == 0 {
					a.say(func(p *render.Printer) { p.Stopping(by.name()) })
					cancel(by)
					continue
				}
				a.say((*render.Printer).Leave)
				a.Exit(by.code())
			}
		}
	}()
	return ctx, func() {
		close(done)
		cancel(nil)
	}
}

// say lets the printer say something, if there is one, and does not wait for it for ever: whoever reads
// stderr may be stuck.
func (a *app) say(what func(*render.Printer)) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		if p := a.printer.Load(); p != nil {
			what(p)
		}
	}()
	select {
	case <-said:
	case <-time.After(time.Second):
	}
}

// bySignal returns the signal that has cancelled a context.
func bySignal(ctx context.Context) (interrupted, bool) {
	var i interrupted
	ok := errors.As(context.Cause(ctx), &i)
	return i, ok
}
