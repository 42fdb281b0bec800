package drivers

import (
	"context"
	"maps"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Poll is database.Poll, whose error is the Reason if ctx ends.
func Poll(ctx context.Context, set string, opts database.LockOptions, try func(context.Context) (bool, database.Holder, error)) error {
	err := database.Poll(ctx, set, opts, try)
	if err != nil && err == ctx.Err() {
		return Reason(ctx)
	}
	return err
}

// Settle waits as u says, once a setting is stored, for the Txs and Runs that are open now. holders
// returns all that are open, by keys that are never reused; nil means that it is unknown at the
// moment.
func Settle(ctx context.Context, u database.SettingUpdate, holders func(context.Context) (map[string]database.Holder, error)) error {
	if u.Settle == nil {
		return nil
	}
	var first map[string]database.Holder
	err := Poll(ctx, migration.ReservedSet, *u.Settle, func(ctx context.Context) (done bool, h database.Holder, err error) {
		now, err := holders(ctx)
		if err != nil {
			return false, h, err
		}
		if first == nil {
			first = now
		}
		if now != nil {
			maps.DeleteFunc(first, func(key string, _ database.Holder) bool { _, still := now[key]; return !still })
		}
		for _, h = range first {
			break
		}
		return first != nil && len(first) == 0, h, nil
	})
	if locked, ok := AsType[*database.LockedError](err); ok {
		return &database.UnsettledError{Name: u.Name, Waited: locked.Waited, Holder: locked.Holder}
	}
	return err
}
