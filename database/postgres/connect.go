package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// connectError explains why a connection could not be made, in one sentence. config may be
// nil where the error knows it.
func connectError(config *pgx.ConnConfig, err error) error {
	e := &database.ConnectError{Err: err}
	var ce *pgconn.ConnectError
	var places *pgconn.Config
	switch {
	case errors.As(err, &ce):
		places = ce.Config
	case config != nil:
		places = &config.Config
	}
	if places != nil {
		e.Target = target(places)
	}
	if ce == nil {
		return e
	}
	all := attempts(ce)
	best := all[0]
	for _, a := range all {
		if a.rank > best.rank {
			best = a
		}
	}
	e.Code, e.Hint = best.code, best.hint
	if best.code == "28P01" && places.Password == "" {
		e.Hint = "the URL has no password: write it there, or name a file that has it (passfile=…)"
	}
	e.Err = &failedConnect{msg: sayAttempts(all, best), err: err}
	return e
}

// failedConnect says in few words what a library's error says in many.
type failedConnect struct {
	msg string
	err error
}

func (e *failedConnect) Error() string { return e.msg }
func (e *failedConnect) Unwrap() error { return e.err }

// attempt is why one attempt to connect has failed. To one place there may be several: with TLS
// and without, and to each address that a name has.
type attempt struct {
	place, msg, code, hint string
	rank                   int // how much it tells, against other attempts
}

const (
	noTLS      = iota // that it was made again without TLS says more
	noAnswer          // nobody was reached
	noServer          // somebody was, who is no server, or not the right one
	fromServer        // the server says so
)

// attempts returns why each of the attempts has failed, at least one.
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
	// "address (host): …" is how pgx begins.
	if address, _, ok := strings.Cut(err.Error(), " ("); ok && a.place == "" && !strings.Contains(address, " ") {
		a.place = address
	}
	return a
}

const checkAddress = "check host and port, and that the server is running"

// explain says of an attempt what happened, and what to do about it.
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
		return attempt{rank: noAnswer, place: dns.Name, msg: dnsSays(dns), hint: "check the host's name, and that this machine can look it up"}
	case errors.Is(err, context.Canceled):
		return attempt{rank: noAnswer, msg: context.Canceled.Error()}
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded):
		return attempt{rank: noAnswer, msg: "no answer" + within(config.ConnectTimeout), hint: checkAddress + "; a firewall may be in between"}
	case errors.As(err, &certificate):
		return attempt{rank: noServer, msg: certificate.Err.Error(), hint: "name the file of the authority that signed the server's certificate (sslrootcert=…), and the host as the certificate does"}
	case strings.HasSuffix(text, "server refused TLS connection"):
		return attempt{rank: noTLS, msg: "the server does not speak TLS", hint: "turn TLS on in the server, or do without (sslmode=disable) where the network can be trusted"}
	case errors.As(err, &notTLS):
		return attempt{rank: noServer, msg: "what answers there does not speak TLS", hint: "check host and port; a PostgreSQL before 17 has no sslnegotiation=direct"}
	case errors.As(err, &notWanted), strings.Contains(text, "ValidateConnect failed"):
		return attempt{rank: noServer, msg: lastOf(text), hint: "name a host that is what target_session_attrs asks for"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return attempt{rank: noServer, msg: "the connection was closed from the other side", hint: "check that it is a PostgreSQL server which listens there, and look into its log"}
	case errors.As(err, &errno):
		return attempt{rank: noAnswer, msg: errno.Error(), hint: checkAddress}
	default:
		return attempt{rank: noServer, msg: withoutPlace(text), hint: checkAddress}
	}
}

func dnsSays(dns *net.DNSError) string {
	if dns.IsNotFound {
		return "there is no host of this name"
	}
	return "the host's name can't be looked up: " + dns.Err
}

func within(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return " within " + d.String()
}

// lastOf returns what stands behind the last colon.
func lastOf(text string) string { return text[strings.LastIndex(text, ": ")+1:][1:] }

// withoutPlace leaves out "address (host): " before an error.
func withoutPlace(text string) string {
	if _, rest, ok := strings.Cut(text, "): "); ok {
		return rest
	}
	return text
}

// serverSays is the server's own error, or a pooler's.
func serverSays(pg *pgconn.PgError) attempt {
	a := attempt{rank: fromServer, msg: pg.Message, code: pg.Code, hint: connectHints[pg.Code]}
	if pg.Detail != "" {
		a.msg += "; " + pg.Detail
	}
	switch {
	case strings.HasSuffix(pg.Message, "no encryption"): // of pg_hba.conf
		a.hint = "the server may want TLS: write sslmode=require; else have this host, user and database let in by pg_hba.conf"
	case strings.HasPrefix(pg.Message, "no PostgreSQL user name"):
		a.hint = "the URL names no user: write postgres://user@host/database"
	case strings.HasPrefix(pg.Message, "unsupported startup parameter"):
		a.hint = "a pooler is in between: leave this parameter out of the URL, or have the pooler ignore it (ignore_startup_parameters)"
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
	"42704": "take this parameter out of the URL: the server does not know it",
	"53300": "try again when other connections are closed, or raise max_connections (of the server, the database or the role)",
	"55000": "the database takes no connections at present: ask who is responsible for it",
	"57P03": "try again in a moment",
	"08P01": "check that it is a PostgreSQL server, or a pooler for one, which listens there",
}

// sayAttempts says once what all places have in common, and else what is the matter with each.
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
