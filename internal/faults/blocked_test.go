package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestBlockedIndex interrupts CREATE INDEX CONCURRENTLY while it waits for another transaction.
// That leaves an invalid index. The next process must drop the index and build it again.
func TestBlockedIndex(t *testing.T) {
	for _, how := range []string{"cancel", "terminate", "cut", "cut of the guard", "kill -9"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			r := &rig{place: newPostgres(t, url, url)}
			if err := r.blocked(t, how); err != nil {
				t.Error(err)
			}
			tally.add("PostgreSQL: a blocked CREATE INDEX CONCURRENTLY", 1)
		})
	}
}

const (
	buildingQuery = `SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'CREATE INDEX CONCURRENTLY%'`
	waitingQuery  = buildingQuery + ` AND wait_event_type = 'Lock'`
)

// blocked interrupts a process while its index waits, and lets the next process resume the run.
func (r *rig) blocked(t *testing.T, how string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	p, s := r.place.(*postgres), scenarioOf("a concurrent index")
	want, err := (&rig{place: p}).playUnbroken(ctx, s)
	if err != nil {
		return err
	}
	if err := r.prepare(ctx, s); err != nil {
		return err
	}
	release, err := p.writeInTransaction(ctx)
	if err != nil {
		return err
	}
	defer release()
	var child *process
	ended := make(chan error, 1)
	wire := p.proxies[cut]
	switch how {
	case "kill -9":
		if child, err = p.start(s, p.placeholders()); err != nil {
			return err
		}
	default:
		go func() { ended <- r.attempt(ctx, p.openThrough(wire), s) }()
	}
	pid, err := p.awaitQuery(ctx, waitingQuery, true)
	if err != nil {
		return err
	}
	switch how {
	case "cancel", "terminate": // the process is still connected and drops the invalid index itself
		_, err = p.lines(ctx, "SELECT pg_"+how+"_backend("+pid+")::text")
		release()
	case "cut":
		wire.Cut()
	case "kill -9":
		_, err = child.kill()
		ended <- errors.New("killed")
	case "cut of the guard":
		_, err = p.lines(ctx, "SELECT pg_terminate_backend(pid)::text FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	}
	broken := <-ended
	if err != nil || broken == nil || needsDecision(broken) {
		return fmt.Errorf("the process was not interrupted: %w", errors.Join(err, broken))
	}
	if _, err := p.awaitQuery(ctx, buildingQuery, false); err != nil {
		return err
	}
	left, err := p.lines(ctx, invalidQuery)
	if err != nil || (left == "") != (how == "cancel" || how == "terminate") {
		return fmt.Errorf("invalid indexes after the interruption: %q (%w), after: %w", left, err, broken)
	}
	next := make(chan error, 1)
	go func() { next <- r.attempt(ctx, p.open, s) }()
	time.Sleep(20 * time.Millisecond) // usually long enough to find the other transaction still open
	release()
	if err := <-next; err != nil {
		return fmt.Errorf("the next process failed: %w, after: %w", err, broken)
	}
	got, err := r.finalState(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("the final state differs:\n%s", diffLines(want, got))
	}
	return err
}

// writeInTransaction opens a transaction that has written to table a. release ends it.
func (p *postgres) writeInTransaction(ctx context.Context) (release func(), err error) {
	return p.openTransaction(ctx, "INSERT INTO a VALUES (100)")
}

// openTransaction opens a transaction that has executed sql. release ends it.
func (p *postgres) openTransaction(ctx context.Context, sql string) (release func(), err error) {
	c, err := pgx.Connect(ctx, p.direct)
	if err != nil {
		return nil, err
	}
	_, err = c.PgConn().Exec(ctx, "BEGIN; "+sql).ReadAll()
	return func() { c.Close(context.WithoutCancel(ctx)) }, err
}

// awaitQuery waits until a query returns rows (some), or returns none.
func (p *postgres) awaitQuery(ctx context.Context, sql string, some bool) (answer string, err error) {
	pause := pauses()
	for {
		answer, err = p.lines(ctx, sql)
		if err != nil || (answer != "") == some {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for rows of %s: %w", sql, ctx.Err())
		case <-time.After(pause()):
		}
	}
}
