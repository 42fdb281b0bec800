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

// Lose makes a run lose its lock, as if another process had acquired it.
func Lose(ctx context.Context, r database.Run) error {
	h := r.(*run).h
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	query := "DO RELEASE_LOCK(" + literal(h.guard.names.guards(h.set)) + ")"
	if l, ok := h.guard.form.(*lease); ok {
		query = h.db.sql.fill("UPDATE {lease} SET owner = 'another' WHERE " + l.row(h.set))
	}
	_, err := h.guard.c.exec(ctx, query)
	return err
}

// LimitMessages sets what is known of the server's limit for messages, in bytes.
func LimitMessages(r database.Run, longest int64) {
	db := r.(*run).db
	db.mu.Lock()
	defer db.mu.Unlock()
	db.facts.packet = longest
}
