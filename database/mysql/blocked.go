package mysql

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// observer finds out what the worker's statements wait for. It asks on the guard, which is
// otherwise idle. A goroutine per statement uses it, one after the other.
type observer struct {
	h *hold
	// What the server does not offer, or not to this user, isn't asked for again.
	noPerf, noPlugin, noTransactions, noDataLocks bool

	exempt map[string]string // by user, why its sessions are never terminated; nil until known
	locks  []string          // expressions for the holders of all migration locks; nil until known
	ended  map[int64]string  // sessions that were terminated, or why they could not be
}

// wait is one statement that may wait.
type wait struct {
	st    sqltext.Statement
	limit time.Duration
	sent  time.Time
	idle  time.Time // when it was last seen not to wait
	told  bool      // it was reported
}

// watchWaits reports, until stop is called with the statement's error, what the statement waits
// for.
func (h *hold) watchWaits(st sqltext.Statement, limit time.Duration) (stop func(error)) {
	if h.opts.Blocked == nil && h.opts.Terminate == nil || h.worker.id == 0 {
		return func(error) {}
	}
	if h.observer == nil {
		h.observer = &observer{h: h, ended: map[int64]string{}}
	}
	if h.ownLimits || setsLimits(st) { // unknown ones, of a second or more
		h.ownLimits = true
		limit = time.Second
	}
	limit = wholeSeconds(limit)
	w := &wait{st: st, limit: limit, sent: time.Now()}
	w.idle = w.sent
	end := drivers.Repeat(context.Background(), drivers.FirstLook(limit), func(ctx context.Context) time.Duration {
		return h.observer.look(ctx, w)
	})
	return func(err error) {
		end()
		h.observer.last(w, err)
	}
}

// setsLimits reports whether a statement may set limits of its own for the waits for locks.
func setsLimits(st sqltext.Statement) bool {
	return st.Session && strings.Contains(strings.ToLower(st.Text), "lock_wait_timeout")
}

// look looks at a statement, and returns the pause before the next look.
func (o *observer) look(ctx context.Context, w *wait) time.Duration {
	switch waits, looked := o.lookOnce(ctx, w); {
	case !looked:
		return drivers.LookAtLeast
	case waits:
		return drivers.NextLook(w.limit)
	}
	return drivers.FirstLook(w.limit) // it may begin to wait later
}

// lookOnce looks once, unless another function uses the guard: to check its lock, or to end the
// statement. It reports whether the statement waits.
func (o *observer) lookOnce(ctx context.Context, w *wait) (waits, looked bool) {
	if !o.h.guard.mu.TryLock() {
		return false, false
	}
	b, waits := o.blockage(w)
	o.h.guard.mu.Unlock()
	if !waits {
		w.idle = time.Now()
		return false, true
	}
	if ctx.Err() != nil {
		return true, true
	}
	w.told = true
	if o.h.opts.Blocked != nil {
		o.h.opts.Blocked(b)
	}
	o.terminate(ctx, b)
	return true, true
}

// last reports a lock timeout that no look has found, because the user may not see it.
func (o *observer) last(w *wait, err error) {
	if w.told || o.h.opts.Blocked == nil || !errors.Is(lockError(number(err)), database.ErrLockTimeout) {
		return
	}
	if !o.noTransactions { // perhaps nobody has looked yet
		o.h.guard.mu.Lock()
		(&picture{o: o}).readTransactions()
		o.h.guard.mu.Unlock()
	}
	if !o.noTransactions {
		return
	}
	o.h.opts.Blocked(database.Blockage{SQL: w.st.Text, Index: w.st.Index, Waited: time.Since(w.sent), Hidden: needsProcess})
}

// Why something is hidden.
const (
	needsProcess = "the server shows this user only its own sessions and no locks of rows: GRANT PROCESS ON *.* shows all"
	needsLocks   = "the server does not say which session holds a metadata lock: on MariaDB, INSTALL SONAME 'metadata_lock_info' shows it; elsewhere performance_schema does, with SELECT on it"
)

// ask executes a query on the guard, which its caller holds. A query that takes long would keep the
// guard from its checks, so the server ends it. It returns false if there is no answer.
func (o *observer) ask(query string, f func(scan func(...any) error) error, args ...any) error {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	rows, err := o.h.guard.c.QueryContext(ctx, quickly(query), args...)
	if err != nil {
		if broken(err) {
			o.h.guard.c.gone = true
		}
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
