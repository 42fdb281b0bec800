package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// opener opens a database in one of the ways there are.
type opener func(t *testing.T, url string, opts database.Options) (database.Database, error)

func fromURL(_ *testing.T, url string, opts database.Options) (database.Database, error) {
	return database.Open(context.Background(), url, opts)
}

func fromPool(t *testing.T, url string, opts database.Options) (database.Database, error) {
	return postgres.NewPool(newPool(t, url, ofSize(1)), opts), nil
}

func fromConn(t *testing.T, url string, opts database.Options) (database.Database, error) {
	c, err := pgx.Connect(background(t), url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return postgres.NewConn(c, opts), nil
}

func fromDB(t *testing.T, url string, opts database.Options) (database.Database, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { db.Close() })
	return postgres.NewDB(db, opts), nil
}

// The contract on every major version.
func TestContract(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			shelf := newShelf(t, func() (string, string) { url := m.New(t); return url, url })
			databasetest.Run(t, func(t *testing.T) databasetest.Target {
				return target(t, shelf.take(t), fromURL)
			})
		})
	}
}

// The contract with what a caller may hand in.
func TestContractOfWhatIsHandedIn(t *testing.T) {
	for name, open := range map[string]opener{"pool of one": fromPool, "connection": fromConn, "sql.DB": fromDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shelf := newShelf(t, func() (string, string) { url := testdb.Postgres(t); return url, url })
			databasetest.Run(t, func(t *testing.T) databasetest.Target {
				target := target(t, shelf.take(t), open)
				target.Notice = "" // they go where the caller's configuration says
				return target
			})
		})
	}
}

// The contract in a database that has no place for most characters.
func TestContractOfOtherEncodings(t *testing.T) {
	for _, encoding := range []string{"LATIN1", "SQL_ASCII", "EUC_JP"} {
		t.Run(encoding, func(t *testing.T) {
			shelf := newShelf(t, func() (string, string) { url := encoded(t, encoding); return url, url + "&client_encoding=UTF8" })
			databasetest.Run(t, func(t *testing.T) databasetest.Target {
				target := target(t, shelf.take(t), fromURL)
				target.ASCIIComments = true
				return target
			})
		})
	}
}

// encoded makes a database of an encoding.
func encoded(t *testing.T, encoding string) string {
	t.Helper()
	u := testdb.Postgres(t)
	parsed, err := url.Parse(u)
	must(t, err)
	name := strings.TrimPrefix(parsed.Path, "/") + "_" + strings.ToLower(encoding)
	c := connectFor(t, u)
	do(t, c, fmt.Sprintf("CREATE DATABASE %s ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0", name, encoding))
	t.Cleanup(func() { do(t, c, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	parsed.Path = "/" + name
	return parsed.String()
}

// The contract through PgBouncer in transaction mode.
func TestContractThroughPgBouncer(t *testing.T) {
	t.Parallel()
	shelf := newShelf(t, func() (string, string) { return testdb.PgBouncer(t) })
	databasetest.Run(t, func(t *testing.T) databasetest.Target {
		target := target(t, shelf.take(t), fromURL)
		target.Session = nil // a run has no session there; what holds of batches is in session_test.go
		target.Break = nil   // what breaks behind the pooler the pooler replaces
		return target
	})
}

// shelf has databases that are used again after they were emptied, which takes a tenth of the time that
// making one takes.
type shelf chan place

// place is a database, how to get there, and a connection to it that has nothing to do with Whimbrel.
type place struct {
	url, direct string
	conn        *pgx.Conn
}

func newShelf(t *testing.T, create func() (url, direct string)) shelf {
	s := make(shelf, 6)
	for range cap(s) {
		url, direct := create()
		s <- place{url, direct, connectFor(t, direct)}
	}
	return s
}

// connectFor is connect, without a bound: the connection serves many tests.
func connectFor(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	must(t, err)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	c, err := pgx.ConnectConfig(context.Background(), config)
	must(t, err)
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// take returns an empty database, which is the test's until it ends.
func (s shelf) take(t *testing.T) place {
	t.Helper()
	p := <-s
	t.Cleanup(func() {
		empty(t, p.conn)
		s <- p
	})
	return p
}

// empty takes away what a test has left in a database, whoever is still connected.
func empty(t *testing.T, c *pgx.Conn) {
	t.Helper()
	do(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'")
	eventually(t, "nobody has a lock", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == "0"
	})
	do(t, c, `SET client_min_messages = error; DO $$ DECLARE s text; BEGIN
	FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
		EXECUTE format('DROP SCHEMA %I CASCADE', s);
	END LOOP; END $$; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC`)
}

func target(t *testing.T, p place, open opener) databasetest.Target {
	query := func(ctx context.Context, dest any, sql string) error { return p.conn.QueryRow(ctx, sql).Scan(dest) }
	n := 0
	return databasetest.Target{
		Open: func(_ context.Context, opts database.Options) (database.Database, error) { return open(t, p.url, opts) },
		Tables: func(ctx context.Context) (names []string, err error) {
			err = query(ctx, &names, "SELECT coalesce(array_agg(relname::text), '{}') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'")
			return names, err
		},
		RowCount: func(ctx context.Context, table string) (n int, err error) {
			err = query(ctx, &n, "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize())
			return n, err
		},
		Schemas: true,
		Holders: true,
		Session: forContract(),
		Never: func(table string) string {
			n++
			return fmt.Sprintf("CREATE INDEX CONCURRENTLY index_%d ON %s (x)", n, table)
		},
		Func: func(id, table string, fail error) *migration.Script {
			return postgres.Func(id, func(ctx context.Context, tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, "CREATE TABLE "+table+" (x int)"); err != nil {
					return err
				}
				return fail
			})
		},
		Break: func(database.Database) {
			do(t, p.conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		},
		Slow:   "SELECT pg_sleep(120)",
		Notice: "DO $$ BEGIN RAISE NOTICE 'whimbrel says hello'; END $$",
	}
}
