package postgres_test

import (
	"strconv"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// The process id reported for a statement that may still be running is the server's.
func TestBackendOfARun(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	r := guard(t, db, "s")
	must(t, execAll(t.Context(), db, r, script("CREATE TABLE mine AS SELECT pg_backend_pid() AS pid")))
	if pid, want := database.Backend(r), value(t, connect(t, url), "SELECT pid FROM mine"); strconv.FormatInt(pid, 10) != want {
		t.Errorf("the run's backend is %d, its statements ran in %s", pid, want)
	}
	pooled, _ := testdb.PgBouncer(t)
	if pid := database.Backend(guard(t, open(t, pooled), "s")); pid != 0 {
		t.Errorf("through PgBouncer the backend is %d, which is a client's of the pooler", pid)
	}
}
