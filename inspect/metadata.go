package inspect

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// noMetadata leaves out the metadata that migrations carry: on scratch nothing is said of anything, since
// a comment that a migration's metadata has set is not its down script's to take back.
func noMetadata(_, _ string) (*metadata.Document, error) { return metadata.NewDocument() }

// mirror gives the objects of a database that was made of another one's history the comments that
// the metadata of the other one has become: they are no drift.
func mirror(ctx context.Context, db, scratch database.Database) error {
	there, err := db.Metadata(ctx)
	if err != nil || len(there.Entries) == 0 {
		return err
	}
	here, err := scratch.Metadata(ctx)
	if err != nil {
		return err
	}
	comments := here.Mirror(there)
	if len(comments) == 0 {
		return nil
	}
	b, err := scratch.Begin(ctx, migration.DefaultSet, database.LockOptions{})
	if err != nil {
		return err
	}
	defer b.Rollback(ctx)
	if err := b.PutMetadata(ctx, &metadata.Change{Comments: comments}); err != nil {
		return err
	}
	return b.Commit(ctx)
}
