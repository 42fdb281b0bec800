package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// server identifies a server. A URL can lead to several: through its hosts, a name with several
// addresses, or a load balancer.
type server struct {
	standby bool
	started string // exact start time, independent of session settings: unique
	address string // as the server sees it; "" on a Unix socket
}

// aboutServer lists the columns of a server; none needs a privilege.
const aboutServer = `pg_catalog.pg_is_in_recovery(), pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()), 'hex'),
	pg_catalog.concat_ws(':', pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.inet_server_port())`

func (r *row) server() server {
	return server{standby: r.boolean(), started: r.text(), address: r.text()}
}

// learnServer returns the query that identifies the server of a connection.
func (c *conn) learnServer() query {
	return query{sql: "SELECT " + aboutServer, often: true, row: into(&c.server.standby, &c.server.started, &c.server.address)}
}

func (s server) String() string {
	if s.address == "" {
		return "on this machine"
	}
	return s.address
}

// succeeds reports whether s is the same server as was, possibly restarted.
func (s server) succeeds(was server) bool {
	return s.started == was.started || s.address == was.address
}

// checkPrimary returns an error if the server is read-only: it may be behind the primary. It marks
// a connection of our own for closing, since the next one may lead to another server.
func (c *conn) checkPrimary() error {
	if !c.server.standby {
		return nil
	}
	if _, ok := c.handle.(*ownConn); ok {
		c.unusable = true
	}
	return &database.StandbyError{Server: c.server.String()}
}

// checkServer returns an error if a lock must not be acquired on the server; got reports whether it
// was.
func (db *Database) checkServer(c *conn, got bool) error {
	err := c.checkPrimary()
	if err == nil && got {
		err = db.checkDecides(c)
	}
	return err
}

// checkSameServer returns an error unless both connections lead to the same server.
func (c *conn) checkSameServer(other *conn) error {
	if c.server.started == other.server.started {
		return nil
	}
	return &database.OtherServerError{
		Server: c.server.String(), Was: other.server.String(), Why: "the second holds the migration lock",
	}
}

// unknownCommit records the server if the outcome of a COMMIT is unknown.
func (db *Database) unknownCommit(c *conn, err error) error {
	if isA[*database.CommitUnknownError](err) {
		at := c.server
		db.unknown.Store(&at)
	}
	return err
}

// checkDecides returns an error if the outcome of a COMMIT would be read from another server than
// the one that received it. It does so once: the next check accepts the present server.
func (db *Database) checkDecides(c *conn) error {
	was := db.unknown.Swap(nil)
	if was == nil || c.server.succeeds(*was) {
		return nil
	}
	return &database.OtherServerError{Server: c.server.String(), Was: was.String(), Why: "COMMIT was sent to the second, and the first may lack what it committed"}
}

// primaryFirst makes the pool of a URL with several hosts prefer a writable server.
type primaryFirst struct{ any atomic.Bool }

// preferPrimary returns nil if there is no choice, or the URL already states one.
func preferPrimary(config *pgconn.Config) *primaryFirst {
	if config.ValidateConnect != nil || len(hostsOf(config)) < 2 {
		return nil
	}
	p := &primaryFirst{}
	config.ValidateConnect = func(ctx context.Context, pc *pgconn.PgConn) error {
		// servers from version 14 report it on connecting
		if p.any.Load() || pc.ParameterStatus("in_hot_standby") == "off" {
			return nil
		}
		return validatePinned(pgconn.ValidateConnectTargetSessionAttrsPrimary)(ctx, pc)
	}
	return p
}

// acquire calls f, and calls it again for any server if only a standby is available.
func (p *primaryFirst) acquire(f func() (handle, error)) (handle, error) {
	l, err := f()
	if p == nil || !errors.Is(err, pgconn.ErrStandbyConnection) {
		return l, err
	}
	p.any.Store(true)
	defer p.any.Store(false)
	return f()
}

// hostsOf returns the configuration's distinct hosts, with their ports.
func hostsOf(config *pgconn.Config) (hosts []string) {
	for _, f := range entries(config) {
		if p := place(f.Host, f.Port); !slices.Contains(hosts, p) {
			hosts = append(hosts, p)
		}
	}
	return hosts
}

// entries returns everything that a configuration tries, in order.
func entries(config *pgconn.Config) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
}

// pinnedTo reduces a configuration to what leads to an address.
func pinnedTo(ctx context.Context, config *pgconn.Config, at net.Addr) *pgconn.Config {
	var kept []*pgconn.FallbackConfig
	for _, f := range entries(config) {
		if reaches(ctx, config, f, at) {
			kept = append(kept, f)
		}
	}
	if len(kept) == 0 {
		return config
	}
	config.Host, config.Port, config.TLSConfig, config.Fallbacks = kept[0].Host, kept[0].Port, kept[0].TLSConfig, kept[1:]
	if ip, _, err := net.SplitHostPort(at.String()); err == nil {
		config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{ip}, nil }
	}
	return config
}

// reaches reports whether an entry leads to an address.
func reaches(ctx context.Context, config *pgconn.Config, f *pgconn.FallbackConfig, at net.Addr) bool {
	if network, address := pgconn.NetworkAddress(f.Host, f.Port); network == "unix" || at.Network() == "unix" {
		return network == at.Network() && address == at.String()
	}
	addresses, err := config.LookupFunc(ctx, f.Host)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addresses, func(a string) bool {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), fmt.Sprint(f.Port))
		}
		return a == at.String()
	})
}

// elsewhere reports whether another try may reach the primary: the pool has just closed its
// connection to a standby.
func (db *Database) elsewhere(err error) bool {
	own, ok := db.src.(*ownPool)
	return ok && own.primary != nil && isA[*database.StandbyError](err)
}
