package mysql

import (
	"context"
	"database/sql"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

var _ database.ScratchCopier = (*Database)(nil)

// CopyScratch implements database.ScratchCopier. The server can't copy a database, so the copy
// executes the statements that create what this one contains, all of them together.
func (db *Database) CopyScratch(ctx context.Context) (database.Database, func(context.Context) error, error) {
	creator := db.creator
	if creator == nil {
		return nil, nil, &database.PowerError{Power: database.PowerCopy, Driver: "mysql"}
	}
	from, err := db.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	from.unusable = true // reading changes its session
	defer from.giveBack()
	own, err := creator.ownScratch(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	script, err := mycatalog.CopyScript(ctx, from)
	if err != nil {
		return nil, nil, ownError("reading the scratch database", err)
	}
	name := own.NextScratch()
	if err := mycatalog.CreateScratch(ctx, from, name); err != nil {
		return nil, nil, err
	}
	copied, drop, err := creator.openScratch(name)
	if err == nil {
		if err = copied.(*Database).execTogether(ctx, script); err != nil {
			_ = drop(ctx)
		}
	}
	if err != nil {
		return nil, nil, ownError("copying the scratch database", err)
	}
	return copied, drop, nil
}

// execTogether executes many statements on a connection of its own.
func (db *Database) execTogether(ctx context.Context, script string) error {
	config := db.config.Clone()
	config.MultiStatements = true
	connector, err := client.NewConnector(config)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(connector)
	defer pool.Close()
	_, err = pool.ExecContext(ctx, script)
	return err
}
