package main

import (
	"os"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestMySQLPage: the example of docs/mysql.md is run as it stands there, on MariaDB; then what else the command does there.
func TestMySQLPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/mysql.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "\n## An example\n")
	example, _, found := strings.Cut(example, "\n## ")
	const address = "mysql://me@localhost/shop"
	if !found || strings.Count(example, address) != 1 {
		t.Fatalf("the page's example is another one, or at another URL than %s", address)
	}
	url := testdb.MariaDB(t)
	sh := newShell(t, t.TempDir())
	sh.follow(strings.ReplaceAll(example, address, url))
}
