package memdb

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// outcome is that of a call that was executed ahead.
type outcome struct {
	announced bool
	journal   database.Journal
	recorded  database.Recorded
	err       error
}

// Ahead implements database.RunSequencer (see Target.Ahead).
func (r *run) Ahead(ctx context.Context, next []database.Call) (int, error) {
	if err := r.db.isOver(r.hold); err != nil {
		return 0, err
	}
	r.db.target.mu.Lock()
	defer r.db.target.mu.Unlock()
	r.ahead, r.done = nil, nil
	if r.db.target.ahead {
		r.ahead = next
	}
	return len(r.ahead), ctx.Err()
}

// ExecAnnounced implements database.AnnouncedExecer.
func (r *run) ExecAnnounced(ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) (announced bool, err error) {
	if o, is := r.following(ctx, func(c database.Call) bool {
		return c.Entry == nil && c.Script == s && c.Statement.Text == st.Text && c.Journal.Version == j.Version && c.Journal.Done == j.Done
	}); is {
		*j = o.journal
		return o.announced, o.err
	}
	return r.announced(ctx, s, st, j)
}

func (r *run) announced(ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) (bool, error) {
	if err := r.Announce(ctx, st, j); err != nil {
		return false, err
	}
	return true, r.Exec(ctx, s, st, nil, nil)
}

// following returns the outcome of the call that was told ahead, if it is the one that is made now.
// The first executes all, up to one that fails.
func (r *run) following(ctx context.Context, is func(database.Call) bool) (o outcome, ok bool) {
	if len(r.ahead) == 0 || !is(r.ahead[0]) {
		r.ahead, r.done = nil, nil
		return o, false
	}
	if r.done == nil {
		for _, c := range r.ahead {
			o := outcome{journal: c.Journal}
			if c.Entry != nil {
				o.recorded, o.err = r.record(ctx, *c.Entry)
			} else {
				o.announced, o.err = r.announced(ctx, c.Script, c.Statement, &o.journal)
			}
			if r.done = append(r.done, o); o.err != nil {
				break
			}
		}
	}
	o = r.done[0]
	r.ahead, r.done = r.ahead[1:], r.done[1:]
	if o.err != nil {
		r.ahead, r.done = nil, nil
	}
	return o, true
}
