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

// MariaDB returns the URL of a new, empty database on the shared MariaDB server, as its root. The database is
// dropped when the test ends, and whoever is still connected to it is disconnected.
func MariaDB(t testing.TB) string {
	t.Helper()
	return createMariaDB(t, need(t, envMariaDB, "MariaDB"))
}

// OpenMariaDB returns a pool of connections to a URL that this package has handed out. It is closed when the test
// ends.
func OpenMariaDB(t testing.TB, serverURL string) *sql.DB {
	t.Helper()
	db := openMariaDB(t, serverURL)
	t.Cleanup(func() { _ = db.Close() }) // it would report that the server has been killed
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

// mariaDBConfig says to the client what a URL of this package does: who, where and which database.
func mariaDBConfig(u *url.URL) *mysql.Config {
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr = mariaDBAddress(u)
	config.DBName = strings.TrimPrefix(u.Path, "/")
	config.Logger = &mysql.NopLogger{} // what it says is in the errors, too
	return config
}

// mariaDBAddress returns where the server of a URL listens: its Unix socket, if the URL names one.
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
	// Not the test's context: that may be over.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("creating a database on the test server: %v", err)
	}
	return withDatabase(t, server, name)
}

// dropMariaDB drops a database and, since that waits for whoever has one of its tables in a transaction, ends the
// connections to it before.
func dropMariaDB(t testing.TB, db *sql.DB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for {
		if _, err := db.ExecContext(ctx, `BEGIN NOT ATOMIC
				DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; -- it has gone by itself
				FOR c IN (SELECT id FROM information_schema.processlist WHERE db = '`+name+`') DO
					KILL c.id;
				END FOR;
			END`); err != nil {
			t.Errorf("disconnecting whoever is in the test's database: %v", err)
			return
		}
		// A moment, as somebody may have been killed only now, or have come only now.
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
