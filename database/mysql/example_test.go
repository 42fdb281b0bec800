package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing/fstest"

	_ "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// upWithPool brings a database up to date, through a pool of the program's.
func upWithPool(ctx context.Context, dsn string, set *migration.Set) error {
	pool, err := sql.Open("mysql", dsn) // "me@tcp(localhost)/shop?interpolateParams=true"
	if err != nil {
		return err
	}
	defer pool.Close()
	db, err := mysql.New(pool, database.Options{App: "birds"})
	if err != nil {
		return err
	}
	defer db.Close() // the pool stays open
	_, err = whimbrel.New(db, set, whimbrel.Options{}).Up(ctx)
	return err
}

// A program that has a pool hands it over, and keeps it.
func ExampleNew() {
	ctx := context.Background()
	files := fstest.MapFS{"0001_birds.up.sql": {Data: []byte("CREATE TABLE birds (id integer, name text);")}}
	set, err := source.Read(files, source.Options{})
	if err == nil {
		err = upWithPool(ctx, os.Getenv("DSN"), set)
	}
	fmt.Println(err)
}

// Where the server can't be asked whether it is part of a cluster, the program says which lock everybody uses.
func ExampleNewWithLock() {
	pool, err := sql.Open("mysql", os.Getenv("DSN"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	db, err := mysql.NewWithLock(pool, database.Options{}, mysql.LockLease)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	state, err := db.State(context.Background(), "birds")
	fmt.Println(state, err)
}

// A migration that is a Go function gets the transaction in which it is recorded. DDL can't be in it.
func ExampleFunc() {
	count := mysql.Func("name the birds, 1", func(ctx context.Context, tx mysql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE birds SET name = ? WHERE name IS NULL", "whimbrel")
		return err
	})
	set, err := migration.NewSet("birds", migration.Migration{Version: 2, Name: "names", Up: count})
	if err == nil {
		err = upWithPool(context.Background(), os.Getenv("DSN"), set)
	}
	fmt.Println(err)
}
