package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

var (
	_ database.Snapshotter = (*Database)(nil)
	_ database.Scratcher   = (*Database)(nil)
)

// Snapshot reads the database's schema. The server can't read all of it as of one moment:
// concurrent changes may be contained in part.
func (db *Database) Snapshot(ctx context.Context, opts catalog.Options) (s *catalog.Snapshot, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	ctx, release := db.life.Until(ctx)
	defer release()
	syncing, err := db.syncing(ctx, c)
	if err != nil {
		return nil, drivers.Stopped(ctx, err)
	}
	s, err = mycatalog.Read(ctx, c, opts, append(db.Tables(), syncing...))
	if err != nil {
		c.unusable = true
	}
	return s, drivers.Stopped(ctx, ownError("reading the catalogue", err))
}

// scratchTimeout limits the time to drop a scratch database.
const scratchTimeout = 30 * time.Second

// Scratch creates a database on the same server, with the character set and collation of this one.
// The user needs the privileges to create and drop it. A connection of its own shows that the
// process lives; the first call removes the scratch databases of processes that were killed.
func (db *Database) Scratch(ctx context.Context) (database.Database, func(context.Context) error, error) {
	if db.config == nil {
		return nil, nil, errors.New("can't create a scratch database through the caller's pool; open the database by its URL, or name an empty database")
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer c.giveBack()
	own, err := db.ownScratch(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	name := own.NextScratch()
	if err := mycatalog.CreateScratch(ctx, c, name); err != nil {
		return nil, nil, err
	}
	return db.openScratch(name)
}

// openScratch opens a scratch database that was created.
func (db *Database) openScratch(name string) (database.Database, func(context.Context) error, error) {
	drop := func(ctx context.Context) error {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), scratchTimeout)
		defer stop()
		c, err := db.acquire(ctx)
		if err != nil {
			return err
		}
		defer c.giveBack()
		return ownError("dropping the scratch database", mycatalog.DropScratch(ctx, c, name))
	}
	scratch, err := db.beside(name)
	if err != nil {
		_ = drop(context.Background())
		return nil, nil, err
	}
	return scratch, func(ctx context.Context) error {
		scratch.Close()
		return drop(ctx)
	}, nil
}

// beside returns another database of the server.
func (db *Database) beside(name string) (*Database, error) {
	other, err := newDatabase(db.opts)
	if err != nil {
		return nil, err
	}
	other.config = db.config.Clone()
	other.config.DBName = name
	other.creator, other.owned, other.wanted = db, true, db.wanted
	other.pool, other.wires, err = newPool(other.config)
	return other, err
}
