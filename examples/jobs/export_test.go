package jobs

import (
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/whimbrel-db/whimbrel/migration"
)

// PostgresSet returns the library's migrations for PostgreSQL.
func PostgresSet() (*migration.Set, error) {
	return readSet(riverpgxv5.New(nil), "postgres", schemaName)
}

// SQLiteSet returns the library's migrations for SQLite.
func SQLiteSet() (*migration.Set, error) {
	return readSet(riversqlite.New(nil), "sqlite", "")
}

// Carried are the versions of River's schema that the library carries, by dialect.
func Carried() map[string][]int { return carried }
