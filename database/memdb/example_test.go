package memdb_test

import (
	"context"
	"fmt"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

func Example() {
	ctx := context.Background()
	target := memdb.New()
	db, err := target.Open(ctx, database.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	tx, _, err := db.Begin(ctx, "shop", database.LockOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback(ctx) // does nothing after Commit
	tx.Exec(ctx, migration.Text("1_users.up.sql", "CREATE TABLE users (name text)"))
	tx.Record(ctx, database.Entry{Version: 1, Name: "users", Direction: database.Up})
	fmt.Println(errOf(tx.Commit(ctx)))

	tables, _ := target.Tables(ctx)
	st, _ := db.State(ctx, "shop")
	fmt.Println(tables, st.Applied.Versions())
	// Output:
	// <nil>
	// [users] [1]
}
