package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
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
			databasetest.Run(t, func(t *testing.T) databasetest.Target {
				url := m.New(t)
				return target(t, url, url, fromURL)
			})
		})
	}
}

// The contract with what a caller may hand in.
func TestContractOfWhatIsHandedIn(t *testing.T) {
	for name, open := range map[string]opener{"pool of one": fromPool, "connection": fromConn, "sql.DB": fromDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databasetest.Run(t, func(t *testing.T) databasetest.Target {
				url := testdb.Postgres(t)
				target := target(t, url, url, open)
				target.Notice = "" // they go where the caller's configuration says
				return target
			})
		})
	}
}

// The contract through PgBouncer in transaction mode. A run has no session there.
func TestContractThroughPgBouncer(t *testing.T) {
	databasetest.Run(t, func(t *testing.T) databasetest.Target {
		pooled, direct := testdb.PgBouncer(t)
		target := target(t, pooled, direct, fromURL)
		target.Session = nil // TestPgBouncer… say what holds there
		return target
	})
}

func target(t *testing.T, url, direct string, open opener) databasetest.Target {
	query := func(ctx context.Context, dest any, sql string) error {
		c, err := pgx.Connect(ctx, direct)
		if err != nil {
			return err
		}
		defer c.Close(ctx)
		return c.QueryRow(ctx, sql).Scan(dest)
	}
	n := 0
	return databasetest.Target{
		Open: func(_ context.Context, opts database.Options) (database.Database, error) { return open(t, url, opts) },
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
		Session: sessionChanges,
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
		Slow:   "SELECT pg_sleep(120)",
		Notice: "DO $$ BEGIN RAISE NOTICE 'whimbrel says hello'; END $$",
	}
}
