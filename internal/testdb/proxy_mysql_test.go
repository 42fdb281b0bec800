package testdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestProxyCountsTheAnswersThatAMariaDBClientWaitsFor(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.MariaDB(t))
	counted := func(what string, turns, toServer int) {
		t.Helper()
		if got := proxy.Turns(); got != turns {
			t.Errorf("%s took %d turns, want %d", what, got, turns)
		}
		if got := proxy.Messages(testdb.ToServer); got != toServer {
			t.Errorf("%s took %d messages to the server, want %d", what, got, toServer)
		}
		proxy.Reset()
	}
	ctx := t.Context()

	db := testdb.OpenMariaDB(t, proxy.URL)
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := proxy.Connections(); got != 1 {
		t.Errorf("counted %d connections, want 1", got)
	}
	counted("connecting", 1, 1)

	if got := ask(t, conn, "SELECT count(*) FROM seq_1_to_1000"); got != "1000" {
		t.Error(got)
	}
	counted("a query", 1, 1)

	rows, err := conn.QueryContext(ctx, "SELECT repeat('x', 1000) FROM seq_1_to_1000")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	counted("a query of many rows", 1, 1)

	var sum int
	if err := conn.QueryRowContext(ctx, "SELECT ? + ?", 1, 2).Scan(&sum); err != nil {
		t.Fatal(err)
	} else if sum != 3 {
		t.Fatalf("sum = %v, want 3", sum)
	}
	counted("a query with parameters", 2, 2) // prepare and execute; closing isn't waited for

	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(ctx, "no statement"); !isMySQLError(err, 1064) {
		t.Fatal(err)
	}
	counted("two statements, of which one fails", 2, 2)

	if err := errors.Join(conn.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	counted("saying goodbye", 0, 0)
}

func TestProxyCountsWhatAMariaDBPasswordTakes(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t, "plugin-load-add=auth_ed25519")
	admin := connectMariaDB(t, server.URL)
	run(t, admin, "CREATE USER wary IDENTIFIED VIA ed25519 USING password('secret')")
	proxy := testdb.NewProxy(t, strings.Replace(server.URL, "root@", "wary:secret@", 1))
	// The server first requests another authentication method than this user has, and must ask
	// again.
	ask(t, connectMariaDB(t, proxy.URL), "SELECT 1")
	if got := proxy.Turns(); got != 3 {
		t.Errorf("counted %d turns, want 3", got)
	}
	proxy.Reset()
	wrong := strings.Replace(proxy.URL, "wary:secret@", "wary:guess@", 1)
	if err := testdb.OpenMariaDB(t, wrong).PingContext(t.Context()); !isMySQLError(err, 1045) {
		t.Fatal(err)
	}
	if got := proxy.Turns(); got != 2 {
		t.Errorf("counted %d turns for a wrong password, want 2", got)
	}
}

func TestProxyCountsAMessageOfSeveralPacketsAsOne(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t, "max-allowed-packet=64M")
	proxy := testdb.NewProxy(t, server.URL)
	conn := connectMariaDB(t, proxy.URL)
	counted := func(what string, toServer, toClient int) {
		t.Helper()
		if got := proxy.Messages(testdb.ToServer); got != toServer {
			t.Errorf("%s: counted %d messages to the server, want %d", what, got, toServer)
		}
		if got := proxy.Messages(testdb.ToClient); got != toClient {
			t.Errorf("%s: counted %d messages to the client, want %d", what, got, toClient)
		}
		if got := proxy.Turns(); got != 1 {
			t.Errorf("%s: counted %d turns, want 1", what, got)
		}
		proxy.Reset()
	}

	proxy.Reset()
	ask(t, conn, "SELECT repeat('x', 1)")
	short := proxy.Messages(testdb.ToClient)
	counted("a short answer", 1, short)

	const packet = 1<<24 - 1
	for _, length := range []int{packet - 1, packet, packet + 1, 2 * packet} {
		const rest = 1 + len("DO ''") // with the command
		run(t, conn, "DO '"+strings.Repeat("x", length-rest)+"'")
		counted(fmt.Sprintf("a statement of %d bytes", length), 1, 1)
	}
	for _, length := range []int{packet - 1, packet, packet + 1} {
		const rest = 4 // the value's length
		if got := ask(t, conn, fmt.Sprintf("SELECT repeat('x', %d)", length-rest)); len(got) != length-rest {
			t.Errorf("%d bytes came back as %d", length-rest, len(got))
		}
		counted(fmt.Sprintf("a row of %d bytes", length), 1, short)
	}
}

func TestProxyCutClosesMariaDBConnectionsAndAcceptsNewOnes(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.MariaDB(t))
	conn := connectMariaDB(t, proxy.URL)
	run(t, conn, "CREATE TABLE t (n int)")
	run(t, conn, "BEGIN")
	run(t, conn, "INSERT INTO t VALUES (1)")
	proxy.Cut()
	if _, err := conn.ExecContext(t.Context(), "COMMIT"); err == nil {
		t.Error("a connection that was cut still works")
	}
	conn = connectMariaDB(t, proxy.URL)
	awaitAlone(t, conn)
	if got := ask(t, conn, "SELECT count(*) FROM t"); got != "0" {
		t.Error("committed after the connection was cut")
	}
}

func TestProxyCutsMariaDBAfterTheNthMessage(t *testing.T) {
	for _, abrupt := range []bool{false, true} {
		t.Run(map[bool]string{false: "in order", true: "abruptly"}[abrupt], func(t *testing.T) {
			t.Parallel()
			proxy := testdb.NewProxy(t, testdb.MariaDB(t))
			proxy.Quiet = 0
			proxy.Reset()
			if abrupt {
				proxy.CutAbruptly()
			}

			// The client sends a login, three statements, and a goodbye that isn't counted.
			scenario := func() (done int, err error) {
				db := testdb.OpenMariaDB(t, proxy.URL)
				defer db.Close()
				conn, err := db.Conn(t.Context())
				if err != nil {
					return 0, err
				}
				defer conn.Close()
				for i, statement := range []string{"DROP TABLE IF EXISTS t", "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)"} {
					if _, err := conn.ExecContext(t.Context(), statement); err != nil {
						return i, err
					}
				}
				return 3, nil
			}
			state := func() string {
				t.Helper()
				proxy.Reset()
				conn := connectMariaDB(t, proxy.URL)
				defer conn.Close()
				awaitAlone(t, conn) // the server may still serve the client that was cut off
				if ask(t, conn, "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()") == "0" {
					return "no table"
				}
				return ask(t, conn, "SELECT count(*) FROM t")
			}

			if _, err := scenario(); err != nil {
				t.Fatal(err)
			}
			if got := proxy.Messages(testdb.ToServer); got != 4 {
				t.Errorf("counted %d messages to the server, want 4", got)
			}
			for _, c := range []struct {
				after, done int
				state       string
			}{
				{0, 0, "1"},        // nothing reaches the server
				{1, 0, "1"},        // connected, without the answer
				{2, 0, "no table"}, // dropped, without the answer
				{3, 1, "0"},        // created, without the answer
				{4, 2, "1"},        // inserted, without the answer
			} {
				proxy.Reset()
				proxy.CutAfter(testdb.ToServer, c.after)
				if done, err := scenario(); done != c.done {
					t.Errorf("cut after %d: done = %v, want %v", c.after, done, c.done)
				} else if err == nil {
					t.Errorf("cut after %d: got no error", c.after)
				}
				if got := state(); got != c.state {
					t.Errorf("cut after %d: %s, want %s", c.after, got, c.state)
				}
			}

			// In the other direction every cut is noticed, up to the last awaited message.
			wantAnswersCutNoticed(t, proxy, func() error {
				_, err := scenario()
				return err
			})
		})
	}
}

func TestProxyResetsConnections(t *testing.T) {
	t.Parallel()
	for _, url := range []string{testdb.MariaDB(t), testdb.Postgres(t)} {
		proxy := testdb.NewProxy(t, url)
		proxy.CutAbruptly()
		conn, err := net.Dial("tcp", parseURL(t, proxy.URL).Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if strings.HasPrefix(url, "mysql") { // it speaks first, so the connection exists
			if _, err := conn.Read(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		for proxy.Connections() == 0 {
			time.Sleep(time.Millisecond)
		}
		proxy.Cut()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: reading says %v, want ECONNRESET", url, err)
		}
	}
}

func TestProxyStallKeepsMariaDBConnectionsAndLosesNothing(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.MariaDB(t))
	conn := connectMariaDB(t, proxy.URL)
	wantStallWithoutLoss(t, proxy, func() error {
		_, err := conn.ExecContext(context.Background(), "DO 1")
		return err
	}, testdb.OpenMariaDB(t, proxy.URL).PingContext)
}

func TestProxyLeadsToMariaDBsUnixSocket(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t)
	proxy := testdb.NewProxy(t, server.Socket())
	if got := ask(t, connectMariaDB(t, proxy.URL), "SELECT user()"); got != "root@localhost" {
		t.Errorf("this isn't the Unix socket: the server sees %s", got)
	}
	server.Kill()
	if err := testdb.OpenMariaDB(t, proxy.URL).PingContext(t.Context()); err == nil {
		t.Error("connected through the proxy to a server that was killed")
	}
}

// awaitAlone waits until the server has noticed that the other clients of the database are gone.
func awaitAlone(t *testing.T, conn *sql.Conn) {
	t.Helper()
	for ask(t, conn, "SELECT count(*) FROM information_schema.processlist WHERE db = database()") != "1" {
		time.Sleep(time.Millisecond)
	}
}
