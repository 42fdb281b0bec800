package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// ownPool is a pool of connections that the driver opens. They are connections of pgconn: full ones
// of pgx start its registry of types, which only Go functions use.
type ownPool struct {
	config  *poolConfig
	pool    *puddle.Pool[*ownConn]
	primary *primaryFirst // nil: use the first server that answers
	sweeper *time.Timer   // closes idle connections
	closed  atomic.Bool
}

// ownConn is a connection that the driver opened.
type ownConn struct {
	pc   *pgconn.PgConn
	set  *poolConfig
	made *pgconn.Config             // the configuration with which it was opened
	ends time.Time                  // when it is too old
	full *pgx.Conn                  // once a Go function was called
	pool *ownPool                   // nil: release closes it
	held *puddle.Resource[*ownConn] // while it is acquired
}

func newOwnPool(set *poolConfig, primary *primaryFirst) (*ownPool, error) {
	p := &ownPool{config: set, primary: primary}
	var err error
	p.pool, err = puddle.NewPool(&puddle.Config[*ownConn]{Constructor: p.open, Destructor: p.end, MaxSize: set.maxConns})
	p.sweeper = time.AfterFunc(sweepInterval, p.sweep)
	return p, err
}

func (p *ownPool) open(ctx context.Context) (*ownConn, error) {
	made := p.config.Copy()
	if made.ConnectTimeout <= 0 { // it continues if the caller's context ends
		made.ConnectTimeout = 2 * time.Minute
	}
	pc, err := connectByWire(ctx, made)
	if err != nil {
		return nil, err
	}
	age := p.config.lifetime
	if j := p.config.jitter; j > 0 {
		age += rand.N(j)
	}
	return &ownConn{pc: pc, set: p.config, made: made, ends: time.Now().Add(age), pool: p}, nil
}

func (p *ownPool) end(c *ownConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	c.pc.Close(ctx)
	select {
	case <-c.pc.CleanupDone():
	case <-ctx.Done():
	}
}

func (p *ownPool) acquire(ctx context.Context) (handle, error) {
	return p.primary.acquire(func() (handle, error) {
		c, err := p.take(ctx)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil && !isA[*pgconn.ConnectError](err):
			return nil, fmt.Errorf("waiting for a connection of the pool: %w", err)
		}
		return nil, connectError(p.config.Config, err)
	})
}

// take acquires a connection. It asks the server whether one that was idle for long still exists.
func (p *ownPool) take(ctx context.Context) (*ownConn, error) {
	const long = 5 * time.Second
	for {
		held, err := p.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		c := held.Value()
		c.held = held
		if held.IdleDuration() <= long || !c.old() && c.ping(ctx) == nil {
			return c, nil
		}
		held.Destroy()
		if ctx.Err() != nil {
			return nil, drivers.Reason(ctx)
		}
	}
}

func (p *ownPool) prepare(ctx context.Context, made *pgconn.Config) (handle, error) {
	if p.primary != nil { // the server was chosen before
		made.ValidateConnect = nil
	}
	pc, err := connectByWire(ctx, made)
	if err != nil {
		return nil, connectError(made, err)
	}
	return &ownConn{pc: pc, set: p.config, made: made}, nil
}

func (p *ownPool) exhausted() bool {
	s := p.pool.Stat()
	return s.IdleResources() == 0 && s.TotalResources() >= s.MaxResources()
}

func (p *ownPool) close() {
	p.closed.Store(true)
	p.sweeper.Stop()
	p.pool.Close()
}

// sweepInterval is how often idle connections are looked at.
const sweepInterval = time.Minute

// sweep closes the connections that are idle for too long, or too old.
func (p *ownPool) sweep() {
	for _, held := range p.pool.AcquireAllIdle() {
		if held.IdleDuration() > p.config.idleTime || held.Value().old() {
			held.Destroy()
		} else {
			held.ReleaseUnused()
		}
	}
	if !p.closed.Load() {
		p.sweeper.Reset(sweepInterval)
	}
}

func (c *ownConn) old() bool { return c.set.lifetime > 0 && time.Now().After(c.ends) }

func (c *ownConn) ping(ctx context.Context) error {
	if d := c.set.pingTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	return c.pc.Ping(ctx)
}

func (c *ownConn) use(f func(*pgconn.PgConn) error) error { return f(c.pc) }

func (c *ownConn) config() (func() *pgconn.Config, error) { return c.made.Copy, nil }

func (c *ownConn) forGo() goSettings { return c.set.forGo }

func (c *ownConn) release() {
	held := c.held
	c.held = nil
	switch {
	case c.pool == nil:
		closeGently(c.pc)
	case c.pc.IsClosed() || c.pc.IsBusy() || c.pc.TxStatus() != 'I' || c.old():
		held.Destroy()
	default:
		held.Release()
	}
}
