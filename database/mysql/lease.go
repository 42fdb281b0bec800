package mysql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"os"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// leaseSeconds is the lifetime of a lease that is not renewed: longer than a cluster's nodes wait
// for one that is gone.
var leaseSeconds = "20"

// leaseTable has a row for each set, with its owner and expiry. owner is random and changes each
// time.
const leaseTable = `CREATE TABLE IF NOT EXISTS {lease} (
	lock_name varchar(64) NOT NULL,
	set_name varchar(255) NOT NULL,
	owner varchar(64) NOT NULL,
	taken bigint NOT NULL,
	sealed bigint NOT NULL,
	since datetime(6) NOT NULL,
	until datetime(6) NOT NULL,
	db_user text NOT NULL,
	host text NOT NULL,
	app text NOT NULL,
	pid bigint NOT NULL,
	PRIMARY KEY (lock_name)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}`

// lease is the lock for clusters in which each server has its own GET_LOCK: a row acquired by
// compare-and-set, with the server's clock, and renewed until it is released. If a lease was not
// renewed in time and another process took it over, the old owner can't commit any more: its
// transactions write to the row, too, and fail.
type lease struct {
	db    *Database
	names lockNames
	owner string
}

func (db *Database) newLease(names lockNames) *lease {
	return &lease{db: db, names: names, owner: rand.Text()}
}

func (l *lease) row(set string) string {
	return "lock_name = " + literal(l.names.hash(set)) + " AND owner = " + literal(l.owner)
}

func (l *lease) take(ctx context.Context, g *guard, set string) (bool, database.Holder, error) {
	if err := g.shorten(ctx); err != nil {
		return false, database.Holder{}, err
	}
	got, err := l.set(ctx, g.c, set)
	if missingTable(err) {
		// The table is needed before there is a lock under which to create it. Creating it twice at
		// once does no harm.
		var one int
		err = l.db.createTables(ctx, g.c, "SELECT 1", &one)
		if err == nil {
			got, err = l.set(ctx, g.c, set)
		}
	}
	if err != nil {
		return false, database.Holder{}, ownError("taking the migration lock", err)
	}
	if got {
		var worker sql.NullInt64
		if g.c.row(ctx, "SELECT IS_USED_LOCK("+literal(l.names.works(set))+")", nil, &worker) != nil || !worker.Valid {
			return true, database.Holder{}, ctx.Err()
		}
		ended, h, err := advisory{db: l.db, names: l.names}.endOrphan(ctx, g, set, worker)
		if !ended { // our caller holds the guard's mutex
			g.c.exec(context.WithoutCancel(ctx), l.freeing(set))
		}
		return ended, h, err
	}
	all, err := l.holders(ctx, g.c, []string{set})
	for _, h := range all {
		h.Query = l.query(ctx, g.c, set)
		return false, l.db.task(ctx, g.c, set, h), err
	}
	return false, database.Holder{}, err
}

// set acquires the row if it is free.
func (l *lease) set(ctx context.Context, c *conn, set string) (bool, error) {
	values := "owner = " + literal(l.owner) + ", taken = taken + 1, since = UTC_TIMESTAMP(6), until = UTC_TIMESTAMP(6) + INTERVAL " + leaseSeconds +
		" SECOND, db_user = " + userSQL + ", host = ?, app = ?, pid = ?"
	args := []any{l.db.process.Host, l.db.opts.App, os.Getpid()}
	res, err := c.exec(ctx, l.db.sql.fill("UPDATE {lease} SET "+values+" WHERE lock_name = "+literal(l.names.hash(set))+" AND until < UTC_TIMESTAMP(6)"), args...)
	if got, err := one(res, err); got || err != nil {
		return got, err
	}
	res, err = c.exec(ctx, l.db.sql.fill(`INSERT INTO {lease} (lock_name, set_name, owner, taken, sealed, since, until, db_user, host, app, pid)
SELECT `+literal(l.names.hash(set))+`, ?, `+literal(l.owner)+`, 1, 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL `+leaseSeconds+` SECOND, `+userSQL+`, ?, ?, ? FROM DUAL
WHERE NOT EXISTS (SELECT 1 FROM {lease} WHERE lock_name = `+literal(l.names.hash(set))+`)`), append([]any{set}, args...)...)
	return one(res, err)
}

// one reports whether exactly one row was changed. A conflict with another transaction changes
// none.
func one(res sql.Result, err error) (bool, error) {
	switch number(err) {
	case erDeadlock, erDupEntry, erLockWait:
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// beat renews the lease, even an expired one if nobody else acquired it.
func (l *lease) beat(ctx context.Context, g *guard, set string) error {
	for {
		var got bool
		res, err := g.c.ExecContext(ctx, l.db.sql.fill("UPDATE {lease} SET until = UTC_TIMESTAMP(6) + INTERVAL "+leaseSeconds+" SECOND WHERE "+l.row(set)))
		if number(err) == erDeadlock || number(err) == erLockWait {
			continue // until ctx is done
		}
		if got, err = one(res, err); err == nil && !got {
			err = errNotHeld
		}
		return err
	}
}

func (l *lease) name(set string) string { return l.names.hash(set) }

func (l *lease) mark(string) string { return "1" }

// attend makes the worker acquire the advisory lock of workers if the server permits it: on the
// same node it identifies an orphan.
func (l *lease) attend(ctx context.Context, worker *conn, set string) {
	worker.ExecContext(ctx, "DO GET_LOCK("+literal(l.names.works(set))+", 0)")
}

// fence always holds: reading the row would prevent its renewal until the transaction ends. See
// seal.
func (l *lease) fence(*guard, string) string { return "1 = 1" }

// seal writes to the row: a cluster detects conflicts only between writes.
func (l *lease) seal(set string) string {
	return l.db.sql.fill("UPDATE {lease} SET sealed = sealed + 1 WHERE " + l.row(set))
}

func (l *lease) freeing(set string) string {
	return l.db.sql.fill("UPDATE {lease} SET until = '1970-01-01' WHERE " + l.row(set))
}

func (l *lease) free(ctx context.Context, g *guard, worker *conn, set string) error {
	query := l.freeing(set)
	if worker != nil && !worker.gone {
		_ = worker.finish(worker.ending...)
		worker.ending = nil
	}
	for _, s := range g.ending {
		_ = g.exec(ctx, s)
	}
	g.ending = nil
	if worker != nil && !worker.gone {
		if _, err := worker.ExecContext(ctx, worker.releasing("RELEASE_LOCK("+literal(l.names.works(set))+")")); broken(err) {
			worker.drop()
		}
	}
	for {
		err := g.exec(ctx, query)
		// the guard's connection is broken, but the row is still ours
		if err != nil && number(err) == 0 {
			_, err = l.db.pool.ExecContext(ctx, query)
		}
		if number(err) != erDeadlock && number(err) != erLockWait {
			return err
		}
	}
}

// query returns the statement that a worker on this node executes, "" if it is on another one.
func (l *lease) query(ctx context.Context, c *conn, set string) string {
	var info sql.NullString
	c.row(ctx, "SELECT LEFT(info, 200) FROM information_schema.processlist WHERE id = IS_USED_LOCK("+literal(l.names.works(set))+")", nil, &info)
	return l.db.scripts(info.String)
}

func (l *lease) holders(ctx context.Context, c *conn, sets []string) (map[string]database.Holder, error) {
	names := make([]string, len(sets))
	for i, set := range sets {
		names[i] = literal(l.names.hash(set))
	}
	found := map[string]database.Holder{}
	if len(sets) == 0 {
		return found, nil
	}
	err := c.each(ctx, l.db.sql.fill("SELECT owner, pid, db_user, host, app, CAST(since AS char(26)) FROM {lease?} WHERE until > UTC_TIMESTAMP(6) AND lock_name IN ("+strings.Join(names, ", ")+")"), nil,
		func(scan func(...any) error) error {
			var owner, since string
			var h database.Holder
			err := scan(&owner, &h.PID, &h.User, &h.Host, &h.App, &since)
			if err == nil {
				h.Since, err = parseTime(since)
			}
			h.Since = h.Since.Truncate(time.Second)
			found[owner] = h
			return err
		})
	if missingTable(err) { // nobody has ever taken a lease
		return map[string]database.Holder{}, nil
	}
	return found, ownError("reading the holder of a migration lock", err)
}
