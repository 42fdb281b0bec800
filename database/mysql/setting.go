package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// settingTimeout limits the wait for the lock of Whimbrel's own set.
const settingTimeout = 15 * time.Second

// UpdateSetting stores the setting and its history entry in one transaction, under the lock of
// Whimbrel's own set.
func (db *Database) UpdateSetting(ctx context.Context, u database.SettingUpdate) error {
	u, err := u.Check()
	if err != nil {
		return err
	}
	b, _, err := db.Begin(ctx, migration.ReservedSet, database.LockOptions{Timeout: settingTimeout, LockTimeout: settingTimeout})
	if err != nil {
		return err
	}
	defer b.Rollback(ctx)
	own := b.(*transaction)
	err = own.do(ctx, func(ctx context.Context) error {
		if err := triggersError(own.h.triggers); err != nil {
			return err
		}
		if err := own.putSetting(ctx, u); err != nil {
			return err
		}
		e := u.Entry()
		if e.StartedAt.IsZero() {
			e.StartedAt = own.h.clock.now()
		}
		return own.record(ctx, e)
	})
	if err == nil {
		_, err = b.Commit(ctx)
	}
	if unknown, ok := drivers.AsType[*database.CommitUnknownError](err); ok {
		err = errors.New("the connection broke while the setting was being stored; check its value: " + unknown.Err.Error())
	}
	if err != nil || u.Settle == nil {
		return err
	}
	return db.settle(ctx, u)
}

// putSetting stores a setting, or removes it.
func (b *transaction) putSetting(ctx context.Context, u database.SettingUpdate) error {
	if u.Unset {
		_, err := b.h.worker.exec(ctx, b.db.sql.fill("DELETE FROM {settings} WHERE name = ?"), u.Name)
		return ownError("storing the setting", err)
	}
	at := u.At
	if at.IsZero() {
		at = b.h.clock.now()
	}
	var until any
	if !u.Until.IsZero() {
		until = formatTime(u.Until)
	}
	_, err := b.h.worker.exec(ctx, b.db.sql.fill("REPLACE INTO {settings} (name, value, reason, changed_by, changed_at, until) VALUES (?, ?, ?, ?, ?, ?)"),
		u.Name, u.Value, u.Reason, b.h.user, formatTime(at), until)
	return ownError("storing the setting", err)
}

// settle waits until the Txs and Runs that are open now have ended.
func (db *Database) settle(ctx context.Context, u database.SettingUpdate) error {
	ctx, release := db.life.Until(ctx)
	defer release()
	g, err := db.newGuard(ctx, db.opts.ReadTimeout())
	if err != nil {
		return err
	}
	defer g.giveBack()
	if err := g.shorten(ctx); err != nil {
		return err
	}
	return drivers.Settle(ctx, u, func(ctx context.Context) (map[string]database.Holder, error) {
		sets, err := db.sets(ctx, g.c)
		if err != nil {
			return nil, err
		}
		return g.form.holders(ctx, g.c, sets)
	})
}

// sets returns all sets whose lock was ever acquired.
func (db *Database) sets(ctx context.Context, c *conn) (sets []string, err error) {
	err = c.each(ctx, db.sql.fill(`SELECT DISTINCT set_name FROM {history?} WHERE set_name <> {own} UNION SELECT value FROM {settings?} WHERE name LIKE '`+lockRow+`%'`), nil,
		func(scan func(...any) error) error {
			var set string
			err := scan(&set)
			sets = append(sets, set)
			return err
		})
	return sets, ownError("reading the history's sets", err)
}
