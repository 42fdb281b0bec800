package memdb

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// ErrClosed is the error of every call after Close.
var ErrClosed = errors.New("memdb: the database is closed")

// Database is a Target that one process has opened.
type Database struct {
	target *Target
	opts   database.Options
	own    tables
	pid    int64
	gone   chan struct{} // closed by Close and Kill

	// The target's mu guards these.
	cause error // why it is unusable; nil: it is not
	hook  func(op string) error
	open  map[*hold]struct{}
}

// Dialect is PostgreSQL's.
func (d *Database) Dialect() sqltext.Dialect { return sqltext.PostgreSQL }

// Tables returns the names of Whimbrel's own tables.
func (d *Database) Tables() []string { return d.opts.TableNames().Lower() }

// State implements database.Database.
func (d *Database) State(ctx context.Context, set string) (*database.State, error) {
	if err := d.enter(ctx, OpState); err != nil {
		return nil, err
	}
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	return d.target.state(d.own, set, nil), nil
}

// state reads a set, including more entries that are not committed. mu is held.
func (t *Target) state(own tables, set string, more []database.Entry) *database.State {
	l := t.ledger(own, false)
	entries := append(slices.Clip(l.entries), more...)
	st := &database.State{Set: set, Database: Name, Head: head(entries, set), Applied: &database.AppliedSet{}, ServerMajor: t.major}
	for _, e := range entries {
		if e.Set == set {
			st.Fold(e)
		}
	}
	if j, ok := l.journals[set]; ok && j.Started() && !ends(more, &j) {
		st.Interrupted = &j
		st.Interrupted.Held = t.locks[lockKey{own, set}] != nil
	}
	var stored []database.StoredSetting
	for _, s := range l.settings {
		if s.Until.IsZero() || s.Until.After(time.Now()) {
			stored = append(stored, s)
		}
	}
	st.Settings = database.NewSettings(stored...)
	return st
}

// head returns the Head of a set: the number of entries, since an entry can become visible below
// one that is visible already.
func head(entries []database.Entry, set string) (n int64) {
	for _, e := range entries {
		if e.Set == set || e.Set == migration.ReservedSet {
			n++
		}
	}
	return n
}

// History implements database.Database.
func (d *Database) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return func(yield func(database.Entry, error) bool) {
		if err := d.enter(ctx, OpHistory); err != nil {
			yield(database.Entry{}, err)
			return
		}
		d.target.mu.Lock()
		entries := slices.Clone(d.target.ledger(d.own, false).entries)
		d.target.mu.Unlock()
		if q.Newest {
			slices.Reverse(entries)
		}
		for n := 0; len(entries) > 0 && (q.Limit == 0 || n < q.Limit); entries = entries[1:] {
			e := entries[0]
			if !q.Selects(e) {
				continue
			}
			n++
			if err := ctx.Err(); err != nil {
				yield(database.Entry{}, err)
				return
			}
			if !q.Texts {
				e.UpText, e.DownText = "", ""
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Begin implements database.Database.
func (d *Database) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	if err := d.enter(ctx, OpBegin); err != nil {
		return nil, database.Found{}, err
	}
	h, found, err := d.acquire(ctx, set, opts, "BEGIN")
	if err != nil {
		return nil, found, err
	}
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	return &transaction{db: d, set: set, opts: opts, hold: h, content: d.target.live.clone(), since: time.Now()}, found, nil
}

// Guard implements database.Database.
func (d *Database) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	if err := d.enter(ctx, OpGuard); err != nil {
		return nil, database.Found{}, err
	}
	h, found, err := d.acquire(ctx, set, opts, "GUARD")
	if err != nil {
		return nil, found, err
	}
	return &run{db: d, set: set, opts: opts, hold: h, session: session{}}, found, nil
}

// UpdateSetting implements database.Database.
func (d *Database) UpdateSetting(ctx context.Context, s database.SettingUpdate) error {
	if err := d.enter(ctx, OpUpdateSetting); err != nil {
		return err
	}
	s, err := s.Check()
	if err != nil {
		return err
	}
	open := d.store(s)
	if s.Settle == nil {
		return nil
	}
	return d.settle(ctx, s, open)
}

// store changes a setting, and returns the locks that are held at that moment.
func (d *Database) store(s database.SettingUpdate) (open []*lock) {
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	l := d.target.ledger(d.own, true)
	if s.Unset {
		delete(l.settings, s.Name)
	} else {
		l.settings[s.Name] = database.StoredSetting{
			Name: s.Name, Value: s.Value, Reason: s.Reason, ChangedBy: User, ChangedAt: micros(s.At), Until: micros(s.Until),
		}
	}
	l.add(d.keep(s.Entry()))
	for key, held := range d.target.locks {
		if key.own == d.own {
			open = append(open, held)
		}
	}
	return open
}

// Close implements database.Database.
func (d *Database) Close() error {
	err := d.enter(context.Background(), OpClose)
	if errors.Is(err, ErrClosed) {
		return nil
	}
	d.end(ErrClosed)
	return err
}

// keep returns an entry as the history stores it. The ID is assigned at once, like that of a
// sequence, and not in the order of commits. mu is held.
func (d *Database) keep(e database.Entry) database.Entry {
	if !e.HasDownText {
		e.DownText = ""
	}
	d.target.lastID++
	e.ID = d.target.lastID
	e.StartedAt, e.Duration, e.LockWait = micros(e.StartedAt), e.Duration.Truncate(time.Microsecond), e.LockWait.Truncate(time.Microsecond)
	e.DBUser, e.OSUser, e.Host, e.App, e.Actor = User, OSUser, Host, d.opts.App, d.opts.KeptActor()
	return e
}

// ends reports whether one of the entries ends a run.
func ends(entries []database.Entry, j *database.Journal) bool {
	return slices.ContainsFunc(entries, func(e database.Entry) bool { return j.EndedBy(e) })
}

// add makes entries visible, ends the runs that they end, and stores their errors in journals. mu
// is held.
func (l *ledger) add(entries ...database.Entry) {
	for _, e := range entries {
		j, ok := l.journals[e.Set]
		switch {
		case ok && j.EndedBy(e):
			delete(l.journals, e.Set)
		case ok && j.FailedBy(e):
			j.Error = e.Error
			l.journals[e.Set] = j
		}
	}
	l.entries = append(l.entries, entries...)
	order.By(l.entries, func(a, b database.Entry) int { return cmp.Compare(a.ID, b.ID) })
}
