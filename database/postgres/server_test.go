package postgres_test

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// several returns a URL that leads to several servers, in this order, and to the database of the
// last.
func several(t *testing.T, urls ...string) string {
	t.Helper()
	var hosts []string
	var last *url.URL
	for _, raw := range urls {
		u, err := url.Parse(raw)
		must(t, err)
		hosts, last = append(hosts, u.Host), u
	}
	return "postgres://postgres@" + strings.Join(hosts, ",") + last.Path + "?" + last.RawQuery
}

// twoServers returns a server to turn into a standby, and one that stays a primary. Both have
// Whimbrel's tables.
func twoServers(t *testing.T) (first, second *testdb.Server) {
	t.Helper()
	first, second = testdb.PrivatePostgres(t), testdb.PrivatePostgres(t)
	for _, s := range []*testdb.Server{first, second} {
		_, err := up(t, open(t, s.URL), setOf(t, "s", "CREATE TABLE a (x int)"))
		must(t, err)
	}
	return first, second
}

// Of several hosts, the writable one is migrated, whatever its position; reading accepts a standby
// if there is no primary.
func TestPrimaryIsPreferred(t *testing.T) {
	t.Parallel()
	standby, primary := twoServers(t)
	standby.Standby()
	db := open(t, several(t, standby.URL, primary.URL))
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)", "CREATE TABLE b (x int)", "CREATE INDEX CONCURRENTLY i ON b (x)"))
	must(t, err)
	equal(t, "what is applied on the primary", versions(t, open(t, primary.URL), "s"), "[1 2 3]")
	equal(t, "what is applied on the standby", versions(t, open(t, standby.URL), "s"), "[1]")

	primary.Stop()
	db = open(t, several(t, primary.URL, standby.URL))
	equal(t, "what is applied where it can only be read", versions(t, db, "s"), "[1]")
	_, _, err = db.Begin(background(t), "s", database.LockOptions{})
	as[*database.StandbyError](t, err)
	primary.Start()
	b, _, err := db.Begin(background(t), "s", database.LockOptions{})
	must(t, err) // the pool has a connection to the standby still, and gives it up
	must(t, b.Rollback(background(t)))
}

// A caller's pool is used as it is. On a standby nothing is locked.
func TestCallersPoolOnAStandby(t *testing.T) {
	t.Parallel()
	standby, primary := twoServers(t)
	standby.Standby()
	db := postgres.NewPool(newPool(t, several(t, standby.URL, primary.URL)), database.Options{})
	_, _, err := db.Begin(background(t), "s", database.LockOptions{})
	as[*database.StandbyError](t, err)
	_, _, err = db.Guard(background(t), "s", database.LockOptions{})
	as[*database.StandbyError](t, err)
	equal(t, "the locks on the standby", value(t, connect(t, standby.URL), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0")
}

// A connection beside another one leads to the same server, whatever comes first in the URL.
func TestGuardIsOnTheServerOfTheWork(t *testing.T) {
	t.Parallel()
	first, second := twoServers(t)
	for name, open := range map[string]func(url string) database.Database{
		"from a URL": func(url string) database.Database { return open(t, url) },
		"from a pool": func(url string) database.Database {
			return postgres.NewPool(newPool(t, url, ofSize(1)), database.Options{})
		},
		"from a connection": func(url string) database.Database {
			return postgres.NewConn(connect(t, url), database.Options{})
		},
	} {
		first.Stop()
		db := open(several(t, first.URL, second.URL))
		equal(t, "what is applied "+name, versions(t, db, "s"), "[1]")
		first.Start()
		r := guard(t, db, "s")
		const locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
		equal(t, "the locks on the server of the work, "+name, value(t, connect(t, second.URL), locks), "1")
		equal(t, "the locks on the server that comes first, "+name, value(t, connect(t, first.URL), locks), "0")
		equal(t, "what is applied while it is locked", versions(t, db, "s"), "[1]")
		must(t, r.Close(background(t)))
	}
}

// loseCommit makes the proxy cut all connections instead of delivering the answer to the first
// COMMIT after a text was sent.
func loseCommit(proxy *testdb.Proxy, text string) {
	sent := false
	proxy.HoldWhen(func(message []byte) bool { // only observes
		sent = sent || bytes.Contains(message, []byte(text))
		return false
	})
	proxy.CutWhenAnswered(func(message []byte) bool {
		return sent && bytes.HasPrefix(message, []byte("C\x00\x00\x00\x0bCOMMIT\x00"))
	})
}

// The outcome of a COMMIT whose answer was lost is not read from another server, which may lack it:
// neither a standby nor a primary.
func TestLostCommitIsNotJudgedElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		standby      bool
	}{
		{"a transaction, and then a standby", "CREATE TABLE b (x int)", true},
		{"a transaction, and then another primary", "CREATE TABLE b (x int)", false},
		{"a run, and then a standby", "INSERT INTO a VALUES (1); VACUUM a", true},
		{"a run, and then another primary", "INSERT INTO a VALUES (1); VACUUM a", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			other, first := twoServers(t)
			if tt.standby {
				other.Standby()
			}
			proxy := testdb.NewProxy(t, first.URL)
			proxy.Quiet = 0
			set := setOf(t, "s", "CREATE TABLE a (x int)", tt.script)
			db := open(t, several(t, proxy.URL, other.URL))
			proxy.Reset()
			proxy.RefuseAfterCut()
			loseCommit(proxy, strings.Split(tt.script, ";")[0])
			_, err := up(t, db, set)
			unknown := as[*database.CommitUnknownError](t, err)
			contains(t, "the error", err.Error(), "may or may not have taken effect", "checking the history failed", other.URL[len("postgres://postgres@"):strings.Index(other.URL, "/postgres?")])
			var standby *database.StandbyError
			if errors.As(unknown, &standby) != tt.standby {
				t.Fatalf("whether it says that the other is a standby: %v", err)
			}
			var elsewhere *database.OtherServerError
			equal(t, "whether it says that the other is another", errors.As(unknown, &elsewhere), !tt.standby)
			equal(t, "what is applied on the other", versions(t, open(t, other.URL), "s"), "[1]")

			_, err = up(t, open(t, first.URL), set)
			must(t, err)
			equal(t, "what is applied in the end", versions(t, open(t, first.URL), "s"), "[1 2]")
		})
	}
}

// The same server decides, even after a restart.
func TestLostCommitIsJudgedByTheSameServer(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	proxy := testdb.NewProxy(t, url)
	proxy.Quiet = 0
	db := open(t, proxy.URL)
	set := setOf(t, "s", "CREATE TABLE a (x int)")
	_, err := up(t, db, setOf(t, "other", "CREATE TABLE b (x int)"))
	must(t, err)
	proxy.Reset()
	loseCommit(proxy, "CREATE TABLE a (x int)")
	r, err := up(t, db, set)
	must(t, err)
	equal(t, "the number of migrations that it has applied itself", len(r.Applied), 0)
	equal(t, "what is applied", versions(t, open(t, url), "s"), "[1]")
}
