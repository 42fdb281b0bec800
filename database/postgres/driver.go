package postgres

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

func init() {
	database.Register("postgres", Driver{})
	database.Register("postgresql", Driver{})
}

// Driver opens PostgreSQL databases.
type Driver struct{}

// Open starts a pool of the driver's own, which Close closes. It makes the first connection, to
// detect a wrong address, password or database, and sends no query on it.
func (Driver) Open(ctx context.Context, rawURL string, opts database.Options) (database.Database, error) {
	config, err := parse(rawURL, opts)
	if err != nil {
		return nil, err
	}
	own, err := newOwnPool(config, preferPrimary(config.Config))
	if err != nil {
		return nil, err
	}
	c, err := own.acquire(ctx)
	if err != nil {
		own.close()
		return nil, connectError(config.Config, err)
	}
	c.release()
	db := newDatabase(own, config.Config, opts)
	db.url = rawURL
	return db, nil
}

// NewPool returns the database of a pool, which the caller closes. Notices go where the pool's
// configuration says (OnNotice), not to Options.Notice.
func NewPool(pool *pgxpool.Pool, opts database.Options) database.Database {
	return newCallers(fromPool{pool}, &pool.Config().ConnConfig.Config, opts)
}

// NewConn returns the database of one connection, which the caller closes. While a method of the
// database runs, or one of its Txs or Runs is open, the connection must not be used otherwise.
// Notices go where the connection's configuration says.
func NewConn(conn *pgx.Conn, opts database.Options) database.Database {
	return newCallers(newFromConn(conn), &conn.Config().Config, opts)
}

// NewDB returns the database of a *sql.DB opened with pgx's stdlib package, which the caller
// closes. Notices go where its configuration says.
func NewDB(db *sql.DB, opts database.Options) database.Database {
	return newCallers(&fromDB{db: db}, nil, opts)
}

func newCallers(src source, config *pgconn.Config, opts database.Options) *Database {
	db := newDatabase(src, config, opts)
	db.sayApp = opts.App != ""
	return db
}

// newDatabase returns a Database. config is nil if unknown.
func newDatabase(src source, config *pgconn.Config, opts database.Options) *Database {
	db := &Database{src: src, opts: opts, names: opts.TableNames(), process: drivers.ThisProcess(opts), life: drivers.NewLifetime(), location: locationOf(config)}
	if config != nil && opts.App == "" {
		db.process.App = config.RuntimeParams["application_name"]
	}
	return db
}
