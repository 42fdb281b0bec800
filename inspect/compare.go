package inspect

import (
	"context"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// Compare returns the differences between two snapshots, like catalog.Compare, also if they are of
// servers of different releases. A release can write the definition of a view, a rule or a default
// differently from the one before it. So if two snapshots of different releases differ, Compare
// rebuilds found on a scratch database, and expected too if the scratch server has yet another
// release, and compares what one server says of both.
//
// If a snapshot can't be rebuilt there (for example because a role does not exist on the scratch
// server), Compare returns the differences between the snapshots as they are.
func Compare(ctx context.Context, expected, found *catalog.Snapshot, scratch Scratch) ([]catalog.Change, error) {
	changes := catalog.Compare(expected, found)
	if len(changes) == 0 || expected.Server == found.Server || expected.Dialect != found.Dialect {
		return changes, nil
	}
	again, err := Rebuild(ctx, "the snapshot", found.Text(), scratch)
	if err == nil && again.Server != expected.Server {
		expected, err = Rebuild(ctx, "the snapshot", expected.Text(), scratch)
	}
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		return changes, nil
	}
	return catalog.Compare(expected, again), nil
}
