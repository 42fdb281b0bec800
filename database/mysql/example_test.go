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

// upWithPool migrates a database through the program's own pool.
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

// A program passes its own pool, and keeps it.
func ExampleNew() {
	ctx := context.Background()
	files := fstest.MapFS{"0001_birds.up.sql": {Data: []byte("CREATE TABLE birds (id integer, name text);")}}
	set, err := source.Read(files, source.Options{})
	if err == nil {
		err = upWithPool(ctx, os.Getenv("DSN"), set)
	}
	fmt.Println(err)
}

// If the program can't ask the server whether it is part of a cluster, it names the lock that all
// processes use.
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

// A Go function receives the transaction in which its migration is recorded. It can't execute DDL.
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
