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

// holdOf returns the lock of a Tx or a Run.
func holdOf(held any) *hold {
	if r, ok := held.(*run); ok {
		return r.h
	}
	return held.(*transaction).h
}

// Lose makes a Tx or a Run lose its lock, as if another process had acquired it.
func Lose(ctx context.Context, held any) error {
	h := holdOf(held)
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	query := "DO RELEASE_LOCK(" + literal(h.guard.names.guards(h.set)) + ")"
	if l, ok := h.guard.form.(*lease); ok {
		query = h.db.sql.fill("UPDATE {lease} SET owner = 'another' WHERE " + l.row(h.set))
	}
	_, err := h.guard.c.exec(ctx, query)
	return err
}

// ConnectionsOf returns the ids of the connections of a Tx or a Run.
func ConnectionsOf(held any) (guard, worker int64) {
	h := holdOf(held)
	return h.guard.id, h.worker.id
}

// Suspend keeps a Tx or a Run from noticing a lost lock, as if its process were suspended.
func Suspend(held any) (resume func()) {
	g := holdOf(held).guard
	g.mu.Lock()
	return g.mu.Unlock
}

// LimitMessages sets what is known of the server's limit for messages, in bytes.
func LimitMessages(held any, longest int64) {
	db := holdOf(held).db
	db.mu.Lock()
	defer db.mu.Unlock()
	db.facts.packet = longest
}

// BeMySQL makes a Tx treat the server as one of MySQL.
func BeMySQL(tx database.Tx) {
	db := holdOf(tx).db
	db.mu.Lock()
	defer db.mu.Unlock()
	db.facts.maria, db.facts.version = false, "8.0.36"
}

// Announced returns, for each statement that a run was told ahead, the first one that the same
// write announces.
func Announced(r database.Run) (heads []int) {
	at := map[*call]int{}
	for _, c := range r.(*run).ahead.calls {
		switch {
		case c.head != nil:
			heads = append(heads, at[c.head])
		case c.a != nil:
			at[c] = len(heads)
			heads = append(heads, at[c])
		}
	}
	return heads
}

// StateAfter reads the state of a set after a value of another query, which it sends in the same
// message. read is false if that query was not executed.
func StateAfter(ctx context.Context, db database.Database, set, query string) (st *database.State, value string, read bool, err error) {
	d := db.(*Database)
	first := &oneRow{query: query, to: []any{&value}}
	err = d.reading(ctx, func(ctx context.Context, c *conn) error {
		st, err = d.committedState(ctx, c, set, first)
		return err
	})
	return st, value, first.read, err
}
