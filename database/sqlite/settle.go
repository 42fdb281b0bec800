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
	var first map[string]guardMark
	for {
		open, err := d.living(ctx, c)
		if isBusy(err) {
			open, err = first, nil
		}
		if err != nil {
			return d.connectError(err)
		}
		if first != nil {
			maps.DeleteFunc(open, func(set string, g guardMark) bool { return first[set].Token != g.Token })
		}
		if first = open; first != nil && len(first) == 0 {
			return nil
		}
		var holder database.Holder
		for _, g := range open {
			holder = g.holder()
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
