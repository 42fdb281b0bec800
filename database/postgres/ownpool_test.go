package postgres_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// The server, or something on the way to it, may have closed a connection that was idle.
func TestIdleConnectionThatIsGone(t *testing.T) {
	t.Parallel()
	address := testdb.Postgres(t)
	db := open(t, address)
	do(t, connect(t, address), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	time.Sleep(5100 * time.Millisecond) // as long as a connection counts as alive
	_, err := db.State(background(t), "s")
	must(t, err)
}

// Idle connections and old ones are not used again.
func TestLifetimeOfConnections(t *testing.T) {
	t.Parallel()
	address := testdb.Postgres(t)
	pid := func(db database.Database) any {
		rows, err := db.(database.Querier).Query(background(t), "SELECT pg_backend_pid()")
		must(t, err)
		return rows.Rows[0][0]
	}
	db := open(t, address)
	equal(t, "the server process", pid(db), pid(db))
	db = open(t, address+"&pool_max_conn_lifetime=1ns&pool_max_conn_lifetime_jitter=1ns&pool_min_conns=2&pool_health_check_period=1s")
	if pid(db) == pid(db) {
		t.Error("an old connection was used again")
	}
}

// A function shares the wire with the driver, which sends its own queries before, between and
// after functions.
func TestFunctionSharesTheWire(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"without TLS": testdb.Postgres(t), "with TLS": onlyTLS(t, testdb.Postgres(t))} {
		for _, mode := range []string{"exec", "cache_statement", "cache_describe", "describe_exec", "simple_protocol"} {
			t.Run(name+", "+mode, func(t *testing.T) {
				t.Parallel()
				db := open(t, address+"&default_query_exec_mode="+mode)
				b := begin(t, db, mode)
				must(t, b.Exec(background(t), script("CREATE TABLE IF NOT EXISTS "+mode+" (n int)")))
				for range 2 {
					// what the session reports is restored between functions
					must(t, b.Exec(background(t), postgres.Func("f", func(ctx context.Context, tx pgx.Tx) error {
						for n := range 2 {
							if _, err := tx.Exec(ctx, "INSERT INTO "+mode+" VALUES ($1)", n); err != nil {
								return err
							}
						}
						_, err := tx.Exec(ctx, "SET client_encoding = 'LATIN1'")
						return err
					})))
					must(t, b.Exec(background(t), script("INSERT INTO "+mode+" VALUES (5)")))
				}
				_, err := b.Commit(background(t))
				must(t, err)
				rows, err := db.(database.Querier).Query(background(t), "SELECT sum(n) FROM "+mode)
				must(t, err)
				equal(t, "the sum", rows.Rows[0][0], any(int64(12)))
			})
		}
	}
}

// The request that cancels a statement of a function is encrypted like the connection, which
// survives.
func TestCanceledFunctionOverTLS(t *testing.T) {
	t.Parallel()
	address := testdb.Postgres(t)
	db := open(t, onlyTLS(t, address)+"&pool_max_conns=1")
	b, other := begin(t, db, "s"), connect(t, address)
	pid := 0
	err := b.Exec(background(t), postgres.Func("f", func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		slept := inBackground(func() error { return errOf(tx.Exec(ctx, "SELECT pg_sleep(300)")) })
		eventually(t, "the server executes it", func() bool {
			return value(t, other, fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'PgSleep'", pid)) == "1"
		})
		cancel()
		return slept()
	}))
	equal(t, "the error's code", as[*pgconn.PgError](t, err).Code, "57014") // canceled by a request
	must(t, b.Rollback(background(t)))
	rows, err := db.(database.Querier).Query(background(t), "SELECT pg_backend_pid()")
	must(t, err)
	equal(t, "the server process afterwards", rows.Rows[0][0], any(int64(pid)))
}

// A function that panics leaves nothing behind on the wire.
func TestFunctionThatPanicsWithOpenRows(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t)+"&pool_max_conns=1")
	b := begin(t, db, "s")
	func() {
		defer func() { recover() }()
		_ = b.Exec(background(t), postgres.Func("f", func(ctx context.Context, tx pgx.Tx) error {
			_, _ = tx.Query(ctx, "SELECT generate_series(1, 100000)")
			panic("in a function")
		}))
	}()
	_ = b.Rollback(background(t))
	_, err := db.State(background(t), "s")
	must(t, err)
}

// onlyTLS returns the URL of a proxy to a server that serves no client without TLS, not even one
// that cancels.
func onlyTLS(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	config, server := &tls.Config{Certificates: testCertificate(t)}, u.Host
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveTLS(c, config, server)
		}
	}()
	u.Host = l.Addr().String()
	return strings.Replace(u.String(), "sslmode=disable", "sslmode=require", 1)
}

func serveTLS(c net.Conn, config *tls.Config, server string) {
	defer c.Close()
	request := make([]byte, 8)
	if _, err := io.ReadFull(c, request); err != nil || string(request) != "\x00\x00\x00\x08\x04\xd2\x16\x2f" {
		return
	}
	c.Write([]byte("S"))
	client := tls.Server(c, config)
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		io.Copy(s, client)
		s.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(client, s)
}
