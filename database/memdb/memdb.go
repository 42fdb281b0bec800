// Package memdb is the contract of package database in memory: the reference for
// driver authors, and what Whimbrel's own tests run on. It is not for keeping data.
//
// A [Target] is what a server would be. It can be opened several times, and each
// opening stands for one process: it has locks and transactions of its own, and can
// be killed between any two calls ([Database.SetHook], [Database.Kill]).
//
// Scripts are cut as PostgreSQL's are. There are few statements:
//
//	CREATE TABLE t (…)                      DROP TABLE t
//	INSERT INTO t VALUES (…)                INSERT INTO t VALUES (…) WHERE name = value
//	DELETE FROM t                           COPY t FROM stdin
//	CREATE INDEX [CONCURRENTLY] i ON t (…)  DROP INDEX [CONCURRENTLY] [IF EXISTS] i
//	SET name = value                        NOTICE 'text'
//	SELECT …                                SELECT forever()
//
// WHERE asks for a setting of the session; SELECT does nothing; forever waits until
// it is cancelled; the CONCURRENTLY forms cannot be in a transaction. All else is a
// syntax error.
//
// The package waits on channels and timers alone, so that a test in a
// [testing/synctest] bubble has a clock of its own.
package memdb

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// User is the database user that the history of a Target shows, Host the host, and Name
// the database's name.
const (
	Name = "memory"
	User = "memory"
	Host = "localhost"
)

// Target is one database in memory. It may be used by several goroutines.
type Target struct {
	mu       sync.Mutex
	live     *content
	ledgers  map[tables]*ledger
	locks    map[lockKey]*lock
	lastID   int64
	openings int64
	queued   bool
	major    int
}

// Version makes the target say that it is PostgreSQL of that major version. It says nothing by
// itself.
func (t *Target) Version(major int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.major = major
}

// tables are the schema and the names of Whimbrel's own tables.
type tables struct{ schema, history, settings string }

func tablesOf(opts database.Options) tables {
	names := opts.TableNames()
	return tables{schema: opts.Schema, history: names.History, settings: names.Settings}
}

// ledger is what Whimbrel's own tables hold.
type ledger struct {
	events   []database.Entry // by ID
	settings map[string]database.StoredSetting
	facts    []fact                      // the metadata
	journals map[string]database.Journal // the open run of each set
}

// New returns an empty Target.
func New() *Target {
	return &Target{
		live:    newContent(),
		ledgers: map[tables]*ledger{},
		locks:   map[lockKey]*lock{},
	}
}

// Open opens the target, as one more process would.
func (t *Target) Open(ctx context.Context, opts database.Options) (*Database, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.openings++
	return &Database{
		target: t, opts: opts, own: tablesOf(opts), pid: t.openings,
		gone: make(chan struct{}), open: map[*hold]struct{}{},
	}, nil
}

// Driver returns a driver that opens this target, whatever the URL says behind its
// scheme.
func (t *Target) Driver() database.Driver { return driver{t} }

type driver struct{ target *Target }

func (d driver) Open(ctx context.Context, url string, opts database.Options) (database.Database, error) {
	if !strings.Contains(url, ":") {
		return nil, database.NewURLError(url, "no scheme")
	}
	db, err := d.target.Open(ctx, opts)
	if err != nil {
		return nil, &database.ConnectError{Target: "memory", Err: err}
	}
	return db, nil
}

// Queue makes transactions keep what Run and Record are given until State or Commit, as
// a driver does that pipelines: errors come as late as the contract allows.
func (t *Target) Queue(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queued = on
}

// Tables returns the names of the tables that scripts made, in alphabetical order.
func (t *Target) Tables(ctx context.Context) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.live.tables)), ctx.Err()
}

// OwnTables returns the names of Whimbrel's own tables, in alphabetical order.
func (t *Target) OwnTables(ctx context.Context) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for own := range t.ledgers {
		names = append(names, own.history, own.settings)
	}
	slices.Sort(names)
	return names, ctx.Err()
}

// Invalid returns the names of the indexes that are invalid, in alphabetical order.
func (t *Target) Invalid(ctx context.Context) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.live.invalid)), ctx.Err()
}

// Indexes returns the names of the indexes, in alphabetical order.
func (t *Target) Indexes(ctx context.Context) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.live.indexes)), ctx.Err()
}

// Rows returns what stands between the parentheses of each row of a table, in the
// order of insertion. It is an error when the table doesn't exist.
func (t *Target) Rows(ctx context.Context, table string) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live.rows(table, ctx.Err())
}

// Locked returns who holds the lock of each set that is locked.
func (t *Target) Locked() map[string]database.Holder {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := map[string]database.Holder{}
	for key, l := range t.locks {
		held[key.set] = l.holder
	}
	return held
}

// Tx is what a Go function migration works on.
type Tx struct {
	exec func(context.Context, string) error
	rows func(string) ([]string, error)
}

// Exec runs the statements of a text in the transaction.
func (tx Tx) Exec(ctx context.Context, text string) error { return tx.exec(ctx, text) }

// Rows returns the rows of a table, as the transaction sees them.
func (tx Tx) Rows(table string) ([]string, error) { return tx.rows(table) }

// ledger returns what Whimbrel's tables hold, and makes the tables if they are
// missing and write is asked for. mu is held.
func (t *Target) ledger(own tables, write bool) *ledger {
	l := t.ledgers[own]
	if l == nil {
		l = &ledger{settings: map[string]database.StoredSetting{}, journals: map[string]database.Journal{}}
		if write {
			t.ledgers[own] = l
		}
	}
	return l
}

// errOver is the error of using a Tx or Run that has ended.
var errOver = errors.New("memdb: the transaction is over")

// micros is a time as databases keep it.
func micros(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }
