package mysql

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

func number64(n int64) string { return strconv.FormatInt(n, 10) }

// hold is the migration lock of a set with its two connections: the guard, which holds the lock and
// is watched, and the worker, which does all the work. If the guard is lost, the worker's statement
// is canceled.
type hold struct {
	db          *Database
	set         string
	opts        database.LockOptions
	guard       *guard
	worker      *conn
	head        head
	first       int64  // the history's first entry, if this hold has made it
	user        string // the database user
	database    string
	triggers    string            // triggers on Whimbrel's tables
	interrupted bool              // the set had an interrupted run when the lock was acquired
	several     bool              // its journal announced several statements
	observer    *observer         // once a statement was to be observed
	counting    counting          // of a script, once its warnings were to be read
	ownLimits   bool              // the script may have set limits for the waits for locks
	lockWait    time.Duration     // limits the wait for locks on Whimbrel's tables
	hasRow      bool              // the set has a row in the journal
	journal     *database.Journal // in that row, once known
	ended       bool              // a history entry has ended its run
	row, next   []string          // the values of that row, if this hold wrote it, and those that it writes now
	clock       clock
	locked      []string  // the sets whose locks the guard holds, in order
	checked     time.Time // when the guard certainly held them

	lost      context.Context // done when the guard is lost, with the cause
	stopWatch func()
}

// hold acquires the lock of a set. If begin is true, it begins a transaction on the worker before
// it reads the head. It creates Whimbrel's tables if they are missing.
func (db *Database) hold(ctx context.Context, set string, opts database.LockOptions, begin bool) (h *hold, err error) {
	if err := checkSet(set); err != nil {
		return nil, err
	}
	if db.pool.Stats().MaxOpenConnections == 1 {
		return nil, errors.New("the pool allows only one connection, but a migration needs two, one for the lock and one for the work; raise SetMaxOpenConns to 3 or more")
	}
	h = &hold{db: db, set: set, opts: opts, lockWait: max(opts.Timeout, minLockWait)}
	if h.guard, err = db.newGuard(ctx, h.lockWait); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			h.free()
			h = nil
		}
	}()
	if err = h.take(ctx, set, opts); err != nil {
		return h, err
	}
	if err = db.checkDecides(h.guard); err != nil {
		return h, err
	}
	if h.worker, err = db.acquire(ctx); err != nil {
		return h, err
	}
	h.worker.killer = h.guard
	h.watch()
	return h, db.limitLockWait(ctx, h.lockWait, func(ctx context.Context) error { return h.begin(ctx, begin) })
}

// found is what is known since the lock was taken.
func (h *hold) found() database.Found {
	isNew := h.first > 0 && h.head.own == h.first && h.head.mine == 0 && !h.hasRow
	return database.Found{Head: h.head.sum(), Interrupted: h.interrupted, New: isNew}
}

// recorded moves the head to the last of the entries, which have become durable.
func (h *hold) recorded(entries []database.Entry) database.Recorded {
	if n := len(entries); n > 0 {
		h.head.mine = entries[n-1].ID
	}
	return database.Recorded{Entries: entries, Head: h.head.sum()}
}

// take takes the lock of one more set.
func (h *hold) take(ctx context.Context, set string, opts database.LockOptions) error {
	err := h.db.take(ctx, h.guard, set, opts)
	if err == nil {
		h.guard.mu.Lock() // the watch holds it while it reads the list
		if h.locked = append(h.locked, set); len(h.locked) == 1 {
			h.checked = time.Now()
		}
		h.guard.mu.Unlock()
	}
	return err
}

// begin prepares the worker, in a transaction if transaction is true. It creates Whimbrel's tables
// if they are missing.
func (h *hold) begin(ctx context.Context, transaction bool) error {
	ctx, stop := h.under(ctx)
	defer stop()
	query := h.db.sql.head
	for try := range 4 {
		err := h.readHead(ctx, query, transaction)
		// a killed process may have created some of the tables
		if missingTable(err) || err == nil && h.head.own == 0 && try == 0 {
			query = h.db.sql.head
			h.first, err = h.db.ensureTables(ctx, h.guard, h.set == migration.ReservedSet, h.opts)
		} else if err == nil {
			again := h.interrupted && h.several && h.triggers == ""
			if again {
				err = h.narrowFirst(ctx)
			} else {
				again, err = h.register(ctx)
			}
			if err == nil && !again {
				return h.head.check()
			}
			if !transaction { // in which nobody can create a trigger after the query
				query = h.db.sql.again
			}
		}
		if err != nil {
			return err
		}
		if transaction {
			if _, err := h.worker.exec(ctx, "ROLLBACK"); err != nil {
				return ownError("ROLLBACK", err)
			}
		}
	}
	return errors.New("another session drops Whimbrel's tables again and again")
}

// readHead begins a transaction if transaction is true, marks the worker as working under the lock,
// and reads the head and related facts with a query.
func (h *hold) readHead(ctx context.Context, query string, transaction bool) error {
	if transaction {
		if err := h.worker.beginLimited(ctx, h.compound(), waitsOf(h.opts.LockTimeout)); err != nil {
			return ownError(startTransaction, err)
		}
	}
	var now, server, there string
	var id int64
	var marked, mine, own, tables sql.NullInt64
	var since sql.NullInt64
	mark := "1"
	if h.worker.id == 0 {
		mark = h.guard.form.mark(h.set)
		h.guard.form.attend(ctx, h.worker, h.set)
	}
	local := time.Now()
	err := h.worker.row(ctx, bounded(h.lockWait, "SELECT CONNECTION_ID(), "+mark+", DATABASE(), "+userSQL+", "+nowSQL+", "+aboutServer+", "+query), []any{h.set, h.set, h.set},
		&id, &marked, &h.database, &h.user, &now, &server, &mine, &own, &tables, &since, &h.several, &there, &h.triggers)
	switch {
	case missingTable(err):
		return err
	case foreignTable(err):
		return h.db.foreignTable(err)
	case err != nil:
		return ownError("reading the history", err)
	}
	if err := h.checkSameServer(server); err != nil {
		return err
	}
	if marked.Int64 != 1 {
		return &database.LockLostError{Set: h.set, Err: errNotHeld}
	}
	h.worker.id = id
	h.hasRow, h.interrupted = since.Valid, since.Valid && since.Int64 >= 0
	h.head = head{mine: mine.Int64, own: own.Int64, tables: tables.Int64}
	at, err := parseTime(now)
	if err != nil {
		return err
	}
	h.clock = clock{server: at, local: local}
	if h.interrupted && (h.several || mine.Int64 > since.Int64) { // one of the entries since may have ended the run
		st, err := h.db.readState(ctx, h.worker, h.set)
		if err != nil {
			return err
		}
		h.journal = st.Interrupted
		h.interrupted, h.ended = st.Interrupted != nil, st.Interrupted == nil
	}
	return nil
}

// narrowFirst is narrow before anything else reads the journal.
func (h *hold) narrowFirst(ctx context.Context) error {
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	_, err := h.narrow(ctx)
	return err
}

// compound reports whether the server executes compound statements outside of routines.
func (h *hold) compound() bool {
	f := h.db.learnt()
	return f != nil && f.compound()
}

// blocks reports whether it executes BEGIN NOT ATOMIC.
func (h *hold) blocks() bool {
	f := h.db.learnt()
	return f != nil && f.compound() && !f.oracle
}

// fold reports whether the server ignores the case of the names of tables and databases.
func (h *hold) fold() bool {
	f := h.db.learnt()
	return f != nil && f.fold
}

// identify reads the worker's connection id, and marks it.
func (h *hold) identify(ctx context.Context) error {
	var marked sql.NullInt64
	var server string
	h.guard.form.attend(ctx, h.worker, h.set)
	if err := h.worker.row(ctx, "SELECT CONNECTION_ID(), "+h.guard.form.mark(h.set)+", "+aboutServer, nil, &h.worker.id, &marked, &server); err != nil {
		return ownError("taking the migration lock", err)
	}
	if err := h.checkSameServer(server); err != nil {
		return err
	}
	if marked.Int64 != 1 {
		return &database.LockLostError{Set: h.set, Err: errNotHeld}
	}
	return nil
}

// register stores the name of a set without history, so that a process that waits for all running
// ones finds it. again means that the head must be read again: a process that read before did not
// see this one, and may have changed a setting.
func (h *hold) register(ctx context.Context) (again bool, err error) {
	h.db.mu.Lock()
	known := h.db.known[h.set]
	h.db.mu.Unlock()
	if h.triggers != "" || known || h.head.mine > 0 || h.set == migration.ReservedSet {
		return false, nil
	}
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	_, err = h.guard.c.exec(ctx, h.db.sql.fill(`INSERT IGNORE INTO {settings} (name, value, reason, changed_by, changed_at) VALUES (?, ?, '', '', UTC_TIMESTAMP(6))`),
		lockRow+h.guard.names.hash(h.set), h.set)
	if err != nil {
		return false, ownError("registering the set", err)
	}
	h.db.mu.Lock()
	h.db.known[h.set] = true
	h.db.mu.Unlock()
	return true, nil
}

// watch repeatedly checks that the guard holds the locks.
func (h *hold) watch() {
	lost, lose := context.WithCancelCause(context.Background())
	stop := drivers.Every(beat, beat, func(context.Context) bool { // stop lets the last check finish
		err := h.check(context.Background())
		if err != nil {
			lose(err)
		}
		return err == nil
	})
	h.lost, h.stopWatch = lost, func() { stop(); lose(nil) }
}

// checkNow checks the guard, unless it was checked a moment ago.
func (h *hold) checkNow(ctx context.Context) error {
	h.guard.mu.Lock()
	fresh := time.Since(h.checked) < beat/2
	h.guard.mu.Unlock()
	if fresh {
		return nil
	}
	return h.check(ctx)
}

// check checks once that the guard holds the locks.
func (h *hold) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cancelGrace)
	defer cancel()
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	for _, set := range h.locked {
		if err := h.guard.form.beat(ctx, h.guard, set); err != nil {
			h.guard.c.gone = h.guard.c.gone || broken(err) || ctx.Err() != nil
			return &database.LockLostError{Set: set, Err: err}
		}
	}
	h.checked = time.Now()
	return nil
}

// seal executes the last statement of a transaction: it fails if the lock was lost.
func (h *hold) seal(ctx context.Context, c *conn) error {
	for _, set := range h.locked {
		statement := h.guard.form.seal(set)
		if statement == "" {
			continue
		}
		res, err := c.exec(ctx, statement)
		if err != nil {
			return ownError("checking the migration lock", err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return &database.LockLostError{Set: set, Err: errNotHeld}
		}
	}
	return nil
}

// under returns a context that ends with ctx and with the guard.
func (h *hold) under(ctx context.Context) (context.Context, func()) {
	return drivers.Under(ctx, h.lost)
}

// record appends an entry.
func (h *hold) record(ctx context.Context, c *conn, e database.Entry) (recorded database.Entry, err error) {
	err = h.db.limitLockWait(ctx, h.lockWait, func(ctx context.Context) error {
		recorded, err = h.db.insert(ctx, c, e, h.user, h.guard.form.fence(h.guard, h.set), h.lockWait)
		return err
	})
	return recorded, err
}

// free returns the connections and releases the locks. No transaction may be open.
func (h *hold) free() {
	if h.stopWatch != nil {
		h.stopWatch()
	}
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	if h.ended { // if it fails, the entry still says that the run has ended
		for _, w := range h.runEnds() {
			h.guard.ending = append(h.guard.ending, w.sql)
		}
	}
	for i, set := range slices.Backward(h.locked) {
		h.guard.last = i == 0
		if h.guard.form.free(ctx, h.guard, h.worker, set) != nil {
			h.guard.c.gone = true // closing the connection releases its locks
		}
	}
	if h.worker != nil {
		h.worker.giveBack()
	}
	if h.guard != nil {
		h.guard.giveBack()
	}
}
