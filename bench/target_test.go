package bench

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// kind is a kind of database.
type kind string

const (
	postgres kind = "PostgreSQL"
	mariadb  kind = "MariaDB"
	sqlite   kind = "SQLite"
)

// kinds are in the order of the tables.
var kinds = []kind{postgres, mariadb, sqlite}

// target creates databases.
type target interface {
	kind() kind
	version() string
	create() (db string)
	// copyOf returns a copy of the named database, which fill fills the first time. If the copy is
	// only read, it can be the named database itself.
	copyOf(name string, readOnly bool, fill func(db string)) (db string)
	drop(db string)
	// counting returns a URL of the database through a proxy that counts round trips.
	counting(db string, exact bool) (through string, turns func() int)
	// ask returns the numeric answer of a query.
	ask(db, query string) int
}

// server is a private PostgreSQL server.
type server struct {
	t      *testing.T
	conn   *pgconn.PgConn
	url    *url.URL
	proxy  *testdb.Proxy
	filled map[string]string // databases to copy
	made   int
}

func newPostgres(t *testing.T) *server {
	// The server's background work must not affect the comparison.
	s := &server{t: t, filled: map[string]string{}}
	raw := testdb.PrivatePostgres(t, "autovacuum=off", "fsync="+fsync(), "full_page_writes="+fsync(), "max_wal_size=8GB", "checkpoint_timeout=1h").URL
	s.url = parse(t, raw)
	var err error
	if s.conn, err = pgconn.Connect(context.Background(), raw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close(context.Background()) })
	s.proxy = testdb.NewProxy(t, raw)
	return s
}

func fsync() string {
	if os.Getenv("WHIMBREL_BENCH_DISK") != "" {
		return "on"
	}
	return "off"
}

func (s *server) kind() kind { return postgres }

func (s *server) version() string {
	return "PostgreSQL " + s.conn.ParameterStatus("server_version") + ", fsync " + fsync()
}

func (s *server) exec(sql string) {
	if _, err := s.conn.Exec(context.Background(), sql).ReadAll(); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func (s *server) at(base *url.URL, database string) string {
	u := *base
	u.Path = "/" + database
	return u.String()
}

func (s *server) create() string { return s.createFrom("template0") }

func (s *server) createFrom(template string) string {
	s.made++
	name := fmt.Sprintf("bench_%d", s.made)
	s.exec("CREATE DATABASE " + name + " TEMPLATE " + template)
	s.exec("CHECKPOINT")
	return s.at(s.url, name)
}

func (s *server) copyOf(name string, _ bool, fill func(string)) string {
	if s.filled[name] == "" {
		db := s.create()
		fill(db)
		s.exec("ALTER DATABASE " + databaseName(db) + " IS_TEMPLATE true")
		s.filled[name] = db
	}
	return s.createFrom(databaseName(s.filled[name]))
}

func (s *server) drop(db string) { s.exec("DROP DATABASE " + databaseName(db) + " WITH (FORCE)") }

func (s *server) counting(db string, exact bool) (string, func() int) {
	s.proxy.Quiet = 100 * time.Microsecond
	if exact {
		s.proxy.Quiet = 10 * time.Millisecond
	}
	s.proxy.Reset()
	return s.at(parse(s.t, s.proxy.URL), databaseName(db)), s.proxy.Turns
}

func (s *server) ask(db, query string) int {
	ctx := context.Background()
	conn, err := pgconn.Connect(ctx, db)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, query).ReadAll()
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return number(s.t, string(results[0].Rows[0][0]))
}

func databaseName(db string) string {
	return db[strings.LastIndexByte(db, '/')+1 : strings.IndexByte(db+"?", '?')]
}

func parse(t *testing.T, raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// files is SQLite: each database is a file.
type files struct {
	t      *testing.T
	folder string
	filled map[string]string
	made   int
}

func newSQLite(t *testing.T) *files {
	return &files{t: t, folder: t.TempDir(), filled: map[string]string{}}
}

func (f *files) kind() kind { return sqlite }

func (f *files) version() string {
	out, err := exec.Command("sqlite3", "--version").Output()
	if err != nil {
		f.t.Fatal(err)
	}
	version, _, _ := strings.Cut(string(out), " ")
	return "SQLite (the client is " + version + ")"
}

func (f *files) create() string {
	f.made++
	return filepath.Join(f.folder, fmt.Sprintf("%d.db", f.made))
}

func (f *files) copyOf(name string, _ bool, fill func(string)) string {
	if f.filled[name] == "" {
		db := f.create()
		fill(db)
		f.filled[name] = db
	}
	content, err := os.ReadFile(f.filled[name])
	if err != nil {
		f.t.Fatal(err)
	}
	db := f.create()
	if err := os.WriteFile(db, content, 0o644); err != nil {
		f.t.Fatal(err)
	}
	return db
}

func (f *files) drop(db string) {
	if err := os.Remove(db); err != nil {
		f.t.Fatal(err)
	}
}

func (f *files) counting(db string, _ bool) (string, func() int) { return db, func() int { return 0 } }

func (f *files) ask(db, query string) int {
	out, err := exec.Command("sqlite3", db, query).Output()
	if err != nil {
		f.t.Fatalf("%s: %v", query, err)
	}
	return number(f.t, string(out))
}
