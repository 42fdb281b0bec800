package mysql_test

import (
	"bytes"
	"context"
	"database/sql"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// The session that holds a lock ends soon if its client is silent, and is restored before it is
// reused.
func TestTimeoutOfTheGuardsSession(t *testing.T) {
	t.Parallel()
	serverURL, _ := newDatabase(t)
	pool := dialling(t, serverURL, nil, map[string]string{"wait_timeout": "777"})
	pool.SetMaxIdleConns(3)
	db, err := mysql.New(pool, database.Options{})
	must(t, err)
	_, err = up(t, db, setOf(t, "s", "CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)"))
	must(t, err)
	r, _, err := db.Guard(background(t), "s", database.LockOptions{})
	must(t, err)
	of, err := mysql.AskGuard(background(t), r, "SELECT @@SESSION.wait_timeout")
	must(t, err)
	equal(t, "the timeout of the session that holds a lock", of, "12")
	must(t, r.Close(background(t)))
	must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Protected, Value: "true", Settle: &database.LockOptions{}}))

	for range pool.Stats().Idle {
		c, err := pool.Conn(background(t))
		must(t, err)
		defer c.Close()
		var timeout, kept sql.NullString
		must(t, c.QueryRowContext(background(t), "SELECT @@SESSION.wait_timeout, @whimbrel_wait_timeout").Scan(&timeout, &kept))
		equal(t, "the timeout of a session of the caller's", timeout.String, "777")
		equal(t, "what is left beside it", kept.String, "")
	}
}

// dialling returns a pool whose connections go where dial says, with parameters.
func dialling(t *testing.T, serverURL string, dial func() string, params map[string]string) *sql.DB {
	t.Helper()
	u, err := url.Parse(serverURL)
	must(t, err)
	config := client.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	config.Params, config.Logger = params, &client.NopLogger{}
	config.Collation = "utf8mb4_general_ci"
	if dial != nil {
		config.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, dial())
		}
	}
	connector, err := client.NewConnector(config)
	must(t, err)
	pool := sql.OpenDB(connector)
	t.Cleanup(func() { pool.Close() })
	return pool
}

// twoServers returns two servers with databases of the same name, in which a set was migrated, and
// their URLs and hosts.
func twoServers(t *testing.T) (urls, hosts [2]string) {
	t.Helper()
	for i := range urls {
		server := testdb.PrivateMariaDB(t)
		pool := testdb.OpenMariaDB(t, server.New())
		_, err := pool.ExecContext(background(t), "CREATE DATABASE shop")
		must(t, err)
		u, err := url.Parse(server.URL)
		must(t, err)
		u.Path = "/shop"
		urls[i], hosts[i] = u.String(), u.Host
		_, err = up(t, open(t, urls[i]), setOf(t, "s", "CREATE TABLE a (x int)"))
		must(t, err)
	}
	return urls, hosts
}

// A lock on one server has no effect for a worker on another, where a load balancer may lead.
func TestLockOnAnotherServer(t *testing.T) {
	t.Parallel()
	urls, hosts := twoServers(t)
	var n atomic.Int64
	pool := dialling(t, urls[0], func() string { return hosts[n.Add(1)%2] }, nil)
	db, err := mysql.New(pool, database.Options{})
	must(t, err)
	for _, set := range []string{"INSERT INTO a VALUES (1)", "CREATE TABLE b (x int)"} {
		_, err = up(t, db, setOf(t, "s", "CREATE TABLE a (x int)", set))
		as[*database.OtherServerError](t, err)
	}
	for _, u := range urls {
		equal(t, "what is applied", versions(t, open(t, u), "s"), "[1]")
		b, _, err := open(t, u).Begin(background(t), "s", database.LockOptions{})
		must(t, err) // nothing is left locked
		must(t, b.Rollback(background(t)))
	}
}

// The outcome of a COMMIT whose answer was lost is not read from another server.
func TestLostCommitIsNotJudgedElsewhere(t *testing.T) {
	t.Parallel()
	urls, hosts := twoServers(t)
	proxy := testdb.NewProxy(t, urls[0])
	through, err := url.Parse(proxy.URL)
	must(t, err)
	var other atomic.Bool
	pool := dialling(t, urls[0], func() string {
		if other.Load() {
			return hosts[1]
		}
		return through.Host
	}, nil)
	db, err := mysql.New(pool, database.Options{})
	must(t, err)
	set := setOf(t, "s", "CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)")
	proxy.HoldWhen(func(message []byte) bool { return bytes.HasSuffix(message, []byte("\x03COMMIT")) })
	done := make(chan error, 1)
	go func() {
		_, err := up(t, db, set)
		done <- err
	}()
	eventually(t, "COMMIT is under way", proxy.Holding)
	other.Store(true)
	proxy.Cut()
	err = <-done
	unknown := as[*database.CommitUnknownError](t, err)
	as[*database.OtherServerError](t, unknown)
	equal(t, "what is applied on the other", versions(t, open(t, urls[1]), "s"), "[1]")
	_, err = up(t, open(t, urls[0]), set)
	must(t, err)
	equal(t, "what is applied in the end", versions(t, open(t, urls[0]), "s"), "[1 2]")
}
