package memdb

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var errOwn = errors.New("memdb: the script's transaction is still open")

func (r *run) Journal(ctx context.Context, j *database.Journal) error {
	return r.put(ctx, OpRunJournal, j, func() error { return nil })
}

// put calls a function and makes j the journal of the set, or removes the journal if j is nil.
func (r *run) put(ctx context.Context, op string, j *database.Journal, first func() error) (err error) {
	end, err := r.enterUntil(ctx, op)
	if err != nil {
		return err
	}
	defer func() { err = r.left(end, true, err) }()
	if end == ErrNotCommitted {
		return nil
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	if r.own != nil {
		return errOwn
	}
	if err := first(); err != nil {
		return err
	}
	if j == nil {
		delete(r.db.target.ledger(r.db.own, true).journals, r.set)
		return nil
	}
	return r.keep(j)
}

// keep makes j the journal of the set, unless it is nil. mu is held.
func (r *run) keep(j *database.Journal) error {
	if j == nil {
		return nil
	}
	kept, now := *j, micros(time.Now())
	if kept.StartedAt.IsZero() {
		kept.StartedAt = now
	}
	kept.StartedAt, kept.UpdatedAt = micros(kept.StartedAt), now
	kept.DBUser, kept.OSUser, kept.Host, kept.App, kept.Actor, kept.PID = User, OSUser, Host, r.db.opts.App, r.db.opts.KeptActor(), int64(os.Getpid())
	*j = kept
	r.db.target.ledger(r.db.own, true).journals[r.set] = kept
	return nil
}

func (r *run) Announce(ctx context.Context, _ sqltext.Statement, j *database.Journal) error {
	return r.put(ctx, OpRunAnnounce, j, func() error { return r.describe(j) })
}

// describe makes the schema the journal's Before. mu is held.
func (r *run) describe(j *database.Journal) error {
	doc, err := r.db.snapshot().Encode()
	j.Before = string(doc)
	return err
}

func (r *run) Outcome(ctx context.Context, st sqltext.Statement, before string, _ database.LockOptions) (*database.Outcome, error) {
	if err := r.enter(ctx, OpRunOutcome); err != nil {
		return nil, err
	}
	then, err := catalog.Decode([]byte(before))
	if err != nil {
		return nil, err
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	if alterSystemForm.MatchString(st.Text) {
		return &database.Outcome{Verdict: database.NotHappened, Why: "it can be repeated safely", Repeatable: true}, nil
	}
	if m := dropIndexForm.FindStringSubmatch(st.Text); m != nil && r.db.target.live.indexes[unquote(m[2])].invalid {
		return &database.Outcome{Verdict: database.NotHappened, Why: "the index is now invalid, but can still be dropped", Remains: true}, nil
	}
	if m := createIndexForm.FindStringSubmatch(st.Text); m != nil && r.db.target.live.indexes[unquote(m[1])].invalid {
		return &database.Outcome{
			Verdict: database.NotHappened, Why: "it left an invalid index", First: []string{"DROP INDEX CONCURRENTLY IF EXISTS " + m[1]},
		}, nil
	}
	return database.Explain(st, then, r.db.snapshot()), nil
}

// snapshot returns the schema. mu is held.
func (d *Database) snapshot() *catalog.Snapshot {
	return catalog.New(d.Dialect().String(), "", d.target.live.objects())
}

// halfway does half of a statement that can't be in a transaction: CREATE INDEX CONCURRENTLY and
// DROP INDEX CONCURRENTLY leave an invalid index, other statements have no effect.
func (c *content) halfway(st sqltext.Statement, do change) error {
	created, dropped := createIndexForm.FindStringSubmatch(st.Text), dropIndexForm.FindStringSubmatch(st.Text)
	switch {
	case !strings.Contains(strings.ToLower(st.Text), "concurrently"):
	case created != nil:
		if err := do(c); err != nil {
			return err
		}
		c.invalidate(unquote(created[1]))
	case dropped != nil:
		c.invalidate(unquote(dropped[2]))
	}
	return nil
}

// invalidate makes an index invalid if it exists.
func (c *content) invalidate(name string) {
	if i, ok := c.indexes[name]; ok {
		i.invalid = true
		c.indexes[name] = i
	}
}
