package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// PoolConfig returns the configuration of a pool that connects as [Driver.Open] does: for a program
// that also uses the database itself.
func PoolConfig(url string, opts database.Options) (*pgxpool.Config, error) {
	set, err := parse(url, opts)
	if err != nil {
		return nil, err
	}
	alone, _ := standAlone(url)
	config, err := pgxpool.ParseConfig(alone)
	if err != nil {
		return nil, database.NewURLError(url, "%s", parseProblem(err))
	}
	config.MaxConns = set.maxConns
	if !strings.Contains(url, execMode) {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	config.ConnConfig.Config = *set.Config
	return config, nil
}

// parse returns the configuration of the driver's own pool for a URL.
func parse(rawURL string, opts database.Options) (*poolConfig, error) {
	alone, ok := standAlone(rawURL)
	if !ok {
		return nil, database.NewURLError(rawURL, "use postgres://user:password@host:port/database?sslmode=…")
	}
	if err := database.CheckURL(rawURL); err != nil {
		return nil, err
	}
	c, err := pgconn.ParseConfig(alone)
	if err != nil {
		return nil, database.NewURLError(rawURL, "%s", parseProblem(err))
	}
	if c.Database == "" { // the server would use the name of the user
		return nil, database.NewURLError(rawURL, "it names no database: use postgres://user:password@host:port/database")
	}
	config := newPoolConfig(c)
	if name, err := config.take(); err != nil {
		return nil, database.NewURLError(rawURL, "%s: %s", name, valueProblem(err))
	}
	if c.ValidateConnect != nil {
		c.ValidateConnect = validatePinned(c.ValidateConnect)
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
		c.RuntimeParams["client_encoding"] = "UTF8" // instead of the database's encoding
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

// standAlone adds explicit empty or default values to a URL, so that pgx doesn't fill in missing
// ones from the PG… environment variables and from files in the home directory. The URL's own
// parameters follow and take precedence.
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

// shortKeepAlive detects a dead peer within about 30 seconds.
func shortKeepAlive() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
}

// valueProblem describes an invalid value without the names of Go's packages and functions.
func valueProblem(err error) string {
	if e, ok := drivers.AsType[*strconv.NumError](err); ok {
		return fmt.Sprintf("%q is not a number, or is out of range", e.Num)
	}
	return strings.TrimPrefix(err.Error(), "time: ")
}

// parseProblem describes what is wrong with a URL without repeating it: pgx's error does, and hides
// the password in its own way.
func parseProblem(err error) string {
	var p *pgconn.ParseConfigError
	if errors.As(err, &p) {
		if cause := errors.Unwrap(p); cause != nil {
			var u *url.Error
			switch {
			case errors.As(cause, &u):
				return u.Err.Error()
			case cause.Error() == "sslmode is invalid":
				return "sslmode is invalid; use disable, allow, prefer, require, verify-ca or verify-full"
			}
			return valueProblem(cause)
		}
		// The problem follows the URL, which pgx shows with the password hidden.
		if _, problem, ok := strings.Cut(p.Error(), "`: "); ok {
			return problem
		}
	}
	return "it can't be parsed; use postgres://user:password@host:port/database?sslmode=…"
}

func notice(n *pgconn.Notice) database.Notice {
	return database.Notice{Severity: n.Severity, Code: n.Code, Message: sqltext.Mask(n.Message, sqltext.PostgreSQL), Detail: n.Detail, Hint: n.Hint}
}
