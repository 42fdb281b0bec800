package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// leastPatience is how long what ends a migration waits for others to let go of the file, whatever the lock timeout is:
// a reader that looks at this moment is no reason to give up.
const leastPatience = time.Second

// patience is how long what comes after the lock waits for others to let go of the file.
func patience(opts database.LockOptions) time.Duration { return max(opts.Timeout, leastPatience) }

// bg is the context of statements that never wait and must not be cut off: a client
// that interrupts COMMIT can't tell any more whether it happened.
var bg = context.Background()

// conn is one connection of the pool, for one Batch or Run.
type conn struct {
	*sql.Conn
	file        *openFile // once it was looked at
	busyTimeout int64     // what it had, to be put back
	version     int64     // data_version in the transaction that is open
	hasVersion  bool
}

// acquire takes a connection out of the pool, with busy_timeout = 0. A pool that has none to give is
// a lock like any other.
func (d *db) acquire(ctx context.Context, w *waiter) (*conn, error) {
	c, err := d.pooled(ctx, w)
	if err != nil {
		return nil, err
	}
	return d.impatient(ctx, c)
}

// impatient makes a connection one that doesn't wait inside SQLite, where the lock timeout doesn't reach it. Those
// of a pool of our own are opened so.
func (d *db) impatient(ctx context.Context, c *sql.Conn) (*conn, error) {
	s := &conn{Conn: c}
	if d.owned {
		return s, nil
	}
	err := c.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&s.busyTimeout)
	if err == nil {
		err = s.setBusyTimeout(0)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// reader takes a connection for reading. The caller is patient.
func (d *db) reader(ctx context.Context) (*conn, error) {
	c, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, d.connectError(err)
	}
	return d.impatient(ctx, c)
}

// pooled waits for a connection of the pool as it would for the lock, where the pool has a limit: what takes long
// otherwise is opening the file.
func (d *db) pooled(ctx context.Context, w *waiter) (*sql.Conn, error) {
	patience := 20 * time.Millisecond
	for {
		try, cancel := ctx, func() {}
		if d.pool.Stats().MaxOpenConnections > 0 {
			try, cancel = context.WithTimeout(ctx, patience)
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
			patience *= 2 // none is taken: it was slow
			continue
		case late:
			err = w.wait(ctx, database.Holder{PID: int64(os.Getpid()), Host: d.host, App: d.opts.App})
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

// readOnly reports whether the file can only be read. BEGIN IMMEDIATE does not tell.
func (c *conn) readOnly() (is bool) {
	c.Raw(func(client any) (err error) { // a client that can't be asked will say so when it writes
		if client, ok := client.(interface{ IsReadOnly(string) (bool, error) }); ok {
			is, err = client.IsReadOnly("main")
		}
		return err
	})
	return is
}

// release puts the connection back into its pool. No transaction is open.
func (c *conn) release() {
	if c.setBusyTimeout(c.busyTimeout) != nil {
		c.drop()
	}
	c.Close() // if it was dropped it says that it is closed
}

// drop closes the connection for good, and with it whatever it holds.
func (c *conn) drop() {
	c.Raw(func(any) error { return sqldriver.ErrBadConn }) // which is what it returns
}

// do executes a statement that doesn't wait and is not to be cut off.
func (c *conn) do(query string, args ...any) error {
	_, err := c.ExecContext(bg, query, args...)
	return err
}

// write executes a statement that changes one row of Whimbrel's own.
func (c *conn) write(query string, args ...any) error {
	_, err := c.changeOne(query, args...)
	return err
}

func (c *conn) changeOne(query string, args ...any) (sql.Result, error) {
	r, err := c.ExecContext(bg, query, args...)
	if err != nil {
		return nil, err
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return nil, errors.Join(fmt.Errorf("a row of Whimbrel's own was to be written, and %d were: a trigger may be in between", n), err)
	}
	return r, nil
}

// rollback leaves the connection without a transaction, or drops it.
func (c *conn) rollback() {
	if c.do("ROLLBACK") == nil {
		return
	}
	// SQLite may have rolled back by itself; then a transaction can begin.
	if c.do("BEGIN") != nil || c.do("ROLLBACK") != nil {
		c.drop()
	}
}

// commit commits, and waits up to limit for readers that are in its way. After an error the
// transaction is still open, or was rolled back.
func (c *conn) commit(ctx context.Context, limit time.Duration) error {
	err := poll(ctx, limit, func() error { return c.do("COMMIT") })
	if err != nil {
		return err
	}
	return c.file.still()
}

// poll repeats f while the file is locked, limit at the longest.
func poll(ctx context.Context, limit time.Duration, f func() error) error {
	return pollWatching(ctx, limit, f, func() bool { return false })
}

// pollWatching is poll that begins to count anew whenever others have got on.
func pollWatching(ctx context.Context, limit time.Duration, f func() error, gotOn func() bool) error {
	start := time.Now()
	p := pause{start: start, limit: limit}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := f()
		if !isBusy(err) {
			return err
		}
		if gotOn() {
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

// sleep reports false when the limit is reached.
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
	set     string
	timeout time.Duration
	waiting func(database.Holder)
	pause   pause
	told    bool
	holder  database.Holder
}

func newWaiter(set string, opts database.LockOptions) *waiter {
	return &waiter{
		set: set, timeout: opts.Timeout, waiting: opts.Waiting,
		pause: pause{start: time.Now(), limit: opts.Timeout},
	}
}

// wait tells who has the lock, when that is news, and sleeps before the next try.
func (w *waiter) wait(ctx context.Context, h database.Holder) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if news := !w.told || h != w.holder; news {
		w.told, w.holder = true, h
		if w.waiting != nil {
			w.waiting(h)
		}
	}
	more, err := w.pause.sleep(ctx)
	if err == nil && !more {
		err = w.locked(h)
	}
	return err
}

func (w *waiter) locked(h database.Holder) error {
	e := &database.LockedError{Set: w.set, Waited: time.Since(w.pause.start), Holder: h}
	if w.set == "" {
		e.What = theFile
	}
	return e
}
