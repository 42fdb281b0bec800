package sqlite

import (
	"context"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Renew records the first entry of a history without rows, if the other tables have none either.
func (d *db) Renew(ctx context.Context) error {
	ctx, cancel := d.life.Until(ctx)
	defer cancel()
	if d.absent() {
		return nil
	}
	w := newWaiter(migration.ReservedSet, database.LockOptions{Timeout: d.readTimeout})
	c, err := d.connect(ctx, w)
	if err != nil {
		return err
	}
	defer c.release()
	for {
		if err = c.do("BEGIN IMMEDIATE"); !isBusy(err) {
			break
		}
		if err := w.wait(ctx, database.Holder{}); err != nil {
			return err
		}
	}
	if err == nil {
		err = d.renew(ctx, c)
	}
	if err == nil {
		err = c.commit(ctx, d.readTimeout)
	}
	if err != nil {
		c.rollback()
	}
	return d.connectError(err)
}

// renew is Renew in the open transaction.
func (d *db) renew(ctx context.Context, c *conn) error {
	_, err := d.stand(c, migration.ReservedSet)
	if code(err) != 0 {
		none, err := d.missing(ctx, c, err)
		if none {
			return nil
		}
		return err
	}
	if empty, ok := err.(*database.TablesError); !ok || empty.Problem != database.TablesEmpty {
		return err
	}
	for _, name := range []string{d.names.History, d.names.Settings, d.names.Journal, d.names.Metadata, d.names.Backfills, d.names.Lanes} {
		var exists, some bool
		err := c.ask("SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = ?)", name).Scan(&exists)
		if err == nil && exists {
			err = c.ask("SELECT EXISTS (SELECT 1 FROM main." + quote(name) + ")").Scan(&some)
		}
		if err != nil {
			return d.ownError("looking for rows", err)
		}
		if some {
			return d.emptied()
		}
	}
	_, err = d.begins(c, time.Now())
	return err
}
