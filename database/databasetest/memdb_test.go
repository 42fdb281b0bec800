package databasetest_test

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestMemdb(t *testing.T) {
	databasetest.Run(t, func(*testing.T) databasetest.Target { return memTarget(memdb.New()) })
}

// A driver that queues tells of errors as late as it may.
func TestMemdbQueued(t *testing.T) {
	databasetest.Run(t, func(*testing.T) databasetest.Target {
		target := memdb.New()
		target.Queue(true)
		return memTarget(target)
	})
}

// memTarget is what the suite must know of memdb.
func memTarget(target *memdb.Target) databasetest.Target {
	return databasetest.Target{
		Open: func(ctx context.Context, opts database.Options) (database.Database, error) {
			db, err := target.Open(ctx, opts)
			if err != nil {
				return nil, err
			}
			return db, nil
		},
		Tables: func(ctx context.Context) ([]string, error) {
			tables, err := target.Tables(ctx)
			if err != nil {
				return nil, err
			}
			own, err := target.OwnTables(ctx)
			return append(tables, own...), err
		},
		RowCount: func(ctx context.Context, table string) (int, error) {
			rows, err := target.Rows(ctx, table)
			return len(rows), err
		},
		Schemas: true,
		Holders: true,
		Session: []databasetest.SessionChange{{
			Name: "a setting", Change: "SET colour = red", Probe: "INSERT INTO probe VALUES (1) WHERE colour = red",
		}},
		Never: func(table string) string { return "CREATE INDEX CONCURRENTLY on_" + table + " ON " + table + " (x)" },
		Func: func(id, table string, fail error) *migration.Script {
			return memdb.Func(id, func(ctx context.Context, tx memdb.Tx) error {
				if err := tx.Exec(ctx, "CREATE TABLE "+table+" (x int)"); err != nil {
					return err
				}
				return fail
			})
		},
		Slow:   "SELECT forever()",
		Notice: "NOTICE 'hello from whimbrel'",
		Break: func(db database.Database) {
			if db, ok := db.(*memdb.Database); ok {
				db.Kill()
			}
		},
	}
}
