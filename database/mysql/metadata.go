package mysql

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// Metadata reads the metadata and the objects. Only the entries are read as of one moment.
func (db *Database) Metadata(ctx context.Context) (*metadata.State, error) {
	var s *metadata.State
	err := db.reading(ctx, func(ctx context.Context, c *conn) (err error) {
		s, err = db.readMetadata(ctx, c, "")
		return err
	})
	return s, err
}

// readMetadata reads the entries and the objects. how is a clause for a locking read, which makes a
// transaction see what others committed since it began.
func (db *Database) readMetadata(ctx context.Context, c *conn, how string) (*metadata.State, error) {
	s := &metadata.State{}
	err := c.each(ctx, bounded(db.opts.ReadTimeout(), db.sql.fill("SELECT kind, name, facts FROM {metadata?}"+how)), nil, func(scan func(...any) error) error {
		var kind, name, facts string
		if err := scan(&kind, &name, &facts); err != nil {
			return err
		}
		e, err := drivers.ReadStored(kind, name, facts)
		s.Entries = append(s.Entries, e)
		return err
	})
	if err != nil && !(missingTable(err) && ctx.Err() == nil) {
		if foreignTable(err) {
			return nil, db.foreignTable(err)
		}
		return nil, ownError("reading the metadata", err)
	}
	s.Comments = true
	if s.Objects, err = mycatalog.Objects(ctx, c, db.Tables()); err != nil {
		return nil, drivers.Stopped(ctx, ownError("listing the objects", err))
	}
	mycatalog.WithoutComments(s)
	return s, nil
}

// Metadata reads the metadata in the transaction.
func (b *transaction) Metadata(ctx context.Context) (s *metadata.State, err error) {
	err = b.do(ctx, func(ctx context.Context) error {
		if err := b.lockMetadata(ctx); err != nil {
			return err
		}
		s, err = b.db.readMetadata(ctx, b.h.worker, " LOCK IN SHARE MODE")
		return err
	})
	return s, err
}

// PutMetadata writes the entries. Commit sets the comments, which is DDL.
func (b *transaction) PutMetadata(ctx context.Context, change *metadata.Change) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := triggersError(b.h.triggers); err != nil {
			return err
		}
		if err := b.lockMetadata(ctx); err != nil {
			return err
		}
		b.written = true
		if _, err := b.h.worker.exec(ctx, b.db.sql.fill("DELETE FROM {metadata} WHERE kind IS NOT NULL"+mycatalog.Everything)); err != nil {
			return ownError("writing the metadata", err)
		}
		for _, e := range change.Entries {
			facts, err := metadata.EncodeFacts(e.Facts)
			if err != nil {
				return err
			}
			_, err = b.h.worker.exec(ctx, b.db.sql.fill("INSERT INTO {metadata} (kind, name, facts) VALUES (?, ?, ?)"), string(e.Name.Kind), e.Name.String(), facts)
			if err != nil {
				return ownError("writing the metadata of "+e.Name.String(), err)
			}
		}
		if len(change.Comments) == 0 {
			return nil
		}
		statements, err := mycatalog.CommentStatements(ctx, b.h.worker, change.Comments)
		b.later = &later{doing: "setting comments", statements: statements}
		return ownError("setting comments", err)
	})
}

// lockMetadata prevents others from changing the metadata until the transaction ends.
func (b *transaction) lockMetadata(ctx context.Context) error {
	for _, set := range b.h.locked {
		if set == drivers.MetadataLock {
			return nil
		}
	}
	return b.h.take(ctx, drivers.MetadataLock, database.LockOptions{Timeout: drivers.MetadataTimeout})
}
