package query_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/query"
	"github.com/whimbrel-db/whimbrel/source"
)

// empty opens an empty SQLite database.
func empty(ctx context.Context) (db database.Database, clean func()) {
	dir, err := os.MkdirTemp("", "whimbrel")
	if err != nil {
		panic(err)
	}
	db, err = database.Open(ctx, "sqlite:"+filepath.Join(dir, "fleet.db"), database.Options{})
	if err != nil {
		panic(err)
	}
	return db, func() {
		db.Close()
		os.RemoveAll(dir)
	}
}

// A statement is passed on as it is.
func ExampleRead() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()
	set, err := source.Read(fstest.MapFS{
		"0001_ports.up.sql": {Data: []byte("CREATE TABLE ports (code text, berths int); INSERT INTO ports VALUES ('NLRTM', 122), ('DEHAM', NULL);")},
	}, source.Options{})
	if err != nil {
		panic(err)
	}
	m := whimbrel.New(db, set, whimbrel.Options{})
	if _, err := m.Up(ctx); err != nil {
		panic(err)
	}
	rows, err := query.Read(ctx, m.Database(), "SELECT code, berths FROM ports ORDER BY code")
	if err != nil {
		panic(err)
	}
	fmt.Println(rows.Columns, rows.Rows)
	// Output:
	// [code berths] [[DEHAM <nil>] [NLRTM 122]]
}
