package postgres_test

import (
	"context"
	"fmt"
	"os"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// upWithPool migrates the database of a URL through the program's own pool.
func upWithPool(ctx context.Context, url string, set *migration.Set) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	db := postgres.NewPool(pool, database.Options{App: "birds"})
	defer db.Close() // the pool stays open
	_, err = whimbrel.New(db, set, whimbrel.Options{}).Up(ctx)
	return err
}

// A program passes its own pool, and keeps it.
func ExampleNewPool() {
	ctx := context.Background()
	files := fstest.MapFS{"0001_birds.up.sql": {Data: []byte("CREATE TABLE birds (id integer, name text);")}}
	set, err := source.Read(files, source.Options{})
	if err == nil {
		err = upWithPool(ctx, os.Getenv("DATABASE_URL"), set)
	}
	if err != nil {
		fmt.Println(err)
	}
}

// A Go function receives the transaction in which its migration is recorded.
func ExampleFunc() {
	count := postgres.Func("count the birds, 1", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "CREATE TABLE counted AS SELECT count(*) FROM birds")
		return err
	})
	set, err := migration.NewSet("birds", migration.Migration{Version: 2, Name: "count", Up: count})
	if err == nil {
		err = upWithPool(context.Background(), os.Getenv("DATABASE_URL"), set)
	}
	if err != nil {
		fmt.Println(err)
	}
}
