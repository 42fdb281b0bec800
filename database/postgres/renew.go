package postgres

import (
	"context"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Renew records the first entry of a history without rows, if the other tables have none either.
func (db *Database) Renew(ctx context.Context) error {
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.giveBack()
	l, err := db.locate(ctx, c)
	if err != nil || !l.made() {
		return err
	}
	defer c.rollback()
	var rows []string
	for r := history; r <= lanes; r++ {
		if r <= journal || l.tables[r].OID != 0 {
			rows = append(rows, "EXISTS (SELECT FROM "+table(l.schema, db.nameOf(r))+")")
		}
	}
	some := false
	lock, _ := l.lockTexts(history, journal)
	err = c.pipeline(ctx, command("BEGIN ISOLATION LEVEL READ COMMITTED"), command(lock),
		command("LOCK TABLE "+table(l.schema, db.names.History)+" IN SHARE ROW EXCLUSIVE MODE"),
		query{sql: "SELECT " + strings.Join(rows, " OR "), row: into(&some)})
	if err != nil {
		return tableError(l.schema, err)
	}
	if some {
		return head{}.check()
	}
	return c.pipeline(ctx, db.recordQuery(l.schema, database.Entry{
		Set: migration.ReservedSet, Version: tablesVersion, Name: "tables", Direction: database.Up, Remark: "Whimbrel's own tables, without rows before",
	}, sinceBegin, nil), command("COMMIT"))
}
