package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// GaleraCluster is a cluster of three MariaDB servers for one test. Each accepts writes.
type GaleraCluster struct {
	t       testing.TB
	library string
	nodes   []*galeraNode
	begun   bool
}

type galeraNode struct {
	*MariaDBServer
	cluster *GaleraCluster
}

// Galera starts a cluster for one test. This takes seconds, so subtests should share one, with a
// database for each. It ends with the test.
func Galera(t testing.TB) *GaleraCluster {
	t.Helper()
	g := &GaleraCluster{t: t, library: need(t, envGalera, "MariaDB's Galera library")}
	for i := range 3 {
		n := &galeraNode{MariaDBServer: newMariaDB(t, fmt.Sprintf("galera-%d", i), nil), cluster: g}
		// one for clients, two for other nodes, one for a state transfer
		n.ports = 4
		n.command, n.answers, n.startTimeout = n.member, n.synced, 10*time.Minute
		g.nodes = append(g.nodes, n)
	}
	for node := range g.nodes {
		g.Start(node)
	}
	return g
}

// Nodes returns the number of nodes. They are numbered from 0.
func (g *GaleraCluster) Nodes() int { return len(g.nodes) }

// New creates an empty database on all running nodes, and returns its name.
func (g *GaleraCluster) New() (database string) {
	g.t.Helper()
	database = databaseName(g.t)
	statement := "CREATE DATABASE " + database
	for _, n := range g.nodes {
		if n.process == nil {
			continue
		}
		n.exec(statement)
		statement = "SELECT 1" // waits until the node has caught up
	}
	return database
}

// URL returns the URL of a database on a node, as root. It stays the same over Kill and Start.
func (g *GaleraCluster) URL(node int, database string) string {
	return withDatabase(g.t, g.nodes[node].URL, database)
}

// Open returns a pool on a node, as root. Its statements see everything that another node has
// committed before: a node alone may lag. It is closed when the test ends.
func (g *GaleraCluster) Open(node int, database string) *sql.DB {
	g.t.Helper()
	config := mariaDBConfig(parse(g.t, g.URL(node, database)))
	config.Params = map[string]string{"wsrep_sync_wait": "15"}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		g.t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	g.t.Cleanup(func() { _ = db.Close() }) // fails if the node was killed
	return db
}

// Kill kills a node, like SIGKILL or a power failure. The others notice after about five seconds,
// and commits on them may wait until then. They continue as long as they are the majority.
func (g *GaleraCluster) Kill(node int) { g.nodes[node].Kill() }

// Start starts a node after Kill, and returns when it has caught up. A majority of the other nodes
// must be running.
func (g *GaleraCluster) Start(node int) {
	g.t.Helper()
	if g.begun && len(g.running()) == 0 {
		g.t.Fatal("no node of the cluster runs: Kill must leave one")
	}
	g.nodes[node].Start()
	g.begun = true
}

// running returns the addresses by which the running nodes know each other.
func (g *GaleraCluster) running() []string {
	var addresses []string
	for _, n := range g.nodes {
		if n.process != nil {
			addresses = append(addresses, n.address(1))
		}
	}
	return addresses
}

// address returns the address of a node's i-th port.
func (n *galeraNode) address(i int) string { return fmt.Sprintf("127.0.0.1:%d", n.port+i) }

func (n *galeraNode) member() *exec.Cmd {
	provider := []string{
		fmt.Sprintf("base_port=%d", n.port+1), "gmcast.listen_addr=tcp://" + n.address(1),
		"ist.recv_addr=" + n.address(2), "ist.recv_bind=" + n.address(2), "gcache.size=16M",
	}
	n.settings = []string{
		"binlog-format=ROW", "innodb-autoinc-lock-mode=2", "wsrep-on=ON", "wsrep-provider=" + n.cluster.library,
		// Without other nodes it is a new cluster.
		"wsrep-cluster-address=gcomm://" + strings.Join(n.cluster.running(), ","), "wsrep-node-address=" + n.address(1),
		"wsrep-sst-method=rsync", "wsrep-sst-receive-address=" + n.address(3),
		"wsrep-provider-options=" + strings.Join(provider, ";"),
	}
	return n.mariadbd()
}

func (n *galeraNode) synced(ctx context.Context) error {
	db := openMariaDB(n.t, n.URL)
	defer db.Close()
	var name, state string
	if err := db.QueryRowContext(ctx, "SHOW STATUS LIKE 'wsrep_local_state_comment'").Scan(&name, &state); err != nil {
		return err
	}
	if state != "Synced" {
		return fmt.Errorf("the node is not part of the cluster: %s", state)
	}
	return nil
}

// exec executes a statement after the node has caught up.
func (n *galeraNode) exec(statement string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	db := openMariaDB(n.t, n.URL)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, "SET wsrep_sync_wait = 15")
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, statement)
	}
	if err != nil {
		n.t.Fatalf("%s: %v", statement, err)
	}
}
