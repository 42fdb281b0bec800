package inspect

import (
	"context"
	"fmt"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Same applies two sets, each to a scratch database of its own, and returns how the schema of the
// second differs from that of the first. No differences mean that both sets make the same schema.
// It blocks until both are applied.
func Same(ctx context.Context, first, second *migration.Set, scratch Scratch) ([]catalog.Change, error) {
	var made [2]*catalog.Snapshot
	for i, set := range []*migration.Set{first, second} {
		t, set, err := scratch.forSet(ctx, set)
		if err != nil {
			return nil, err
		}
		t.begun = i > 0 // Observe is called once
		err = t.on(ctx, func(db database.Database) error {
			if _, err := whimbrel.New(db, set, t.options(whimbrel.Options{TextLimit: -1, ReadMetadata: noMetadata})).Up(ctx); err != nil {
				return fmt.Errorf("on scratch: %w", err)
			}
			made[i], err = database.Snapshot(ctx, db, catalog.Options{})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return catalog.Compare(made[0], made[1]), nil
}

// Against returns how a database differs from the schema that a set makes on a scratch database.
// Objects that only the database has don't count if ignore returns true; ignore may be nil. Against
// changes nothing in the database. Drift compares it with its history instead.
func Against(ctx context.Context, db database.Database, set *migration.Set, scratch Scratch, ignore func(*catalog.Object) bool) ([]catalog.Change, error) {
	t, set, err := scratch.forSet(ctx, set)
	if err != nil {
		return nil, err
	}
	var expected *catalog.Snapshot
	err = t.on(ctx, func(empty database.Database) error {
		if _, err := whimbrel.New(empty, set, t.options(whimbrel.Options{TextLimit: -1, ReadMetadata: noMetadata})).Up(ctx); err != nil {
			return fmt.Errorf("on scratch: %w", err)
		}
		if err := mirror(ctx, db, empty); err != nil {
			return err
		}
		expected, err = database.Snapshot(ctx, empty, catalog.Options{})
		return err
	})
	if err != nil {
		return nil, err
	}
	found, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return nil, err
	}
	return Compare(ctx, expected, without(found, expected, ignore), scratch)
}
