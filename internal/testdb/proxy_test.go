package testdb_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestProxyCountsTheRoundTripsThatAClientWaitsFor(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	turns := func(want int, what string) {
		t.Helper()
		if got := proxy.Turns(); got != want {
			t.Errorf("%s took %d turns, want %d", what, got, want)
		}
		proxy.Reset()
	}
	ctx := t.Context()

	conn := connect(t, proxy.URL)
	if got := proxy.Connections(); got != 1 {
		t.Errorf("counted %d connections, want 1", got)
	}
	turns(1, "connecting")

	query(t, conn, "SELECT 1; SELECT 2")
	turns(1, "a simple query")

	query(t, conn, "SELECT 1")
	query(t, conn, "SELECT 1")
	turns(2, "two simple queries")

	if got := conn.ExecParams(ctx, "SELECT $1::int", [][]byte{[]byte("1")}, nil, nil, nil).Read(); got.Err != nil {
		t.Fatal(got.Err)
	}
	turns(1, "an extended query")

	batch := &pgconn.Batch{}
	for range 1000 {
		batch.ExecParams("SELECT repeat('x', $1::int)", [][]byte{[]byte("1000")}, nil, nil, nil)
	}
	if _, err := conn.ExecBatch(ctx, batch).ReadAll(); err != nil {
		t.Fatal(err)
	}
	turns(1, "a batch of a thousand queries")

	if _, err := conn.CopyFrom(ctx, bytes.NewReader(bytes.Repeat([]byte("1\n"), 1_000_000)), "COPY not_there FROM STDIN"); !isPgError(err, "42P01") {
		t.Fatal(err)
	}
	turns(1, "a COPY that is refused")

	query(t, conn, "CREATE TEMPORARY TABLE there (n int)")
	turns(1, "a statement")
	if _, err := conn.CopyFrom(ctx, bytes.NewReader(bytes.Repeat([]byte("1\n"), 1_000_000)), "COPY there FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	turns(1, "a COPY")

	if err := conn.Close(ctx); err != nil {
		t.Fatal(err)
	}
	turns(0, "saying goodbye")
}

func TestProxyCountsOneTurnForQueriesThatAreSentWithoutWaiting(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	proxy.Quiet = 200 * time.Millisecond // far more than this test needs
	conn := connect(t, proxy.URL)
	proxy.Reset()
	pipeline := conn.StartPipeline(t.Context())
	for range 20 {
		pipeline.SendQueryParams("SELECT 1", nil, nil, nil, nil)
		// sends; without Quiet, the answer could arrive before the next is sent
		if err := pipeline.Sync(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := pipeline.Close(); err != nil {
		t.Fatal(err)
	}
	if got := proxy.Turns(); got != 1 {
		t.Errorf("counted %d turns, want 1", got)
	}
	if got := proxy.Messages(testdb.ToServer); got < 20 {
		t.Errorf("counted %d messages, which can't be all", got)
	}
}

func TestProxyCountsWhatAPasswordTakes(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t, "password_encryption=scram-sha-256")
	query(t, connect(t, server.URL), "CREATE ROLE wary LOGIN PASSWORD 'secret'")
	server.RequirePasswords()
	proxy := testdb.NewProxy(t, strings.Replace(server.URL, "postgres@", "wary:secret@", 1))
	query(t, connect(t, proxy.URL), "SELECT 1")
	// startup, mechanism, proof, query
	if got := proxy.Turns(); got != 4 {
		t.Errorf("counted %d turns, want 4", got)
	}
	proxy.Reset()
	wrong := strings.Replace(proxy.URL, "wary:secret@", "wary:guess@", 1)
	if _, err := pgconn.Connect(t.Context(), wrong); !isPgError(err, "28P01") {
		t.Fatal(err)
	}
	if got := proxy.Turns(); got != 3 {
		t.Errorf("counted %d turns for a wrong password, want 3", got)
	}
}

func TestProxyCutClosesConnectionsAndAcceptsNewOnes(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	conn := connect(t, proxy.URL)
	pid := conn.PID()
	query(t, conn, "BEGIN; CREATE TABLE never()")
	proxy.Cut()
	if _, err := conn.Exec(t.Context(), "COMMIT").ReadAll(); err == nil {
		t.Error("a connection that was cut still works")
	}
	conn = connect(t, proxy.URL)
	awaitEnd(t, conn, pid)
	if got := query(t, conn, "SELECT to_regclass('never') IS NULL"); got != "t" {
		t.Error("committed after the connection was cut")
	}
}

func TestProxyCutAfterTheNthMessage(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	proxy.Quiet = 0

	// The client sends startup, Query, Query, and a goodbye that isn't counted.
	scenario := func() (created, committed bool, err error) {
		config, err := pgconn.ParseConfig(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		dial, dialled := config.DialFunc, false
		config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dialled { // to cancel the statement that was cut off
				return nil, errors.New("not here")
			}
			dialled = true
			return dial(ctx, network, address)
		}
		conn, err := pgconn.ConnectConfig(t.Context(), config)
		if err != nil {
			return false, false, err
		}
		defer conn.Close(context.Background())
		if _, err = conn.Exec(t.Context(), "DROP TABLE IF EXISTS t; CREATE TABLE t()").ReadAll(); err != nil {
			return false, false, err
		}
		_, err = conn.Exec(t.Context(), "INSERT INTO t DEFAULT VALUES").ReadAll()
		return true, err == nil, err
	}
	rows := func() string {
		t.Helper()
		proxy.Reset()
		conn := connect(t, proxy.URL)
		// The server may still serve the client that was cut off.
		query(t, conn, `DO $$ BEGIN
			WHILE (SELECT count(*) > 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend')
			LOOP PERFORM pg_sleep(0.001); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$`)
		return query(t, conn, "SELECT count(*) FROM t")
	}

	if _, _, err := scenario(); err != nil {
		t.Fatal(err)
	}
	if got := proxy.Messages(testdb.ToServer); got != 3 {
		t.Errorf("counted %d messages to the server, want 3", got)
	}
	for _, c := range []struct {
		after              int
		created, committed bool
		rows               string
	}{
		// nothing reaches the server
		{0, false, false, "1"},
		{1, false, false, "1"}, // connected, without the answer
		{2, false, false, "0"}, // created, without the answer
		{3, true, false, "1"},  // inserted, without the answer
	} {
		proxy.Reset()
		proxy.CutAfter(testdb.ToServer, c.after)
		created, committed, err := scenario()
		if created != c.created {
			t.Errorf("cut after %d: created = %v, want %v", c.after, created, c.created)
		}
		if committed != c.committed {
			t.Errorf("cut after %d: committed = %v, want %v", c.after, committed, c.committed)
		}
		if err == nil {
			t.Errorf("cut after %d: got no error", c.after)
		}
		if got := rows(); got != c.rows {
			t.Errorf("cut after %d: t has %s rows, want %s", c.after, got, c.rows)
		}
	}

	// In the other direction every cut is noticed, up to the last awaited message.
	if _, _, err := scenario(); err != nil {
		t.Fatal(err)
	}
	wantAnswersCutNoticed(t, proxy, func() error {
		_, _, err := scenario()
		return err
	})
}

func TestProxyStallKeepsConnectionsAndLosesNothing(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	conn := connect(t, proxy.URL)
	wantStallWithoutLoss(t, proxy, func() error {
		_, err := conn.Exec(context.Background(), "SELECT 1").ReadAll()
		return err
	}, func(ctx context.Context) error {
		_, err := pgconn.Connect(ctx, proxy.URL)
		return err
	})
}

// wantStallWithoutLoss stalls a proxy while an open connection asks a question and a new one is
// opened. It expects the answer after the wire works again, and not before.
func wantStallWithoutLoss(t *testing.T, proxy *testdb.Proxy, ask func() error, connect func(context.Context) error) {
	t.Helper()
	proxy.Stall()
	answer := make(chan error, 1)
	go func() { answer <- ask() }()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := connect(short); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("connecting through a stalled wire says: %v", err)
	}
	select {
	case err := <-answer:
		t.Errorf("an answer came through a stalled wire (%v)", err)
	default:
	}
	proxy.Resume()
	if err := <-answer; err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

// wantAnswersCutNoticed cuts a proxy after each message to the client. It expects an error from the
// scenario each time.
func wantAnswersCutNoticed(t *testing.T, proxy *testdb.Proxy, scenario func() error) {
	t.Helper()
	proxy.Reset()
	if err := scenario(); err != nil {
		t.Fatal(err)
	}
	all := proxy.Messages(testdb.ToClient)
	for n := range all {
		proxy.Reset()
		proxy.CutAfter(testdb.ToClient, n)
		if err := scenario(); err == nil {
			t.Errorf("cut after %d of %d messages to the client: got no error", n, all)
		}
	}
}

func TestProxyLeadsToAUnixSocket(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t)
	proxy := testdb.NewProxy(t, server.Socket())
	if got := query(t, connect(t, proxy.URL), "SELECT inet_server_addr() IS NULL"); got != "t" {
		t.Error("this isn't the Unix socket")
	}
	if got := proxy.Turns(); got != 2 {
		t.Errorf("counted %d turns, want 2", got)
	}
	server.Kill()
	if _, err := pgconn.Connect(t.Context(), proxy.URL); err == nil {
		t.Error("connected through the proxy to a server that was killed")
	}
}

// awaitEnd waits until the server has noticed that a client is gone.
func awaitEnd(t *testing.T, conn *pgconn.PgConn, pid uint32) {
	t.Helper()
	for query(t, conn, "SELECT count(*) FROM pg_stat_activity WHERE pid = "+strconv.FormatUint(uint64(pid), 10)) != "0" {
		time.Sleep(time.Millisecond)
	}
}
