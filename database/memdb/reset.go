package memdb

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Reset drops every table. A Target has no schemas, and no objects of other roles.
func (tx *transaction) Reset(ctx context.Context, _ []string, e database.Entry) (*database.Emptied, error) {
	if err := tx.enterAndFlush(ctx, OpTxReset); err != nil {
		return nil, err
	}
	t := tx.db.target
	if err := tx.db.waitForAll(ctx, tx.opts); err != nil {
		return nil, tx.fail(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	sets, err := tx.lockOthers()
	if err != nil {
		return nil, tx.fail(err)
	}
	tx.drop(slices.Concat(slices.Collect(maps.Keys(tx.content.tables)), slices.Collect(maps.Keys(t.live.tables))))
	out := &database.Emptied{Sets: sets}
	for _, name := range tx.dropped {
		out.Dropped = append(out.Dropped, database.Object{Type: "table", Name: name})
	}
	tx.fills = append(tx.fills, func(l *ledger) error {
		maps.DeleteFunc(l.fills, func(id database.BackfillID, _ *backfill) bool { return slices.Contains(sets, id.Set) })
		return nil
	})
	e.Version, e.Direction = database.NilVersion, database.Reset
	if now := time.Now(); e.StartedAt.IsZero() {
		e.StartedAt, e.Duration = tx.since, now.Sub(tx.since)
		tx.since = now
	}
	for _, set := range sets {
		e.Set = set
		tx.entries = append(tx.entries, tx.db.keep(e))
	}
	return out, nil
}

// drop drops tables now, and again at Commit. mu is held.
func (tx *transaction) drop(tables []string) {
	slices.Sort(tables)
	tx.dropped = slices.Compact(tables)
	change := func(c *content) error {
		for _, name := range tx.dropped {
			c.drop(name)
		}
		return nil
	}
	change(tx.content) // never fails
	tx.changes = append(tx.changes, placed{change: change})
}

// lockOthers takes the locks of all sets that have history entries or an interrupted run, and
// returns the sets. mu is held.
func (tx *transaction) lockOthers() ([]string, error) {
	d, t := tx.db, tx.db.target
	sets := []string{tx.set}
	for set, j := range t.ledger(d.own, false).journals {
		if j.Started() {
			sets = append(sets, set)
		}
	}
	for _, e := range t.ledger(d.own, false).entries {
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
		case set == tx.set:
		case held != nil && slices.ContainsFunc(tx.others, func(h *hold) bool { return h.lock == held }):
		case held != nil:
			return nil, &database.LockedError{Set: set, Holder: held.holder}
		default:
			tx.others = append(tx.others, d.hold(key, "RESET"))
		}
	}
	return sets, nil
}

// releaseOthers releases the locks that lockOthers took. mu is held.
func (tx *transaction) releaseOthers() {
	for _, h := range tx.others {
		tx.db.release(h)
	}
	tx.others = nil
}
