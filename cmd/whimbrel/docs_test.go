package main

import (
	"os"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestSnapshotPage: the example of docs/snapshot.md is run as it stands there, and answers what stands there; then the
// text is executed, and makes the same again.
func TestSnapshotPage(t *testing.T) {
	t.Parallel()
	testdb.Tool(t, "psql")
	page, err := os.ReadFile("../../docs/snapshot.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "\n## An example\n")
	example, _, found := strings.Cut(example, "\n## ")
	const address = "postgres://me@localhost/app?sslmode=disable"
	if !found || strings.Count(example, address) != 2 {
		t.Fatalf("the page's example is another one, or at another URL than %s", address)
	}
	sh := newShell(t, t.TempDir())
	sh.follow(strings.ReplaceAll(example, address, testdb.Postgres(t)))
	again := testdb.Postgres(t)
	sh.run(`whimbrel snapshot --out now.sql && psql -qX -v ON_ERROR_STOP=1 -f now.sql "` + again + `" && whimbrel diff "$DATABASE_URL" "` + again + `"`)
}

// TestMetadataPage: so is that of docs/metadata.md.
func TestMetadataPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metadata.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "\n## An example\n")
	example, _, found := strings.Cut(example, "\n## ")
	const address = "postgres://me@localhost/app?sslmode=disable"
	if !found || !strings.Contains(example, address) {
		t.Fatalf("the page's example is another one, or at another URL than %s", address)
	}
	newShell(t, t.TempDir()).follow(strings.ReplaceAll(example, address, testdb.Postgres(t)))
}
