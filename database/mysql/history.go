package mysql

import (
	"context"
	"fmt"
	"iter"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// History reads the entries that q selects, one page per round trip.
func (db *Database) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return drivers.History(ctx, q, func(ctx context.Context, q database.HistoryQuery, after int64) (page []database.Entry, err error) {
		err = db.reading(ctx, func(ctx context.Context, c *conn) error {
			page, err = db.readPage(ctx, c, q, after)
			return err
		})
		return page, err
	})
}

func (db *Database) readPage(ctx context.Context, c *conn, q database.HistoryQuery, after int64) (page []database.Entry, err error) {
	texts := "NULL, NULL"
	if q.Texts {
		texts = "up_text, down_text"
	}
	where, order, args := "id > ?", "id", []any{after}
	if q.Newest {
		where, order = "id < ?", "id DESC"
	}
	if q.ID != 0 {
		where, args = where+" AND id = ?", append(args, q.ID)
	}
	if !q.Since.IsZero() {
		where, args = where+" AND started_at >= ?", append(args, formatTime(q.Since))
	}
	if q.Set != "" {
		where, args = where+" AND set_name = ?", append(args, q.Set)
	}
	if q.Version != nil {
		where, args = where+" AND version = ?", append(args, *q.Version)
	}
	query := "SELECT id, set_name, version, name, direction, checksum, down_checksum, " + texts + `, up_directives, down_directives, has_down_text,
	CAST(started_at AS char(26)), duration_us, tried, error, retries, lock_wait_us, db_user, os_user, host, app, actor, tool_version, reason, remark FROM {history?} WHERE ` +
		where + fmt.Sprintf(" ORDER BY %s LIMIT %d", order, q.Limit)
	err = c.each(ctx, bounded(db.opts.ReadTimeout(), db.sql.fill(query)), args, func(scan func(...any) error) error {
		e, err := drivers.ScanEntry(scan, parseTime)
		page = append(page, e)
		return err
	})
	if missingTable(err) && ctx.Err() == nil {
		err = db.lost(ctx, c)
	}
	if foreignTable(err) {
		err = db.foreignTable(err)
	}
	return page, ownError("reading the history", err)
}
