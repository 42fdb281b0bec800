package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// settle waits until all Runs that existed when a setting was stored have ended. No Tx existed,
// since storing needs the write lock.
func (d *db) settle(ctx context.Context, c *conn, s database.SettingUpdate) error {
	return drivers.Settle(ctx, s, func(ctx context.Context) (map[string]database.Holder, error) {
		marks, err := d.living(ctx, c)
		if isBusy(err) {
			return nil, nil
		}
		holders := map[string]database.Holder{} // by token
		for _, g := range marks {
			holders[g.Token] = g.holder()
		}
		return holders, d.connectError(err)
	})
}

// living returns the marks of the Runs that are alive, by set.
func (d *db) living(ctx context.Context, c *conn) (map[string]guardMark, error) {
	rows, err := texts(ctx, c, d.sql.runs)
	if err != nil {
		return nil, err
	}
	marks := map[string]guardMark{}
	for _, row := range rows {
		set := strings.TrimPrefix(row[0], guardRow(""))
		path, err := d.sidePath(ctx, c, set)
		if err != nil {
			return nil, err
		}
		if alive, err := sideTaken(path); err != nil {
			return nil, err
		} else if !alive {
			continue
		}
		var g guardMark
		if err := json.Unmarshal([]byte(row[1]), &g); err != nil {
			return nil, fmt.Errorf("row %q of table %s: %w", row[0], d.names.Settings, err)
		}
		marks[set] = g
	}
	return marks, nil
}

// LockHolder returns the process of a Run that holds the lock of a set. The lock of a Tx is the
// file's write lock, whose owner SQLite does not know.
func (d *db) LockHolder(ctx context.Context, set string) (h database.Holder, held bool, err error) {
	err = d.read(ctx, func(ctx context.Context) error {
		if d.absent() {
			return nil
		}
		c, err := d.reader(ctx)
		if err != nil {
			return err
		}
		defer c.release()
		marks, err := d.living(ctx, c)
		if err != nil {
			_, err = d.missing(ctx, c, err)
			return err
		}
		g, ok := marks[set]
		if held = ok; held {
			h = g.holder()
		}
		return nil
	})
	return h, held, err
}
