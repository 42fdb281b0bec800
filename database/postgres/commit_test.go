package postgres_test

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// If the connection is cut exactly at COMMIT, the Tx reports an unknown outcome, and the engine
// checks it: a committed migration is not repeated, any other is.
func TestUnknownCommit(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	for name, tt := range map[string]struct {
		direction testdb.Direction
		committed bool
	}{
		"before it reached the server": {testdb.ToServer, false},
		"before the answer came":       {testdb.ToClient, true},
	} {
		proxy := testdb.NewProxy(t, url)
		db := open(t, proxy.URL, database.Options{HistoryTable: name})
		must(t, apply(t, db, "s", 1, script("CREATE TABLE IF NOT EXISTS t (x int)")))
		b := begin(t, db, "s")
		must(t, b.Exec(background(t), script("INSERT INTO t VALUES (1)")))
		must(t, b.Record(background(t), event(2)))
		proxy.Reset()
		proxy.CutAfter(tt.direction, 0)
		as[*database.CommitUnknownError](t, errOf(b.Commit(background(t))))
		want := "[1]"
		if tt.committed {
			want = "[1 2]"
		}
		eventually(t, "the server has decided", func() bool { return versions(t, db, "s") == want })
	}
}
