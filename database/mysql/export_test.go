package mysql

import "github.com/whimbrel-db/whimbrel/database"

// GuardOf returns the number of the connection that holds a run's lock.
func GuardOf(r database.Run) int64 { return r.(*run).h.guard.id }

// Tests that break connections wait for leases to run out.
func init() { leaseSeconds = "6" }
