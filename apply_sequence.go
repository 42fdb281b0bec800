package whimbrel

import (
	"cmp"
	"context"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The steps of a sequence share one message to the server, each in a transaction of its own. Their
// number follows quickSequence: so nobody waits long for its events or for its end.
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
	a.together.sent(next-from, time.Since(began), longestSequence, quickSequence)
	return next, err
}

// sequence does steps from an index on. It returns the index of the first step that it has not
// done, and the error of the attempt at that step, if it made one.
func (a *applier) sequence(ctx context.Context, from int) (next int, err error) {
	if !a.short(from) {
		return from, nil
	}
	a.together.most = max(a.together.most, 1)
	if a.kept.run != nil {
		if s := database.StartSequenceUnder(ctx, a.kept.run, a.expect.Head); s != nil {
			a.retry = a.newRetrier(from, from+1)
			a.begins(from)
			a.began = a.kept.since
			if parts := a.parts(s, from); len(parts) > 0 {
				return a.commitEach(ctx, s, parts, from)
			}
			if err := s.Rollback(ctx); err != nil {
				return from, err
			}
		}
		if err := a.letGo(ctx); err != nil { // the step needs the lock for itself
			return from, err
		}
	}
	if a.begun.tx == nil {
		a.retry = a.newRetrier(from, from+1)
		a.begins(from)
		if err := a.giveTurn(ctx); err != nil {
			return from, err
		}
		if s := database.StartSequence(ctx, a.m.db, a.m.set.Name(), a.expect.Head); s != nil {
			a.began = time.Now()
			if parts := a.parts(s, from); len(parts) > 0 {
				return a.commitEach(ctx, s, parts, from)
			}
			return from, s.Rollback(ctx)
		}
		if a.together.most == 1 || !a.short(from+1) {
			return from, nil
		}
		b := begun{retry: a.retry}
		if b.tx, b.found, err = a.begin(ctx); err != nil {
			return from, err
		}
		a.begun = b
	}
	tx, ok := a.begun.tx.(database.Sequencer)
	if !ok || a.together.most == 1 || a.begun.found.Interrupted || a.begun.found.Head != a.expect.Head {
		return from, nil
	}
	parts := a.parts(tx, from)
	if len(parts) < 2 {
		return from, nil
	}
	a.begun = begun{}
	return a.commitEach(ctx, tx, parts, from)
}

// commitEach does the steps of a sequence. It returns what sequence does.
func (a *applier) commitEach(ctx context.Context, tx database.Sequencer, parts []database.Part, from int) (next int, err error) {
	end := from + len(parts)
	more := a.follows(end) && a.kept.run == nil
	a.retry = a.newRetrier(from, min(end+1, len(a.plan.Steps))) // with the step that may follow
	a.current.Store(a.retry)
	last := -1      // the step that has begun last
	var wrong error // the driver's
	report := database.PartReport{
		Begun: func() {
			if wrong == nil {
				a.retry.start()
				a.start(next)
				last = next
			}
		},
		Committed: func(r database.Recorded) {
			if wrong == nil {
				wrong = checkRecorded(r.Entries, len(parts[next-from].Entries))
			}
			if wrong == nil {
				a.stepDone(next, r.Entries)
				a.expect.Head = r.Head
				next++
			}
		},
	}
	next = from
	b := begun{retry: a.retry}
	if b.tx, b.found, err = tx.CommitEach(ctx, parts, more, a.retry.lockOptions(), report); b.tx != nil {
		a.begun = b
	}
	if err = cmp.Or(wrong, err); err == nil && (next < end || !a.keeps(a.kept, next)) {
		err = a.letGo(ctx)
	}
	if err != nil {
		a.drop(ctx)
		if last != next {
			a.begins(next)
		}
		return next, a.failed([]int{next}, next, nil, err)
	}
	return next, nil
}

// short reports whether the step at an index may be part of a sequence, as far as that is known
// without its script.
func (a *applier) short(index int) bool {
	if index >= len(a.plan.Steps) || a.plan.Atomic || a.m.opts.TerminateBlockersAfter > 0 { // whose history entries can be due at any time
		return false
	}
	switch s := a.plan.Steps[index]; s.Direction {
	case database.Up, database.Down, database.Repeat, database.Seed:
		return a.left[index] && s.Mode == InTransaction && s.metadata == nil && len(s.After) == 0 && len(s.move.ends) == 0
	}
	return false
}

// follows reports whether the COMMIT before a step may begin the step's transaction.
func (a *applier) follows(index int) bool {
	return a.holds(a.began, index) && a.plan.Steps[index].Mode == InTransaction
}

// parts returns what the sequence from an index on consists of.
func (a *applier) parts(tx database.Sequencer, from int) (parts []database.Part) {
	size := int64(0)
	for i := from; len(parts) < a.together.most && a.short(i) && (i == from || a.follows(i)) && tx.Fits(a.plan.Steps[i].Script); i++ {
		for _, script := range []*migration.Script{a.moves[i].up, a.moves[i].down} {
			if script != nil {
				size += script.Size
			}
		}
		entries, err := a.entries(a.plan.Steps[i], time.Time{})
		if size > sequenceBytes || err != nil { // which is that of the step by itself
			return parts
		}
		parts = append(parts, database.Part{Script: a.plan.Steps[i].Script, Entries: entries})
	}
	return parts
}
