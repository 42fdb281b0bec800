package cli

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// endSignals are the signals that end the command.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// interrupted is the cause of a context that a signal cancelled.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted by " + i.name() }

func (i interrupted) name() string {
	switch i.signal {
	case os.Interrupt:
		return render.CtrlC
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGHUP:
		return "SIGHUP"
	}
	return i.signal.String()
}

// code returns the exit code for a signal: 130 for SIGINT, 143 for SIGTERM.
func (i interrupted) code() int {
	if s, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return exitFailed
}

// untilSignal returns a context that the first signal cancels. The server then cancels the running
// statement, and the command ends after it has recorded the outcome. A second signal ends the
// command at once, unless it is the first one delivered twice.
func (a *app) untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if a.Signals == nil {
		return ctx, func() { cancel(nil) }
	}
	done := make(chan struct{})
	go func() {
		var first delivered
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case s := <-a.Signals:
				by := interrupted{s}
				if n == 0 {
					first = delivered{s, time.Now()}
					a.say(func(p *render.Printer) { p.Stopping(by.name()) })
					cancel(by)
					continue
				}
				if first.again(s, time.Now()) {
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

// sameSignal is the time within which a signal that comes again is the same one: timeout(1), for
// example, signals its child and then its process group.
const sameSignal = time.Second

// delivered is a signal that was delivered.
type delivered struct {
	signal os.Signal
	at     time.Time
}

// again reports whether a later signal is the same one, delivered twice.
func (d delivered) again(s os.Signal, at time.Time) bool {
	return s == d.signal && at.Sub(d.at) < sameSignal
}

// say prints something, if there is a printer. It waits for at most a second, because the reader of
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

// bySignal returns the signal that cancelled a context.
func bySignal(ctx context.Context) (interrupted, bool) {
	var i interrupted
	ok := errors.As(context.Cause(ctx), &i)
	return i, ok
}
