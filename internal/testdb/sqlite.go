package testdb

import (
	"database/sql"
	"strings"
	"testing"
)

// Writable reports whether another process keeps nobody from writing to the database of a URL. In a
// SQLite file, a transaction that only reads keeps others from committing; other databases are
// always writable. The test must import package sqlite.
func Writable(t testing.TB, url string) bool {
	t.Helper()
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		return true
	}
	pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(100)&_txlock=exclusive")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.BeginTx(t.Context(), nil)
	return err == nil && tx.Rollback() == nil
}
