package whimbrel

import (
	"cmp"
	"context"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The steps of a sequence share one message to the server, each in a transaction of its own. A
// sequence has at most twice as many steps as the longest before, and no more than take
// quickSequence at the speed of the last ones: so nobody waits long for its events or for its end.
const (
	longestSequence = 32
	quickSequence   = 50 * time.Millisecond
	sequenceBytes   = 64 << 10 // of its scripts
)

// advance does the step at an index, or more that share a transaction or a message. It returns the
// index of the next one.
func (a *applier) advance(ctx context.Context, from int) (next int, err error) {
	began := time.Now()
	if next, err = a.sequence(ctx, from); err != nil {
		err = a.perform(ctx, next, next+1, err)
		next++
	}
	if next == from {
		if next++; a.plan.Atomic {
			next = len(a.plan.Steps)
		}
		err = a.steps(ctx, from, next)
	}
	a.together = max(a.together, 2*(next-from))
	limit := longestSequence
	if took := time.Since(began); took > 0 {
		limit = int(min(int64(limit), int64(next-from)*int64(quickSequence)/int64(took)))
	}
	a.together = max(1, min(a.together, limit))
	return next, err
}

// sequence does steps from an index on, if the step before has begun the transaction of the first.
// It returns the index of the first step that it has not done, and the error of the attempt at that
// step, if it made one.
func (a *applier) sequence(ctx context.Context, from int) (next int, err error) {
	tx, ok := a.begun.tx.(database.Sequencer)
	if !ok || a.together < 2 || a.begun.found.Interrupted || a.begun.found.Head != a.expect.Head {
		return from, nil
	}
	parts := a.parts(tx, from)
	if len(parts) < 2 {
		return from, nil
	}
	a.begun, next = begun{}, from
	a.retry = a.newRetrier(from, from+len(parts)+1) // with the step that CommitEach begins
	a.current.Store(a.retry)
	begin := func() {
		a.retry.start()
		a.start(next)
	}
	var wrong error // the driver's
	committed := func(r database.Recorded) {
		if wrong == nil {
			wrong = checkRecorded(r.Entries, len(parts[next-from].Entries))
		}
		if wrong != nil {
			return
		}
		a.stepDone(next, r.Entries)
		a.expect.Head = r.Head
		if next++; next < from+len(parts) {
			begin()
		}
	}
	begin()
	b := begun{retry: a.retry}
	b.tx, b.found, err = tx.CommitEach(ctx, parts, a.retry.lockOptions(), committed)
	if b.tx != nil {
		a.begun = b
	}
	if err = cmp.Or(wrong, err); err != nil {
		a.drop(ctx)
		return next, a.failed([]int{next}, next, nil, err)
	}
	return next, nil
}

// parts returns what the sequence from an index on consists of. Each step can be done without an
// answer of the server, and so can the beginning of the transaction after the last.
func (a *applier) parts(tx database.Sequencer, from int) (parts []database.Part) {
	if a.m.opts.TerminateBlockersAfter > 0 { // whose history entries can be due at any time
		return nil
	}
	size := int64(0)
	for i := from; len(parts) < a.together && a.holds(a.began, i+1); i++ {
		s, m := a.plan.Steps[i], a.moves[i]
		switch s.Direction {
		case database.Up, database.Down, database.Repeat, database.Seed:
		default:
			return parts
		}
		if s.Mode != InTransaction || a.plan.Steps[i+1].Mode != InTransaction || s.metadata != nil || len(m.ends) > 0 || !tx.Fits(s.Script) {
			return parts
		}
		for _, script := range []*migration.Script{m.up, m.down} {
			if script != nil {
				size += script.Size
			}
		}
		entries, err := a.entries(s, time.Time{})
		if size > sequenceBytes || err != nil { // which is that of the step by itself
			return parts
		}
		parts = append(parts, database.Part{Script: s.Script, Entries: entries})
	}
	return parts
}
