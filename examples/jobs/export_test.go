package jobs

import (
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// PostgresSet returns the library's migrations for PostgreSQL.
func PostgresSet() (*migration.Set, error) { return readSet(sqltext.PostgreSQL, schemaName) }

// SQLiteSet returns the library's migrations for SQLite.
func SQLiteSet() (*migration.Set, error) { return readSet(sqltext.SQLite, "") }
