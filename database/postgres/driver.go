package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/database"
)

func init() {
	database.Register("postgres", Driver{})
	database.Register("postgresql", Driver{})
}

// Driver opens PostgreSQL databases.
type Driver struct{}

// Open starts a pool of the driver's own, which Close closes. It makes the first
// connection, so that a wrong address, password or database is found out here, and
// asks nothing on it.
func (Driver) Open(ctx context.Context, rawURL string, opts database.Options) (database.Database, error) {
	config, err := pgxpool.ParseConfig(rawURL)
	if err != nil {
		return nil, &database.URLError{URL: database.Redact(rawURL), Msg: parseProblem(err)}
	}
	if config.ConnConfig.Database == "" && !strings.Contains(rawURL, "service=") {
		config.ConnConfig.Database = config.ConnConfig.User
	}
	if u, err := url.Parse(rawURL); err == nil && !u.Query().Has("pool_max_conns") {
		config.MaxConns = 4
	}
	if !strings.Contains(rawURL, "default_query_exec_mode") {
		// Go functions may run behind a pooler, where a prepared statement outlives its client.
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if _, given := config.ConnConfig.RuntimeParams["application_name"]; !given && opts.App != "" {
		config.ConnConfig.RuntimeParams["application_name"] = opts.App
	}
	config.ConnConfig.DialFunc = shortKeepAlive().DialContext
	if opts.Notice != nil {
		config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { opts.Notice(notice(n)) }
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, connectError(config.ConnConfig, err)
	}
	c, err := pool.Acquire(ctx)
	if err != nil {
		pool.Close()
		return nil, connectError(config.ConnConfig, err)
	}
	c.Release()
	return newDatabase(&ownPool{fromPool{pool}}, opts), nil
}

// shortKeepAlive finds out about a dead peer in about 30 seconds.
func shortKeepAlive() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
}

// NewPool returns the database of a pool, which stays the caller's to close.
func NewPool(pool *pgxpool.Pool, opts database.Options) database.Database {
	return newDatabase(fromPool{pool}, opts)
}

// NewConn returns the database of one connection, which stays the caller's to close.
// While a method of the database runs the connection must not be used otherwise.
func NewConn(conn *pgx.Conn, opts database.Options) database.Database {
	return newDatabase(newFromConn(conn), opts)
}

// NewDB returns the database of a *sql.DB that was opened with pgx's stdlib package,
// and which stays the caller's to close.
func NewDB(db *sql.DB, opts database.Options) database.Database {
	return newDatabase(fromDB{db}, opts)
}

func newDatabase(src source, opts database.Options) *Database {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return &Database{src: src, opts: opts, names: opts.TableNames(), host: host}
}

// parseProblem says what is wrong with a URL without repeating it: pgx's error does,
// in its own way of hiding the password.
func parseProblem(err error) string {
	var p *pgconn.ParseConfigError
	if errors.As(err, &p) {
		if cause := errors.Unwrap(p); cause != nil {
			var u *url.Error
			if errors.As(cause, &u) {
				return u.Err.Error()
			}
			return cause.Error()
		}
	}
	return "it can't be parsed; want postgres://user:password@host:port/database?sslmode=…"
}

// connectError explains why a connection could not be made.
func connectError(c *pgx.ConnConfig, err error) error {
	target := fmt.Sprintf("PostgreSQL database %q on %s", c.Database, net.JoinHostPort(c.Host, fmt.Sprint(c.Port)))
	if strings.HasPrefix(c.Host, "/") {
		target = fmt.Sprintf("PostgreSQL database %q on socket %s, port %d", c.Database, c.Host, c.Port)
	}
	e := &database.ConnectError{Target: target, Err: err}
	var pg *pgconn.PgError
	var ce *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
		e.Code, e.Err = pg.Code, fmt.Errorf("%s: %s (%s)", pg.Severity, pg.Message, pg.Code)
		e.Hint = map[string]string{
			"28P01": "check the password",
			"28000": "check the user, and pg_hba.conf on the server",
			"3D000": "create the database first, or check its name",
			"53300": "too many connections: try again when others are closed",
			"57P03": "the server is starting up or shutting down: try again in a moment",
		}[pg.Code]
	case errors.As(err, &ce):
		if cause := errors.Unwrap(ce); cause != nil {
			e.Err = cause
		}
		e.Hint = "check host and port, and that the server is running"
	}
	return e
}

func notice(n *pgconn.Notice) database.Notice {
	return database.Notice{Severity: n.Severity, Code: n.Code, Message: n.Message, Detail: n.Detail, Hint: n.Hint}
}
