package source_test

import (
	"fmt"
	"io/fs"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A library carries its migrations in an embed.FS:
//
//	//go:embed testdata/embedded
//	var embedded embed.FS
func ExampleRead() {
	folder, err := fs.Sub(embedded, "testdata/embedded")
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := source.Read(folder, source.Options{Set: "parcels"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range set.All() {
		fmt.Println(m, m.Down != nil)
	}
	// Output:
	// 1 parcels true
	// 2 weight false
}

// Everything that is wrong is named at once.
func ExampleRead_problems() {
	folder := fstest.MapFS{
		"0001_ports_up.sql":  {Data: []byte("CREATE TABLE ports (code text);")},
		"0002_ships.up.sql":  {Data: []byte("-- whimbrel: no-transactoin\nCREATE TABLE ships (name text);")},
		"0003_crew.down.sql": {Data: []byte("DROP TABLE crew;")},
	}
	_, err := source.Read(folder, source.Options{Format: source.Native, Dir: "migrations"})
	fmt.Println(err)
	// Output:
	// migrations/0001_ports_up.sql: is not named like a migration; did you mean 0001_ports.up.sql?
	// migrations/0002_ships.up.sql:1:1: unknown directive "no-transactoin"; valid directives: no-transaction, empty, secret, lock-timeout, retry-for, statement-timeout, replaces, skip-on-scratch, unfinished, after; did you mean "no-transaction"?
	// migrations/0003_crew.down.sql: this down script has no up script; add 0003_crew.up.sql, or remove this file
}

func ExampleDetect() {
	folder := fstest.MapFS{
		"00001_ports.sql": {Data: []byte("-- +goose Up\nCREATE TABLE ports (code text);\n-- +goose Down\nDROP TABLE ports;\n")},
	}
	fmt.Println(source.Detect(folder))
	folder["00002_ships.up.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE ships (name text);")}
	_, err := source.Detect(folder)
	fmt.Println(err)
	// Output:
	// goose <nil>
	// the folder has files of more than one format:
	//   goose: 00001_ports.sql (line 1 is a marker)
	//   native: 00002_ships.up.sql (a name of up and down files)
}

func ExampleNewFiles() {
	folder := fstest.MapFS{"0041_ports.up.sql": {Data: []byte("CREATE TABLE ports (code text);")}}
	files, err := source.NewFiles(folder, source.NewOptions{Name: "add ships"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range files {
		fmt.Println(f.Name)
	}
	// Output:
	// 0042_add_ships.up.sql
	// 0042_add_ships.down.sql
}

func ExampleParseFormat() {
	format, err := source.ParseFormat("goose")
	fmt.Println(format, err)
	// Output: goose <nil>
}

// A Flyway folder gets the values of its placeholders from the program.
func ExampleRead_placeholders() {
	files := fstest.MapFS{
		"V1__ports.sql":   {Data: []byte("CREATE TABLE ports (name text);")},
		"V1.2__oslo.sql":  {Data: []byte("INSERT INTO ports VALUES ('${home}');")},
		"V1.10__sail.sql": {Data: []byte("CREATE TABLE sails (size integer);")},
	}
	set, err := source.Read(files, source.Options{Placeholders: map[string]string{"home": "Oslo"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for m := range set.Each() {
		fmt.Println(m.Origin.ID, m)
	}
	// Output:
	// 1 1000000000 ports
	// 1.2 1002000000 oslo
	// 1.10 1010000000 sail
}

func ExampleFormats() {
	fmt.Println(source.Formats()[:3])
	// Output: [native golang-migrate goose]
}

// Two migrations become one, whose head names what it replaces.
func ExampleSquash() {
	folder := fstest.MapFS{
		"0001_ports.up.sql":   {Data: []byte("CREATE TABLE ports (code text);\n")},
		"0001_ports.down.sql": {Data: []byte("DROP TABLE ports;\n")},
		"0002_ships.up.sql":   {Data: []byte("CREATE TABLE ships (name text)")},
		"0002_ships.down.sql": {Data: []byte("DROP TABLE ships;\n")},
	}
	squashed, err := source.Squash(folder, source.SquashOptions{From: 1, To: 2, Name: "schema", Dialect: sqltext.PostgreSQL})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range squashed.Files {
		fmt.Println(f.Name)
	}
	fmt.Print(squashed.Files[1].Content)
	// Output:
	// 0002_schema.up.sql
	// 0002_schema.down.sql
	// -- Takes back the 2 migrations from 2 ships to 1 ports.
	//
	// -- 0002_ships.down.sql
	// DROP TABLE ships;
	//
	// -- 0001_ports.down.sql
	// DROP TABLE ports;
}
