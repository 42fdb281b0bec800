package main

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestMySQLPage runs the example of docs/mysql.md on MariaDB, and then other commands.
func TestMySQLPage(t *testing.T) {
	t.Parallel()
	url := testdb.MariaDB(t)
	sh := newShell(t, t.TempDir())
	sh.follow(pageExample(t, "mysql.md", "mysql://me@localhost/shop", 1, url))
}
