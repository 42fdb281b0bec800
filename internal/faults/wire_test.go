package faults

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// wire is what leads to a server. The points of a process are its messages.
type wire struct {
	url     string
	proxies map[string]*testdb.Proxy // by what is done to them
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

// What is done to a wire: all connections end, or the one on which the message passes; or all end and lose what was
// sent last; or nothing passes any more, and they end only then.
const (
	cut      = "cut"
	cutAlone = "cut of one connection"
	reset    = "reset"
	stall    = "stall"
)

func (w *wire) open(ctx context.Context) (database.Database, error) {
	return database.Open(ctx, w.url, database.Options{})
}

// through opens the database by one of the proxies.
func (w *wire) through(p *testdb.Proxy) opener {
	return func(ctx context.Context) (database.Database, error) {
		return database.Open(ctx, p.URL, database.Options{})
	}
}

// ways: something is done to the wire after the n-th message in one of the directions.
func (w *wire) ways() []way {
	var all []way
	for _, d := range []testdb.Direction{testdb.ToServer, testdb.ToClient} {
		for _, how := range []string{cut, cutAlone, reset, stall} {
			all = append(all, way{how + " " + d.String(), func(n int) trap { return w.trap(how, d, n) }})
		}
	}
	return all
}

func (w *wire) trap(how string, d testdb.Direction, n int) trap {
	p := w.proxies[how]
	p.Cut()
	p.Resume() // it may have stalled when the last process had just ended
	p.Reset()
	t := trap{
		open: func(ctx context.Context) (database.Database, error) {
			return database.Open(ctx, p.URL, database.Options{})
		},
		sprung: func() bool { return p.Messages(d) >= n },
		points: func() int { return p.Messages(d) },
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
