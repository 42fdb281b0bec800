package database

import (
	"context"
	"fmt"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// Snapshotter is a Database that can tell what it contains.
type Snapshotter interface {
	// Snapshot returns the schema as it is at one moment, without Whimbrel's own tables. It
	// locks and writes nothing.
	Snapshot(ctx context.Context, opts catalog.Options) (*catalog.Snapshot, error)
}

// Snapshot returns what the database contains. It is a *NoSnapshotError when the driver
// cannot tell.
func Snapshot(ctx context.Context, db Database, opts catalog.Options) (*catalog.Snapshot, error) {
	s, ok := db.(Snapshotter)
	if !ok {
		return nil, &NoSnapshotError{Dialect: db.Dialect().String()}
	}
	return s.Snapshot(ctx, opts)
}

// NoSnapshotError reports that a driver is no Snapshotter.
type NoSnapshotError struct{ Dialect string }

func (e *NoSnapshotError) Error() string {
	return fmt.Sprintf("the driver for %s can't tell what a database contains", e.Dialect)
}
