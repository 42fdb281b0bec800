package testdb_test

import (
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestGaleraNodesShareWhatIsCommittedAndComeBackAfterKill(t *testing.T) {
	t.Parallel()
	cluster := testdb.Galera(t)
	database := cluster.New()
	for node := range cluster.Nodes() {
		if got := ask(t, connectMariaDB(t, cluster.URL(node, database)), "SELECT @@wsrep_on"); got != "1" {
			t.Errorf("node %d is no member of a cluster", node)
		}
	}
	first := connectMariaDB(t, cluster.URL(0, database))
	run(t, first, "CREATE TABLE t (n int PRIMARY KEY)")
	run(t, first, "INSERT INTO t VALUES (1)")

	last := connectMariaDB(t, cluster.URL(2, database))
	cluster.Kill(2)
	if _, err := last.ExecContext(t.Context(), "SELECT 1"); err == nil {
		t.Error("a connection to a node still works after Kill")
	}
	run(t, first, "INSERT INTO t VALUES (2)")
	for ask(t, first, "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_cluster_size'") != "2" {
		time.Sleep(10 * time.Millisecond)
	}

	cluster.Start(2)
	for node := range cluster.Nodes() {
		conn := connectMariaDB(t, cluster.URL(node, database))
		run(t, conn, "SET wsrep_sync_wait = 1")
		if got := ask(t, conn, "SELECT group_concat(n ORDER BY n) FROM t"); got != "1,2" {
			t.Errorf("node %d has %s", node, got)
		}
	}
}
