package mysql

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
)

// Renew makes a history without rows a new one, if the other tables have none either: the next
// process that migrates records the first entry.
func (db *Database) Renew(ctx context.Context) error {
	return db.reading(ctx, func(ctx context.Context, c *conn) error {
		there, err := db.listTables(ctx, c)
		if err != nil || !there[db.names.History] {
			return err
		}
		for _, name := range []string{db.names.Backfills, db.names.Lanes} {
			there[name] = true
		}
		for name := range there {
			var some bool
			if err := c.row(ctx, "SELECT EXISTS (SELECT 1 FROM "+quote(name)+" USE INDEX (PRIMARY))", nil, &some); err != nil && !missingTable(err) {
				return ownError("looking for rows", err)
			}
			if some {
				return db.emptiedError()
			}
		}
		// emptied recognises rows that are gone by the counter, which a dump of the schema keeps.
		_, err = c.exec(ctx, "ALTER TABLE "+quote(db.names.History)+" AUTO_INCREMENT = 1")
		return ownError("renewing the history", err)
	})
}

// emptiedError reports a history that has lost its rows.
func (db *Database) emptiedError() error {
	return &database.TablesError{
		Problem: database.TablesEmpty, Table: quote(db.names.History),
		Msg:  "the history " + quote(db.names.History) + " lost its rows: they were deleted, or left out of a dump (mysqldump --no-data)",
		Hint: "restore its rows, or record what the schema has as a baseline",
	}
}
