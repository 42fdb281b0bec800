package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// leastPatience is how long what needs Whimbrel's tables waits at least for who has them locked.
const leastPatience = time.Second

// patiently calls f, which uses Whimbrel's tables, and ends it with a *database.LockedError when it has waited for
// limit and the server says that it waits for a lock on them: LOCK TABLES, or DDL that is under way. The server's own limit
// is a day or a year.
func (db *Database) patiently(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit = max(limit, leastPatience)
	begun, done, watched := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for pause := limit; ; pause = lookForBlocker {
			select {
			case <-done:
				return
			case <-limited.Done():
				return
			case <-time.After(pause):
			}
			if table := db.lockedTable(limited); table != "" {
				cancel(&database.LockedError{What: "the table " + table, Waited: time.Since(begun)})
				return
			}
		}
	}()
	err := f(limited)
	close(done)
	<-watched
	var locked *database.LockedError
	if err != nil && ctx.Err() == nil && errors.As(context.Cause(limited), &locked) {
		return locked
	}
	if number(err) == erLockWait {
		return &database.LockedError{What: "one of Whimbrel's tables", Waited: time.Since(begun)}
	}
	return err
}

// lockedTable names a table of Whimbrel's own for a lock on which a connection of this user waits, "" for none.
func (db *Database) lockedTable(ctx context.Context) string {
	ctx, stop := context.WithTimeout(ctx, cancelGrace)
	defer stop()
	for _, name := range []string{db.names.History, db.names.Settings, db.names.Journal, db.names.Metadata, leaseName(db.names)} {
		var waits int
		query := mycatalog.Whole("SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND state LIKE 'Waiting for%' AND LOCATE(" + literal(quote(name)) + ", info) > 0")
		if err := db.pool.QueryRowContext(ctx, query).Scan(&waits); err == nil && waits > 0 {
			return name
		}
	}
	return ""
}

// bounded has MariaDB give up a query that reads Whimbrel's tables when they are locked for so long: who is gone meanwhile should not
// keep a connection waiting. Other servers take it for a comment.
func bounded(limit time.Duration, query string) string {
	seconds := int64((max(limit, leastPatience)+time.Second-1)/time.Second) + 1
	return fmt.Sprintf("/*M!100100 SET STATEMENT lock_wait_timeout=%d FOR */ ", seconds) + mycatalog.Whole(query)
}

// reading calls f with a connection of the pool, for a while if Whimbrel's tables are locked.
func (db *Database) reading(ctx context.Context, f func(context.Context, *conn) error) error {
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.giveBack()
	return db.patiently(ctx, db.opts.Patience(), func(ctx context.Context) error { return f(ctx, c) })
}

// lost looks for tables of Whimbrel's own that are gone while others are there: then nobody may say that nothing is applied.
func (db *Database) lost(ctx context.Context, c *conn) error {
	there := map[string]bool{}
	names := []string{db.names.History, db.names.Settings, db.names.Journal, db.names.Metadata}
	var list []string
	for _, name := range names {
		list = append(list, literal(name))
	}
	err := c.each(ctx, "SELECT LOWER(table_name) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ("+strings.Join(list, ", ")+")", nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		there[name] = true
		return err
	})
	if err != nil {
		return ownError("looking for Whimbrel's tables", err)
	}
	var missing []string
	rows := false
	for _, name := range names {
		lower := strings.ToLower(name)
		if !there[lower] {
			missing = append(missing, name)
			continue
		}
		var some bool
		if err := c.row(ctx, "SELECT EXISTS (SELECT 1 FROM "+quote(name)+" USE INDEX (PRIMARY))", nil, &some); err != nil {
			if notOurs(err) {
				return db.notOurs(err)
			}
			return ownError("looking for Whimbrel's tables", err)
		}
		rows = rows || some || name == db.names.History // which is made last
	}
	if !rows || len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("of Whimbrel's tables %s %s gone, and others are there: restore what was dropped from a backup; without it nobody knows what is applied", strings.Join(missing, " and "), map[bool]string{true: "is", false: "are"}[len(missing) == 1])
}

// emptied looks whether a history without any row, which is what is left of a process that was cut off while it made
// the tables, has had some: a dump without data brings such tables, too. The first row alone doesn't count: it may be on its way.
func (db *Database) emptied(ctx context.Context, c *conn) error {
	var had bool
	err := c.row(ctx, "SELECT ifnull((SELECT auto_increment > 2 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = "+literal(db.names.History)+"), 0)"+
		db.sql.fill(" AND NOT EXISTS (SELECT 1 FROM {history?} WHERE set_name = {own})"), nil, &had)
	if err != nil || !had {
		return ownError("looking for the history's rows", err)
	}
	return fmt.Errorf("the table %s has lost its rows: they were deleted, or not restored with the table. Restore them, or drop all of Whimbrel's tables and record what the database has (a baseline)", db.names.History)
}
