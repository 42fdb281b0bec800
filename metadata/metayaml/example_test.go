package metayaml_test

import (
	"fmt"
	"log"

	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
)

func ExampleRead() {
	doc, err := metayaml.Read("metadata.yaml", `
tables:
  public.users:
    owner: accounts
    columns:
      email: {tags: [pii]}
`)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range doc.Entries() {
		fmt.Println(e.Name, e.Owner, e.Tags)
	}
	// Output:
	// public.users accounts []
	// public.users.email  [pii]
}

func ExampleWrite() {
	doc, err := metadata.NewDocument(metadata.Entry{
		Name:  metadata.Name{Kind: metadata.Table, Schema: "public", Object: "users"},
		Facts: metadata.Facts{Owner: "accounts", Tags: []string{"pii"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(metayaml.Write(doc))
	// Output:
	// tables:
	//   public.users:
	//     owner: accounts
	//     tags:
	//       - pii
}
