package mysql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// taskQuery reads from the journal what the holder of a set's lock executes. The row of a run can
// remain after its history entry.
const taskQuery = "SELECT version, name, LEFT(begun, 200), CAST(updated_at AS char(26)) FROM {journal} AS j USE INDEX (PRIMARY) WHERE set_name = ? AND " + isHeld +
	" AND NOT EXISTS (SELECT 1 FROM {history} AS h WHERE h.id > since_id AND h.set_name = j.set_name AND h.version = j.version AND h.name = j.name AND h.direction = j.direction)"

// task adds to the holder of a set's lock what it executes, as far as the journal knows it: the
// script, its statement, and since when. A transaction has no journal.
func (db *Database) task(ctx context.Context, c *conn, set string, h database.Holder) database.Holder {
	var version int64
	var name, begun, since string
	err := c.row(ctx, quickly(db.sql.fill(taskQuery)), []any{set}, &version, &name, &begun, &since)
	if err != nil {
		return h // the holder is only informative
	}
	h.Task = name
	if version != database.NilVersion {
		h.Task = strings.TrimSuffix(fmt.Sprintf("%04d_%s", version, name), "_")
	}
	h.Query = cmp.Or(h.Query, sqltext.Mask(begun, sqltext.MySQL))
	h.Since, _ = parseTime(since)
	return h
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
