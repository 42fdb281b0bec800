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

// An index that is being built waits for a transaction of somebody else, and is interrupted there, in whatever way. What it leaves
// behind is an invalid index, which the next process takes away, and builds it again.
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

// blocked interrupts a process while the index that it builds waits, and has the next one go on.
func (r *rig) blocked(t *testing.T, how string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, s := r.place.(*postgres), scenarioOf("a concurrent index")
	want, err := (&rig{place: p}).unbroken(ctx, s)
	if err != nil {
		return err
	}
	if err := r.prepare(ctx, s); err != nil {
		return err
	}
	release, err := p.blocks(ctx)
	if err != nil {
		return err
	}
	defer release()
	var child *process
	ended := make(chan error, 1)
	wire := p.proxies[cut]
	switch how {
	case "kill -9":
		if child, err = p.start(s, p.words()); err != nil {
			return err
		}
	default:
		go func() { ended <- r.attempt(ctx, p.through(wire), s) }()
	}
	pid, err := p.await(ctx, waitingQuery, true)
	if err != nil {
		return err
	}
	switch how {
	case "cancel", "terminate": // then the process itself has the time to take away what is left behind
		_, err = p.lines(ctx, "SELECT pg_"+how+"_backend("+pid+")::text")
		release()
	case "cut":
		wire.Cut()
	case "kill -9":
		_, err = child.kill()
		ended <- errors.New("it was killed")
	case "cut of the guard":
		_, err = p.lines(ctx, "SELECT pg_terminate_backend(pid)::text FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	}
	broken := <-ended
	if err != nil || broken == nil || stopsForGood(broken) {
		return fmt.Errorf("the interrupted process: %w", errors.Join(err, broken, errors.New("it was to be interrupted")))
	}
	if _, err := p.await(ctx, buildingQuery, false); err != nil {
		return err
	}
	left, err := p.lines(ctx, invalidQuery)
	if err != nil || (left == "") != (how == "cancel" || how == "terminate") {
		return fmt.Errorf("what is left behind is %q (%w), after: %w", left, err, broken)
	}
	next := make(chan error, 1)
	go func() { next <- r.attempt(ctx, p.open, s) }()
	time.Sleep(20 * time.Millisecond) // so that it mostly finds the other transaction still open
	release()
	if err := <-next; err != nil {
		return fmt.Errorf("the next process failed: %w, after: %w", err, broken)
	}
	got, err := r.sight(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("the end is another one:\n%s", difference(want, got))
	}
	return err
}

// blocks opens a transaction that has written to the table, and returns what ends it.
func (p *postgres) blocks(ctx context.Context) (release func(), err error) {
	return p.holds(ctx, "INSERT INTO a VALUES (100)")
}

// holds opens a transaction that has done something, and returns what ends it.
func (p *postgres) holds(ctx context.Context, sql string) (release func(), err error) {
	c, err := pgx.Connect(ctx, p.direct)
	if err != nil {
		return nil, err
	}
	_, err = c.PgConn().Exec(ctx, "BEGIN; "+sql).ReadAll()
	return func() { c.Close(context.WithoutCancel(ctx)) }, err
}

// await waits until a query has an answer, or has none any more.
func (p *postgres) await(ctx context.Context, sql string, some bool) (answer string, err error) {
	for {
		answer, err = p.lines(ctx, sql)
		if err != nil || (answer != "") == some {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for it: %s: %w", sql, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}
