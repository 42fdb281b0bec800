package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The connection is cut after every message, in both directions: whatever the first attempt
// says, a second one reaches the same schema with a true history, each migration exactly once.
func TestEveryCutIsSurvived(t *testing.T) {
	set := setOf(t, "s",
		"CREATE TABLE a (x int PRIMARY KEY);",
		"INSERT INTO a VALUES (1); SET search_path = pg_catalog; SET whim.x = '1'",
		strings.Repeat("SELECT 1;\n", 40)+"INSERT INTO a VALUES (2);\nCOPY a FROM stdin;\n3\n4\n\\.\n",
	)
	for _, direction := range []testdb.Direction{testdb.ToServer, testdb.ToClient} {
		for _, atomic := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, atomic %v", direction, atomic), func(t *testing.T) {
				t.Parallel()
				url := testdb.Postgres(t)
				opts := whimbrel.Options{Atomic: atomic, LockTimeout: patience}
				proxy := testdb.NewProxy(t, url)
				proxy.Quiet = 0
				db, c := open(t, url), connectFor(t, url)
				unknown := 0
				messages := 1000
				for n := 0; n < messages; n += 1 + n/20 {
					do(t, c, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
					proxy.Reset()
					proxy.CutAfter(direction, n)
					first := upOnce(t, proxy.URL, set, opts)
					if first == nil {
						messages = min(messages, proxy.Messages(direction)) // the cut did no harm, or came too late to be made
					}
					if first != nil && strings.Contains(first.Error(), "may or may not have happened") {
						unknown++
					}
					proxy.CutAfter(direction, -1)
					must(t, upOnce(t, proxy.URL, set, opts))
					equal(t, fmt.Sprintf("what is applied after a cut at message %d (%v)", n, first), versions(t, db, "s"), "[1 2 3]")
					equal(t, "the number of events", count(t, db), 4)
					equal(t, "the rows", value(t, c, "SELECT string_agg(x::text, ',' ORDER BY x) FROM a"), "1,2,3,4")
				}
				t.Logf("cut at %d of messages %v; %d times the engine was not told either", messages, direction, unknown)
			})
		}
	}
}

func upOnce(t *testing.T, url string, set *migration.Set, opts whimbrel.Options) error {
	ctx := background(t)
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = whimbrel.New(db, set, opts).Up(ctx)
	return err
}

// When the connection is cut exactly at COMMIT, the batch says that it doesn't know, and the engine
// looks: what was committed is not run again, what was not is.
func TestCommitThatNobodyKnowsOf(t *testing.T) {
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
		must(t, b.Run(background(t), script("INSERT INTO t VALUES (1)")))
		must(t, b.Record(background(t), event(2)))
		proxy.Reset()
		proxy.CutAfter(tt.direction, 0)
		as[*database.CommitUnknownError](t, b.Commit(background(t)))
		want := "[1]"
		if tt.committed {
			want = "[1 2]"
		}
		eventually(t, "the server has decided", func() bool { return versions(t, db, "s") == want })
	}
}
