package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The lock is polled for with pauses that grow between these, each varied by half.
// The blocking form is never used: who waits in it has a snapshot, for which a
// CREATE INDEX CONCURRENTLY of the holder waits in turn.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 250 * time.Millisecond
)

// lockKey is the key of a set's lock as an SQL expression of $1, the schema, $2, the
// history table, and $3, the set.
const lockKey = `hashtextextended(jsonb_build_array('whimbrel', current_database(), $1::text, $2::text, $3::text)::text COLLATE "C", 0)`

// lock opens a transaction that holds the set's migration lock, and returns the head
// of its history, 0 when there is no history table. Where it fails it leaves no
// transaction behind.
func (db *Database) lock(ctx context.Context, c *conn, schema, set string, opts database.LockOptions) (h head, err error) {
	start, pause := time.Now(), shortestPause
	for {
		got, h, err := db.tryLock(ctx, c, schema, set)
		if err != nil || got {
			return h, err
		}
		holder := db.holder(ctx, c, schema, set)
		c.rollback(ctx)
		if opts.Waiting != nil {
			opts.Waiting(holder)
		}
		waited := time.Since(start)
		if waited >= opts.Timeout {
			return h, &database.LockedError{Set: set, Waited: waited, Holder: holder}
		}
		wait := min(pause/2+rand.N(pause), opts.Timeout-waited)
		pause = min(pause*2, longestPause)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return h, context.Cause(ctx)
		}
	}
}

// tryLock is one attempt, in one round trip when it succeeds. When it doesn't get the lock
// the transaction is still open.
func (db *Database) tryLock(ctx context.Context, c *conn, schema, set string) (got bool, h head, err error) {
	args := []arg{text(schema), text(db.names.History), text(set)}
	queries := []query{
		// READ COMMITTED, so that the head is read with a snapshot from after the lock.
		{sql: "BEGIN ISOLATION LEVEL READ COMMITTED"},
		{sql: "SELECT pg_try_advisory_xact_lock(" + lockKey + ")" + db.noticeDeadClient(c), args: args, row: func(r *row) error {
			got = r.boolean()
			return r.err
		}},
		{sql: headQuery(table(schema, db.names.History)), args: []arg{text(set)}, row: func(r *row) error {
			h = head{mine: r.number(), own: r.number()}
			return r.err
		}},
	}
	err = c.pipeline(ctx, queries...)
	if !missingTable(err) {
		if err != nil {
			c.rollback(ctx)
		}
		return got, h, err
	}
	// There is no history yet: once more without asking for its head.
	c.rollback(ctx)
	if err = c.pipeline(ctx, queries[:2]...); err != nil {
		c.rollback(ctx)
	}
	return got, head{}, err
}

// headQuery reads the newest event of the set $1 and of Whimbrel's own.
func headQuery(history string) string {
	newest := func(set string) string {
		return "coalesce((SELECT max(id) FROM " + history + " WHERE set_name = " + set + "), 0)"
	}
	return "SELECT " + newest("$1") + ", " + newest("'"+migration.ReservedSet+"'")
}

// noticeDeadClient makes the server look every second, for the rest of the transaction, whether
// its client is still there, where it can.
func (db *Database) noticeDeadClient(c *conn) string {
	major := 0
	c.use(func(pc *pgx.Conn) error {
		major = serverMajor(pc.PgConn())
		return nil
	})
	if major < 14 {
		return ""
	}
	return ", CASE WHEN version() ~* 'linux' THEN set_config('client_connection_check_interval', '1000', true) END"
}

// holder says who holds the lock, as far as the role may see it; the zero Holder if
// nobody does any more.
func (db *Database) holder(ctx context.Context, c *conn, schema, set string) (h database.Holder) {
	err := c.pipeline(ctx, query{
		sql: `SELECT l.pid, a.usename, coalesce(a.client_hostname, host(a.client_addr), ''), a.application_name, a.xact_start, left(a.query, 200)
FROM (SELECT ` + lockKey + ` AS key) k
JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
	AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND l.classid = (k.key >> 32 & 4294967295)::oid AND l.objid = (k.key & 4294967295)::oid
LEFT JOIN pg_stat_activity a ON a.pid = l.pid LIMIT 1`,
		args:    []arg{text(schema), text(db.names.History), text(set)},
		formats: []int16{0, 0, 0, 0, 1, 0},
		row: func(r *row) error {
			h = database.Holder{PID: r.number(), User: r.text(), Host: r.text(), App: r.text(), Since: r.time(), Query: r.text()}
			return r.err
		},
	})
	if err != nil {
		return database.Holder{} // who it is matters less than that somebody does
	}
	return h
}

// begin is lock, and creates Whimbrel's tables first if they are missing.
func (db *Database) begin(ctx context.Context, c *conn, set string, opts database.LockOptions) (schema string, h head, err error) {
	if schema, err = db.locate(ctx, c); err != nil {
		return "", h, err
	}
	if h, err = db.lock(ctx, c, schema, set, opts); err != nil || h.own > 0 {
		return schema, h, err
	}
	c.rollback(ctx)
	if err := db.ensureTables(ctx, c, schema, opts); err != nil {
		return "", h, err
	}
	h, err = db.lock(ctx, c, schema, set, opts)
	if err == nil && h.own == 0 {
		c.rollback(ctx)
		err = errors.New("Whimbrel's history table has no entry of its own tables: it was not made by Whimbrel, or somebody deleted from it")
	}
	return schema, h, err
}
