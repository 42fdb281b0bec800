package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// minTimeout is the shortest limit for waiting for the file at the end of a migration, whatever
// the lock timeout: a passing reader must not make it fail.
const minTimeout = time.Second

// fileTimeout returns the limit for waiting for the file after the lock was acquired.
func fileTimeout(opts database.LockOptions) time.Duration { return max(opts.Timeout, minTimeout) }

// commitTry returns how long one COMMIT of Whimbrel's own in a Run waits for readers. New readers
// wait for it meanwhile, so it then gives way to them, and is tried again.
func commitTry(opts database.LockOptions) time.Duration {
	if opts.LockTimeout <= 0 {
		return fileTimeout(opts)
	}
	return min(opts.LockTimeout, fileTimeout(opts))
}

// noLimit is a wait that only a context ends.
const noLimit = time.Duration(math.MaxInt64)

// lockLimit returns how long each wait of a script's statement for other connections may take: as
// its directives say, or else the options.
func lockLimit(opts database.LockOptions, s *migration.Script) time.Duration {
	limit := opts.LockTimeout
	if s.LockTimeout != 0 {
		limit = s.LockTimeout
	}
	if limit <= 0 {
		return noLimit
	}
	return limit
}

// bg is the context of statements that never wait and must not be interrupted: after an interrupted
// COMMIT the client doesn't know whether it took effect.
var bg = context.Background()

// conn is one connection of the pool, for one Tx or Run.
type conn struct {
	*sql.Conn
	file        *openFile // set once the file was identified
	busyTimeout int64     // the caller's value, to restore

	native  native          // zero if unknown, or no longer open
	quiet   context.Context // of the statements that are watched together
	inserts *inserts        // during a script of a Tx
}

// acquire takes a connection from the pool, with busy_timeout = 0. It waits for an exhausted pool
// as for the lock.
func (d *db) acquire(ctx context.Context, w *waiter) (*conn, error) {
	c, err := d.pooled(ctx, w)
	if err != nil {
		return nil, err
	}
	return d.withoutBusyTimeout(c)
}

// withoutBusyTimeout sets busy_timeout to 0, since the lock timeout doesn't limit waits inside
// SQLite. A pool of our own opens its connections with that value.
func (d *db) withoutBusyTimeout(c *sql.Conn) (*conn, error) {
	s := &conn{Conn: c}
	s.native = nativeOf(s.client())
	if d.owned {
		return s, nil
	}
	err := s.ask("PRAGMA busy_timeout").Scan(&s.busyTimeout)
	if err == nil {
		err = s.setBusyTimeout(0)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// reader takes a connection for reading. The caller does the waiting.
func (d *db) reader(ctx context.Context) (*conn, error) {
	c, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, d.connectError(err)
	}
	return d.withoutBusyTimeout(c)
}

// pooled takes a connection from the pool. If the pool is limited and exhausted, it waits as for
// the lock; it doesn't mistake a slow opening of the file for that.
func (d *db) pooled(ctx context.Context, w *waiter) (*sql.Conn, error) {
	limit := 20 * time.Millisecond
	for {
		try, cancel := ctx, func() {}
		if d.pool.Stats().MaxOpenConnections > 0 {
			try, cancel = context.WithTimeout(ctx, limit)
		}
		c, err := d.pool.Conn(try)
		late := err != nil && try.Err() != nil && errors.Is(err, try.Err())
		cancel()
		stats := d.pool.Stats()
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case late && stats.InUse < stats.MaxOpenConnections:
			limit *= 2 // the pool isn't exhausted: opening was slow
			continue
		case late:
			err = w.wait(ctx, database.Holder{PID: int64(os.Getpid()), Host: d.process.Host, App: d.opts.App})
		case isBusy(err):
			err = w.wait(ctx, database.Holder{})
		default:
			err = d.connectError(err)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (c *conn) setBusyTimeout(ms int64) error {
	if ms == 0 && c.busyTimeout == 0 {
		return nil
	}
	return c.do(fmt.Sprintf("PRAGMA busy_timeout = %d", ms))
}

// readOnly reports whether the file is read-only, which BEGIN IMMEDIATE doesn't detect.
func (c *conn) readOnly() (is bool) {
	c.Raw(func(client any) (err error) { // a client without this method reports it when it writes
		if client, ok := client.(interface{ IsReadOnly(string) (bool, error) }); ok {
			is, err = client.IsReadOnly("main")
		}
		return err
	})
	return is
}

// release returns the connection to its pool. No transaction may be open.
func (c *conn) release() {
	if c.setBusyTimeout(c.busyTimeout) != nil {
		c.drop()
	}
	c.native = native{}
	c.Close() // fails if drop closed it
}

// drop closes the connection for good, which releases everything it holds.
func (c *conn) drop() {
	c.inserts.end()
	c.native, c.inserts = native{}, nil
	c.Raw(func(any) error { return sqldriver.ErrBadConn }) // Raw returns this error
}

// do executes a statement that doesn't wait and must not be interrupted.
func (c *conn) do(query string, args ...any) error {
	if len(args) == 0 {
		return c.exec(bg, query)
	}
	_, err := c.ExecContext(bg, query, args...)
	return err
}

// ask asks for one row, as do.
func (c *conn) ask(query string, args ...any) *sql.Row {
	return c.QueryRowContext(bg, query, args...)
}

// write executes a statement that changes one row of Whimbrel's own.
func (c *conn) write(query string, args ...any) error {
	r, err := c.ExecContext(bg, query, args...)
	if err != nil {
		return err
	}
	return changedOne(r)
}

// insert inserts one row of Whimbrel's own on the client itself, and returns its ID. The values
// have the client's types.
func (c *conn) insert(query string, values []sqldriver.NamedValue) (id int64, err error) {
	err = c.Raw(func(client any) error {
		e, ok := client.(sqldriver.ExecerContext)
		if !ok {
			return otherClient(client)
		}
		r, err := e.ExecContext(bg, query, values)
		if err != nil {
			return err
		}
		if err := changedOne(r); err != nil {
			return err
		}
		id, err = r.LastInsertId()
		return err
	})
	return id, err
}

func changedOne(r sqldriver.Result) error {
	n, err := r.RowsAffected()
	if err == nil && n == 1 {
		return nil
	}
	return errors.Join(fmt.Errorf("writing one of Whimbrel's rows changed %d rows: a trigger may interfere", n), err)
}

// rollback ends the transaction, or drops the connection.
func (c *conn) rollback() {
	if c.do("ROLLBACK") == nil {
		return
	}
	// SQLite may have rolled back by itself; then a transaction can begin.
	if c.do("BEGIN") != nil || c.do("ROLLBACK") != nil {
		c.drop()
	}
}

// commit commits, and waits up to limit for readers that block it. After an error the transaction
// is still open, or was rolled back.
func (c *conn) commit(ctx context.Context, limit time.Duration) error {
	return c.commitThen(ctx, limit, func() {})
}

// commitThen is commit, and calls then directly after COMMIT.
func (c *conn) commitThen(ctx context.Context, limit time.Duration, then func()) error {
	err := poll(ctx, limit, func() error { return c.do("COMMIT") })
	if err != nil {
		return err
	}
	then()
	return c.file.still()
}

// poll repeats f while the file is locked, for at most limit.
func poll(ctx context.Context, limit time.Duration, f func() error) error {
	return pollWatching(ctx, limit, f, func() bool { return false })
}

// pollWatching is poll with a limit that starts anew whenever another process made progress.
func pollWatching(ctx context.Context, limit time.Duration, f func() error, progressed func() bool) error {
	var start time.Time // of the wait
	p := pause{limit: limit}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := f()
		if !isBusy(err) {
			return err
		}
		if start.IsZero() {
			start = time.Now()
			p.start = start
		}
		if progressed() {
			p.start = time.Now()
		} else if p.over() {
			return &lockedFile{time.Since(start), err}
		}
		if _, werr := p.sleep(ctx); werr != nil {
			return werr
		}
	}
}

// pause sleeps a little longer each time, with jitter.
type pause struct {
	start time.Time
	limit time.Duration
	next  time.Duration
}

func (p *pause) over() bool { return time.Since(p.start) >= p.limit }

// sleep returns false when the limit is reached.
func (p *pause) sleep(ctx context.Context) (bool, error) {
	left := p.limit - time.Since(p.start)
	if left <= 0 {
		return false, nil
	}
	p.next = min(max(p.next*3/2, time.Millisecond), 40*time.Millisecond)
	t := time.NewTimer(min(p.next/2+rand.N(p.next), left))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-t.C:
		return true, nil
	}
}

// waiter waits for the migration lock.
type waiter struct {
	set      string
	waiting  func(database.Holder)
	pause    pause
	reported bool
	holder   database.Holder
}

func newWaiter(set string, opts database.LockOptions) *waiter {
	return &waiter{set: set, waiting: opts.Waiting, pause: pause{start: time.Now(), limit: opts.Timeout}}
}

// wait reports a new holder of the lock, and sleeps until the next try.
func (w *waiter) wait(ctx context.Context, h database.Holder) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.waiting != nil && (!w.reported || h != w.holder) {
		w.reported, w.holder = true, h
		w.waiting(h)
	}
	more, err := w.pause.sleep(ctx)
	if err == nil && !more {
		err = w.locked(h)
	}
	return err
}

func (w *waiter) locked(h database.Holder) error {
	e := &database.LockedError{Set: w.set, Waited: time.Since(w.pause.start), Holder: h}
	switch {
	case w.set == "":
		e.What = theFile
	case h == database.Holder{}: // the file's lock has no name: it may be anybody's
		e.Why = fmt.Sprintf("another process is migrating set %q or writing to the database", w.set)
	}
	return e
}
