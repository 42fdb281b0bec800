package metadata_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
)

// exampleState is what a database with two tables says: it keeps one entry.
func exampleState() *metadata.State {
	users := metadata.Name{Kind: metadata.Table, Schema: "public", Object: "users"}
	orders := metadata.Name{Kind: metadata.Table, Schema: "public", Object: "orders"}
	return &metadata.State{
		Objects: []metadata.Object{
			{Name: users, ID: "16385", Comment: "People who can log in."},
			{Name: orders, ID: "16390"},
		},
		Entries: []metadata.Stored{
			{Name: users, ID: "16385", Facts: metadata.Facts{Description: "People who can log in.", Owner: "accounts"}},
		},
		Path:     []string{"public"},
		Comments: true,
	}
}

// Plan what to write so that the database keeps exactly the entries of a document.
func ExampleState_Apply() {
	doc, err := metayaml.Read("metadata.yaml", `
tables:
  public.users:
    description: Customers and staff.
    owner: accounts
`)
	if err != nil {
		log.Fatal(err)
	}
	state := exampleState()
	change, err := state.Apply(doc)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range metadata.Diff(state.Document(), change.Document()) {
		fmt.Println(d)
	}
	for _, c := range change.Comments {
		fmt.Printf("comment on %s: %q\n", c.Name, c.Text)
	}
	// Output:
	// table public.users: description "People who can log in." → "Customers and staff."
	// comment on public.users: "Customers and staff."
}

// An entry for an object that does not exist is an error that names its line.
func ExampleErrors() {
	doc, err := metayaml.Read("metadata.yaml", "tables:\n  public.user:\n    owner: accounts\n")
	if err != nil {
		log.Fatal(err)
	}
	_, err = exampleState().Apply(doc)
	var problems metadata.Errors
	if errors.As(err, &problems) {
		fmt.Println(problems[0].File, problems[0].Line, len(problems))
	}
	// Output: metadata.yaml 2 1
}

// Require facts of every table.
func ExampleState_Check() {
	missing, checked, err := exampleState().Check(metadata.Rules{
		Require: []string{"description", "owner"},
		Tables:  []string{"public.*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(checked, "tables checked")
	for _, m := range missing {
		fmt.Println(m.Name, m.Facts)
	}
	// Output:
	// 2 tables checked
	// public.orders [description owner]
}

// Find entries whose objects were dropped, renamed or replaced.
func ExampleState_Inconsistent() {
	state := exampleState()
	state.Objects[0].Name.Object = "people" // ALTER TABLE users RENAME TO people

	for _, i := range state.Inconsistent() {
		fmt.Println(i.Name, "is now", *i.Renamed)
	}
	// Output: public.users is now public.people
}
