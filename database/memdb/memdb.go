// Package memdb implements the contract of package database in memory. It is the reference for
// driver authors, and Whimbrel's own tests use it. It does not store data permanently.
//
// A [Target] corresponds to a server's database. Each time that it is opened represents a process,
// which has its own locks and transactions and can be killed between two calls ([Database.SetHook],
// [Database.Kill]).
//
// Scripts are split like PostgreSQL's. These statements exist:
//
//	CREATE TABLE t (…)                      DROP TABLE t
//	INSERT INTO t VALUES (…)                INSERT INTO t VALUES (…) WHERE name = value
//	DELETE FROM t                           COPY t FROM stdin
//	CREATE INDEX [CONCURRENTLY] i ON t (…)  DROP INDEX [CONCURRENTLY] [IF EXISTS] i
//	SET name = value                        NOTICE 'text'
//	SELECT …                                SELECT forever()
//	ALTER SYSTEM SET name = value
//
// The body of a backfill has statements such as
//
//	UPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last
//
// that count how often they have changed each row (see [Target.Touched]). Their table's rows are
// texts that begin with the columns of the key.
//
// WHERE compares a setting of the session. SELECT and ALTER SYSTEM have no effect. SELECT forever()
// waits until it is cancelled. The CONCURRENTLY forms and ALTER SYSTEM can't be in a transaction.
// Everything else is a syntax error. [Target.Block] lets statements wait for other sessions.
//
// The package only waits on channels and timers, so a test in a [testing/synctest] bubble has its
// own clock.
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

// Name is the database's name. User, OSUser and Host are those of history entries.
const (
	Name   = "memory"
	User   = "memory"
	Host   = "localhost"
	OSUser = "someone"
)

// Target is one database in memory. Several goroutines can use it.
type Target struct {
	mu       sync.Mutex
	live     *content
	ledgers  map[tables]*ledger
	locks    map[lockKey]*lock
	blocked  map[string][]*tableLock // by table
	lastID   int64
	openings int64
	queued   bool
	ahead    bool
	major    int
	rows     rowBehaviour

	templates templates
}

// Version sets the major version of PostgreSQL that the target reports. It reports none by default.
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

// ledger is the content of Whimbrel's own tables.
type ledger struct {
	entries  []database.Entry // by ID
	settings map[string]database.StoredSetting
	facts    []fact                      // the metadata
	journals map[string]database.Journal // of each set
	fills    map[database.BackfillID]*backfill
}

// New returns an empty Target.
func New() *Target {
	return &Target{
		live:    newContent(),
		ledgers: map[tables]*ledger{},
		locks:   map[lockKey]*lock{},
		blocked: map[string][]*tableLock{},
	}
}

// Open opens the target, as another process would.
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

// Driver returns a driver that opens this target for any URL with a scheme.
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

// Queue makes transactions queue their calls of Exec and Record until State or Commit, like a
// driver that pipelines: errors are returned as late as the contract allows.
func (t *Target) Queue(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queued = on
}

// Ahead makes runs execute the calls that they are told ahead all at once, when the first of them
// is made.
func (t *Target) Ahead(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ahead = on
}

// Tables returns the names of the tables that scripts created, in alphabetical order.
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
	var names []string
	for name, i := range t.live.indexes {
		if i.invalid {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names)), ctx.Err()
}

// Indexes returns the names of the indexes, in alphabetical order.
func (t *Target) Indexes(ctx context.Context) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.live.indexes)), ctx.Err()
}

// Rows returns the rows of a table in the order of insertion: the texts between the parentheses of
// VALUES. It returns an error if the table doesn't exist.
func (t *Target) Rows(ctx context.Context, table string) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live.rows(table, ctx.Err())
}

// Locked returns the holder of the lock of each set that is locked.
func (t *Target) Locked() map[string]database.Holder {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := map[string]database.Holder{}
	for key, l := range t.locks {
		held[key.set] = l.holder
	}
	return held
}

// Tx is the transaction that a Go function of a migration receives.
type Tx struct {
	exec func(context.Context, string) error
	rows func(string) ([]string, error)
}

// Exec executes the statements of a text.
func (tx Tx) Exec(ctx context.Context, text string) error { return tx.exec(ctx, text) }

// Rows returns the rows of a table in the transaction.
func (tx Tx) Rows(table string) ([]string, error) { return tx.rows(table) }

// ledger returns the content of Whimbrel's tables. If they are missing and write is set, it creates
// them. mu is held.
func (t *Target) ledger(own tables, write bool) *ledger {
	l := t.ledgers[own]
	if l == nil {
		l = &ledger{settings: map[string]database.StoredSetting{}, journals: map[string]database.Journal{}, fills: map[database.BackfillID]*backfill{}}
		if write {
			t.ledgers[own] = l
		}
	}
	return l
}

// errOver is the error of a Tx or Run that has ended.
var errOver = errors.New("memdb: the transaction is over")

// micros returns a time as databases store it.
func micros(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }
