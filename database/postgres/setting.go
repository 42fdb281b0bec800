package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// UpdateSetting stores the setting and its history entry in one transaction, under the lock of
// Whimbrel's own set.
func (db *Database) UpdateSetting(ctx context.Context, u database.SettingUpdate) error {
	u, err := u.Check()
	if err != nil {
		return err
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.giveBack()
	l, _, err := db.begin(ctx, c, migration.ReservedSet, database.LockOptions{Timeout: db.lockTimeout()})
	if err != nil {
		return err
	}
	defer c.rollback()
	queries := append(l.hold(settings), db.settingQuery(l.schema, u), db.recordQuery(l.schema, u.Entry(), sinceBegin, nil))
	_, err = commit(ctx, c, queries, func(pg *pgconn.PgError) error { return ownError("COMMIT", pg) })
	if err = db.unknownCommit(c, err); err != nil {
		c.rollback()
		return db.busy(ctx, c, l, migration.ReservedSet, 0, err)
	}
	return db.settle(ctx, c, l, u)
}

// settle waits until the transactions that are open now have ended. It holds no transaction
// meanwhile.
func (db *Database) settle(ctx context.Context, c *conn, l location, u database.SettingUpdate) error {
	ctx, release := c.untilClosed(ctx)
	defer release()
	return drivers.Settle(ctx, u, func(ctx context.Context) (map[string]database.Holder, error) {
		holders := map[string]database.Holder{} // by transaction
		return holders, c.pipeline(ctx, query{
			sql: holdersQuery(openKey), args: []arg{l.historyID()}, formats: holderFormats,
			row: func(r *row) error {
				transaction, h := readHolder(r)
				holders[transaction] = db.shown(h)
				return r.err
			},
		})
	})
}

// settingQuery stores a setting, or removes it.
func (db *Database) settingQuery(schema string, u database.SettingUpdate) query {
	settings := table(schema, db.names.Settings)
	if u.Unset {
		return query{sql: "DELETE FROM " + settings + " WHERE name = $1", args: []arg{text(u.Name)}}
	}
	return query{
		sql: written("INSERT INTO "+settings+` AS s (name, value, reason, changed_by, changed_at, until)
VALUES ($1, $2, $3, session_user, coalesce($4::timestamptz, pg_catalog.now()), $5)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, reason = excluded.reason,
	changed_by = excluded.changed_by, changed_at = excluded.changed_at, until = excluded.until`, "name"),
		args: []arg{text(u.Name), db.kept(u.Value), db.kept(u.Reason), moment(u.At), moment(u.Until)},
		fail: db.notWritten,
	}
}
