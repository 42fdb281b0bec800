// These benchmarks measure how long a test waits for a migrated database: with whimbreltest, with
// pgtestdb, and with all migrations applied for each test. BENCH_POSTGRES_URL is the URL of a
// server, BENCH_MYSQL_URL that of another one.
package bench_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/peterldowns/pgtestdb"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/whimbreltest"
)

// migrations are 20, of which each creates a table with an index and inserts a row.
func migrations() fstest.MapFS {
	files := fstest.MapFS{}
	for i := range 20 {
		files[fmt.Sprintf("%04d_table.up.sql", i+1)] = &fstest.MapFile{Data: fmt.Appendf(nil,
			"CREATE TABLE t%[1]d (id bigint PRIMARY KEY, name varchar(100) NOT NULL); CREATE INDEX t%[1]d_name ON t%[1]d (name); INSERT INTO t%[1]d VALUES (1, 'x');", i)}
	}
	return files
}

// test is one test of a benchmark: what it cleans up is part of its time.
type test struct {
	testing.TB
	cleanups []func()
}

func (t *test) Cleanup(do func())   { t.cleanups = append(t.cleanups, do) }
func (t *test) Logf(string, ...any) {}

func (t *test) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// measure runs do as the body of tests, one after the other and in parallel.
func measure(b *testing.B, do func(t *test) *sql.DB) {
	one := func(b *testing.B) {
		t := &test{TB: b}
		defer t.end()
		var n int
		if err := do(t).QueryRow("SELECT count(*) FROM t19").Scan(&n); err != nil || n != 1 {
			b.Errorf("%d rows, %v", n, err)
		}
	}
	one(b) // makes the template
	b.Run("sequential", func(b *testing.B) {
		for range b.N {
			one(b)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one(b)
			}
		})
	})
}

// postgresURL is the variable with the URL of a PostgreSQL server.
const postgresURL = "BENCH_POSTGRES_URL"

func serverURL(b *testing.B, variable string) string {
	b.Helper()
	address := os.Getenv(variable)
	if address == "" {
		b.Skip(variable + " is not set")
	}
	return address
}

func open(t *test, client, dsn string) *sql.DB {
	pool, err := sql.Open(client, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

func BenchmarkWhimbreltest(b *testing.B) {
	o, files := whimbreltest.Options{URL: serverURL(b, postgresURL)}, migrations()
	measure(b, func(t *test) *sql.DB { return open(t, "pgx", o.Postgres(t, files).DSN) })
}

func BenchmarkWhimbreltestMySQL(b *testing.B) {
	o, files := whimbreltest.Options{URL: serverURL(b, "BENCH_MYSQL_URL")}, migrations()
	measure(b, func(t *test) *sql.DB { return open(t, "mysql", o.MySQL(t, files).DSN) })
}

func BenchmarkWhimbreltestSQLite(b *testing.B) {
	o, files := whimbreltest.Options{URL: "sqlite:" + filepath.Join(b.TempDir(), "home.db")}, migrations()
	measure(b, func(t *test) *sql.DB { return open(t, "sqlite", o.SQLite(t, files).DSN) })
}

func BenchmarkPgtestdb(b *testing.B) {
	u, err := url.Parse(serverURL(b, postgresURL))
	if err != nil {
		b.Fatal(err)
	}
	password, _ := u.User.Password()
	config := pgtestdb.Config{
		DriverName: "pgx", Host: u.Hostname(), Port: u.Port(), User: u.User.Username(), Password: password,
		Database: u.Path[1:], Options: u.RawQuery,
	}
	files := migrations()
	measure(b, func(t *test) *sql.DB { return pgtestdb.New(t, config, migrator{files}) })
}

// migrator applies the files of a folder in their order.
type migrator struct{ files fstest.MapFS }

func (m migrator) each(do func(text []byte) error) error {
	names, err := fs.Glob(m.files, "*.up.sql")
	for _, name := range names {
		if err == nil {
			err = do(m.files[name].Data)
		}
	}
	return err
}

func (m migrator) Hash() (string, error) {
	h := sha256.New()
	err := m.each(func(text []byte) error { _, err := h.Write(text); return err })
	return hex.EncodeToString(h.Sum(nil)), err
}

func (m migrator) Migrate(ctx context.Context, db *sql.DB, _ pgtestdb.Config) error {
	return m.each(func(text []byte) error { _, err := db.ExecContext(ctx, string(text)); return err })
}

func BenchmarkAllMigrations(b *testing.B) {
	address, files := serverURL(b, postgresURL), migrations()
	server, err := database.Open(b.Context(), address, database.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	measure(b, func(t *test) *sql.DB {
		ctx := context.Background()
		scratch, drop, err := database.Scratch(ctx, server)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { drop(ctx) })
		if _, err := whimbrel.Up(ctx, scratch, files, whimbrel.UpOptions{}); err != nil {
			t.Fatal(err)
		}
		st, err := scratch.State(ctx, "default")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + st.Database
		return open(t, "pgx", u.String())
	})
}
