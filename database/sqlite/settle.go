package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

// settle waits until all Runs that existed when a setting was stored have ended. No Tx existed,
// since storing needs the write lock.
func (d *db) settle(ctx context.Context, c *conn, s database.SettingUpdate) error {
	if s.Settle == nil {
		return nil
	}
	w := newWaiter(s.Name, *s.Settle)
	var first map[string]database.Holder // by token
	for {
		open, err := d.living(ctx, c)
		if isBusy(err) {
			open, err = first, nil
		}
		if err != nil {
			return d.connectError(err)
		}
		if first != nil {
			maps.DeleteFunc(open, func(token string, _ database.Holder) bool { _, was := first[token]; return !was })
		}
		if first = open; first != nil && len(first) == 0 {
			return nil
		}
		var holder database.Holder
		for _, holder = range open {
			break
		}
		err = w.wait(ctx, holder)
		var locked *database.LockedError
		if errors.As(err, &locked) {
			return &database.UnsettledError{Name: s.Name, Waited: locked.Waited, Holder: holder}
		}
		if err != nil {
			return err
		}
	}
}

// living returns the holders of the Runs that are alive.
func (d *db) living(ctx context.Context, c *conn) (map[string]database.Holder, error) {
	rows, err := c.QueryContext(ctx, d.sql.runs)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	marks := map[string]guardMark{} // by set
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		var g guardMark
		if err := json.Unmarshal([]byte(text), &g); err != nil {
			return nil, fmt.Errorf("row %q of table %s: %w", name, d.names.Settings, err)
		}
		marks[strings.TrimPrefix(name, guardRow(""))] = g
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows.Close()
	open := map[string]database.Holder{}
	for set, g := range marks {
		path, err := d.sidePath(ctx, c, set)
		if err != nil {
			return nil, err
		}
		alive, err := sideTaken(path)
		if err != nil {
			return nil, err
		}
		if alive {
			open[g.Token] = g.holder()
		}
	}
	return open, nil
}
