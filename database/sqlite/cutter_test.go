package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
)

// cutter counts the statements that a process sends to SQLite, and ends it before or after the
// n-th.
type cutter struct {
	n     int // 0: never
	after bool
	kill  func() // nil: drop the connections instead, without a COMMIT
	// before is called with each text before it is sent, unless it is nil.
	before func(text string)

	mu    sync.Mutex
	sent  int
	dead  bool
	conns []*cutConn
}

var errCut = errors.New("the connection was cut")

// statement sends one statement if the process is alive. close closes its result.
func (c *cutter) statement(text string, send func() error, close func()) error {
	if c.before != nil {
		c.before(text)
	}
	c.mu.Lock()
	c.sent++
	hit, dead := c.sent == c.n, c.dead
	c.mu.Unlock()
	if dead {
		return errCut
	}
	if hit && !c.after {
		return c.cut()
	}
	err := send()
	if hit {
		close()
		return c.cut()
	}
	return err
}

func (c *cutter) cut() error {
	if c.kill != nil {
		c.kill()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for _, conn := range c.conns {
		conn.client.Close()
	}
	c.conns = nil
	return errCut
}

// sprung reports whether the n-th statement was reached.
func (c *cutter) sprung() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n > 0 && c.sent >= c.n
}

// cutDriver is the client behind a cutter.
type cutDriver struct{ *cutter }

func (d cutDriver) Open(name string) (driver.Conn, error) {
	pool, err := sql.Open("sqlite", "")
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	d.mu.Lock()
	dead := d.dead
	d.mu.Unlock()
	if dead {
		return nil, errCut
	}
	c, err := pool.Driver().Open(name)
	if err != nil {
		return nil, err
	}
	conn := &cutConn{c.(client), d.cutter}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, conn)
	return conn, nil
}

// connector opens one file through a cutter.
type connector struct {
	cutDriver
	dsn string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.cutDriver }

// client contains the used methods of a connection.
type client interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
	IsReadOnly(schema string) (bool, error)
	FileControlDataVersion(schema string) (uint32, error)
}

type cutConn struct {
	client
	c *cutter
}

func (c *cutConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Result, err error) {
	err = c.c.statement(query, func() (err error) {
		r, err = c.client.ExecContext(ctx, query, args)
		return err
	}, func() {})
	return r, err
}

func (c *cutConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Rows, err error) {
	err = c.c.statement(query, func() (err error) {
		r, err = c.client.QueryContext(ctx, query, args)
		return err
	}, func() {
		if r != nil {
			r.Close()
		}
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (c *cutConn) Close() error {
	c.c.mu.Lock()
	i := slices.Index(c.c.conns, c)
	if i >= 0 {
		c.c.conns = slices.Delete(c.c.conns, i, i+1)
	}
	c.c.mu.Unlock()
	if i < 0 { // it was cut
		return nil
	}
	return c.client.Close()
}

func (c *cutConn) IsValid() bool {
	c.c.mu.Lock()
	defer c.c.mu.Unlock()
	return !c.c.dead && c.client.IsValid()
}
