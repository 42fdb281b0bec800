package memdb

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// tableLock is a lock of other sessions on a table. The target's mu guards it.
type tableLock struct {
	blockage  database.Blockage
	released  chan struct{}
	deadlocks int // how many statements it ends because of a deadlock; it then blocks nothing
}

// Block lets the blockers of a Blockage lock a table until release is called, or until the last of
// them is terminated. Statements that name the table wait for that. Lock, Object, Queued and Hidden
// of the Blockage are what the target says about each of them.
func (t *Target) Block(table string, b database.Blockage) (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b.Blockers = slices.Clone(b.Blockers)
	l := &tableLock{blockage: b, released: make(chan struct{})}
	t.blocked[table] = append(t.blocked[table], l)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.unblock(l)
	}
}

// Deadlock lets the next n statements that name a table fail because of a deadlock.
func (t *Target) Deadlock(table string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blocked[table] = append(t.blocked[table], &tableLock{deadlocks: n, released: make(chan struct{})})
}

// unblock removes a lock, once. mu is held.
func (t *Target) unblock(l *tableLock) {
	for table, all := range t.blocked {
		if i := slices.Index(all, l); i >= 0 {
			t.blocked[table] = slices.Delete(all, i, i+1)
			close(l.released)
		}
	}
}

var (
	namedTable   = lazyregexp.New(`(?is)\b(?:TABLE|INTO|FROM|ON|COPY|UPDATE)\s+` + nameSQL)
	concurrently = lazyregexp.New(`(?i)\bCONCURRENTLY\b`)
)

// blocking returns a lock that a statement must wait for, or nil. A statement that a deadlock ends
// has that error.
func (t *Target) blocking(st sqltext.Statement) (*tableLock, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range namedTable.FindAllStringSubmatch(st.Text, -1) {
		all := t.blocked[unquote(m[1])]
		if len(all) == 0 {
			continue
		}
		l := all[0]
		if l.deadlocks == 0 {
			return l, nil
		}
		if l.deadlocks--; l.deadlocks == 0 {
			t.unblock(l)
		}
		return nil, errDeadlock
	}
	return nil, nil
}

// waiter waits for the locks of other sessions, as LockOptions and the directives of a script say.
type waiter struct {
	database.LockOptions
	directives migration.Directives
}

// limit returns how long a statement waits, 0 for no limit.
func (w waiter) limit(st sqltext.Statement) time.Duration {
	switch {
	case concurrently.MatchString(st.Text):
		return 0
	case w.directives.LockTimeout != 0:
		return max(w.directives.LockTimeout, 0)
	}
	return max(w.LockTimeout, 0)
}

// wait waits until no other session blocks a statement.
func (d *Database) wait(ctx context.Context, st sqltext.Statement, w waiter) error {
	l, err := d.target.blocking(st)
	if l == nil || err != nil {
		return err
	}
	begun, timeout := time.Now(), w.limit(st)
	var expired <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	ask := time.NewTimer(drivers.FirstLook(timeout))
	defer ask.Stop()
	for l != nil && err == nil {
		select {
		case <-l.released:
			l, err = d.target.blocking(st)
		case <-ask.C:
			d.target.report(l, st, time.Since(begun), w)
			ask.Reset(drivers.NextLook(timeout))
		case <-expired:
			err = &codeError{code: "55P03", msg: "canceling statement due to lock timeout", lock: database.ErrLockTimeout}
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-d.gone:
			err = d.err()
		}
	}
	return err
}

// waitForAll waits until no other session blocks a DROP of any table.
func (d *Database) waitForAll(ctx context.Context, opts database.LockOptions) error {
	d.target.mu.Lock()
	tables := slices.Sorted(maps.Keys(d.target.live.tables))
	d.target.mu.Unlock()
	for _, name := range tables {
		st := sqltext.Statement{Text: "DROP TABLE " + name}
		if err := d.wait(ctx, st, waiter{LockOptions: opts}); err != nil {
			return statementError(st, err)
		}
	}
	return nil
}

// report reports who blocks a statement, and terminates the sessions that Terminate selects.
func (t *Target) report(l *tableLock, st sqltext.Statement, waited time.Duration, w waiter) {
	t.mu.Lock()
	b := l.blockage
	b.Blockers = slices.Clone(b.Blockers)
	t.mu.Unlock()
	b.SQL, b.Index, b.Waited = strings.TrimSpace(st.Text), st.Index, waited
	if w.Blocked != nil {
		w.Blocked(b)
	}
	for _, who := range b.Blockers {
		if who.Exempt != "" || w.Terminate == nil || !w.Terminate(who) {
			continue
		}
		t.terminate(l, who.PID)
		if w.Terminated != nil {
			w.Terminated(who)
		}
	}
}

// terminate ends a session. If no other holds the lock, it is released.
func (t *Target) terminate(l *tableLock, pid int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.blockage.Blockers = slices.DeleteFunc(l.blockage.Blockers, func(b database.Blocker) bool { return b.PID == pid })
	if len(l.blockage.Blockers) == 0 {
		t.unblock(l)
	}
}
