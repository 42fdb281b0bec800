package postgres

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// CreationKey is the key of the lock under which the tables are created, as an SQL expression of
// $1, the history's name.
const CreationKey = creationKey

// AskGuard reads one value in the session that holds the lock of a run. It stops the pulse, which
// must not interfere.
func AskGuard(ctx context.Context, r database.Run, sql string) (value string, err error) {
	r.(*run).stopWatch()
	r.(*run).stopWatch = nil
	err = r.(*run).guard.pipeline(ctx, query{sql: sql, row: func(row *row) error {
		value = row.text()
		return row.err
	}})
	return value, err
}

// TemplateAndSpares returns the names of a template and of its spares.
func TemplateAndSpares(ctx context.Context, db database.Database, key string) ([]string, error) {
	c, err := db.(*Database).acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.release()
	place, err := placeOf(ctx, c)
	name := drivers.TemplateName(key, place...)
	return append([]string{name}, drivers.SpareNames(name)...), err
}
