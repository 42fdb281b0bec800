package databasetest_test

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The test of a driver creates an empty target for each case, and describes how to inspect it.
// Fields that the database does not support are left out.
func ExampleRun() {
	TestContract := func(t *testing.T) {
		databasetest.Run(t, func(t *testing.T) databasetest.Target {
			server := memdb.New() // a driver creates a new database here: a file in t.TempDir, a new schema
			return databasetest.Target{
				Open: func(ctx context.Context, opts database.Options) (database.Database, error) {
					return server.Driver().Open(ctx, "mem:", opts)
				},
				Tables: func(ctx context.Context) ([]string, error) {
					tables, err := server.Tables(ctx)
					if err != nil {
						return nil, err
					}
					own, err := server.OwnTables(ctx)
					return append(tables, own...), err
				},
				RowCount: func(ctx context.Context, table string) (int, error) {
					rows, err := server.Rows(ctx, table)
					return len(rows), err
				},
				Holders: true,
				Session: []databasetest.SessionChange{{
					Name:   "a setting",
					Change: "SET colour = red",
					Probe:  "INSERT INTO probe VALUES (1) WHERE colour = red",
				}},
				Never: func(table string) string {
					return "CREATE INDEX CONCURRENTLY on_" + table + " ON " + table + " (x)"
				},
				Func: func(id, table string, fail error) *migration.Script {
					return memdb.Func(id, func(ctx context.Context, tx memdb.Tx) error {
						if err := tx.Exec(ctx, "CREATE TABLE "+table+" (x int)"); err != nil {
							return err
						}
						return fail
					})
				},
				Slow:  "SELECT forever()",
				Break: func(db database.Database) { db.(*memdb.Database).Kill() },
			}
		})
	}
	_ = TestContract // in a driver's own test it is func TestContract(t *testing.T)
	// Output:
}
