package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// History is read in pages, so that it holds no connection while the caller processes an entry.
// Pages with texts are short: a text can be long.
const (
	pageEvents = 1000
	pageTexts  = 20
)

// History reads the entries that q selects, one page per round trip.
func (db *Database) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return func(yield func(database.Entry, error) bool) {
		after, limit := int64(0), pageEvents
		if q.Texts {
			limit = pageTexts
		}
		for {
			page, err := db.historyPage(ctx, q, after, limit)
			if err != nil {
				yield(database.Entry{}, err)
				return
			}
			for _, e := range page {
				if after = e.ID; !yield(e, nil) {
					return
				}
			}
			if len(page) < limit {
				return
			}
		}
	}
}

func (db *Database) historyPage(ctx context.Context, q database.HistoryQuery, after int64, limit int) (page []database.Entry, err error) {
	err = db.reading(ctx, func(ctx context.Context, c *conn) error {
		page, err = db.readPage(ctx, c, q, after, limit)
		return err
	})
	return page, err
}

func (db *Database) readPage(ctx context.Context, c *conn, q database.HistoryQuery, after int64, limit int) (page []database.Entry, err error) {
	texts := "NULL, NULL"
	if q.Texts {
		texts = "up_text, down_text"
	}
	where, args := "id > ?", []any{after}
	if q.Set != "" {
		where, args = where+" AND set_name = ?", append(args, q.Set)
	}
	if q.Version != nil {
		where, args = where+" AND version = ?", append(args, *q.Version)
	}
	query := "SELECT id, set_name, version, name, direction, checksum, down_checksum, " + texts + `, has_down_text, up_directives, down_directives,
	CAST(started_at AS char(26)), duration_us, db_user, host, app, tool_version, note FROM {history?} WHERE ` + where + fmt.Sprintf(" ORDER BY id LIMIT %d", limit)
	err = c.each(ctx, bounded(db.opts.Patience(), db.sql.fill(query)), args, func(scan func(...any) error) error {
		e, err := readEvent(scan)
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

func readEvent(scan func(...any) error) (e database.Entry, err error) {
	var checksum, downChecksum, up, down sql.NullString
	var direction, upDirectives, downDirectives, at string
	var duration int64
	err = scan(&e.ID, &e.Set, &e.Version, &e.Name, &direction, &checksum, &downChecksum, &up, &down, &e.HasDownText, &upDirectives, &downDirectives,
		&at, &duration, &e.DBUser, &e.Host, &e.App, &e.ToolVersion, &e.Note)
	if err != nil {
		return e, err
	}
	e.Direction, e.UpText, e.DownText = database.Direction(direction), up.String, down.String
	e.Duration = time.Duration(duration) * time.Microsecond
	var terr, derr error
	e.StartedAt, terr = parseTime(at)
	e.UpDirectives, err = migration.ParseDirectives(upDirectives)
	e.DownDirectives, derr = migration.ParseDirectives(downDirectives)
	err = errors.Join(err, derr, terr, e.Checksum.UnmarshalText([]byte(checksum.String)), e.DownChecksum.UnmarshalText([]byte(downChecksum.String)))
	if err != nil {
		err = fmt.Errorf("history entry %d: %w", e.ID, err)
	}
	return e, err
}
