package postgres

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// lockKey is the key of a set's lock as an SQL expression of $1, the schema, $2, the
// history table, and $3, the set.
const lockKey = `pg_catalog.hashtextextended(pg_catalog.jsonb_build_array('whimbrel', pg_catalog.current_database(), $1::text, $2::text, $3::text)::text COLLATE "C", 0)`

// openKey is the key of a lock that every batch and guard shares from the moment it tries for its
// own, whatever its set, so that it can be seen who is at work. It is never in anybody's way.
const openKey = `pg_catalog.hashtextextended(pg_catalog.jsonb_build_array('whimbrel', pg_catalog.current_database(), $1::text, $2::text, 'open', 'any set')::text COLLATE "C", 0)`

// lock opens a transaction that holds the set's migration lock, and returns the head
// of its history, zero when there is no history table. Where it fails it leaves no
// transaction behind.
func (db *Database) lock(ctx context.Context, c *conn, schema, set string, opts database.LockOptions) (h head, err error) {
	err = db.poll(ctx, c, set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		got, found, err := db.tryLock(ctx, c, schema, set)
		if err != nil || got {
			h = found
			return got, database.Holder{}, err
		}
		holder := db.holder(ctx, c, schema, set)
		c.rollback()
		return false, holder, nil
	})
	return h, err
}

// poll tries until it gets the lock, or the time is over.
// The blocking form is never used: who waits in it has a snapshot, for which a
// CREATE INDEX CONCURRENTLY of the holder waits in turn.
func (db *Database) poll(ctx context.Context, c *conn, set string, opts database.LockOptions, try func(context.Context) (bool, database.Holder, error)) error {
	ctx, release := c.untilClosed(ctx)
	defer release()
	err := database.Poll(ctx, set, opts, try)
	if err != nil && err == ctx.Err() {
		return reason(ctx)
	}
	return err
}

// tryLock is one attempt, in one round trip when it succeeds. When it doesn't get the lock
// the transaction is still open.
func (db *Database) tryLock(ctx context.Context, c *conn, schema, set string) (got bool, h head, err error) {
	queries := append(db.lockQueries(c, schema, set, &got), db.headQuery(schema, set, &h))
	err = c.pipeline(ctx, queries...)
	if missingTable(err) { // there is no history yet: once more without asking for its head
		c.rollback()
		got, h = false, head{}
		err = c.pipeline(ctx, queries[:len(queries)-1]...)
	}
	if err == nil {
		err = c.checkPrimary()
	}
	if err == nil && got {
		err = db.checkDecides(c)
	}
	if err == nil && got && h.tables > tablesVersion {
		err = &database.TablesNewerError{Found: h.tables, Known: tablesVersion}
	}
	if err != nil {
		c.rollback()
	}
	return got, h, err
}

// lockQueries begin a transaction and try to take the lock in it, once.
func (db *Database) lockQueries(c *conn, schema, set string, got *bool) []query {
	return []query{
		// READ COMMITTED, so that the head is read with a snapshot from after the lock.
		command("BEGIN ISOLATION LEVEL READ COMMITTED"),
		{
			sql: "SELECT pg_catalog.pg_try_advisory_xact_lock(" + lockKey + "), pg_catalog.pg_backend_pid(), pg_catalog.pg_try_advisory_xact_lock_shared(" +
				openKey + "), " + aboutServer + db.forTheTransaction(c),
			args:  []arg{text(schema), text(db.names.History), keptAsASCII(set)},
			often: true,
			row: func(r *row) error {
				*got = r.boolean()
				c.prepareFromNowOn(r.number())
				r.boolean()
				c.server = r.server()
				return r.err
			},
		},
	}
}

// headQuery reads the newest event of the set and of Whimbrel's own, the version of
// Whimbrel's tables, and whether a run is open.
func (db *Database) headQuery(schema, set string, h *head) query {
	history := table(schema, db.names.History)
	return query{
		// This is asked for every migration, and mostly costs what planning it costs.
		sql: "SELECT (SELECT id FROM " + history + " WHERE set_name = $1 ORDER BY id DESC LIMIT 1), max(id), max(version) FILTER (WHERE direction = 'up'), (SELECT 1 + (" +
			isOpen + ")::int FROM " + table(schema, db.names.Journal) + " WHERE set_name = $1) FROM " + history + " WHERE set_name = '" + migration.ReservedSet + "'",
		args:  []arg{keptAsASCII(set)},
		often: true,
		fail:  db.notOurs,
		row: func(r *row) error {
			*h = head{mine: r.number(), own: r.number(), tables: r.number(), journal: r.number()}
			return r.err
		},
	}
}

// holder says who holds the lock, as far as the role may see it; the zero Holder if
// nobody does any more.
func (db *Database) holder(ctx context.Context, c *conn, schema, set string) (h database.Holder) {
	err := c.pipeline(ctx, query{
		sql:     holdersQuery(lockKey) + " LIMIT 1",
		args:    []arg{text(schema), text(db.names.History), keptAsASCII(set)},
		formats: holderFormats,
		row: func(r *row) error {
			_, h = readHolder(r)
			return r.err
		},
	})
	if err != nil {
		return database.Holder{} // who it is matters less than that somebody does
	}
	return h
}

// holdersQuery lists who holds the lock of a key: the transaction, and who it belongs to.
func holdersQuery(key string) string {
	return `SELECT l.virtualtransaction, l.pid, a.usename, coalesce(a.client_hostname, pg_catalog.host(a.client_addr), ''), a.application_name, a.xact_start,
	CASE WHEN a.query <> '<insufficient privilege>' THEN pg_catalog.left(a.query, 200) END
FROM (SELECT ` + key + ` AS key) k
JOIN pg_catalog.pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
	AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
	AND l.classid = (k.key >> 32 & 4294967295)::oid AND l.objid = (k.key & 4294967295)::oid
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid`
}

var holderFormats = []int16{0, 0, 0, 0, 0, 1, 0}

func readHolder(r *row) (transaction string, h database.Holder) {
	transaction = r.text()
	return transaction, database.Holder{PID: r.number(), User: r.text(), Host: r.text(), App: r.text(), Since: r.time(), Query: sqltext.Mask(r.text(), sqltext.PostgreSQL)}
}

// begin is lock, and creates Whimbrel's tables first if they are missing.
func (db *Database) begin(ctx context.Context, c *conn, set string, opts database.LockOptions) (schema string, h head, err error) {
	if schema, err = db.locate(ctx, c); err != nil {
		return "", h, err
	}
	if h, err = db.lock(ctx, c, schema, set, opts); err != nil || h.own > 0 {
		return schema, h, db.endOrphan(ctx, c, schema, set, h, err, opts)
	}
	c.rollback()
	if err := db.ensureTables(ctx, c, schema); err != nil {
		return "", h, err
	}
	h, err = db.lock(ctx, c, schema, set, opts)
	if err == nil {
		if err = h.check(); err != nil {
			c.rollback()
		}
	}
	return schema, h, err
}

// endOrphan ends the session of a run that was interrupted, for a batch, whose transaction is open. The batch may end the
// run, too.
func (db *Database) endOrphan(ctx context.Context, c *conn, schema, set string, h head, err error, opts database.LockOptions) error {
	if err != nil || h.journal == 0 {
		return err
	}
	var was process
	if err = c.pipeline(ctx, db.recordedQuery(schema, set, &was)); err == nil {
		err = db.endProcess(ctx, c, set, was, opts)
	}
	if err != nil {
		c.rollback()
	}
	return err
}
