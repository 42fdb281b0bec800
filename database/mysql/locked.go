package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// lookForBlocker is the interval between checks whether a query waits for a lock on Whimbrel's
// tables.
const lookForBlocker = time.Second

// minLockWait is the shortest limit for a wait for locks on Whimbrel's tables.
const minLockWait = time.Second

// limitLockWait calls f, which uses Whimbrel's tables. If f takes longer than limit and the server
// reports that it waits for a lock on the tables (LOCK TABLES, or DDL in progress), it ends f with
// a *database.LockedError. The server's own limit is a day or a year.
func (db *Database) limitLockWait(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begun := time.Now()
	stop := drivers.Every(max(limit, minLockWait), lookForBlocker, func(ctx context.Context) bool {
		table := db.lockedTable(ctx)
		if table != "" {
			cancel(&database.LockedError{What: "the table " + table, Waited: time.Since(begun)})
		}
		return table == ""
	})
	err := f(limited)
	stop()
	var locked *database.LockedError
	if err != nil && ctx.Err() == nil && errors.As(context.Cause(limited), &locked) {
		return locked
	}
	if number(err) == erLockWait {
		return &database.LockedError{What: "one of Whimbrel's tables", Waited: time.Since(begun)}
	}
	return err
}

// lockedTable returns the name of a Whimbrel table for whose lock a connection of this user waits,
// or "".
func (db *Database) lockedTable(ctx context.Context) string {
	ctx, stop := context.WithTimeout(ctx, cancelGrace)
	defer stop()
	for _, name := range append(db.tableNames(), leaseName(db.names), db.names.Backfills, db.names.Lanes) {
		var waits int
		query := mycatalog.Whole("SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND state LIKE 'Waiting for%' AND LOCATE(" + literal(quote(name)) + ", info) > 0")
		if err := db.pool.QueryRowContext(ctx, query).Scan(&waits); err == nil && waits > 0 {
			return name
		}
	}
	return ""
}

// bounded makes MariaDB give up a query on Whimbrel's tables if they are locked for longer than
// limit, so that a client that is gone leaves no waiting connection. Other servers ignore it as a
// comment.
func bounded(limit time.Duration, query string) string {
	seconds := int64((max(limit, minLockWait)+time.Second-1)/time.Second) + 1
	return fmt.Sprintf("/*M!100100 SET STATEMENT lock_wait_timeout=%d FOR */ ", seconds) + mycatalog.Whole(query)
}

// reading calls f with a connection of the pool. It limits the wait for locks on Whimbrel's tables.
func (db *Database) reading(ctx context.Context, f func(context.Context, *conn) error) error {
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.giveBack()
	return db.limitLockWait(ctx, db.opts.ReadTimeout(), func(ctx context.Context) error { return f(ctx, c) })
}

// lost returns an error if some of Whimbrel's tables are gone and others exist: the history is then
// unknown, not empty. A process that creates the tables now is no such case: a row is written only
// when all of them exist. So after a row was seen, the tables are listed once more.
func (db *Database) lost(ctx context.Context, c *conn) error {
	there, err := db.listTables(ctx, c)
	if err != nil {
		return err
	}
	rows := false
	for name := range there {
		var some bool
		if err := c.row(ctx, "SELECT EXISTS (SELECT 1 FROM "+quote(name)+" USE INDEX (PRIMARY))", nil, &some); err != nil {
			if foreignTable(err) {
				return db.foreignTable(err)
			}
			return ownError("looking for Whimbrel's tables", err)
		}
		rows = rows || some || name == db.names.History // the history is created last
	}
	if !rows {
		return nil
	}
	if there, err = db.listTables(ctx, c); err != nil {
		return err
	}
	var missing []string
	for _, name := range db.tableNames() {
		if !there[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s %s missing, but Whimbrel's other tables exist: restore the missing ones from a backup; without them it is unknown what is applied", strings.Join(missing, " and "), map[bool]string{true: "is", false: "are"}[len(missing) == 1])
}

// tableNames are the names of the tables that lost looks for.
func (db *Database) tableNames() []string {
	return []string{db.names.History, db.names.Settings, db.names.Journal, db.names.Metadata}
}

// listTables returns which of Whimbrel's tables exist.
func (db *Database) listTables(ctx context.Context, c *conn) (map[string]bool, error) {
	names := map[string]string{}
	var list []string
	for _, name := range db.tableNames() {
		names[strings.ToLower(name)] = name
		list = append(list, literal(name))
	}
	there := map[string]bool{}
	err := c.each(ctx, "SELECT LOWER(table_name) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ("+strings.Join(list, ", ")+")", nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		there[names[name]] = true
		return err
	})
	if err != nil {
		return nil, ownError("looking for Whimbrel's tables", err)
	}
	return there, nil
}

// emptied returns an error if a history without rows once had some, as after restoring a dump
// without data. A process interrupted while it created the tables also leaves no rows. The first
// row alone doesn't count: it may not be committed yet. Its id can be as high as the increment,
// which in a Galera cluster is the number of nodes.
func (db *Database) emptied(ctx context.Context, c *conn) error {
	var had bool
	err := c.row(ctx, "SELECT "+db.hadRows()+db.sql.fill(" AND NOT EXISTS (SELECT 1 FROM {history?} WHERE set_name = {own})"), nil, &had)
	if err != nil || !had {
		return ownError("reading the history's rows", err)
	}
	return db.emptiedError()
}

// hadRows is an SQL expression: the history had more rows than the first.
func (db *Database) hadRows() string {
	return "ifnull((SELECT auto_increment > 2 * @@auto_increment_increment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = " + literal(db.names.History) + "), 0)"
}
