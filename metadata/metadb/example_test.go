package metadb_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/source"
)

// migrated applies migrations, which may carry metadata, to an empty SQLite database.
func migrated(ctx context.Context, files fstest.MapFS) (m *whimbrel.Migrator, clean func()) {
	dir, err := os.MkdirTemp("", "whimbrel")
	if err != nil {
		panic(err)
	}
	db, err := database.Open(ctx, "sqlite:"+filepath.Join(dir, "fleet.db"), database.Options{})
	if err != nil {
		panic(err)
	}
	set, err := source.Read(files, source.Options{})
	if err != nil {
		panic(err)
	}
	m = whimbrel.New(db, set, whimbrel.Options{ReadMetadata: metayaml.Read})
	if _, err := m.Up(ctx); err != nil {
		panic(err)
	}
	return m, func() {
		db.Close()
		os.RemoveAll(dir)
	}
}

// A migration carries metadata of a view, and a later one drops the view.
func ExampleInconsistent() {
	ctx := context.Background()
	m, clean := migrated(ctx, fstest.MapFS{
		"0001_ports.up.sql":        {Data: []byte("CREATE TABLE ports (code text); CREATE VIEW big AS SELECT * FROM ports;")},
		"0001_ports.metadata.yaml": {Data: []byte("tables: {ports: {owner: pilots}}\nviews: {big: {description: Those with a crane.}}\n")},
		"0002_small.up.sql":        {Data: []byte("DROP VIEW big;")},
	})
	defer clean()
	all, err := metadb.Inconsistent(ctx, m.Database())
	if err != nil {
		panic(err)
	}
	for _, in := range all {
		fmt.Printf("%s %s: %s (%s)\n", in.Name.Kind, in.Name, in.Reason, in.Description)
	}
	// Output:
	// view big: it no longer exists (Those with a crane.)
}

// A document replaces all metadata of the database.
func ExampleApply() {
	ctx := context.Background()
	m, clean := migrated(ctx, fstest.MapFS{"0001_ports.up.sql": {Data: []byte("CREATE TABLE ports (code text);")}})
	defer clean()
	d, err := metayaml.Read("metadata.yaml", "tables: {ports: {description: Where ships go., columns: {code: {tags: [unlocode]}}}}")
	if err != nil {
		panic(err)
	}
	r, err := metadb.Apply(ctx, m, d, metadb.Options{})
	if err != nil {
		panic(err)
	}
	for _, change := range r.Changes {
		fmt.Println(change.Change, change)
	}
	missing, checked, err := metadb.Check(ctx, m.Database(), metadata.Rules{Require: []string{"description"}, Columns: true})
	fmt.Println(checked, missing, err)
	kept, err := metadb.Read(ctx, m.Database())
	if err != nil {
		panic(err)
	}
	fmt.Print(metayaml.Write(kept))
	// Output:
	// added table ports
	// added column ports.code
	// 2 [{ports.code [description]}] <nil>
	// tables:
	//   ports:
	//     description: Where ships go.
	//     columns:
	//       code:
	//         tags:
	//           - unlocode
}
