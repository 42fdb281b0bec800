package drivers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The history is read in pages, so that it holds no connection or lock while the caller processes
// an entry. Pages with texts are short: a text can be long.
const (
	pageEntries = 1000
	pageTexts   = 20
)

// History implements Database.History. page reads the entries that q selects after an ID, in order,
// q.Limit at most. If q has Newest, it reads those before the ID.
func History(ctx context.Context, q database.HistoryQuery,
	page func(ctx context.Context, q database.HistoryQuery, after int64) ([]database.Entry, error),
) iter.Seq2[database.Entry, error] {
	return func(yield func(database.Entry, error) bool) {
		after, left, most := int64(0), q.Limit, pageEntries
		if q.Newest {
			after = math.MaxInt64
		}
		if q.Texts {
			most = pageTexts
		}
		for {
			if q.Limit = most; left > 0 {
				q.Limit = min(left, most)
			}
			entries, err := page(ctx, q, after)
			if err != nil {
				yield(database.Entry{}, err)
				return
			}
			for _, e := range entries {
				if after = e.ID; !yield(e, nil) {
					return
				}
			}
			if left -= len(entries); len(entries) < q.Limit || left == 0 {
				return
			}
		}
	}
}

// EntryColumns are the columns of the history that EntryValues returns, in its order.
const EntryColumns = "set_name, version, name, direction, checksum, down_checksum, up_text, down_text, up_directives, down_directives, " +
	"has_down_text, started_at, duration_us, tried, error, retries, lock_wait_us, db_user, os_user, host, app, actor, tool_version, reason, remark"

// InsertEntry begins an INSERT of an entry into a table; the values of EntryValues follow.
func InsertEntry(table string) string { return "INSERT INTO " + table + " (" + EntryColumns + ") " }

// EntryParams lists the placeholders of the values.
const EntryParams = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"

// EntryStartedAt is the index of started_at in EntryValues. duration_us follows.
const EntryStartedAt = 11

// EntryValues returns the values of an entry's columns. A missing text or checksum is NULL.
func EntryValues(e database.Entry, formatTime func(time.Time) string) []any {
	text := func(s string, has bool) sql.NullString { return sql.NullString{String: s, Valid: has} }
	return []any{
		e.Set, e.Version, e.Name, string(e.Direction),
		text(e.Checksum.String(), !e.Checksum.IsZero()), text(e.DownChecksum.String(), !e.DownChecksum.IsZero()),
		text(e.UpText, e.UpText != ""), text(e.DownText, e.HasDownText), e.UpDirectives.String(), e.DownDirectives.String(),
		e.HasDownText, formatTime(e.StartedAt), e.Duration.Microseconds(),
		string(e.Tried), e.Error, e.Retries, e.LockWait.Microseconds(), e.DBUser, e.OSUser, e.Host, e.App, e.Actor, e.ToolVersion, e.Reason, e.Remark,
	}
}

// Complete sets who records an entry, and rounds its times to the precision of the tables.
func Complete(e database.Entry, dbUser string, p Process) database.Entry {
	e.DBUser, e.OSUser, e.Host, e.App, e.Actor = dbUser, p.OSUser, p.Host, p.App, p.Actor
	e.StartedAt, e.Duration = e.StartedAt.UTC().Truncate(time.Microsecond), e.Duration.Truncate(time.Microsecond)
	e.LockWait = e.LockWait.Truncate(time.Microsecond)
	e.HasDownText = e.HasDownText || e.DownText != ""
	return e
}

// ScanEntry reads an entry from the columns id, set_name, version, name, direction, checksum,
// down_checksum, up_text, down_text, up_directives, down_directives, has_down_text, started_at,
// duration_us, tried, error, retries, lock_wait_us, db_user, os_user, host, app, actor,
// tool_version, reason and remark.
func ScanEntry(scan func(...any) error, parseTime func(string) (time.Time, error)) (e database.Entry, err error) {
	var checksum, downChecksum, up, down sql.NullString
	var direction, tried, upDirectives, downDirectives, at string
	var duration, lockWait int64
	err = scan(&e.ID, &e.Set, &e.Version, &e.Name, &direction, &checksum, &downChecksum, &up, &down, &upDirectives, &downDirectives, &e.HasDownText,
		&at, &duration, &tried, &e.Error, &e.Retries, &lockWait, &e.DBUser, &e.OSUser, &e.Host, &e.App, &e.Actor, &e.ToolVersion, &e.Reason, &e.Remark)
	if err != nil {
		return e, err
	}
	e.Direction, e.Tried, e.UpText, e.DownText = database.Direction(direction), database.Direction(tried), up.String, down.String
	e.Duration, e.LockWait = time.Duration(duration)*time.Microsecond, time.Duration(lockWait)*time.Microsecond
	var errs [3]error
	e.StartedAt, errs[0] = parseTime(at)
	e.UpDirectives, errs[1] = migration.ParseDirectives(upDirectives)
	e.DownDirectives, errs[2] = migration.ParseDirectives(downDirectives)
	err = errors.Join(append(errs[:], e.Checksum.UnmarshalText([]byte(checksum.String)), e.DownChecksum.UnmarshalText([]byte(downChecksum.String)))...)
	if err != nil {
		err = fmt.Errorf("history entry %d: %w", e.ID, err)
	}
	return e, err
}
