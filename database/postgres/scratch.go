package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// scratchTimeout limits the time to drop a scratch database.
const scratchTimeout = 30 * time.Second

// Scratch implements database.Scratcher: it creates a database on the same server, with the
// encoding and locale of this one. The role needs CREATEDB. A connection of its own shows that the
// process lives; the first call removes the scratch databases of processes that were killed.
func (db *Database) Scratch(ctx context.Context) (database.Database, func(context.Context) error, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer c.release()
	own, err := db.ownScratch(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	name := own.NextScratch()
	config, err := db.scratchConfig(ctx, c, name)
	if err != nil {
		return nil, nil, err
	}
	create, err := createDatabase(ctx, c, name)
	if err != nil {
		return nil, nil, err
	}
	if err := c.pipeline(ctx, command(create)); err != nil {
		if hasCode(err, "42501") {
			err = fmt.Errorf("can't create a scratch database: %w; give the role CREATEDB, or name an empty database", err)
		}
		return nil, nil, err
	}
	scratch, drop, err := db.openScratch(ctx, name, config)
	if err != nil {
		return nil, nil, err
	}
	if err := scratch.adoptSchema(ctx, c); err != nil {
		_ = drop(ctx)
		return nil, nil, err
	}
	return scratch, drop, nil
}

// openScratch opens a scratch database that was created.
func (db *Database) openScratch(ctx context.Context, name string, config *poolConfig) (*Database, func(context.Context) error, error) {
	drop := func(ctx context.Context) error { return db.dropDatabase(ctx, name) }
	pool, err := newOwnPool(config, nil)
	if err != nil {
		_ = drop(ctx)
		return nil, nil, err
	}
	scratch := newDatabase(pool, config.Config, db.opts)
	scratch.creator, scratch.created = db, name
	return scratch, func(ctx context.Context) error {
		scratch.Close()
		return drop(ctx)
	}, nil
}

// CopyScratch implements database.ScratchCopier: the server copies the database, to which nobody
// may be connected meanwhile. It does not copy the settings of ALTER DATABASE.
func (db *Database) CopyScratch(ctx context.Context) (database.Database, func(context.Context) error, error) {
	creator := db.creator
	if creator == nil {
		return nil, nil, &database.PowerError{Power: database.PowerCopy, Driver: "postgres"}
	}
	c, err := creator.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer c.release()
	own, err := creator.ownScratch(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	strategy, err := strategyOf(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	hasSettings := false
	err = c.pipeline(ctx, query{
		sql:  "SELECT EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = $1)",
		args: []arg{text(db.created)}, row: into(&hasSettings),
	})
	switch {
	case err != nil:
		return nil, nil, err
	case hasSettings:
		return nil, nil, &database.PowerError{Power: database.PowerCopy, Driver: "postgres"}
	}
	name := own.NextScratch()
	config, err := creator.scratchConfig(ctx, c, name)
	if err != nil {
		return nil, nil, err
	}
	db.src.(*ownPool).pool.Reset()
	disconnectAll(ctx, c, db.created)
	create := "CREATE DATABASE " + quote(name) + " TEMPLATE " + quote(db.created) + strategy
	if err := c.pipeline(ctx, command(create)); err != nil {
		return nil, nil, err
	}
	return creator.openScratch(ctx, name, config)
}

// adoptSchema creates the schema in which a connection of another database creates objects, if the
// search path has no existing schema in this one: someone created it before the history began. If
// Whimbrel's tables have a schema of their own, a migration may create it instead.
func (db *Database) adoptSchema(ctx context.Context, from *conn) error {
	if db.opts.Schema != "" {
		return nil
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.release()
	current := func(c *conn) (schema string, err error) {
		err = c.pipeline(ctx, query{sql: "SELECT coalesce(pg_catalog.current_schema(), '')", path: callers, row: into(&schema)})
		return schema, err
	}
	here, err := current(c)
	if err != nil || here != "" {
		return err
	}
	there, err := current(from)
	if err != nil || there == "" || strings.HasPrefix(there, "pg_") {
		return err
	}
	return c.pipeline(ctx, command("CREATE SCHEMA IF NOT EXISTS "+quote(there)))
}

// scratchConfig returns the configuration of a connection, with another database.
func (db *Database) scratchConfig(ctx context.Context, c *conn, name string) (*poolConfig, error) {
	config, err := c.pinned(ctx)
	if err != nil {
		return nil, err
	}
	config.Database = name
	set := newPoolConfig(config)
	set.forGo = c.forGo()
	return set, nil
}

// createDatabase returns the statement that creates a database like the open one.
func createDatabase(ctx context.Context, c *conn, name string) (create string, err error) {
	err = c.pipeline(ctx, query{
		// JSON gives access to columns that only newer servers have.
		sql: `SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L', $1::text,
	pg_encoding_to_char(encoding), coalesce(datcollate, 'C'), coalesce(datctype, 'C')) || CASE j->>'datlocprovider'
	WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', coalesce(j->>'datlocale', j->>'daticulocale'))
	WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', j->>'datlocale')
	ELSE '' END
FROM pg_database d, to_jsonb(d) j WHERE datname = current_database()`,
		args: []arg{text(name)},
		row:  into(&create),
	})
	return create, err
}

func (db *Database) dropDatabase(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), scratchTimeout)
	defer cancel()
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.release()
	return dropOn(ctx, c, name)
}

// dropOn drops a database, even if a context is done, and clients are connected.
func dropOn(ctx context.Context, c *conn, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), scratchTimeout)
	defer cancel()
	disconnectAll(ctx, c, name)
	return c.pipeline(ctx, command("DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)"))
}

// disconnectAll disconnects all clients of a database and waits until their server processes have
// ended. DROP DATABASE would do the same, but if one has not ended yet, it waits 100 ms before it
// looks again. disconnectAll tries for as long as that, and reports no error, because DROP DATABASE
// does.
func disconnectAll(ctx context.Context, c *conn, name string) {
	const most = 100 * time.Millisecond
	for start, pause := time.Now(), 500*time.Microsecond; time.Since(start) < most; pause *= 2 {
		connected := false
		err := c.pipeline(ctx, query{
			sql:  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'",
			args: []arg{text(name)}, row: func(*row) error { connected = true; return nil },
		})
		if err != nil || !connected {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
