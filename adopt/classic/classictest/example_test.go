package classictest_test

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
	"github.com/whimbrel-db/whimbrel/adopt/classic/classictest"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// A driver's test describes an empty database for each case.
func ExampleRun() {
	TestDriver := func(t *testing.T) {
		classictest.Run(t, func(*testing.T) classictest.Target {
			db := memdb.New()
			return classictest.Target{
				Open: func() (classic.Driver, error) {
					opened, err := db.Open(context.Background(), database.Options{})
					if err != nil {
						return nil, err
					}
					return classic.WithInstance(opened, classic.Config{})
				},
				RowCount: func(table string) (int, error) {
					rows, err := db.Rows(context.Background(), table)
					return len(rows), err
				},
			}
		})
	}
	_ = TestDriver
}
