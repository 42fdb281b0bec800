package postgres_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// refusal is the expected error of a failed connection.
type refusal struct{ url, code, says, hint string }

// check expects one sentence: where, what happened, what to do; nothing twice.
func (want refusal) check(t *testing.T, err error) {
	t.Helper()
	e := as[*database.ConnectError](t, err)
	equal(t, "Code", e.Code, want.code)
	text := e.Error()
	contains(t, "the error", text, "can't connect to PostgreSQL database", want.says, want.hint)
	contains(t, "the hint", e.Hint, want.hint)
	for _, once := range []string{want.says, want.code} {
		if once != "" && strings.Count(text, once) != 1 {
			t.Errorf("%q is there more than once: %s", once, text)
		}
	}
	for _, never := range []string{"\n", "secret", "dial", "SQLSTATE", "failed to connect"} {
		if strings.Contains(text, never) {
			t.Errorf("the error has %q: %s", never, text)
		}
	}
}

func TestConnectErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	other := func(old, new string) string { return strings.Replace(url, old, new, 1) }
	for name, want := range map[string]refusal{
		"a database that doesn't exist": {other("/test_", "/no_such_"), "3D000", "does not exist", "create the database first"},
		"that, with TLS tried first":    {strings.Replace(other("/test_", "/no_such_"), "sslmode=disable", "sslmode=prefer", 1), "3D000", "does not exist", "create the database first"},
		"a user that doesn't exist":     {other("postgres@", "nobody_here@"), "28000", `role "nobody_here" does not exist`, "check the user"},
		"no user":                       {other("postgres@", ""), "28000", "no PostgreSQL user name", "the URL names no user"},
		"a port without a server":       {"postgres://u:secret@127.0.0.1:1/db", "", "connection refused", "check host and port"},
		"two such ports":                {"postgres://u:secret@127.0.0.1:1,127.0.0.1:2/db", "", "connection refused", "check host and port"},
		"a host that doesn't exist":     {"postgres://u:secret@host.invalid/db", "", "host.invalid", "check the host name"},
		"a socket that doesn't exist":   {"postgres://u:secret@/db?host=/no/such/folder", "", "socket /no/such/folder, port 5432: no such file", "check host and port"},
		"TLS where there is none":       {url + "&sslmode=require", "", "does not support TLS", "sslmode=disable"},
		"an unknown parameter":          {url + "&no_such=1", "42704", `"no_such"`, "from the URL"},
		"another kind of server":        {url + "&target_session_attrs=standby", "", "not in hot standby mode", "target_session_attrs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := database.Open(background(t), want.url, database.Options{})
			want.check(t, err)
		})
	}
}

// With several hosts, the error has the cause for each.
func TestConnectErrorOfSeveralHosts(t *testing.T) {
	t.Parallel()
	url := strings.Replace(testdb.Postgres(t), "/test_", "/no_such_", 1)
	_, err := database.Open(background(t), strings.Replace(url, "@", "@127.0.0.1:1,", 1), database.Options{})
	refusal{code: "3D000", says: "127.0.0.1:1: connection refused, 127.0.0.1:", hint: "create the database first"}.check(t, err)
}

// The errors of connections that roles or databases don't permit.
func TestConnectErrorsOfPermissions(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	admin := connect(t, url)
	name := value(t, admin, "SELECT current_database()")
	do(t, admin, "CREATE ROLE "+name+"_full LOGIN CONNECTION LIMIT 0; CREATE ROLE "+name+"_out LOGIN; REVOKE CONNECT ON DATABASE "+name+" FROM PUBLIC; GRANT CONNECT ON DATABASE "+name+" TO "+name+"_full")
	t.Cleanup(func() {
		do(t, admin, "REVOKE CONNECT ON DATABASE "+name+" FROM "+name+"_full; DROP ROLE "+name+"_full; DROP ROLE "+name+"_out")
	})
	for role, want := range map[string]refusal{
		"_full": {"", "53300", "too many connections for role", "when other connections have closed"},
		"_out":  {"", "42501", "permission denied for database", "grant CONNECT"},
	} {
		_, err := database.Open(background(t), strings.Replace(url, "postgres@", name+role+"@", 1), database.Options{})
		want.check(t, err)
	}
}

// The errors of servers that are starting, full, or not PostgreSQL.
func TestConnectErrorsOfMissingServers(t *testing.T) {
	t.Parallel()
	fatal := func(code, message string) func(net.Conn) {
		return func(c net.Conn) {
			b := pgproto3.NewBackend(c, c)
			if _, err := b.ReceiveStartupMessage(); err != nil {
				return
			}
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: message})
			b.Flush()
		}
	}
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		want  refusal
	}{
		"one that starts up": {fatal("57P03", "the database system is starting up"), refusal{"sslmode=disable", "57P03", "starting up", "try again in a moment"}},
		"one that is full":   {fatal("53300", "sorry, too many clients already"), refusal{"sslmode=disable", "53300", "sorry, too many clients", "raise the connection limit"}},
		"one that hangs up":  {func(net.Conn) {}, refusal{"sslmode=disable", "", "the other side closed the connection", "read its log"}},
		"one that is silent": {func(c net.Conn) { io.Copy(io.Discard, c) }, refusal{"sslmode=disable&connect_timeout=1", "", "no answer within 1s", "check host and port, and that"}},
		"one with a certificate of its own": {func(c net.Conn) {
			if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
				return
			}
			c.Write([]byte("S"))
			tls.Server(c, &tls.Config{Certificates: testCertificate(t)}).Handshake()
		}, refusal{"sslmode=verify-full", "", "x509:", "sslrootcert="}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := database.Open(background(t), "postgres://u:secret@"+serve(t, tt.serve)+"/db?"+tt.want.url, database.Options{})
			tt.want.check(t, err)
		})
	}
}

// serve calls answer for each connection to the returned address.
func serve(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				answer(c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func testCertificate(t *testing.T) []tls.Certificate {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	return s.TLS.Certificates
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 10)
	silent := serve(t, func(c net.Conn) {
		arrived <- struct{}{}
		io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := database.Open(ctx, "postgres://u@"+silent+"/db?sslmode=disable", database.Options{})
	e := as[*database.ConnectError](t, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", e)
	}
	contains(t, "the error", e.Error(), silent)
}

// The errors of the caller's connections are the same, and wrap the library's error.
func TestConnectErrorOfCallersConnections(t *testing.T) {
	t.Parallel()
	url := strings.Replace(testdb.Postgres(t), "/test_", "/no_such_", 1)
	for name, db := range map[string]database.Database{
		"pool": postgres.NewPool(newPool(t, url), database.Options{}),
		"DB":   postgres.NewDB(openSQL(t, url), database.Options{}),
	} {
		_, err := db.State(background(t), "s")
		refusal{code: "3D000", says: "does not exist", hint: "create the database first"}.check(t, err)
		equal(t, "the Code of "+name+"'s own error", as[*pgconn.PgError](t, err).Code, "3D000")
	}
	c := connect(t, testdb.Postgres(t))
	must(t, c.Close(background(t)))
	_, err := postgres.NewConn(c, database.Options{}).State(background(t), "s")
	refusal{says: "the caller's connection is closed"}.check(t, err)
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	folder, err := os.MkdirTemp("", "hba-") // not t.TempDir: the server's user can't access it
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	must(t, os.Chmod(folder, 0o755))
	hba := filepath.Join(folder, "pg_hba.conf")
	must(t, os.WriteFile(hba, []byte("host all postgres all trust\nhost all ann all scram-sha-256\n"), 0o644))
	server := testdb.PrivatePostgres(t, "hba_file="+hba)
	do(t, connect(t, server.URL), "CREATE ROLE ann LOGIN PASSWORD 'right'")
	as := func(user string) string { return strings.Replace(server.URL, "postgres@", user+"@", 1) }

	open(t, as("ann:right"))
	for user, want := range map[string]refusal{
		"ann:secret": {"", "28P01", "password authentication failed", "check the password"},
		"ann":        {"", "28P01", "password authentication failed", "the URL has no password"},
		"bob":        {"", "28000", "no pg_hba.conf entry", "sslmode=require"},
	} {
		_, err := database.Open(background(t), as(user), database.Options{})
		want.check(t, err)
	}
}

// Every call on a connection that the server has closed says why it did.
func TestABrokenConnectionSaysWhy(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	b := begin(t, open(t, url), "s")
	do(t, connect(t, url), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	for range 2 {
		_, err := b.State(background(t))
		equal(t, "the code of the error", as[*database.StatementError](t, err).Code, "57P01")
	}
}
