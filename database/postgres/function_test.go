package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

type function = func(ctx context.Context, tx pgx.Tx) error

// withFunction is a set with a table, a function, and a script after it.
func withFunction(t testing.TB, fn function) *migration.Set {
	t.Helper()
	set, err := migration.NewSet("s",
		migration.Migration{Version: 1, Name: "table", Up: migration.Text("1.up.sql", "CREATE TABLE t (x int)")},
		migration.Migration{Version: 2, Name: "function", Up: postgres.Func("fill t", fn)},
		migration.Migration{Version: 3, Name: "after", Up: migration.Text("3.up.sql", "INSERT INTO t VALUES (100)")},
	)
	must(t, err)
	return set
}

func insert(ctx context.Context, tx pgx.Tx, x int) error {
	_, err := tx.Exec(ctx, "INSERT INTO t VALUES ($1)", x)
	return err
}

// A function can use all of pgx in the transaction of its migration, however the database was
// opened.
func TestFunctionInItsTransaction(t *testing.T) {
	fill := func(ctx context.Context, tx pgx.Tx) error {
		for i := range 3 {
			if err := insert(ctx, tx, i); err != nil {
				return err
			}
		}
		// A savepoint that fails, and one that doesn't.
		inner, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := inner.Exec(ctx, "SELECT 1 / 0"); err == nil {
			return errors.New("no error")
		}
		if err := inner.Rollback(ctx); err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return insert(ctx, tx, 3) })
		if err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"x"}, pgx.CopyFromRows([][]any{{4}, {5}})); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO t VALUES ($1)", 6)
		batch.Queue("SET search_path = pg_catalog")
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "SELECT x FROM public.t ORDER BY x")
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err == nil && len(all) != 7 {
			err = fmt.Errorf("the function sees %d", all)
		}
		return err
	}
	pooled, direct := testdb.PgBouncer(t)
	for name, open := range map[string]func(t *testing.T) database.Database{
		"a URL":     func(t *testing.T) database.Database { return open(t, direct) },
		"PgBouncer": func(t *testing.T) database.Database { return open(t, pooled) },
		"a pool": func(t *testing.T) database.Database {
			return postgres.NewPool(newPool(t, direct, ofSize(1)), database.Options{})
		},
		"a sql.DB": func(t *testing.T) database.Database { return postgres.NewDB(openSQL(t, direct), database.Options{}) },
	} {
		for _, atomic := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", atomic ", atomic), func(t *testing.T) {
				emptySchema(t, direct)
				db := open(t)
				_, err := up(t, db, withFunction(t, fill), whimbrel.Options{Atomic: atomic})
				must(t, err)
				equal(t, "the applied versions", versions(t, db, "s"), "[1 2 3]")
				equal(t, "the rows", value(t, connect(t, direct), "SELECT string_agg(x::text, ' ' ORDER BY x) FROM t"), "0 1 2 3 4 5 6 100")
			})
		}
	}
}

// A function's mistakes are errors with their cause, and none is recorded.
func TestFunctionsThatGoWrong(t *testing.T) {
	mine := errors.New("my own error")
	for name, tt := range map[string]struct {
		fn   function
		says string
		rows string // the rows that remain
	}{
		"an error": {func(ctx context.Context, tx pgx.Tx) error { return errors.Join(insert(ctx, tx, 1), mine) }, "my own error", "0"},
		"Commit":   {func(ctx context.Context, tx pgx.Tx) error { return errors.Join(insert(ctx, tx, 1), tx.Commit(ctx)) }, "can't end its own transaction", "0"},
		"Rollback": {func(ctx context.Context, tx pgx.Tx) error { return errors.Join(insert(ctx, tx, 1), tx.Rollback(ctx)) }, "can't end its own transaction", "0"},
		"COMMIT as text": {func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(insert(ctx, tx, 1), text(ctx, tx, "COMMIT"))
		}, "ended its transaction", "1"},
		"COMMIT and BEGIN as text": {func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(insert(ctx, tx, 1), text(ctx, tx, "COMMIT"), text(ctx, tx, "BEGIN"), insert(ctx, tx, 2))
		}, "ended its transaction", "1"},
		"ROLLBACK AND CHAIN as text": {func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(insert(ctx, tx, 1), text(ctx, tx, "ROLLBACK AND CHAIN"))
		}, "ended its transaction", "0"},
		"an error that it keeps to itself": {func(ctx context.Context, tx pgx.Tx) error { text(ctx, tx, "SELECT 1 / 0"); return nil }, "returned no error", "0"},
		"rows left open": {func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Query(ctx, "SELECT generate_series(1, 100000)")
			return err
		}, "must read or close them", "0"},
		"the connection closed": {func(ctx context.Context, tx pgx.Tx) error { return tx.Conn().Close(ctx) }, "broken", "0"},
		"another type":          {nil, "postgres.Func", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			db := open(t, url)
			set := withFunction(t, tt.fn)
			if tt.fn == nil {
				var err error
				set, err = migration.NewSet("s", migration.Migration{Version: 1, Name: "t", Up: migration.Text("1", "CREATE TABLE t (x int)")}, migration.Migration{Version: 2, Name: "other", Up: migration.Func("other", func() {})})
				must(t, err)
			}
			_, err := up(t, db, set)
			contains(t, "the error", as[*whimbrel.MigrationError](t, err).Error(), tt.says)
			if name == "an error" && !errors.Is(err, mine) {
				t.Errorf("the error %v hides the function's", err)
			}
			equal(t, "the applied versions", versions(t, db, "s"), "[1]")
			equal(t, "the number of rows that remain", value(t, connect(t, url), "SELECT count(*) FROM t"), tt.rows)
			becomesFree(t, db, "s")
		})
	}
}

func text(ctx context.Context, tx pgx.Tx, sql string) error {
	_, err := tx.Exec(ctx, sql)
	return err
}

// A function that panics leaves neither a lock nor a connection behind.
func TestFunctionThatPanics(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	pool := newPool(t, url, ofSize(1))
	for name, db := range map[string]database.Database{
		"a URL":    open(t, url),
		"a pool":   postgres.NewPool(pool, database.Options{}),
		"a sql.DB": postgres.NewDB(openSQL(t, url), database.Options{}),
	} {
		emptySchema(t, url)
		func() {
			defer func() { equal(t, name+": what was recovered", fmt.Sprint(recover()), "oh") }()
			up(t, db, withFunction(t, func(ctx context.Context, tx pgx.Tx) error {
				must(t, insert(ctx, tx, 1))
				panic("oh")
			}))
		}()
		becomesFree(t, db, "s")
		equal(t, "the applied versions", versions(t, db, "s"), "[1]")
		equal(t, "the number of rows", value(t, connect(t, url), "SELECT count(*) FROM t"), "0")
	}
	equal(t, "the number of the pool's connections in use", pool.Stat().AcquiredConns(), 0)
}
