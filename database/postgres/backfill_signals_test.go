package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// signal measures what a throttle asks for. Only one thing besides waiting sessions is asked for.
func signal(t testing.TB, db database.Database, th migration.Throttle) database.Signal {
	t.Helper()
	all, err := backfiller(db).Signals(background(t), storedFill(t, db), th)
	must(t, err)
	return all[len(all)-1]
}

// A replica whose replay is paused makes a backfill stop within a batch, and continue when the
// replica has caught up.
func TestBackfillWaitsForReplica(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t)
	replica := server.Replica("copy")
	url := server.New()
	c, there := connect(t, url), connect(t, replica.URL)
	db := open(t, url)
	const rows = 3000
	do(t, c, fmt.Sprintf("CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO t SELECT generate_series(1, %d)", rows))
	s := fill(t, "-- whimbrel: backfill t\n-- whimbrel: batch 10\n-- whimbrel: pause 20ms\n-- whimbrel: max-lag 500ms\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last")
	set, err := migration.NewSet("s", migration.Migration{Version: 1, Name: "x", Up: s})
	must(t, err)
	var waits atomic.Int64
	var last atomic.Value
	m := whimbrel.New(db, set, whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
		if w, ok := e.(whimbrel.BackfillWaiting); ok {
			for _, s := range w.Signals {
				last.Store(s)
			}
			waits.Add(1)
		}
	}})
	done := make(chan error, 1)
	go func() { done <- errOf(m.Up(background(t))) }()
	changed := func() string { return value(t, c, "SELECT count(*) FROM t WHERE n > 0") }
	eventually(t, "batches are committed", func() bool {
		return value(t, c, "SELECT to_regclass('whimbrel_lanes') IS NOT NULL") == "true" && changed() != "0"
	})
	do(t, there, "SELECT pg_wal_replay_pause()")
	eventually(t, "the backfill waits", func() bool { return waits.Load() > 0 })
	stopped := changed()
	was := waits.Load()
	eventually(t, "it looks again", func() bool { return waits.Load() > was })
	equal(t, "the rows changed while the replica is paused", changed(), stopped)
	signal := last.Load().(database.Signal)
	equal(t, "the signal", signal.Name, "max-lag")
	contains(t, "what it says", signal.Text, "replica copy is", "behind")
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	contains(t, "why it waits", storedFill(t, db).ThrottledBy, "replica copy")
	do(t, there, "SELECT pg_wal_replay_resume()")
	must(t, <-done)
	equal(t, "the rows", counts(t, c), fmt.Sprintf("1: %d", rows))
}

// What is asked for and can't be measured is an error of the signal.
func TestSignals(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t)
	replica := server.Replica("copy")
	url := server.New()
	db, c, _ := filling(t, url, 10, fillBody)
	there := connect(t, replica.URL)

	s := signal(t, db, migration.Throttle{Lag: time.Hour})
	equal(t, "the signal", fmt.Sprintf("%s %t %v", s.Name, s.Over, s.Err), "max-lag false <nil>")
	contains(t, "what it says", s.Text, "replica copy is")
	do(t, there, "SELECT pg_wal_replay_pause()")
	do(t, c, "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 40000)")
	fresh := open(t, url)
	s = signal(t, fresh, migration.Throttle{Lag: time.Hour})
	equal(t, "whether a replica that is 40 MB behind for an unknown time counts as over", s.Over, true)
	do(t, there, "SELECT pg_wal_replay_resume()")
	eventually(t, "the replica has caught up", func() bool { return !signal(t, fresh, migration.Throttle{Lag: time.Hour}).Over })

	reader := role(t, c, "reader", "LOGIN")
	do(t, c, "GRANT SELECT ON whimbrel_history, whimbrel_settings, whimbrel_journal, whimbrel_backfills, whimbrel_lanes TO "+reader)
	theirs := open(t, asRole(url, reader))
	s = signal(t, theirs, migration.Throttle{Lag: time.Hour})
	if s.Err == nil {
		t.Fatalf("a role without privileges measures the lag: %+v", s)
	}
	contains(t, "the error", s.Err.Error(), "pg_monitor")
	for name, th := range map[string]migration.Throttle{
		"max-slot-wal": {SlotWAL: 1 << 40}, "max-wal-rate": {WALRate: 1 << 40}, "wait-for-autovacuum": {Autovacuum: true}, "throttle": {Query: "SELECT false"},
	} {
		s := signal(t, theirs, th)
		equal(t, "the signal", fmt.Sprintf("%s %t %v", s.Name, s.Over, s.Err), name+" false <nil>")
	}

	replica.Stop()
	eventually(t, "the server notices that the replica is gone", func() bool {
		s = signal(t, db, migration.Throttle{Lag: time.Hour})
		return s.Text == "no replica is connected"
	})
	do(t, c, "SELECT pg_create_physical_replication_slot('waiting', true)")
	do(t, c, "CREATE TABLE more AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
	s = signal(t, db, migration.Throttle{SlotWAL: 1 << 20})
	equal(t, "whether the slot is over", s.Over, true)
	contains(t, "what it says", s.Text, "the replication slot waiting retains", "MB")
	s = signal(t, db, migration.Throttle{SlotWAL: 1 << 40})
	equal(t, "whether the slot is over a higher limit", s.Over, false)
	s = signal(t, db, migration.Throttle{Lag: time.Hour})
	if s.Err == nil {
		t.Fatalf("the lag of a slot without a replica is known: %+v", s)
	}
	contains(t, "the error", s.Err.Error(), `"waiting"`)

	stop := make(chan struct{})
	written := make(chan error)
	go func() {
		var err error
		w := connect(t, url)
		for err == nil {
			select {
			case <-stop:
				written <- nil
				return
			default:
				_, err = w.Exec(context.Background(), "UPDATE more SET repeat = repeat")
			}
		}
		written <- err
	}()
	eventually(t, "the rate is over", func() bool { return signal(t, db, migration.Throttle{WALRate: 1000}).Over })
	close(stop)
	must(t, <-written)
	s = signal(t, db, migration.Throttle{FlowControl: 0.5})
	if s.Err == nil || s.Name != "max-flow-control" {
		t.Errorf("PostgreSQL has flow control: %+v", s)
	}
}

// The query of a throttle decides by a boolean or a number, and can't change anything.
func TestThrottleQuery(t *testing.T) {
	t.Parallel()
	db, c, _ := filling(t, testdb.Postgres(t), 10, fillBody)
	for query, want := range map[string]string{
		"SELECT true": "true", "SELECT false": "false", "SELECT count(*) FROM t": "true", "SELECT 0": "false", "SELECT 0.5": "true",
		"SELECT count(*) > 5 FROM t WHERE n > 0": "false",
		"SELECT 'x'":                             "neither a boolean nor a number", "SELECT NULL": "neither a boolean nor a number", "SELECT 1, 2": "must return one value",
		"SELECT true FROM t": "must return one value", "DELETE FROM t": "only reads", "SELECT 1 / 0": "division by zero", "SELECT nix": "nix",
	} {
		s := signal(t, db, migration.Throttle{Query: query})
		got := fmt.Sprint(s.Over)
		if s.Err != nil {
			got = s.Err.Error()
		}
		contains(t, "the result of "+query, got, want)
	}
	equal(t, "the rows", counts(t, c), "0: 10")
}

// Sessions that wait for locks of a batch are reported, and those that wait for others are not.
func TestSignalOfWaitingSessions(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db, c, s := filling(t, url, 100, fillBody+";\nSELECT pg_sleep(CASE :last WHEN 10 THEN 600 ELSE 0 END)")
	_, w := claimLane(t, db, claimOf(s, "w"))
	ctx, cancel := context.WithCancel(background(t))
	done := make(chan error)
	go func() { done <- errOf(w.Batch(ctx, 10)) }()
	eventually(t, "the batch sleeps", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") == "1"
	})
	equal(t, "whether somebody waits", signal(t, db, migration.Throttle{}).Over, false)
	other := connect(t, url+"&application_name=shop")
	waited := make(chan error)
	go func() { waited <- errOf(other.Exec(background(t), "UPDATE t SET n = 7 WHERE id = 5")) }()
	eventually(t, "the signal reports the session", func() bool { return signal(t, db, migration.Throttle{}).Over })
	got := signal(t, db, migration.Throttle{})
	equal(t, "the name", got.Name, "lock-waits")
	contains(t, "what it says", got.Text, "1 session waits for locks of the backfill (pid", "application shop)")
	cancel()
	is(t, <-done, context.Canceled)
	must(t, <-waited)
	equal(t, "whether somebody waits", signal(t, db, migration.Throttle{}).Over, false)
}

// Autovacuum on the table is seen by every role.
func TestSignalOfAutovacuum(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t, "autovacuum_naptime=1", "autovacuum_vacuum_cost_limit=1", "autovacuum_vacuum_cost_delay=100ms")
	url := server.New()
	db, c, _ := filling(t, url, 20000, fillBody)
	equal(t, "whether autovacuum is at work", signal(t, db, migration.Throttle{Autovacuum: true}).Over, false)
	do(t, c, "ALTER TABLE t SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0); UPDATE t SET n = 0")
	eventually(t, "the signal reports autovacuum", func() bool {
		s := signal(t, db, migration.Throttle{Autovacuum: true})
		return s.Over && strings.Contains(s.Text, "autovacuum works on public.t (pid ")
	})
}
