package drivers

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

// The history is read in pages, so that it holds no connection or lock while the caller processes
// an entry. Pages with texts are short: a text can be long.
const (
	pageEntries = 1000
	pageTexts   = 20
)

// History implements Database.History. page reads the entries that q selects after an ID, in order,
// limit at most.
func History(ctx context.Context, q database.HistoryQuery,
	page func(ctx context.Context, q database.HistoryQuery, after int64, limit int) ([]database.Entry, error),
) iter.Seq2[database.Entry, error] {
	return func(yield func(database.Entry, error) bool) {
		after, limit := int64(0), pageEntries
		if q.Texts {
			limit = pageTexts
		}
		for {
			entries, err := page(ctx, q, after, limit)
			if err != nil {
				yield(database.Entry{}, err)
				return
			}
			for _, e := range entries {
				if after = e.ID; !yield(e, nil) {
					return
				}
			}
			if len(entries) < limit {
				return
			}
		}
	}
}

// entryColumns are the columns of the history that EntryValues returns, in its order.
const entryColumns = "set_name, version, name, direction, checksum, down_checksum, up_text, down_text, up_directives, down_directives, " +
	"has_down_text, started_at, duration_us, db_user, host, app, tool_version, note"

// InsertEntry begins an INSERT of an entry into a table; the values of EntryValues follow.
func InsertEntry(table string) string { return "INSERT INTO " + table + " (" + entryColumns + ") " }

// EntryParams lists the placeholders of the values.
const EntryParams = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"

// EntryValues returns the values of an entry's columns. A missing text or checksum is NULL.
func EntryValues(e database.Entry, formatTime func(time.Time) string) []any {
	text := func(s string, has bool) sql.NullString { return sql.NullString{String: s, Valid: has} }
	return []any{
		e.Set, e.Version, e.Name, string(e.Direction),
		text(e.Checksum.String(), !e.Checksum.IsZero()), text(e.DownChecksum.String(), !e.DownChecksum.IsZero()),
		text(e.UpText, e.UpText != ""), text(e.DownText, e.HasDownText), e.UpDirectives.String(), e.DownDirectives.String(),
		e.HasDownText, formatTime(e.StartedAt), e.Duration.Microseconds(), e.DBUser, e.Host, e.App, e.ToolVersion, e.Note,
	}
}

// Complete sets who records an entry, and rounds its times to the precision of the tables.
func Complete(e database.Entry, user, host, app string) database.Entry {
	e.DBUser, e.Host, e.App = user, host, app
	e.StartedAt, e.Duration = e.StartedAt.UTC().Truncate(time.Microsecond), e.Duration.Truncate(time.Microsecond)
	e.HasDownText = e.HasDownText || e.DownText != ""
	return e
}

// ScanEntry reads an entry from the columns id, set_name, version, name, direction, checksum,
// down_checksum, up_text, down_text, up_directives, down_directives, has_down_text, started_at,
// duration_us, db_user, host, app, tool_version and note.
func ScanEntry(scan func(...any) error, parseTime func(string) (time.Time, error)) (e database.Entry, err error) {
	var checksum, downChecksum, up, down sql.NullString
	var direction, upDirectives, downDirectives, at string
	var duration int64
	err = scan(&e.ID, &e.Set, &e.Version, &e.Name, &direction, &checksum, &downChecksum, &up, &down, &upDirectives, &downDirectives, &e.HasDownText,
		&at, &duration, &e.DBUser, &e.Host, &e.App, &e.ToolVersion, &e.Note)
	if err != nil {
		return e, err
	}
	e.Direction, e.UpText, e.DownText = database.Direction(direction), up.String, down.String
	e.Duration = time.Duration(duration) * time.Microsecond
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
