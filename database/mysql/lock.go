package mysql

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// beat is the interval between the guard's checks of its lock.
const beat = 2 * time.Second

// Lock is a form of the migration lock. All processes that migrate a database must use the same
// form. The zero Lock chooses a lease in a Galera cluster, and advisory otherwise.
type Lock string

const (
	// LockAdvisory is GET_LOCK, which the server releases when a client is gone.
	LockAdvisory Lock = "advisory"
	// LockLease is a row in a table, for clusters in which each server has its own GET_LOCK. If its
	// client is gone, it expires after 20 seconds. The servers' clocks must agree within a few
	// seconds.
	LockLease Lock = "lease"
)

// form is how a set's lock is held. The holder of the guard calls its methods.
type form interface {
	// name returns the lock's name for the journal.
	name(set string) string
	// take tries once. The lock belongs to the guard, and is released with its connection or a
	// while later.
	take(ctx context.Context, g *guard, set string) (got bool, h database.Holder, err error)
	// mark returns an SQL expression that the worker evaluates once when it begins. It is 1 unless
	// another process works under the lock.
	mark(set string) string
	// beat returns an error if the guard no longer holds the lock.
	beat(ctx context.Context, g *guard, set string) error
	// attend prepares a new worker.
	attend(ctx context.Context, worker *conn, set string)
	// fence returns an SQL condition that is true as long as the guard holds the lock.
	fence(g *guard, set string) string
	// seal returns the last statement of a transaction, which changes one row unless the lock was
	// lost; "" for none.
	seal(set string) string
	// free releases the worker's lock and then the migration lock.
	free(ctx context.Context, g *guard, worker *conn, set string) error
	// holders returns the holders of the sets' locks.
	holders(ctx context.Context, c *conn, sets []string) (map[string]database.Holder, error)
}

// guard is the connection that holds locks. All else that it does is short, so that it can check
// its locks and cancel the worker's statement, and so that the server notices at once when its
// client is gone.
type guard struct {
	mu    sync.Mutex // its connection has one user at a time
	c     *conn
	id    int64
	form  form
	names lockNames

	first   string   // is executed together with what takes the lock; "" for nothing
	short   bool     // the session has the short timeout
	last    bool     // the next lock to release is the last one
	ending  []string // is executed together with what releases the last one; it may fail
	commits int64    // how many compound statements with a COMMIT it has sent
	server  string   // the server's identity; "" if the lock doesn't belong to one server
}

// exec executes statements on the guard's connection until one fails.
func (g *guard) exec(ctx context.Context, statements ...string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.c.execAll(ctx, statements...)
	if broken(err) {
		g.c.gone = true
	}
	return err
}

// finish executes the guard's last statement, and before it what ends its work.
func (g *guard) finish(ctx context.Context, last string) error {
	if len(g.ending) > 0 && g.exec(ctx, append(g.ending, last)...) == nil {
		return nil
	}
	return g.exec(ctx, last)
}

// lockNames creates the names of locks. They must be the same for all processes that use one
// history, so they derive from the names that the server reports. They are global to the server, so
// they include the database.
type lockNames struct{ database, history string }

func (n lockNames) hash(set string) string {
	b, err := json.Marshal([]string{n.database, n.history, set})
	if err != nil { // can't happen
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:20])
}

// guards and works return the names of a set's two advisory locks: the migration lock, and the lock
// of the worker.
func (n lockNames) guards(set string) string { return "whimbrel guard " + n.hash(set) }
func (n lockNames) works(set string) string  { return "whimbrel works " + n.hash(set) }

// newGuard takes a connection for locks. lockWait limits its waits for locks on Whimbrel's tables.
func (db *Database) newGuard(ctx context.Context, lockWait time.Duration) (*guard, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	f, err := db.learn(ctx, c)
	if err != nil {
		c.giveBack()
		return nil, err
	}
	g := &guard{c: c, names: db.lockNames(f), first: shortening(lockWait)}
	g.form = db.formOf(f, g.names)
	return g, nil
}

// lockNames returns what identifies the locks of this database and its history.
func (db *Database) lockNames(f *facts) lockNames {
	if f.fold {
		return lockNames{strings.ToLower(f.database), strings.ToLower(db.names.History)}
	}
	return lockNames{f.database, db.names.History}
}

// LockHolder returns the process that holds the lock of a set.
func (db *Database) LockHolder(ctx context.Context, set string) (h database.Holder, held bool, err error) {
	err = db.reading(ctx, func(ctx context.Context, c *conn) error {
		h, held, err = db.holder(ctx, c, set, &users{})
		return err
	})
	return h, held, err
}

// users are the connections that have the advisory locks of a set, read together with the facts
// about the server.
type users struct {
	oneRow
	facts         factsRow
	guard, worker sql.NullInt64
}

// usersOf returns the query of the users of a set's locks. Their names depend on the server.
func (db *Database) usersOf(set string) *users {
	user := func(name func(lockNames, string) string) string {
		folded := db.lockNames(&facts{database: db.config.DBName, fold: true})
		plain := db.lockNames(&facts{database: db.config.DBName})
		return ", IS_USED_LOCK(IF(@@lower_case_table_names, " + literal(name(folded, set)) + ", " + literal(name(plain, set)) + "))"
	}
	u := &users{}
	u.query, u.to = factsQuery+inCluster+user(lockNames.guards)+user(lockNames.works), append(u.facts.into(), &u.guard, &u.worker)
	return u
}

// holder returns the process that holds the lock of a set. It asks for what was not read.
func (db *Database) holder(ctx context.Context, c *conn, set string, u *users) (h database.Holder, held bool, err error) {
	var f *facts
	if u.read {
		f, err = db.note(ctx, c, &u.facts)
	} else {
		f, err = db.learn(ctx, c)
	}
	if err != nil {
		return h, false, err
	}
	names := db.lockNames(f)
	form := db.formOf(f, names)
	if a, ok := form.(advisory); ok && u.read && names == db.lockNames(&facts{database: db.config.DBName, fold: f.fold}) {
		h, held = a.holder(ctx, c, set, u.guard, u.worker)
		return h, held, nil
	}
	all, err := form.holders(ctx, c, []string{set})
	for _, h = range all {
		held = true
	}
	return h, held, err
}

// formOf chooses the form of the lock.
func (db *Database) formOf(f *facts, names lockNames) form {
	if db.wanted == LockLease || db.wanted == "" && f.cluster {
		return db.newLease(names)
	}
	return advisory{db: db, names: names, perf: f.perf}
}

// poll repeats try until it gets the lock, or the time is over.
func (db *Database) poll(ctx context.Context, set string, opts database.LockOptions, try func(context.Context) (bool, database.Holder, error)) error {
	ctx, release := db.life.Until(ctx)
	defer release()
	return drivers.Poll(ctx, set, opts, try)
}

// take acquires the lock of a set on a guard.
func (db *Database) take(ctx context.Context, g *guard, set string, opts database.LockOptions) error {
	return db.poll(ctx, set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.form.take(ctx, g, set)
	})
}

// lockOwn acquires the lock of Whimbrel's own set for work on the guard's connection itself.
func (db *Database) lockOwn(ctx context.Context, g *guard, opts database.LockOptions) (free func(), err error) {
	if err := db.take(ctx, g, migration.ReservedSet, opts); err != nil {
		return nil, err
	}
	return func() {
		ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
		defer stop()
		if g.form.free(ctx, g, nil, migration.ReservedSet) != nil {
			g.c.drop()
		}
	}, nil
}

// advisory is GET_LOCK. The guard has one lock for the set; the worker has another, and holds it as
// long as its connection lives, even without its client. It identifies an orphan, which is then
// terminated.
type advisory struct {
	db    *Database
	names lockNames
	perf  bool
}

// orphanTimeout limits the wait for the end of a statement whose client is gone.
const orphanTimeout = 15 * time.Second

func (a advisory) take(ctx context.Context, g *guard, set string) (bool, database.Holder, error) {
	guards, works := a.names.guards(set), a.names.works(set)
	var got, holder, worker sql.NullInt64
	query := "SELECT CONNECTION_ID(), GET_LOCK(" + literal(guards) + ", 0), IS_USED_LOCK(" + literal(guards) + "), IS_USED_LOCK(" + literal(works) + "), " + aboutServer
	var before []string
	if g.first != "" {
		before = []string{g.first}
	}
	err := g.c.rowAfter(ctx, before, query, &g.id, &got, &holder, &worker, &g.server)
	if g.shortened(err); err != nil {
		return false, database.Holder{}, ownError("taking the migration lock", err)
	}
	if got.Int64 != 1 {
		if !holder.Valid {
			return false, database.Holder{}, nil // it was released at this moment
		}
		return false, a.db.task(ctx, g.c, set, a.who(ctx, g.c, holder.Int64, worker.Int64)), nil
	}
	if !worker.Valid {
		return true, database.Holder{}, nil
	}
	// The lock was free, but a worker is left: its client is gone.
	ended, h, err := a.endOrphan(ctx, g, set, worker)
	if !ended {
		_, ferr := g.c.exec(context.WithoutCancel(ctx), "DO RELEASE_LOCK("+literal(guards)+")")
		err = cmp.Or(err, ferr)
	}
	return ended, h, err
}

// endOrphan terminates the connection that works under a lock we hold, and waits for its end: its
// work must have ended before any other begins. It also waits if the server doesn't permit the
// termination.
func (a advisory) endOrphan(ctx context.Context, g *guard, set string, worker sql.NullInt64) (ended bool, h database.Holder, err error) {
	h = a.who(ctx, g.c, worker.Int64, 0)
	err = a.db.poll(ctx, set, database.LockOptions{Timeout: orphanTimeout}, func(ctx context.Context) (bool, database.Holder, error) {
		if _, err := g.c.exec(ctx, "KILL "+number64(worker.Int64)); err != nil && number(err) == 0 {
			return false, h, err
		}
		err := g.c.row(ctx, "SELECT IS_USED_LOCK("+literal(a.names.works(set))+")", nil, &worker)
		return !worker.Valid, h, ownError("waiting for the end of an orphaned session", err)
	})
	if _, ok := drivers.AsType[*database.LockedError](err); ok {
		return false, h, nil
	}
	return err == nil, h, err
}

func (a advisory) name(set string) string { return a.names.guards(set) }

func (a advisory) mark(set string) string { return "GET_LOCK(" + literal(a.names.works(set)) + ", 0)" }

func (a advisory) attend(context.Context, *conn, string) {}

func (a advisory) fence(g *guard, set string) string {
	return "IS_USED_LOCK(" + literal(a.names.guards(set)) + ") <=> " + number64(g.id)
}

func (a advisory) seal(string) string { return "" }

func (a advisory) beat(ctx context.Context, g *guard, set string) error {
	var held bool
	err := g.c.QueryRowContext(ctx, "SELECT "+a.fence(g, set)).Scan(&held)
	if err == nil && !held {
		err = errNotHeld
	}
	return err
}

// free releases the worker's lock first: a process that acquires the guard's lock must not mistake
// the worker for an orphan.
func (a advisory) free(ctx context.Context, g *guard, worker *conn, set string) error {
	if worker != nil && !worker.gone {
		_ = worker.finish(append(worker.ending, worker.releasing("RELEASE_LOCK("+literal(a.names.works(set))+")"))...)
		worker.ending = nil
	}
	release := "RELEASE_LOCK(" + literal(a.names.guards(set)) + ")"
	if !g.last {
		return g.exec(ctx, "DO "+release)
	}
	g.short = false
	return g.finish(ctx, restoreTimeout(release))
}

func (a advisory) holders(ctx context.Context, c *conn, sets []string) (map[string]database.Holder, error) {
	found := map[string]database.Holder{}
	for _, set := range sets {
		var holder, worker sql.NullInt64
		err := c.row(ctx, "SELECT IS_USED_LOCK("+literal(a.names.guards(set))+"), IS_USED_LOCK("+literal(a.names.works(set))+")", nil, &holder, &worker)
		if err != nil {
			return nil, ownError("reading the holder of a migration lock", err)
		}
		if h, held := a.holder(ctx, c, set, holder, worker); held {
			for _, id := range []sql.NullInt64{holder, worker} { // either can end without the other
				if id.Valid {
					found[set+"\x00"+number64(id.Int64)] = h
				}
			}
		}
	}
	return found, nil
}

// holder describes the holder of a set's lock, given the users of its locks.
func (a advisory) holder(ctx context.Context, c *conn, set string, guard, worker sql.NullInt64) (h database.Holder, held bool) {
	if !guard.Valid && !worker.Valid {
		return h, false
	}
	return a.db.task(ctx, c, set, a.who(ctx, c, guard.Int64, worker.Int64)), true
}

// who describes a connection as far as the user may see it, and the statement of the worker beside
// it. The application's name is known only if performance_schema is on.
func (a advisory) who(ctx context.Context, c *conn, id, worker int64) database.Holder {
	h := database.Holder{PID: id}
	var user, host, query sql.NullString
	var seconds sql.NullInt64
	var now string
	err := c.row(ctx, `SELECT user, host, (SELECT LEFT(info, 200) FROM information_schema.processlist WHERE id = ?), time, `+nowSQL+`
FROM information_schema.processlist WHERE id = ?`, []any{max(worker, id), id}, &user, &host, &query, &seconds, &now)
	if err != nil {
		return h // the holder is only informative
	}
	h.User, h.Query = user.String, a.db.scripts(query.String)
	h.Host, _, _ = strings.Cut(host.String, ":")
	if a.perf {
		c.row(ctx, `SELECT ATTR_VALUE FROM performance_schema.session_connect_attrs WHERE PROCESSLIST_ID = ? AND ATTR_NAME = 'program_name'`, []any{id}, &h.App)
	}
	return h
}
