package memdb

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Reset drops every table. There are no schemas here, nor anything of somebody else's.
func (b *batch) Reset(ctx context.Context, _ []string, e database.Entry) (*database.Emptied, error) {
	if err := b.enter(ctx, OpTxReset); err != nil {
		return nil, err
	}
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	t := b.db.target
	t.mu.Lock()
	defer t.mu.Unlock()
	sets, err := b.lockOthers()
	if err != nil {
		return nil, b.fail(err)
	}
	b.drop(slices.Concat(slices.Collect(maps.Keys(b.content.tables)), slices.Collect(maps.Keys(t.live.tables))))
	out := &database.Emptied{Sets: sets}
	for _, name := range b.dropped {
		out.Dropped = append(out.Dropped, database.Object{Type: "table", Name: name})
	}
	e.Version, e.Direction = database.NilVersion, database.Reset
	if now := time.Now(); e.StartedAt.IsZero() {
		e.StartedAt, e.Duration = b.since, now.Sub(b.since)
		b.since = now
	}
	for _, set := range sets {
		e.Set = set
		b.events = append(b.events, b.db.keep(e))
	}
	return out, nil
}

// drop drops tables, now and again at Commit. mu is held.
func (b *batch) drop(tables []string) {
	slices.Sort(tables)
	b.dropped = slices.Compact(tables)
	change := func(c *content) error {
		for _, name := range b.dropped {
			c.drop(name)
		}
		return nil
	}
	change(b.content) // which never fails
	b.changes = append(b.changes, placed{change: change})
}

// lockOthers takes the locks of all sets of the history and of those with an open run, and returns the sets. mu is held.
func (b *batch) lockOthers() ([]string, error) {
	d, t := b.db, b.db.target
	sets := []string{b.set}
	for set, j := range t.ledger(d.own, false).journals {
		if j.Started() {
			sets = append(sets, set)
		}
	}
	for _, e := range t.ledger(d.own, false).events {
		if e.Set != migration.ReservedSet {
			sets = append(sets, e.Set)
		}
	}
	slices.Sort(sets)
	sets = slices.Compact(sets)
	for _, set := range sets {
		key := lockKey{d.own, set}
		held := t.locks[key]
		switch {
		case set == b.set:
		case held != nil && slices.ContainsFunc(b.others, func(h *hold) bool { return h.lock == held }):
		case held != nil:
			return nil, &database.LockedError{Set: set, Holder: held.holder}
		default:
			b.others = append(b.others, d.hold(key, "RESET"))
		}
	}
	return sets, nil
}

// releaseOthers lets go of what lockOthers took. mu is held.
func (b *batch) releaseOthers() {
	for _, h := range b.others {
		b.db.release(h)
	}
	b.others = nil
}
