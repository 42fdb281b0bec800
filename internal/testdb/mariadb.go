package testdb

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MariaDB returns the URL of a new, empty database on the shared MariaDB server, as root. The
// database is dropped when the test ends, even if clients are still connected.
func MariaDB(t testing.TB) string {
	t.Helper()
	return createMariaDB(t, need(t, envMariaDB, "MariaDB"))
}

// OpenMariaDB returns a pool for a URL of this package. It is closed when the test ends.
func OpenMariaDB(t testing.TB, serverURL string) *sql.DB {
	t.Helper()
	db := openMariaDB(t, serverURL)
	t.Cleanup(func() { _ = db.Close() }) // fails if the server was killed
	return db
}

func openMariaDB(t testing.TB, serverURL string) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(mariaDBConfig(parse(t, serverURL)))
	if err != nil {
		t.Fatal(err)
	}
	return sql.OpenDB(connector)
}

// mariaDBConfig converts a URL of this package to the client's configuration.
func mariaDBConfig(u *url.URL) *mysql.Config {
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr = mariaDBAddress(u)
	config.DBName = strings.TrimPrefix(u.Path, "/")
	config.Logger = &mysql.NopLogger{} // the errors contain the same
	return config
}

// mariaDBAddress returns where the server of a URL listens: on its Unix socket if the URL names
// one.
func mariaDBAddress(u *url.URL) (network, address string) {
	if socket := u.Query().Get("socket"); socket != "" {
		return "unix", socket
	}
	return "tcp", u.Host
}

func createMariaDB(t testing.TB, server string) string {
	t.Helper()
	name := databaseName(t)
	db := openMariaDB(t, server)
	t.Cleanup(func() {
		dropMariaDB(t, db, name)
		_ = db.Close()
	})
	// not the test's context, which may be done
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("creating a database on the test server: %v", err)
	}
	return withDatabase(t, server, name)
}

// dropMariaDB drops a database. It first ends the connections to it: open transactions on its
// tables would block. A connection is in the database if it is twice in a row: while the server
// opens a view for another test's query of information_schema, that connection is in the view's
// database for a moment.
func dropMariaDB(t testing.TB, db *sql.DB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for {
		if _, err := db.ExecContext(ctx, `BEGIN NOT ATOMIC
				DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; -- it has gone by itself
				FOR c IN (SELECT id FROM information_schema.processlist WHERE db = '`+name+`') DO
					DO SLEEP(0.02);
					IF EXISTS (SELECT 1 FROM information_schema.processlist WHERE id = c.id AND db = '`+name+`') THEN
						KILL c.id;
					END IF;
				END FOR;
			END`); err != nil {
			t.Errorf("disconnecting the clients of the test's database: %v", err)
			return
		}
		// briefly: a connection may have been opened or killed just now
		_, err := db.ExecContext(ctx, "SET STATEMENT lock_wait_timeout = 1 FOR DROP DATABASE IF EXISTS "+name)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("dropping the test's database: %v", err)
			return
		}
	}
}
