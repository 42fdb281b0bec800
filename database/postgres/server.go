package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// server is what a server says about itself. A URL can lead to several: by its hosts, by a name with several addresses,
// through a load balancer.
type server struct {
	standby bool
	started string // when, exactly, and whatever the session's settings are: no two are the same
	address string // as it sees itself; "" on a Unix socket
}

// aboutServer are the columns of a server; none of them needs a privilege.
const aboutServer = `pg_catalog.pg_is_in_recovery(), pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()), 'hex'),
	pg_catalog.concat_ws(':', pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.inet_server_port())`

func (r *row) server() server {
	return server{standby: r.boolean(), started: r.text(), address: r.text()}
}

// learnServer asks a connection which server it leads to.
func (c *conn) learnServer() query {
	return query{sql: "SELECT " + aboutServer, row: func(r *row) error {
		c.server = r.server()
		return r.err
	}}
}

func (s server) String() string {
	if s.address == "" {
		return "on this machine"
	}
	return s.address
}

// succeeds reports whether s is the server that was is, or the same one started again.
func (s server) succeeds(was server) bool {
	return s.started == was.started || s.address == was.address
}

// checkPrimary refuses a server that can only be read, and may be behind the one that can be written to. A connection of our
// own is closed: the next one may lead elsewhere.
func (c *conn) checkPrimary() error {
	if !c.server.standby {
		return nil
	}
	if l, ok := c.lease.(pooled); ok && l.own {
		c.spoiled = true
	}
	return &database.StandbyError{Server: c.server.String()}
}

// checkSameServer refuses a connection beside another one that does not lead to the same server.
func (c *conn) checkSameServer(other *conn) error {
	if c.server.started == other.server.started {
		return nil
	}
	return &database.OtherServerError{
		Server: c.server.String(), Was: other.server.String(), Why: "the connection that holds the migration lock is on the second",
	}
}

// unknownCommit remembers where a COMMIT was sent whose answer has not come.
func (db *Database) unknownCommit(c *conn, err error) error {
	var unknown *database.CommitUnknownError
	if errors.As(err, &unknown) {
		at := c.server
		db.unknown.Store(&at)
	}
	return err
}

// checkDecides refuses to tell whether a COMMIT has happened from what another server has than that to which it was sent.
// It does so once: whoever asks again asks about the server that is there.
func (db *Database) checkDecides(c *conn) error {
	was := db.unknown.Swap(nil)
	if was == nil || c.server.succeeds(*was) {
		return nil
	}
	return &database.OtherServerError{Server: c.server.String(), Was: was.String(), Why: "COMMIT was sent to the second, and the first may not have what that has committed"}
}

// primaryFirst has the pool of a URL with several hosts connect to a server that can be written to, unless there is none.
type primaryFirst struct{ any atomic.Bool }

// preferPrimary is nil if there is no choice, or the URL says what is to be chosen.
func preferPrimary(config *pgconn.Config) *primaryFirst {
	if config.ValidateConnect != nil || len(hostsOf(config)) < 2 {
		return nil
	}
	p := &primaryFirst{}
	config.ValidateConnect = func(ctx context.Context, pc *pgconn.PgConn) error {
		if p.any.Load() || pc.ParameterStatus("in_hot_standby") == "off" { // which 14 and later say at once
			return nil
		}
		return validatePinned(pgconn.ValidateConnectTargetSessionAttrsPrimary)(ctx, pc)
	}
	return p
}

// acquire calls f, and once more with any server if there is a standby only.
func (p *primaryFirst) acquire(f func() (lease, error)) (lease, error) {
	l, err := f()
	if p == nil || !errors.Is(err, pgconn.ErrStandbyConnection) {
		return l, err
	}
	p.any.Store(true)
	defer p.any.Store(false)
	return f()
}

// hostsOf returns the configuration's hosts, each once, with its port.
func hostsOf(config *pgconn.Config) (hosts []string) {
	for _, f := range entries(config) {
		if p := place(f.Host, f.Port); !slices.Contains(hosts, p) {
			hosts = append(hosts, p)
		}
	}
	return hosts
}

// entries are all that a configuration tries, in order.
func entries(config *pgconn.Config) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
}

// pinned is the configuration of a connection, without the hosts and addresses to which it does not lead. If it can't be
// told where it leads, as with a dialer that goes its own way, it is the whole.
func pinned(ctx context.Context, pc *pgx.Conn) *pgx.ConnConfig {
	config := pc.Config()
	at := pc.PgConn().Conn().RemoteAddr()
	var kept []*pgconn.FallbackConfig
	for _, f := range entries(&config.Config) {
		if reaches(ctx, &config.Config, f, at) {
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

// elsewhere reports whether another try may reach the primary: the pool has just closed its connection to a standby.
func (db *Database) elsewhere(err error) bool {
	var standby *database.StandbyError
	own, ok := db.src.(*ownPool)
	return errors.As(err, &standby) && ok && own.primary != nil
}
