package testdb_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestMariaDBGivesEveryTestAnEmptyDatabaseThatIsGoneAfterIt(t *testing.T) {
	var mine, theirs string
	for i := range 2 {
		t.Run(strconv.Itoa(i), func(sub *testing.T) {
			mine, theirs = testdb.MariaDB(sub), mine
			conn := connectMariaDB(t, mine) // it stays open longer than the database exists
			if got := ask(t, conn, "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()"); got != "0" {
				t.Errorf("the new database has %s tables", got)
			}
			run(t, conn, "CREATE TABLE left_behind (n int)")
			run(t, conn, "BEGIN")
			run(t, conn, "INSERT INTO left_behind VALUES (1)")
		})
	}
	if mine == "" {
		return // the tests in the loop have failed for lack of a server
	}
	for _, url := range []string{mine, theirs} {
		if err := testdb.OpenMariaDB(t, url).PingContext(t.Context()); !isMySQLError(err, 1049) { // ER_BAD_DB_ERROR
			t.Errorf("the database should be gone, but connecting to it says: %v", err)
		}
	}
}

func TestMariaDBServesManyTestsAtOnce(t *testing.T) {
	inTwentyTests(t, func(t *testing.T) {
		run(t, connectMariaDB(t, testdb.MariaDB(t)), "CREATE TABLE the_same_name_everywhere (n int)")
	})
}

func TestPrivateMariaDBSurvivesKillsWithWhatWasCommitted(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t, "max-connections=17", "skip-symbolic-links")
	url := server.New()
	conn := connectMariaDB(t, url)
	if got := ask(t, conn, "SELECT @@max_connections"); got != "17" {
		t.Errorf("max_connections is %s", got)
	}
	run(t, conn, "CREATE TABLE kept SELECT 1 AS n")
	run(t, conn, "BEGIN")
	run(t, conn, "INSERT INTO kept VALUES (2)")

	server.Kill()
	if err := testdb.OpenMariaDB(t, url).PingContext(t.Context()); err == nil {
		t.Error("the server still answers after Kill")
	}
	if _, err := conn.ExecContext(t.Context(), "SELECT 1"); err == nil {
		t.Error("a connection still works after Kill")
	}

	server.Start()
	const kept = "SELECT group_concat(n) FROM kept"
	if got := ask(t, connectMariaDB(t, url), kept); got != "1" {
		t.Errorf("kept has %q after Kill", got)
	}
	server.Restart()
	if got := ask(t, connectMariaDB(t, url), kept); got != "1" {
		t.Errorf("kept has %q after Restart", got)
	}
	if got := ask(t, connectMariaDB(t, server.Socket()), "SELECT host LIKE 'localhost%' FROM information_schema.processlist WHERE id = connection_id()"); got != "1" {
		t.Error("this isn't the Unix socket")
	}
	server.Stop()
	server.Stop() // a second Stop does nothing
}

func TestPrivateMariaDBSpeaksTLS(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t)
	files := server.SpeakTLS()
	admin := connectMariaDB(t, server.URL)
	run(t, admin, "CREATE USER wary REQUIRE X509")

	pem, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the authority's file")
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", "localhost"} {
		config := mysql.NewConfig()
		config.User, config.Addr = "wary", parseURL(t, server.URL).Host
		config.TLS = &tls.Config{RootCAs: roots, ServerName: name, Certificates: []tls.Certificate{pair}}
		connector, err := mysql.NewConnector(config)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		defer db.Close()
		var variable, version string
		if err := db.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_version'").Scan(&variable, &version); err != nil {
			t.Errorf("as %s: %v", name, err)
		} else if version != "TLSv1.3" {
			t.Errorf("as %s: version = %q, want %q", name, version, "TLSv1.3")
		}
	}
}

// connectMariaDB returns a connection.
func connectMariaDB(t *testing.T, url string) *sql.Conn {
	t.Helper()
	conn, err := testdb.OpenMariaDB(t, url).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// run executes a statement.
func run(t *testing.T, conn *sql.Conn, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err := conn.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// ask returns the first value of a query.
func ask(t *testing.T, conn *sql.Conn, query string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var value string
	if err := conn.QueryRowContext(ctx, query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func isMySQLError(err error, number uint16) bool {
	var failure *mysql.MySQLError
	return errors.As(err, &failure) && failure.Number == number
}

func parseURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
