package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// connectError explains in one sentence why connecting failed. config may be nil if the error
// contains it.
func connectError(config *pgconn.Config, err error) error {
	e := &database.ConnectError{Err: err}
	var ce *pgconn.ConnectError
	var places *pgconn.Config
	switch {
	case errors.As(err, &ce):
		places = ce.Config
	case config != nil:
		places = config
	}
	if places != nil {
		e.Target = target(places)
	}
	if ce == nil {
		return e
	}
	all := attempts(ce)
	best := slices.MaxFunc(all, func(a, b attempt) int { return a.rank - b.rank })
	e.Code, e.Hint, e.NoDatabase = best.code, best.hint, best.code == noSuchDatabase
	if best.code == "28P01" && places.Password == "" {
		e.Hint = "the URL has no password: add one, or name a password file (passfile=…)"
	}
	e.Err = &drivers.Reworded{Message: sayAttempts(all, best), Err: err}
	return e
}

// attempt is a failed attempt to connect. One place can have several: with and without TLS, and for
// each address of a name.
type attempt struct {
	place, msg, code, hint string
	rank                   int // how informative it is compared with other attempts
}

const (
	noTLS      = iota // the attempt without TLS that followed says more
	noAnswer          // nothing answered
	noServer          // something answered, but not the right server
	fromServer        // the server's own error
)

// attempts returns all failed attempts, at least one.
func attempts(ce *pgconn.ConnectError) (all []attempt) {
	var walk func(err error)
	walk = func(err error) {
		var many interface{ Unwrap() []error }
		if errors.As(err, &many) {
			for _, one := range many.Unwrap() {
				walk(one)
			}
			return
		}
		all = append(all, newAttempt(ce.Config, err))
	}
	walk(errors.Unwrap(ce))
	return all
}

func newAttempt(config *pgconn.Config, err error) attempt {
	a := explain(config, err)
	// pgx's message begins with "address (host): ".
	if address, _, ok := strings.Cut(err.Error(), " ("); ok && a.place == "" && !strings.Contains(address, " ") {
		a.place = address
	}
	return a
}

const checkAddress = "check host and port, and that the server is running"

// explain returns the cause of a failed attempt, and a hint.
func explain(config *pgconn.Config, err error) attempt {
	var (
		pg          *pgconn.PgError
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		notTLS      tls.RecordHeaderError
		notWanted   *pgconn.NotPreferredError
		errno       syscall.Errno
	)
	switch text := err.Error(); {
	case errors.As(err, &pg):
		return serverSays(pg)
	case errors.As(err, &dns):
		return attempt{rank: noAnswer, place: dns.Name, msg: dnsSays(dns), hint: "check the host name, and that this machine can resolve it"}
	case errors.Is(err, context.Canceled):
		return attempt{rank: noAnswer, msg: context.Canceled.Error()}
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded):
		return attempt{rank: noAnswer, msg: "no answer" + within(config.ConnectTimeout), hint: checkAddress + "; a firewall may block the connection"}
	case errors.As(err, &certificate):
		return attempt{rank: noServer, msg: certificate.Err.Error(), hint: "name the certificate file of the authority that signed the server's certificate (sslrootcert=…), and use the host name in the certificate"}
	case strings.HasSuffix(text, "server refused TLS connection"):
		return attempt{rank: noTLS, msg: "the server does not support TLS", hint: "enable TLS on the server, or disable it here (sslmode=disable) if the network can be trusted"}
	case errors.As(err, &notTLS):
		return attempt{rank: noServer, msg: "the other side does not speak TLS", hint: "check host and port; a PostgreSQL before 17 has no sslnegotiation=direct"}
	case errors.As(err, &notWanted), strings.Contains(text, "ValidateConnect failed"):
		return attempt{rank: noServer, msg: lastOf(text), hint: "name a host that satisfies target_session_attrs"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return attempt{rank: noServer, msg: "the other side closed the connection", hint: "check that a PostgreSQL server listens there, and read its log"}
	case strings.Contains(text, "received unexpected message"): // pgx formats it without the message
		return attempt{rank: noServer, msg: "the other side does not speak PostgreSQL's protocol", hint: "check that a PostgreSQL server, or a pooler for one, listens there"}
	case errors.As(err, &errno):
		return attempt{rank: noAnswer, msg: errno.Error(), hint: checkAddress}
	default:
		return attempt{rank: noServer, msg: withoutPlace(text), hint: checkAddress}
	}
}

func dnsSays(dns *net.DNSError) string {
	if dns.IsNotFound {
		return "no host has this name"
	}
	return "the host name can't be resolved: " + dns.Err
}

func within(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return " within " + d.String()
}

// lastOf returns what follows the last colon.
func lastOf(text string) string { return text[strings.LastIndex(text, ": ")+1:][1:] }

// withoutPlace removes "address (host): " from the beginning of an error.
func withoutPlace(text string) string {
	if _, rest, ok := strings.Cut(text, "): "); ok {
		return rest
	}
	return text
}

// serverSays explains an error of the server or of a pooler.
func serverSays(pg *pgconn.PgError) attempt {
	a := attempt{rank: fromServer, msg: pg.Message, code: pg.Code, hint: connectHints[pg.Code]}
	if pg.Detail != "" {
		a.msg += "; " + pg.Detail
	}
	switch {
	case strings.HasSuffix(pg.Message, "no encryption"): // from pg_hba.conf
		a.hint = "the server may require TLS: add sslmode=require; otherwise allow this host, user and database in pg_hba.conf"
	case strings.HasPrefix(pg.Message, "no PostgreSQL user name"):
		a.hint = "the URL names no user: use postgres://user@host/database"
	case strings.HasPrefix(pg.Message, "unsupported startup parameter"):
		a.hint = "a pooler rejects this parameter: remove it from the URL, or make the pooler ignore it (ignore_startup_parameters)"
	case a.hint == "" && pg.Hint != "":
		a.hint = pg.Hint
	}
	return a
}

var connectHints = map[string]string{
	"28P01": "check the password",
	"28000": "check the user, and pg_hba.conf on the server",
	"3D000": "create the database first, or check its name",
	"42501": "grant CONNECT on the database to this role",
	"42704": "remove this parameter from the URL: the server does not support it",
	"53300": "try again when other connections have closed, or raise the connection limit of the server, the database or the role",
	"55000": "the database accepts no connections at present: ask its administrator",
	"57P03": "try again in a moment",
	"08P01": "check that a PostgreSQL server, or a pooler for one, listens there",
}

// sayAttempts returns the error common to all places, or else the error of each.
func sayAttempts(all []attempt, best attempt) string {
	var places []string
	most := map[string]attempt{}
	same := true
	for _, a := range all {
		m, seen := most[a.place]
		if !seen {
			places = append(places, a.place)
		}
		if !seen || a.rank > m.rank {
			most[a.place] = a
		}
	}
	var each []string
	for _, p := range places {
		same = same && most[p].msg == best.msg
		each = append(each, p+": "+most[p].msg)
	}
	if same {
		return best.msg
	}
	return strings.Join(each, ", ")
}

// target names the servers and the database of a configuration, without the password.
func target(c *pgconn.Config) string {
	places := []string{place(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		// not the same again, with or without TLS
		if p := place(f.Host, f.Port); p != places[len(places)-1] {
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
