package mysql

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
)

// GuardOf returns the id of the connection that holds a run's lock.
func GuardOf(r database.Run) int64 { return r.(*run).h.guard.id }

// Tests that break connections wait for leases to expire.
func init() { leaseSeconds = "6" }

// AskGuard reads one value in the session that holds a run's lock.
func AskGuard(ctx context.Context, r database.Run, query string) (value string, err error) {
	g := r.(*run).h.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	err = g.c.row(ctx, query, nil, &value)
	return value, err
}
