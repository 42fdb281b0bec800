package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/database"
)

// parse reads a URL into the configuration of the driver's own pool.
func parse(rawURL string, opts database.Options) (*pgxpool.Config, error) {
	alone, ok := standAlone(rawURL)
	if !ok {
		return nil, &database.URLError{URL: database.Redact(rawURL), Msg: "want postgres://user:password@host:port/database?sslmode=…"}
	}
	config, err := pgxpool.ParseConfig(alone)
	if err != nil {
		return nil, &database.URLError{URL: database.Redact(rawURL), Msg: parseProblem(err)}
	}
	c := config.ConnConfig
	if c.Database == "" {
		c.Database = c.User
	}
	if !strings.Contains(rawURL, "pool_max_conns") {
		config.MaxConns = 4
	}
	if !strings.Contains(rawURL, "default_query_exec_mode") {
		// Go functions may run behind a pooler, where a prepared statement outlives its client.
		c.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	for name, value := range c.RuntimeParams {
		if value == "" {
			delete(c.RuntimeParams, name)
		}
	}
	if _, given := c.RuntimeParams["application_name"]; !given && opts.App != "" {
		c.RuntimeParams["application_name"] = opts.App
	}
	if _, given := c.RuntimeParams["client_encoding"]; !given {
		c.RuntimeParams["client_encoding"] = "UTF8" // else it is the database's
	}
	c.DialFunc = shortKeepAlive().DialContext
	c.BuildContextWatcherHandler = func(pc *pgconn.PgConn) ctxwatch.Handler { return &cancelOnServer{pc: pc} }
	c.OnPgError = func(_ *pgconn.PgConn, pg *pgconn.PgError) bool { return !ended(pg) }
	if opts.Notice != nil {
		c.OnNotice = func(pc *pgconn.PgConn, n *pgconn.Notice) {
			if pc.CustomData()[quietKey] == nil {
				opts.Notice(notice(n))
			}
		}
	}
	return config, nil
}

// standAlone returns a URL in which nothing is left to the environment's PG… variables and
// the files in the home directory, from which pgx would fill in what is missing. What
// comes first in a query gives way to what comes later.
func standAlone(rawURL string) (string, bool) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok || scheme != "postgres" && scheme != "postgresql" {
		return "", false
	}
	none := []string{
		"passfile=", "sslcert=", "sslkey=", "sslrootcert=", "sslpassword=", "sslmode=prefer", "sslcertmode=allow", "sslsni=1", "sslnegotiation=",
		"target_session_attrs=any", "min_protocol_version=", "max_protocol_version=", "channel_binding=prefer", "require_auth=",
		"application_name=", "timezone=", "options=", "connect_timeout=15",
	}
	userinfo := ""
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		userinfo, rest = rest[:i+1], rest[i+1:]
	}
	user, password, _ := strings.Cut(strings.TrimSuffix(userinfo, "@"), ":")
	place, query, _ := strings.Cut(rest, "?")
	hosts, dbname, _ := strings.Cut(place, "/")
	_, port, _ := strings.Cut(hosts[strings.LastIndexByte(hosts, ']')+1:], ":")
	for _, part := range []struct{ name, given string }{
		{"user", user},
		{"password", password},
		{"host", hosts},
		{"dbname", dbname},
		{"port", port},
	} {
		if part.given == "" {
			none = append(none, part.name+"=")
		}
	}
	if query != "" {
		none = append(none, query)
	}
	return scheme + "://" + userinfo + place + "?" + strings.Join(none, "&"), true
}

// shortKeepAlive finds out about a dead peer in about 30 seconds.
func shortKeepAlive() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
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
		// What stands behind the URL, which pgx shows with the password hidden.
		if _, problem, ok := strings.Cut(p.Error(), "`: "); ok {
			return problem
		}
	}
	return "it can't be parsed; want postgres://user:password@host:port/database?sslmode=…"
}

// connectError explains why a connection could not be made. config may be nil where the
// error knows it.
func connectError(config *pgx.ConnConfig, err error) error {
	var ce *pgconn.ConnectError
	e := &database.ConnectError{Err: err}
	if errors.As(err, &ce) {
		e.Target = target(ce.Config)
		if cause := errors.Unwrap(ce); cause != nil {
			e.Err = cause
		}
		e.Hint = "check host and port, and that the server is running"
	} else if config != nil {
		e.Target = target(&config.Config)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		e.Code, e.Err = pg.Code, fmt.Errorf("%s (%s)", pg.Message, pg.Code)
		if pg.Detail != "" {
			e.Err = fmt.Errorf("%s (%s); %s", pg.Message, pg.Code, pg.Detail)
		}
		e.Hint = connectHints[pg.Code]
		if pg.Code == "28P01" && ce != nil && ce.Config.Password == "" {
			e.Hint = "the URL has no password: write it there, or name a file that has it (passfile=…)"
		}
	}
	return e
}

var connectHints = map[string]string{
	"28P01": "check the password",
	"28000": "check the user, and pg_hba.conf on the server",
	"3D000": "create the database first, or check its name",
	"42501": "grant CONNECT on the database to this role",
	"53300": "too many connections: try again when others are closed",
	"57P03": "the server is starting up or shutting down: try again in a moment",
}

// target names what a configuration leads to, without the password.
func target(c *pgconn.Config) string {
	places := []string{place(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		if p := place(f.Host, f.Port); p != places[len(places)-1] { // the same once more, with or without TLS
			places = append(places, p)
		}
	}
	return fmt.Sprintf("PostgreSQL database %q on %s", c.Database, strings.Join(places, " or "))
}

func place(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return fmt.Sprintf("socket %s, port %d", host, port)
	}
	return net.JoinHostPort(host, fmt.Sprint(port))
}

func notice(n *pgconn.Notice) database.Notice {
	return database.Notice{Severity: n.Severity, Code: n.Code, Message: n.Message, Detail: n.Detail, Hint: n.Hint}
}
