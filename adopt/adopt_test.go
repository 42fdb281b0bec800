package adopt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var kindNames = map[sqltext.Dialect]string{sqltext.PostgreSQL: "PostgreSQL", sqltext.SQLite: "SQLite", sqltext.MySQL: "MariaDB"}

// target is a database of its own for a test.
type target struct {
	kind sqltext.Dialect
	// address is how other tools name it: a URL, or the path of a file.
	address, url string
}

func create(t *testing.T, kind sqltext.Dialect) target {
	t.Helper()
	switch kind {
	case sqltext.PostgreSQL:
		url := testdb.Postgres(t)
		return target{kind, url, url}
	case sqltext.MySQL:
		url := testdb.MariaDB(t)
		return target{kind, url, url}
	}
	file := filepath.Join(t.TempDir(), "app.db")
	return target{kind, file, "sqlite:" + file}
}

func (x target) open(t *testing.T) database.Database {
	t.Helper()
	db, err := database.Open(t.Context(), x.url, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func read(t *testing.T, dir string, format source.Format) *migration.Set {
	t.Helper()
	set, err := source.Read(os.DirFS(dir), source.Options{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// applied returns the applied versions of a set.
func applied(t *testing.T, db database.Database, set *migration.Set) string {
	t.Helper()
	st, err := db.State(t.Context(), set.Name())
	if err != nil {
		t.Fatal(err)
	}
	versions := []int64{}
	for a := range st.Applied.All() {
		versions = append(versions, a.Version)
	}
	return fmt.Sprint(versions)
}

func up(t *testing.T, db database.Database, set *migration.Set) {
	t.Helper()
	if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// verify fails if Whimbrel finds anything to do or to complain about.
func verify(t *testing.T, db database.Database, set *migration.Set) {
	t.Helper()
	st, err := whimbrel.New(db, set, whimbrel.Options{}).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range st.Migrations {
		if m.State != whimbrel.StateApplied {
			t.Errorf("%d is pending", m.Version)
		}
	}
}

// has reports whether a database has a table.
func has(t *testing.T, db database.Database, table string) bool {
	t.Helper()
	_, err := database.ReadQuery(t.Context(), db, "SELECT count(*) FROM "+table)
	return err == nil
}
