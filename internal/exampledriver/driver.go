// Package exampledriver is the smallest driver that keeps the contract of package database: its
// database is a JSON file that holds tables of rows. docs/driver.md explains it from the first line
// to the last. It has no powers, and nobody should use it for data.
package exampledriver

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// scheme is that of the URLs: "example:path/to/file.json".
const scheme = "example"

func init() { database.Register(scheme, Driver{}) }

// Driver implements database.Driver.
type Driver struct{}

// Open implements database.Driver.
func (Driver) Open(ctx context.Context, url string, opts database.Options) (database.Database, error) {
	path, ok := strings.CutPrefix(url, scheme+":")
	if !ok || path == "" {
		return nil, database.NewURLError(url, "want %s:path/to/file.json", scheme)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := openStore(path)
	if err != nil {
		return nil, &database.ConnectError{Target: path, Err: err}
	}
	return &db{store: s, opts: opts, name: strings.ToLower(opts.TableNames().History), open: map[*hold]bool{}}, nil
}

var (
	errClosed = errors.New("the database is closed")
	errOver   = errors.New("the transaction or run is over")
)

// db implements database.Database.
type db struct {
	store *store
	opts  database.Options
	name  string // of the history table

	mu     sync.Mutex
	closed bool
	open   map[*hold]bool // of the Txs and Runs that are open
}

func (d *db) Dialect() sqltext.Dialect { return sqltext.SQLite }

func (d *db) Tables() []string { return d.opts.TableNames().Lower() }

// enter begins every method.
func (d *db) enter(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	return ctx.Err()
}

func (d *db) State(ctx context.Context, set string) (*database.State, error) {
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	committed, err := d.store.snapshot()
	if err != nil {
		return nil, err
	}
	return d.state(committed, set), nil
}

// state makes a State of the set's entries and journal.
func (d *db) state(from *data, set string) *database.State {
	h := from.history(d.name)
	st := &database.State{Set: set, Database: d.store.path, Applied: &database.AppliedSet{}}
	for _, e := range h.Entries {
		if e.Set == set || e.Set == migration.ReservedSet {
			st.Head = e.ID // entries become visible in the order of their ids, so the newest is enough
		}
		if e.Set == set {
			st.Fold(e)
		}
	}
	if j := h.Journals[set]; j.Started() {
		st.Interrupted = j
		st.Interrupted.Held = d.store.isLocked(d.name, set)
	}
	return st
}

func (d *db) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return func(yield func(database.Entry, error) bool) {
		err := d.enter(ctx)
		var committed *data
		if err == nil {
			committed, err = d.store.snapshot()
		}
		if err != nil {
			yield(database.Entry{}, err)
			return
		}
		entries := slices.DeleteFunc(committed.history(d.name).Entries, func(e database.Entry) bool { return !q.Selects(e) })
		if q.Newest {
			slices.Reverse(entries)
		}
		if q.Limit > 0 {
			entries = entries[:min(q.Limit, len(entries))]
		}
		for _, e := range entries {
			if !q.Texts {
				e.UpText, e.DownText = "", ""
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (d *db) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	h, work, found, err := d.acquire(ctx, set, opts)
	if err != nil {
		return nil, database.Found{}, err
	}
	return &tx{hold: h, work: work, head: found.Head, last: time.Now()}, found, nil
}

func (d *db) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	h, _, found, err := d.acquire(ctx, set, opts)
	if err != nil {
		return nil, database.Found{}, err
	}
	return &run{hold: h, head: found.Head}, found, nil
}

// acquire takes the lock, creates the history, and reads what Begin and Guard return.
func (d *db) acquire(ctx context.Context, set string, opts database.LockOptions) (h *hold, work *data, found database.Found, err error) {
	if h, err = d.lock(ctx, set, opts); err != nil {
		return nil, nil, found, err
	}
	defer func() {
		if err != nil {
			h.end()
		}
	}()
	if work, err = d.store.snapshot(); err != nil {
		return nil, nil, found, err
	}
	if work.Histories[d.name] == nil {
		work.Histories[d.name] = &history{}
		if err = d.store.commit(work); err == nil {
			work, err = work.clone()
		}
		if err != nil {
			return nil, nil, found, err
		}
	}
	st := d.state(work, set)
	return h, work, database.Found{Head: st.Head, Interrupted: st.Interrupted != nil}, nil
}

// append appends entries to the history, and ends the run that one of them ends.
func (d *db) append(to *data, set string, entries []database.Entry) []database.Entry {
	h := to.history(d.name)
	for i := range entries {
		e := &entries[i]
		to.LastID++
		e.ID, e.Set = to.LastID, set
		e.StartedAt, e.Duration = e.StartedAt.UTC().Truncate(time.Microsecond), e.Duration.Truncate(time.Microsecond)
		e.LockWait = e.LockWait.Truncate(time.Microsecond)
		e.DBUser, e.OSUser, e.Host, e.App, e.Actor = user(), user(), host(), d.opts.App, d.opts.KeptActor()
		if !e.HasDownText {
			e.DownText = ""
		}
		switch j := h.Journals[set]; {
		case j != nil && j.EndedBy(*e):
			delete(h.Journals, set)
		case j != nil && j.FailedBy(*e):
			j.Error = e.Error
		}
		h.Entries = append(h.Entries, *e)
		e.UpText, e.DownText = "", ""
	}
	return entries
}

// setJournal makes j the journal of a set, unless it is nil. It fills in j itself, as the contract
// says.
func (d *db) setJournal(to *data, set string, j *database.Journal) {
	if j == nil {
		return
	}
	j.UpdatedAt = time.Now().UTC().Truncate(time.Microsecond)
	if j.StartedAt.IsZero() {
		j.StartedAt = j.UpdatedAt
	}
	j.StartedAt = j.StartedAt.UTC().Truncate(time.Microsecond)
	j.DBUser, j.OSUser, j.Host, j.App, j.Actor, j.PID = user(), user(), host(), d.opts.App, d.opts.KeptActor(), int64(os.Getpid())
	kept := *j
	h := to.history(d.name)
	if h.Journals == nil {
		h.Journals = map[string]*database.Journal{}
	}
	h.Journals[set] = &kept
}

// user is who works here. A real driver asks its server.
func user() string { return cmp.Or(os.Getenv("USER"), "unknown") }

func host() string {
	name, _ := os.Hostname()
	return name
}

// Close ends what is open, once.
func (d *db) Close() error {
	d.mu.Lock()
	d.closed = true
	var open []*hold
	for h := range d.open {
		open = append(open, h)
	}
	d.mu.Unlock()
	for _, h := range open {
		h.end()
	}
	return nil
}
