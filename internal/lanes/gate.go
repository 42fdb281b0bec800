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

	mu     sync.Mutex
	looked time.Time
	since  time.Time // of the first signal in a row; zero if the gate is open
	pause  time.Duration
	until  time.Time
	err    error
}

// open reports whether the next batch may begin. If not, until is when to ask again.
func (g *gate) open(ctx context.Context) (ok bool, until time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	switch {
	case now.Before(g.until):
		return false, g.until, nil
	case g.since.IsZero() && !g.looked.IsZero() && now.Sub(g.looked) < lookEvery:
		return true, now, nil
	}
	signals, err := g.measure(ctx)
	if err != nil {
		return false, now, err
	}
	g.looked = time.Now()
	over := exceeded(signals)
	if len(over) == 0 {
		g.since, g.pause = time.Time{}, 0
		return true, now, nil
	}
	if g.since.IsZero() {
		g.since = g.looked
	}
	g.pause = min(max(2*g.pause, firstHold), longestHold)
	g.until = g.looked.Add(g.pause)
	g.held(ctx, over, g.looked.Sub(g.since), g.pause)
	return false, g.until, nil
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
