package postgres_test

import (
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// noticing reads how a session's server detects a dead client. The kernel's values come from the
// socket.
const noticing = `concat_ws(' ', current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'), current_setting('tcp_keepalives_count'),
	current_setting('tcp_user_timeout'), current_setting('client_connection_check_interval', true))`

// A session that holds a lock, or works under one, makes its server detect a dead client, and only
// as long as it does so.
func TestServerDetectsADeadClient(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprintf("PostgreSQL %d", m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			want := "4 2 3 10000"
			if m.Major >= 14 {
				want += " 1s"
			}
			c := connect(t, url)
			pool := newPool(t, url, ofSize(1), simpleAfterConnect("SET tcp_keepalives_idle = 77; SET tcp_user_timeout = 77000"))
			before := poolValue(t, pool, noticing)
			db := postgres.NewPool(pool, database.Options{})

			must(t, apply(t, db, "s", 1, script("CREATE TABLE seen AS SELECT "+noticing+" AS x")))
			equal(t, "what the server does for a transaction", value(t, c, "SELECT x FROM seen"), want)
			equal(t, "what it does after it", poolValue(t, pool, noticing), before)

			r := guard(t, db, "s")
			must(t, execAll(background(t), db, r, script("CREATE TABLE worker AS SELECT "+noticing+" AS x; RESET ALL; CREATE TABLE again AS SELECT "+noticing+" AS x")))
			equal(t, "what it does for the worker of a run", value(t, c, "SELECT x FROM worker"), want)
			equal(t, "what it does for one that has reset its settings", value(t, c, "SELECT x FROM again"), want)
			of, err := postgres.AskGuard(background(t), r, "SELECT "+noticing+" || ' ' || current_setting('idle_in_transaction_session_timeout')")
			must(t, err)
			equal(t, "what it does for the guard", of, want+" 12s")
			must(t, r.Close(background(t)))
			equal(t, "what it does after a run", poolValue(t, pool, noticing), before)
		})
	}
}

// The replacement of a worker with a broken connection does so as well.
func TestReplacedWorkerDetectsADeadClient(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	db := open(t, url)
	r := guard(t, db, "s")
	as[*database.StatementError](t, execAll(background(t), db, r, script("SELECT pg_terminate_backend(pg_backend_pid())")))
	must(t, r.Journal(background(t), &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 1, Begun: "SELECT 1"}))
	must(t, execAll(background(t), db, r, script("CREATE TABLE worker AS SELECT "+noticing+" AS x")))
	equal(t, "what the server does for the worker", value(t, c, "SELECT x FROM worker"), "4 2 3 10000 1s")
	must(t, r.Journal(background(t), nil))
	must(t, r.Close(background(t)))
}

// A guard that is idle for long is kept alive.
func TestGuardBeats(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	r := guard(t, open(t, url), "s")
	eventually(t, "the guard has said something", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '-- whimbrel: the migration lock%' AND state = 'idle in transaction' AND backend_xmin IS NULL") == "1"
	})
	must(t, r.Close(background(t)))
}
