package faults

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// wire is the connection to a server. The points of a process are its messages.
type wire struct {
	url     string
	proxies map[string]*testdb.Proxy // by the name of what they do
}

func newWire(t testing.TB, url string) wire {
	t.Helper()
	w := wire{url, map[string]*testdb.Proxy{}}
	for _, how := range []string{cut, cutAlone, reset, stall} {
		p := testdb.NewProxy(t, url)
		p.Quiet = 0
		switch how {
		case cutAlone:
			p.CutAlone()
		case reset:
			p.CutAbruptly()
		}
		w.proxies[how] = p
	}
	return w
}

const (
	// All connections end.
	cut = "cut"
	// The connection on which the message passes ends.
	cutAlone = "cut of one connection"
	// All connections end and lose the data that was sent last.
	reset = "reset"
	// Nothing passes any more, until the test ends the connections.
	stall = "stall"
)

func (w *wire) open(ctx context.Context) (database.Database, error) {
	return database.Open(ctx, w.url, database.Options{})
}

// openThrough opens the database through one of the proxies.
func (w *wire) openThrough(p *testdb.Proxy) opener {
	return func(ctx context.Context) (database.Database, error) {
		return database.Open(ctx, p.URL, database.Options{})
	}
}

// ways returns one way for each thing that a proxy can do after the n-th message in each direction.
func (w *wire) ways() []way {
	var all []way
	for _, d := range []testdb.Direction{testdb.ToServer, testdb.ToClient} {
		for _, how := range []string{cut, cutAlone, reset, stall} {
			all = append(all, way{
				name:   how + " " + d.String(),
				arm:    func(n int) fault { return w.fault(how, d, n) },
				passed: func() int { return w.proxies[cut].Messages(d) },
			})
		}
	}
	return all
}

func (w *wire) fault(how string, d testdb.Direction, n int) fault {
	p := w.proxies[how]
	p.Cut()
	p.Resume() // it may have stalled just after the last process ended
	p.Reset()
	t := fault{
		open: func(ctx context.Context) (database.Database, error) {
			return database.Open(ctx, p.URL, database.Options{})
		},
		happened: func() bool { return p.Messages(d) >= n },
		points:   func() int { return p.Messages(d) },
	}
	if how != stall {
		p.CutAfter(d, n)
		return t
	}
	p.StallAfter(d, n)
	t.stuck = p.Stalled
	t.free = func() {
		p.Cut()
		p.Resume()
	}
	return t
}
