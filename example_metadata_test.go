package whimbrel_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/source"
)

// A migration carries what there is to know of its objects; later some of it is about nothing any more.
func ExampleMigrator_InconsistentMetadata() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()
	set, err := source.Read(fstest.MapFS{
		"0001_ports.up.sql":        {Data: []byte("CREATE TABLE ports (code text); CREATE VIEW big AS SELECT * FROM ports;")},
		"0001_ports.metadata.yaml": {Data: []byte("tables: {ports: {owner: pilots}}\nviews: {big: {description: Those with a crane.}}\n")},
		"0002_small.up.sql":        {Data: []byte("DROP VIEW big;")},
	}, source.Options{})
	if err != nil {
		panic(err)
	}
	m := whimbrel.New(db, set, whimbrel.Options{ReadMetadata: metayaml.Read})
	if _, err := m.Up(ctx); err != nil {
		panic(err)
	}
	all, err := m.InconsistentMetadata(ctx)
	if err != nil {
		panic(err)
	}
	for _, in := range all {
		fmt.Printf("%s %s: %s (%s)\n", in.Name.Kind, in.Name, in.Reason, in.Description)
	}
	// Output:
	// view big: it no longer exists (Those with a crane.)
}

// A document takes the place of all that the database keeps.
func ExampleMigrator_ApplyMetadata() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()
	set, err := source.Read(fstest.MapFS{
		"0001_ports.up.sql": {Data: []byte("CREATE TABLE ports (code text);")},
	}, source.Options{})
	if err != nil {
		panic(err)
	}
	m := whimbrel.New(db, set, whimbrel.Options{})
	if _, err := m.Up(ctx); err != nil {
		panic(err)
	}
	d, err := metayaml.Read("metadata.yaml", "tables: {ports: {description: Where ships go., columns: {code: {tags: [unlocode]}}}}")
	if err != nil {
		panic(err)
	}
	r, err := m.ApplyMetadata(ctx, d, whimbrel.MetadataOptions{})
	if err != nil {
		panic(err)
	}
	for _, change := range r.Changes {
		fmt.Println(change.Change, change)
	}
	missing, checked, err := m.CheckMetadata(ctx, metadata.Rules{Require: []string{"description"}, Columns: true})
	fmt.Println(checked, missing, err)
	kept, err := m.Metadata(ctx)
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

// A statement is passed on as it is.
func ExampleMigrator_Query() {
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
	rows, err := m.Query(ctx, "SELECT code, berths FROM ports ORDER BY code", whimbrel.QueryOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Println(rows.Columns, rows.Rows)
	// Output:
	// [code berths] [[DEHAM <nil>] [NLRTM 122]]
}
