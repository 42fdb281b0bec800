package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// In a cluster, where each node has its own GET_LOCK, the lock is a lease by default.
func TestGalera(t *testing.T) {
	t.Parallel()
	cluster := testdb.Galera(t)
	t.Run("one at a time", func(t *testing.T) { galeraLocks(t, cluster) })
	t.Run("many at once", func(t *testing.T) { galeraMany(t, cluster) })
	t.Run("who was overtaken can't commit", func(t *testing.T) { galeraOvertaken(t, cluster) })
	t.Run("a backfill", func(t *testing.T) { galeraFill(t, cluster) })
	t.Run("a node is killed", func(t *testing.T) { galeraKilled(t, cluster) })
}

func galeraLocks(t *testing.T, cluster *testdb.GaleraCluster) {
	name := cluster.New()
	one, two := open(t, cluster.URL(0, name)), open(t, cluster.URL(1, name))
	b, _, err := one.Begin(background(t), "s", database.LockOptions{})
	must(t, err)
	_, _, err = two.Begin(background(t), "s", database.LockOptions{})
	if !errors.Is(err, database.ErrLocked) {
		t.Fatalf("Begin on another node returned %v", err)
	}
	must(t, b.Rollback(background(t)))
	b, _, err = two.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.Rollback(background(t)))
}

// galeraFill lets workers on all nodes execute one backfill. One of them is overtaken on another
// node.
func galeraFill(t *testing.T, cluster *testdb.GaleraCluster) {
	name := cluster.New()
	pool := cluster.Open(0, name)
	for _, statement := range []string{"CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) SELECT seq FROM seq_1_to_1000"} {
		must(t, errOf(pool.Exec(statement)))
	}
	s := backfillOf(t, countEach)
	db := open(t, cluster.URL(0, name)).(filler)
	startFill(t, db, s)
	ask := laneOf(s, "overtaken")
	ask.Lease = time.Millisecond
	_, slow, err := db.ClaimLane(background(t), ask)
	must(t, err)
	errs := make([]error, 2*cluster.Nodes())
	var all sync.WaitGroup
	for i := range errs {
		node := i % cluster.Nodes()
		equal(t, "the rows on a node that has caught up", value(t, cluster.Open(node, name), "SELECT count(*) FROM t"), "1000")
		other := open(t, cluster.URL(node, name)).(filler)
		all.Go(func() { errs[i] = fillAll(context.Background(), other, laneOf(s, fmt.Sprint("worker ", i)), 9) })
	}
	all.Wait()
	must(t, errors.Join(errs...))
	if _, err := slow.Batch(background(t), 9); !errors.Is(err, database.ErrLeaseLost) {
		t.Errorf("a batch of a worker that was overtaken returned %v, want ErrLeaseLost", err)
	}
	must(t, slow.Close(background(t), nil))
	equal(t, "the rows that were changed once", value(t, pool, "SELECT count(*) FROM t WHERE n = 1"), "1000")
	signals, err := db.Signals(background(t), database.Backfill{}, migration.Throttle{FlowControl: 1})
	must(t, err)
	if len(signals) == 0 || signals[0].Err != nil || signals[0].Over {
		t.Errorf("the cluster's flow control: %+v", signals)
	}
}

func galeraMany(t *testing.T, cluster *testdb.GaleraCluster) {
	name := cluster.New()
	ups := []string{"CREATE TABLE a (id int AUTO_INCREMENT PRIMARY KEY, x int)", "INSERT INTO a (x) VALUES (1)", "ALTER TABLE a ADD COLUMN y int; INSERT INTO a (x) VALUES (2)", "UPDATE a SET x = x + 1"}
	set := setOf(t, "s", ups...)
	errs := make([]error, 12)
	var all sync.WaitGroup
	for i := range errs {
		db := open(t, cluster.URL(i%cluster.Nodes(), name))
		all.Go(func() {
			_, errs[i] = whimbrel.New(db, set, whimbrel.Options{MigrationLockTimeout: waitLimit}).Up(context.Background())
		})
	}
	all.Wait()
	must(t, errors.Join(errs...))
	pool := cluster.Open(0, name)
	equal(t, "the rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM a"), "2,3")
	equal(t, "the events", value(t, pool, "SELECT group_concat(version ORDER BY id) FROM whimbrel_history WHERE set_name = 's'"), "1,2,3,4")
}

// galeraOvertaken takes over a lease that was not renewed in time.
func galeraOvertaken(t *testing.T, cluster *testdb.GaleraCluster) {
	name := cluster.New()
	one, two := open(t, cluster.URL(0, name)), open(t, cluster.URL(1, name))
	_, err := up(t, one, setOf(t, "s", "CREATE TABLE a (x int PRIMARY KEY)"))
	must(t, err)
	b, _, err := one.Begin(background(t), "s", database.LockOptions{})
	must(t, err)
	must(t, b.Exec(background(t), migration.Text("x.sql", "INSERT INTO a VALUES (1)")))
	pool := cluster.Open(1, name)
	_, err = pool.Exec("UPDATE whimbrel_lease SET until = '1990-01-01'")
	must(t, err)
	next, _, err := two.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	if err := b.Record(background(t), database.Entry{Version: 7, Direction: database.Up}); err == nil {
		_, err = b.Commit(background(t))
		if err == nil {
			t.Fatal("who lost the lease has committed")
		}
	}
	must(t, b.Rollback(background(t)))
	must(t, next.Rollback(background(t)))
	equal(t, "the rows", value(t, pool, "SELECT count(*) FROM a"), "0")
	equal(t, "the applied versions", versions(t, two, "s"), "[1]")
}

// galeraKilled kills a node in the middle of a migration: the next attempt, on another node,
// resumes.
func galeraKilled(t *testing.T, cluster *testdb.GaleraCluster) {
	name := cluster.New()
	const victim = 2
	db := open(t, cluster.URL(victim, name))
	pool := testdb.OpenMariaDB(t, cluster.URL(victim, name))
	stopped := make(chan error, 1)
	ups := []string{"CREATE TABLE a (id int AUTO_INCREMENT PRIMARY KEY, x int)", "ALTER TABLE a ADD COLUMN y int; INSERT INTO a (x) VALUES (1); INSERT INTO a (x) SELECT SLEEP(30)"}
	go func() {
		_, err := whimbrel.New(db, setOf(t, "s", ups...), whimbrel.Options{}).Up(background(t))
		stopped <- err
	}()
	eventually(t, "the statement runs", func() bool { return isRunning(t, pool, "INSERT INTO a (x) SELECT SLEEP%") })
	cluster.Kill(victim)
	if err := <-stopped; err == nil {
		t.Error("Up on a node that was killed returned no error")
	}
	ups[1] = "ALTER TABLE a ADD COLUMN y int; INSERT INTO a (x) VALUES (1); INSERT INTO a (x) VALUES (2)"
	other := open(t, cluster.URL(0, name))
	_, err := whimbrel.New(other, setOf(t, "s", ups...), whimbrel.Options{MigrationLockTimeout: waitLimit}).Up(background(t))
	must(t, err)
	equal(t, "the applied versions", versions(t, other, "s"), "[1 2]")
	rows := cluster.Open(1, name)
	equal(t, "the rows", value(t, rows, "SELECT group_concat(x ORDER BY x) FROM a"), "1,2")
	cluster.Start(victim)
	equal(t, "the applied versions on the node that is back", versions(t, open(t, cluster.URL(victim, name)), "s"), fmt.Sprint([]int{1, 2}))
}
