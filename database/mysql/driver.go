package mysql

import (
	"context"
	"database/sql"

	"github.com/whimbrel-db/whimbrel/database"
)

func init() {
	database.Register("mysql", Driver{})
	database.Register("mariadb", Driver{})
}

// Driver opens MySQL and MariaDB databases.
type Driver struct{}

// Open starts a pool of the driver's own, which Close closes. It makes the first connection, to
// detect a wrong address, password or database, and sends no query on it.
func (Driver) Open(ctx context.Context, rawURL string, opts database.Options) (database.Database, error) {
	t, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	if opts.App != "" {
		t.config.ConnectionAttributes = "program_name:" + attribute(opts.App)
	}
	db, err := newDatabase(opts)
	if err != nil {
		return nil, err
	}
	if db.pool, db.wires, err = newPool(t.config); err != nil {
		return nil, database.NewURLError(rawURL, "%s", err)
	}
	db.owned, db.config, db.wanted = true, t.config, t.lock
	db.named, db.url = t.config.DBName, rawURL
	db.pool.SetMaxIdleConns(4)
	ctx, stop := context.WithTimeout(ctx, t.config.Timeout) // also limits the wait for the answer
	defer stop()
	c, err := db.pool.Conn(ctx)
	if err != nil {
		db.pool.Close()
		return nil, connectError(t.config, err)
	}
	return db, c.Close() // to the pool
}

// New returns the database of a *sql.DB opened with go-sql-driver/mysql, which the caller closes.
// Its connections must have a selected database. A [database.Tx] and a [database.Run] hold two
// connections each, so the pool must allow more than one.
func New(pool *sql.DB, opts database.Options) (database.Database, error) {
	db, err := newDatabase(opts)
	if err != nil {
		return nil, err
	}
	db.pool = pool
	return db, nil
}

// NewWithLock is New with a given form of the migration lock.
func NewWithLock(pool *sql.DB, opts database.Options, lock Lock) (database.Database, error) {
	if err := checkLock(lock); err != nil {
		return nil, err
	}
	d, err := New(pool, opts)
	if err == nil {
		d.(*Database).wanted = lock
	}
	return d, err
}
