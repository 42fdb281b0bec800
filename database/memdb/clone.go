package memdb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/whimbrel-db/whimbrel/database"
)

// templates are those beside a target, by their keys.
type templates struct {
	mu   sync.Mutex
	made map[string]*template
	n    int // counts copies
}

// template is one that a goroutine makes or has made.
type template struct {
	ready  chan struct{} // closed when it is made, or has failed
	target *Target       // nil: it has failed
}

// Clone implements database.Cloner. A copy has no URL.
func (d *Database) Clone(ctx context.Context, t database.Template) (*database.Copy, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	from, err := d.template(ctx, t)
	if err != nil {
		return nil, err
	}
	all := &d.target.templates
	all.mu.Lock()
	all.n++
	name := fmt.Sprintf("copy %d", all.n)
	all.mu.Unlock()
	db, err := from.copy().Open(ctx, d.opts)
	if err != nil {
		return nil, err
	}
	return &database.Copy{Database: db, Name: name, Drop: func(context.Context) error { return db.Close() }}, nil
}

// DropTemplate implements database.Cloner.
func (d *Database) DropTemplate(_ context.Context, key string) error {
	all := &d.target.templates
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.made, key)
	return nil
}

// template returns a template, and makes it if nobody has.
func (d *Database) template(ctx context.Context, t database.Template) (*Target, error) {
	all := &d.target.templates
	for {
		all.mu.Lock()
		known := all.made[t.Key]
		if known == nil {
			mine := &template{ready: make(chan struct{})}
			if all.made == nil {
				all.made = map[string]*template{}
			}
			all.made[t.Key] = mine
			all.mu.Unlock()
			return d.makeTemplate(ctx, t, mine)
		}
		all.mu.Unlock()
		select {
		case <-known.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if known.target != nil {
			return known.target, nil
		}
	}
}

// makeTemplate fills a new target. If that fails, it forgets the template.
func (d *Database) makeTemplate(ctx context.Context, t database.Template, mine *template) (*Target, error) {
	defer close(mine.ready)
	target := New()
	db, err := target.Open(ctx, d.opts)
	if err == nil {
		err = t.Fill(ctx, db)
		db.Close()
	}
	if err == nil {
		mine.target = target
		return target, nil
	}
	all := &d.target.templates
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.made[t.Key] == mine {
		delete(all.made, t.Key)
	}
	return nil, err
}

// copy returns a target with the same contents.
func (t *Target) copy() *Target {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := New()
	c.live, c.lastID, c.queued, c.ahead, c.major = t.live.clone(), t.lastID, t.queued, t.ahead, t.major
	for own, l := range t.ledgers {
		c.ledgers[own] = &ledger{
			entries: slices.Clone(l.entries), settings: maps.Clone(l.settings),
			facts: slices.Clone(l.facts), journals: maps.Clone(l.journals),
			fills: make(map[database.BackfillID]*backfill, len(l.fills)),
		}
		for id, b := range l.fills {
			c.ledgers[own].fills[id] = &backfill{b.now(), b.lastLane}
		}
	}
	return c
}
