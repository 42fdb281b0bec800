package mysql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// taskQuery reads from the journal what the holder of a set's lock executes. The row of a run can
// remain after its history entry.
const taskQuery = "SELECT version, name, LEFT(begun, 200), CAST(updated_at AS char(26)), since_id, IF(done_checksum = '" + severalMark + "', `before`, '') " +
	"FROM {journal} AS j USE INDEX (PRIMARY) WHERE set_name = ? AND " + isHeld + " AND (done_checksum = '" + severalMark + "'" +
	" OR NOT EXISTS (SELECT 1 FROM {history} AS h WHERE h.id > since_id AND h.set_name = j.set_name AND h.version = j.version AND h.name = j.name AND h.direction = j.direction))"

// task adds to the holder of a set's lock what it executes, as far as the journal knows it: the
// script, its statement, and since when. A transaction has no journal.
func (db *Database) task(ctx context.Context, c *conn, set string, h database.Holder) database.Holder {
	j := &database.Journal{}
	var at string
	var since int64
	err := c.row(ctx, quickly(db.sql.fill(taskQuery)), []any{set}, &j.Version, &j.Name, &j.Begun, &at, &since, &j.Before)
	if err != nil {
		return h // the holder is only informative
	}
	j.UpdatedAt, _ = parseTime(at)
	if j = db.current(ctx, c, set, j, since); j == nil {
		return h
	}
	h.Task = j.Name
	if j.Version != database.NilVersion {
		h.Task = strings.TrimSuffix(fmt.Sprintf("%04d_%s", j.Version, j.Name), "_")
	}
	h.Query = cmp.Or(h.Query, sqltext.Mask(j.Begun, sqltext.MySQL))
	h.Since = j.UpdatedAt
	return h
}

// current returns the journal of the script that is executed now: that of a row, unless the row
// announces several; nil if that is unknown, or there is none any more. since is the newest entry
// before the row.
func (db *Database) current(ctx context.Context, c *conn, set string, row *database.Journal, since int64) *database.Journal {
	s, err := readSeveral(row)
	if s == nil && err == nil {
		return row
	}
	ended := newStateReader(set)
	if err == nil {
		err = c.each(ctx, quickly(db.sql.fill("SELECT id, version, direction, CAST(started_at AS char(26)), duration_us FROM {history?} WHERE set_name = ? AND id > ?")), []any{set, since},
			func(scan func(...any) error) error {
				var e event
				var at string
				var micros int64
				err := scan(&e.EntryID, &e.Version, &e.direction, &at, &micros)
				e.AppliedAt, _ = parseTime(at)
				e.Duration = time.Duration(micros) * time.Microsecond
				ended.events = append(ended.events, e)
				return err
			})
	}
	if err != nil {
		return nil
	}
	return s.next(row, ended.endedBy)
}

// scripts returns a statement of the process list without its literals if it is one of a script,
// and "" if it is one of Whimbrel's own.
func (db *Database) scripts(query string) string {
	query = strings.TrimSpace(query)
	head := strings.ToLower(query)
	for _, own := range append(db.Tables(), "get_lock(", "release_lock(", "select connection_id(), ", strings.ToLower(startTransaction), saved("")) {
		if strings.Contains(head, own) {
			return ""
		}
	}
	if slices.Contains([]string{"commit", strings.ToLower(commitAndChain), "show warnings"}, head) {
		return ""
	}
	return sqltext.MaskLiterals(query, sqltext.MySQL)
}
