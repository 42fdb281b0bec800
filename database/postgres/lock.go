package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// lockKey is an SQL expression for the key of a set's lock: $1 is the history table's oid, $2 the
// set. It contains nothing that a migration may change: schemas, tables and databases can be
// renamed, and another search path leads to the same table. Advisory locks belong to one database.
const lockKey = `pg_catalog.hashtextextended(pg_catalog.jsonb_build_array('whimbrel', $1::pg_catalog.text, $2::pg_catalog.text)::pg_catalog.text COLLATE pg_catalog."C", 0)`

// openKey is the key of a lock that every Tx and guard shares, whatever its set, before it tries
// its own lock. It shows who is at work, and never blocks anybody.
const openKey = `pg_catalog.hashtextextended(pg_catalog.jsonb_build_array('whimbrel', $1::pg_catalog.text, 'open', 'any set')::pg_catalog.text COLLATE pg_catalog."C", 0)`

// creationKey is the key of the lock under which the tables are created: before they exist, others
// might create them elsewhere. $1 is the history's name.
const creationKey = `pg_catalog.hashtextextended(pg_catalog.jsonb_build_array('whimbrel', 'tables', $1::text)::text COLLATE "C", 0)`

// lock opens a transaction that holds the set's migration lock and locks on the tables, and returns
// the head of its history. If it fails, no transaction remains open. errMoved means that the tables
// are no longer at l.
func (db *Database) lock(ctx context.Context, c *conn, l location, set string, opts database.LockOptions) (h head, err error) {
	err = db.pollTables(ctx, c, l, set, opts, func(ctx context.Context) (got bool, holder database.Holder, err error) {
		got, h, err = db.tryLock(ctx, c, l, set, opts)
		if err == nil && !got {
			holder = db.holder(ctx, c, l, set)
			c.rollback()
		}
		return got, holder, err
	})
	return h, err
}

// pollTables is poll for a try that also locks Whimbrel's tables. It tries again after a
// *tablesBusyError, too.
func (db *Database) pollTables(ctx context.Context, c *conn, l location, set string, opts database.LockOptions, try func(context.Context) (bool, database.Holder, error)) error {
	start, table := time.Now(), ""
	err := db.poll(ctx, c, set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		got, holder, err := try(ctx)
		table = ""
		busy, ok := drivers.AsType[*tablesBusyError](err)
		switch {
		case !ok:
			return got, holder, err
		case busy.row:
			table = l.tables[journal].full()
		default:
			table, holder = db.whoLocks(ctx, c, l)
		}
		return false, holder, nil
	})
	if locked, ok := drivers.AsType[*database.LockedError](err); ok && table != "" {
		locked.What, locked.Waited = ownTableWord+table, time.Since(start)
	}
	return err
}

// poll repeats try until it gets the lock, or the time is over. It never uses the blocking form: a
// session that waits in it has a snapshot, for which a CREATE INDEX CONCURRENTLY of the lock's
// holder waits in turn.
func (db *Database) poll(ctx context.Context, c *conn, set string, opts database.LockOptions, try func(context.Context) (bool, database.Holder, error)) error {
	ctx, release := c.untilClosed(ctx)
	defer release()
	return drivers.Poll(ctx, set, opts, try)
}

// tryLock tries once to get the lock, in one round trip if it succeeds. If it doesn't get the lock,
// the transaction remains open.
func (db *Database) tryLock(ctx context.Context, c *conn, l location, set string, opts database.LockOptions) (got bool, h head, err error) {
	err = c.pipeline(ctx, db.beginQueries(c, l, set, opts, &got, &h)...)
	if err == nil {
		err = db.checkServer(c, got)
	}
	if err == nil && got {
		err = h.check()
	}
	if err != nil {
		c.rollback()
	}
	return got, h, err
}

const beginText = "BEGIN ISOLATION LEVEL READ COMMITTED"

// beginWriting begins a transaction in which each query has its own snapshot.
var beginWriting = query{sql: beginText, path: callers, often: true}

// lockQueries begin a transaction and try to get the lock in it, once. They also set the timeouts
// of the transaction.
func (db *Database) lockQueries(c *conn, l location, set string, opts database.LockOptions, got *bool) []query {
	return []query{
		// READ COMMITTED: the head must be read with a snapshot taken after the lock.
		beginWriting,
		{
			sql: "SELECT pg_catalog.pg_try_advisory_xact_lock(" + lockKey + "), pg_catalog.pg_backend_pid(), pg_catalog.pg_try_advisory_xact_lock_shared(" +
				openKey + "), " + aboutServer + db.forTheTransaction(c, opts),
			args:  []arg{l.historyID(), keptAsASCII(set)},
			often: true,
			row: func(r *row) error {
				*got = r.boolean()
				c.backend = r.number()
				c.prepareFromNowOn(c.backend)
				r.boolean()
				c.onServer(r.server())
				return r.err
			},
		},
	}
}

// headQuery reads the newest entries of the set and of Whimbrel's own set, the version of
// Whimbrel's tables, and whether the journal has an interrupted run.
func (db *Database) headQuery(schema, set string, h *head) query {
	return query{
		sql:   db.headText(schema),
		path:  callers,
		args:  []arg{keptAsASCII(set)},
		often: true,
		fail:  db.foreignHistory,
		row:   into(&h.mine, &h.own, &h.tables, &h.journal),
	}
}

// errVersion reports that head.check would fail.
var errVersion = errors.New("the tables' version is not known")

// versionQuery fails if head.check would, so that no later query of the pipeline runs.
func (db *Database) versionQuery(schema string) query {
	return query{
		sql: fmt.Sprintf("SELECT 1 / (pg_catalog.count(*) > 0 AND coalesce(max(version) FILTER (WHERE direction = 'up'), 0) <= %d)::int FROM %s WHERE set_name = '%s'",
			tablesVersion, table(schema, db.names.History), migration.ReservedSet),
		often: true,
		fail: func(pg *pgconn.PgError) error {
			if pg.Code == divisionByZero {
				return errVersion
			}
			return db.foreignHistory(pg)
		},
	}
}

// holder returns the holder of the lock, as far as the role may see it; the zero Holder if the lock
// is free.
func (db *Database) holder(ctx context.Context, c *conn, l location, set string) database.Holder {
	return db.described(ctx, c, l, set, db.holderOf(ctx, c, lockKey, l.historyID(), keptAsASCII(set)))
}

// LockHolder returns the process that holds the lock of a set. If nobody holds it, it takes one
// round trip, once the tables are found.
func (db *Database) LockHolder(ctx context.Context, set string) (h database.Holder, held bool, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return h, false, err
	}
	defer c.giveBack()
	l, err := db.locate(ctx, c)
	if err != nil || !l.made() {
		return h, false, err
	}
	// pg_stat_activity is costly to plan, and nearly always nobody holds the lock.
	if err := c.pipeline(ctx, db.lockedQuery(l.schema, set, &held)); err != nil || !held {
		return h, false, err
	}
	return db.findHolder(ctx, c, l, set)
}

// findHolder returns the process that holds the lock of a set.
func (db *Database) findHolder(ctx context.Context, c *conn, l location, set string) (h database.Holder, held bool, err error) {
	h, held, err = c.firstHolder(ctx, holdersQuery(lockKey)+" LIMIT 1", l.historyID(), keptAsASCII(set))
	if err == nil && held {
		h = db.described(ctx, c, l, set, h)
	}
	return h, held, err
}

// lockedQuery asks whether a process holds the lock of a set. It names the function behind the view
// pg_locks, which is cheaper to plan.
func (db *Database) lockedQuery(schema, set string, held *bool) query {
	id := literal(table(schema, db.names.History)) + "::pg_catalog.regclass::pg_catalog.oid"
	key := strings.NewReplacer("$1", id, "$2", "$1").Replace(lockKey)
	return query{
		path: found,
		sql: `SELECT EXISTS (SELECT FROM pg_catalog.pg_lock_status() l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted AND l.objsubid OPERATOR(pg_catalog.=) 1
	AND l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
	AND (l.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32 OPERATOR(pg_catalog.|) l.objid::pg_catalog.int8) OPERATOR(pg_catalog.=) ` + key + ")",
		args: []arg{keptAsASCII(set)},
		fail: db.foreignHistory,
		row:  into(held),
	}
}

// holderOf returns a process that holds the lock with a key, whose parameters are args; or the zero
// Holder.
func (db *Database) holderOf(ctx context.Context, c *conn, key string, args ...arg) database.Holder {
	h, _, err := c.firstHolder(ctx, holdersQuery(key)+" LIMIT 1", args...)
	if err != nil {
		return database.Holder{} // the holder is only informative
	}
	return h
}

// firstHolder executes a query in the form of holdersQuery that returns at most one process.
func (c *conn) firstHolder(ctx context.Context, sql string, args ...arg) (h database.Holder, found bool, err error) {
	err = c.pipeline(ctx, query{sql: sql, args: args, formats: holderFormats, row: func(r *row) error {
		found = true
		_, h = readHolder(r)
		return r.err
	}})
	return h, found, err
}

// holderColumns describe a process, from pg_locks l and pg_stat_activity a.
const holderColumns = `l.pid, a.usename, coalesce(a.client_hostname, pg_catalog.host(a.client_addr), ''), a.application_name, a.xact_start,
	CASE WHEN a.query <> '<insufficient privilege>' THEN pg_catalog.left(a.query, 200) END`

// holdersQuery lists the transactions that hold a lock, with their processes.
func holdersQuery(key string) string {
	return `SELECT l.virtualtransaction, ` + holderColumns + `
FROM ` + locks(key) + `
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid`
}

// locks joins the entries l of pg_locks for a lock.
func locks(key string) string {
	return `(SELECT ` + key + ` AS key) k
JOIN pg_catalog.pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
	AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
	AND l.classid = (k.key >> 32 & 4294967295)::oid AND l.objid = (k.key & 4294967295)::oid`
}

var holderFormats = []int16{0, 0, 0, 0, 0, 1, 0}

func readHolder(r *row) (transaction string, h database.Holder) {
	transaction = r.text()
	return transaction, database.Holder{PID: r.number(), User: r.text(), Host: r.text(), App: r.text(), Since: r.time(), Query: sqltext.Mask(r.text(), sqltext.PostgreSQL)}
}

// begin finds or creates Whimbrel's tables, and then calls lock.
func (db *Database) begin(ctx context.Context, c *conn, set string, opts database.LockOptions) (l location, h head, err error) {
	for try := 1; ; try++ {
		if l, err = db.ensureTables(ctx, c, opts); err != nil {
			return l, h, err
		}
		h, err = db.lock(ctx, c, l, set, opts)
		h.first = db.first.Load()
		if !errors.Is(err, errMoved) || try == 3 {
			if err == nil && h.journal > 0 {
				h, err = db.endOrphan(ctx, c, l.schema, set, h, opts)
			}
			return l, h, err
		}
		if _, err := db.relocate(ctx, c); err != nil {
			return l, h, err
		}
	}
}

// endOrphan terminates the session that the journal records, for a Tx whose transaction is open.
// The Tx may also end the run. endOrphan returns the head that the session has left: it may have
// committed entries since h was read.
func (db *Database) endOrphan(ctx context.Context, c *conn, schema, set string, h head, opts database.LockOptions) (head, error) {
	var was process
	again := db.headQuery(schema, set, &h)
	err := c.pipeline(ctx, db.recordedQuery(schema, set, &was), again)
	if err == nil && was.PID != 0 {
		if err = db.endProcess(ctx, c, set, was, opts); err == nil {
			err = c.pipeline(ctx, again)
		}
	}
	if err != nil {
		c.rollback()
	}
	return h, err
}
