package inspect

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// noMetadata ignores the metadata that migrations carry. On scratch, a comment set from metadata
// would make a correct down script look wrong: it doesn't remove that comment.
func noMetadata(_, _ string) (*metadata.Document, error) { return metadata.NewDocument() }

// mirror sets on scratch the comments that the metadata of db became: they are not drift.
func mirror(ctx context.Context, db, scratch database.Database) error {
	there, err := database.ReadMetadata(ctx, db)
	if err != nil || len(there.Entries) == 0 {
		return err
	}
	here, err := database.ReadMetadata(ctx, scratch)
	if err != nil {
		return err
	}
	comments := here.Mirror(there)
	if len(comments) == 0 {
		return nil
	}
	b, _, err := scratch.Begin(ctx, migration.DefaultSet, database.LockOptions{})
	if err != nil {
		return err
	}
	defer b.Rollback(ctx)
	if err := database.TxPutMetadata(ctx, b, &metadata.Change{Comments: comments}); err != nil {
		return err
	}
	_, err = b.Commit(ctx)
	return err
}
