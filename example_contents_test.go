package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// empty opens an empty SQLite database.
func empty(ctx context.Context) (db database.Database, clean func()) {
	dir, err := os.MkdirTemp("", "whimbrel")
	if err != nil {
		panic(err)
	}
	db, err = database.Open(ctx, "sqlite:"+filepath.Join(dir, "shop.db"), database.Options{App: "shop"})
	if err != nil {
		panic(err)
	}
	return db, func() {
		db.Close()
		os.RemoveAll(dir)
	}
}

// read reads migrations, as Example does.
func read(files fs.FS) *migration.Set {
	set, err := source.Read(files, source.Options{})
	if err != nil {
		panic(err)
	}
	return set
}

// Baseline records an existing schema as being at a version. It refuses a database that has a
// history.
func ExampleMigrator_Baseline() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()
	set := read(fstest.MapFS{
		"0001_ports.up.sql": {Data: []byte("CREATE TABLE ports (code text);")},
		"0002_ships.up.sql": {Data: []byte("CREATE TABLE ships (name text);")},
		"0003_crew.up.sql":  {Data: []byte("CREATE TABLE crew (name text);")},
	})
	m := whimbrel.New(db, set, whimbrel.Options{})
	recorded, err := m.Baseline(ctx, 2, whimbrel.BaselineOptions{})
	if err != nil {
		panic(err)
	}
	for _, done := range recorded.Recorded {
		fmt.Println("recorded", done.Version, done.Name)
	}
	_, err = m.Baseline(ctx, 3, whimbrel.BaselineOptions{})
	var history *whimbrel.HistoryExistsError
	fmt.Println(errors.As(err, &history))
	// Output:
	// recorded 1 ports
	// recorded 2 ships
	// true
}

// Development data runs once, and again when it has changed.
func ExampleMigrator_Seed() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()
	set := read(fstest.MapFS{"0001_ports.up.sql": {Data: []byte("CREATE TABLE ports (code text);")}})
	seeds, err := source.ReadSeeds(fstest.MapFS{"ports.sql": {Data: []byte("INSERT INTO ports VALUES ('NLRTM');")}}, source.Options{Dir: "seeds"})
	if err != nil {
		panic(err)
	}
	m := whimbrel.New(db, set, whimbrel.Options{})
	if _, err := m.Up(ctx); err != nil {
		panic(err)
	}
	for range 2 {
		result, err := m.Seed(ctx, seeds, whimbrel.SeedOptions{})
		if err != nil {
			panic(err)
		}
		fmt.Println(len(result.Seeded))
	}
	// Output:
	// 1
	// 0
}
