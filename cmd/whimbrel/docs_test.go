package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// pageExample returns the example of a page of docs, which names a database's address a number of
// times, with another address.
func pageExample(t *testing.T, page, address string, times int, url string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "\n## An example\n")
	example, _, found := strings.Cut(example, "\n## ")
	if !found {
		t.Fatalf("docs/%s has no section after its example", page)
	}
	if got := strings.Count(example, address); got != times {
		t.Fatalf("the example of docs/%s names %s %d times, want %d", page, address, got, times)
	}
	return strings.ReplaceAll(example, address, url)
}

const postgresAddress = "postgres://me@localhost/app?sslmode=disable"

// TestSnapshotPage runs the example of docs/snapshot.md and compares its output with the page. Then
// it executes the snapshot, which creates the same schema again.
func TestSnapshotPage(t *testing.T) {
	t.Parallel()
	testdb.Tool(t, "psql")
	sh := newShell(t, t.TempDir())
	sh.follow(pageExample(t, "snapshot.md", postgresAddress, 2, testdb.Postgres(t)))
	again := testdb.Postgres(t)
	sh.run(`whimbrel snapshot --out now.sql && psql -qX -v ON_ERROR_STOP=1 -f now.sql "` + again + `" && whimbrel diff "$DATABASE_URL" "` + again + `"`)
}

// TestSchemaFilePage runs the example of docs/schema-file.md and compares its output with the page.
func TestSchemaFilePage(t *testing.T) {
	t.Parallel()
	newShell(t, t.TempDir()).follow(pageExample(t, "schema-file.md", "sqlite:test.db", 2, "sqlite:test.db"))
}

// TestMetadataPage runs the example of docs/metadata.md.
func TestMetadataPage(t *testing.T) {
	t.Parallel()
	newShell(t, t.TempDir()).follow(pageExample(t, "metadata.md", postgresAddress, 1, testdb.Postgres(t)))
}

// TestBackfillPage runs the example of docs/backfill.md and compares its output with the page.
func TestBackfillPage(t *testing.T) {
	t.Parallel()
	sh := newShell(t, t.TempDir())
	sh.follow(pageExample(t, "backfill.md", "sqlite:app.db", 1, "sqlite:app.db"))
	sh.run("whimbrel backfill show 3 | grep '10,000 rows' && whimbrel status --exit-code")
}
