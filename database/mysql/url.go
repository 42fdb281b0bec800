package mysql

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// connectTimeout is the default timeout for connecting.
const connectTimeout = 15 * time.Second

// maxPacket is the protocol's limit; a server with a lower one reports that.
const maxPacket = 1 << 30

// target is the result of parsing a URL.
type target struct {
	config *client.Config
	lock   Lock
}

// params are the parameters that a URL may have.
var params = map[string]func(t *target, value string) error{
	"socket": func(t *target, value string) error {
		t.config.Net, t.config.Addr = "unix", value
		return nil
	},
	"timeout": func(t *target, value string) (err error) {
		if t.config.Timeout, err = time.ParseDuration(value); err != nil || t.config.Timeout <= 0 {
			return fmt.Errorf("timeout=%s: use a duration such as 5s", value)
		}
		return nil
	},
	"sql_mode": func(t *target, value string) error {
		t.config.Params = map[string]string{"sql_mode": literal(value)}
		return nil
	},
	"charset": func(_ *target, value string) error {
		if !strings.EqualFold(value, "utf8mb4") {
			return fmt.Errorf("charset=%s: use utf8mb4, since scripts are UTF-8", value)
		}
		return nil
	},
	"cleartext-password": func(t *target, value string) error {
		if value != "true" && value != "false" {
			return fmt.Errorf("cleartext-password=%s: use true or false", value)
		}
		t.config.AllowCleartextPasswords = value == "true"
		return nil
	},
	"lock": func(t *target, value string) error {
		t.lock = Lock(value)
		return checkLock(t.lock)
	},
	"tls": nil, "tls-ca": nil, "tls-cert": nil, "tls-key": nil, // read together
}

// parse parses mysql://user:password@host:port/database?parameters.
func parse(raw string) (*target, error) {
	scheme, rest, _ := strings.Cut(raw, ":")
	if !strings.HasPrefix(rest, "//") {
		return nil, database.NewURLError(raw, "use %s://user:password@host:port/database", scheme)
	}
	if err := database.CheckURL(raw); err != nil {
		return nil, err
	}
	t := &target{config: newConfig()}
	if err := t.parse(raw); err != nil {
		return nil, database.NewURLError(raw, "%s", err)
	}
	return t, nil
}

func (t *target) parse(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		if e, ok := drivers.AsType[*url.Error](err); ok {
			err = e.Err // it does not contain the URL
		}
		return fmt.Errorf("%w; in the user and password, escape everything except letters and digits as %%XX", err)
	}
	if u.User != nil {
		t.config.User = u.User.Username()
		t.config.Passwd, _ = u.User.Password()
	}
	host := cmp.Or(u.Hostname(), "127.0.0.1")
	t.config.Addr = net.JoinHostPort(host, cmp.Or(u.Port(), "3306"))
	t.config.DBName = strings.TrimPrefix(u.Path, "/")
	switch {
	case t.config.DBName == "":
		return fmt.Errorf("it names no database: use %s://user:password@host:port/database", u.Scheme)
	case strings.Contains(t.config.DBName, "/"):
		return fmt.Errorf("the database name %q contains a slash; name a socket with ?socket=", t.config.DBName)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return err
	}
	if query.Has("socket") && u.Host != "" {
		return errors.New("it names a host and a socket; remove one of them")
	}
	if err := t.readParams(query); err != nil {
		return err
	}
	return t.readTLS(query, host)
}

func (t *target) readParams(query url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		read, known := params[name]
		switch {
		case !known:
			return fmt.Errorf("unknown parameter %q; the parameters are %s", name, strings.Join(slices.Sorted(maps.Keys(params)), ", "))
		case len(query[name]) > 1:
			return fmt.Errorf("parameter %q appears twice", name)
		case read != nil:
			if err := read(t, query.Get(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkLock(l Lock) error {
	if l != LockAdvisory && l != LockLease && l != "" {
		return fmt.Errorf("lock=%s: use %s or %s", l, LockAdvisory, LockLease)
	}
	return nil
}

func newConfig() *client.Config {
	c := client.NewConfig()
	c.Net, c.Timeout = "tcp", connectTimeout
	c.MaxAllowedPacket = maxPacket
	c.InterpolateParams = true // one round trip instead of three
	c.Logger = &client.NopLogger{}
	return c
}

// readTLS reads tls and its files.
func (t *target) readTLS(query url.Values, host string) error {
	ca, cert, key := query.Get("tls-ca"), query.Get("tls-cert"), query.Get("tls-key")
	mode := query.Get("tls")
	if mode == "" && (ca != "" || cert != "" || key != "") {
		mode = "true"
	}
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	switch mode {
	case "", "false":
		return nil
	case "true":
	case "skip-verify":
		config.InsecureSkipVerify = true
	case "preferred":
		config.InsecureSkipVerify = true
		t.config.AllowFallbackToPlaintext = true
	default:
		return fmt.Errorf("tls=%s: use true, skip-verify, preferred or false", mode)
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls-ca: %s contains no certificate; it must be a PEM file", ca)
		}
	}
	if (cert == "") != (key == "") {
		return errors.New("tls-cert and tls-key must be used together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("tls-cert and tls-key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	t.config.TLS = config
	return nil
}

// place describes the target of a configuration, without the password.
func place(c *client.Config) string {
	if c.Net == "unix" {
		return fmt.Sprintf("MySQL database %q on the socket %s", c.DBName, c.Addr)
	}
	return fmt.Sprintf("MySQL database %q on %s", c.DBName, c.Addr)
}
