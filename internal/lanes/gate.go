package lanes

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// The signals of a throttle are measured once in lookEvery at most. A pause begins with firstHold
// and doubles up to longestHold.
const (
	lookEvery   = time.Second
	firstHold   = time.Second
	longestHold = 30 * time.Second
)

// gate holds the workers of a process back while a signal says so.
type gate struct {
	measure func(context.Context) ([]database.Signal, error)
	held    func(ctx context.Context, over []database.Signal, waited, pause time.Duration)

	mu      sync.Mutex
	looking bool // a worker measures the signals
	looked  time.Time
	since   time.Time // of the first signal in a row; zero if the gate is open
	pause   time.Duration
	until   time.Time
}

// open reports whether the next batch may begin. If not, until is when to ask again. While a worker
// measures, the last measurement counts for the others.
func (g *gate) open(ctx context.Context) (ok bool, until time.Time, err error) {
	ok, until, look := g.last()
	if !look {
		return ok, until, nil
	}
	signals, err := g.measure(ctx)
	over := exceeded(signals)
	until, waited := g.measured(over, err)
	if len(over) > 0 && err == nil {
		g.held(ctx, over, waited, time.Until(until))
	}
	return len(over) == 0 && err == nil, until, err
}

// last returns what the last measurement says, or that the caller is to measure.
func (g *gate) last() (ok bool, until time.Time, look bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, open := time.Now(), g.since.IsZero()
	switch {
	case g.looking && open && !g.looked.IsZero():
		return true, now, false
	case g.looking:
		return false, now.Add(lookEvery / 10), false
	case now.Before(g.until):
		return false, g.until, false
	case open && !g.looked.IsZero() && now.Sub(g.looked) < lookEvery:
		return true, now, false
	}
	g.looking = true
	return false, now, true
}

// measured stores a measurement. It returns until when the gate is closed, and since how long.
func (g *gate) measured(over []database.Signal, err error) (until time.Time, waited time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looking = false
	if err != nil {
		return time.Now(), 0
	}
	g.looked = time.Now()
	if len(over) == 0 {
		g.since, g.pause = time.Time{}, 0
		return g.looked, 0
	}
	if g.since.IsZero() {
		g.since = g.looked
	}
	g.pause = min(max(2*g.pause, firstHold), longestHold)
	g.until = g.looked.Add(g.pause)
	return g.until, g.looked.Sub(g.since)
}

// exceeded returns the signals that hold a backfill back: those over their limit, and those that
// can't be measured.
func exceeded(all []database.Signal) (over []database.Signal) {
	for _, s := range all {
		if s.Over || s.Err != nil {
			over = append(over, s)
		}
	}
	return over
}

// Why describes signals: "max-lag: replica b is 12s behind".
func Why(signals []database.Signal) string {
	var all []string
	for _, s := range signals {
		text := s.Text
		if s.Err != nil {
			text = "it can't be measured: " + s.Err.Error()
		}
		all = append(all, s.Name+": "+text)
	}
	return strings.Join(all, "; ")
}
