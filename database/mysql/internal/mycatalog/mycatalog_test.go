package mycatalog_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// failer is what tests and rapid's tests have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// connect returns a connection to a new database, and the database's name.
func connect(t testing.TB) (conn *sql.Conn, name string) {
	t.Helper()
	address := testdb.MariaDB(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err = testdb.OpenMariaDB(t, address).Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, strings.TrimPrefix(u.Path, "/")
}

// connectAs returns a connection of another user, without a password, to the server and the
// database of conn.
func connectAs(t testing.TB, conn *sql.Conn, user, database string) *sql.Conn {
	t.Helper()
	config := driver.NewConfig()
	config.User, config.DBName, config.Net = user, database, "tcp"
	config.Addr = "127.0.0.1:" + value(t, conn, "SELECT @@port")
	pool, err := driver.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(pool)
	t.Cleanup(func() { db.Close() })
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// run executes a script as Whimbrel does: cut by sqltext.
func run(t failer, conn *sql.Conn, script string) {
	t.Helper()
	statements, err := sqltext.Split(script, sqltext.MySQL, sqltext.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, script)
	}
	for _, s := range statements {
		if s.Kind != sqltext.SQL {
			continue
		}
		if _, err := conn.ExecContext(context.Background(), s.Text); err != nil {
			t.Fatalf("%v\n%s", err, s.Text)
		}
	}
}

func snapshot(t failer, conn *sql.Conn, own ...string) *catalog.Snapshot {
	t.Helper()
	s, err := mycatalog.Read(context.Background(), conn, catalog.Options{}, own)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

// same fails unless two snapshots are equal, texts included.
func same(t failer, want, got *catalog.Snapshot) {
	t.Helper()
	for _, c := range catalog.Compare(want, got) {
		t.Errorf("%s", c)
	}
	if got, want := want.Fingerprint(), got.Fingerprint(); got != want {
		t.Errorf("want.Fingerprint() = %v, want %v", got, want)
	}
	if got, want := want.Text(), got.Text(); got != want {
		t.Errorf("want.Text() = %v, want %v", got, want)
	}
}

func corpus(t testing.TB, database string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/corpus.sql")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "{db}", database)
}

func TestSnapshotRebuilds(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	run(t, conn, corpus(t, name))
	want := snapshot(t, conn)
	if len(want.Omitted) > 0 {
		t.Errorf("omitted: %q", want.Omitted)
	}
	other, _ := connect(t)
	run(t, other, want.Text())
	same(t, want, snapshot(t, other))
}
