package mysql_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// migrateAlone does what the engine does for a migration outside a transaction, in a run that it
// keeps.
func migrateAlone(t testing.TB, r database.Run, version int64, text string) {
	t.Helper()
	s := migration.Text("x.sql", text)
	a, err := s.Analyze(sqltext.MySQL, nil)
	must(t, err)
	j := database.Journal{Version: version, Name: "m", Direction: database.Up, Of: 2}
	for st, err := range a.All() {
		must(t, err)
		now := j
		now.Begun = st.Text
		announced, err := database.ExecAnnounced(background(t), r, s, st, &now)
		must(t, err)
		equal(t, "whether it was announced", fmt.Sprint(announced), "true")
		j.Add(st)
	}
	must(t, errOf(r.Record(background(t), database.Entry{Version: version, Name: "m", Direction: database.Up})))
}

// A statement that changes the schema takes one round trip, with its announcement; others take two.
// The history entry takes one. A listener for warnings, or for blockers, adds none. The definition
// of what an ALTER changes takes one more.
func TestRoundTripsOfARun(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.MariaDB(t))
	db, err := database.Open(background(t), proxy.URL, database.Options{Notice: func(n database.Notice) { t.Errorf("a warning: %+v", n) }})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	r, _, err := db.Guard(background(t), "s", database.LockOptions{
		Timeout: waitLimit, LockTimeout: waitLimit, Blocked: func(b database.Blockage) { t.Errorf("nothing is blocked: %+v", b) },
	})
	must(t, err)
	version := int64(0)
	for text, want := range map[string]int{
		"CREATE TABLE t%d (id int PRIMARY KEY, c int); CREATE INDEX t%[1]d_c ON t%[1]d (c)": 3,
		"CREATE VIEW v%d AS SELECT 1 AS a":                                                  2,
		"CREATE TABLE a%d (id int); ALTER TABLE a%[1]d ADD COLUMN c int":                    4,
		"CREATE TABLE d%d (id int); DROP TABLE d%[1]d":                                      3,
		"CREATE TABLE IF NOT EXISTS n%d (id int); TRUNCATE TABLE n%[1]d":                    4,
		"CREATE SEQUENCE s%d; CREATE PROCEDURE p%[1]d() SELECT nextval(s%[1]d)":             3,
	} {
		least := -1
		for range 4 { // once in a while, the guard checks its lock
			version++
			proxy.Reset()
			migrateAlone(t, r, version, fmt.Sprintf(text, version))
			if n := proxy.Turns(); least < 0 || n < least {
				least = n
			}
		}
		equal(t, "the round trips of "+text, fmt.Sprint(least), fmt.Sprint(want))
	}
	must(t, r.Close(background(t)))
}

// The warnings of a statement are read if it has any.
func TestWarningsAreRead(t *testing.T) {
	t.Parallel()
	var got []database.Notice
	db, err := database.Open(background(t), testdb.MariaDB(t), database.Options{Notice: func(n database.Notice) { got = append(got, n) }})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	_, err = up(t, db, setOf(t, "s", "CREATE TABLE t (id int); DROP TABLE IF EXISTS missing; CREATE TABLE u (id int)"))
	must(t, err)
	if len(got) != 1 || got[0].Code != "1051" {
		t.Errorf("the warnings are %+v, want one about an unknown table", got)
	}
}

// Reading the state of a database takes a connection and one query.
func TestRoundTripsOfNothing(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	set := setOf(t, "s", "CREATE TABLE t (id int)")
	_, err := up(t, open(t, url), set)
	must(t, err)
	proxy := testdb.NewProxy(t, url)
	db := open(t, proxy.URL)
	_, err = up(t, db, set)
	must(t, err)
	equal(t, "the round trips", fmt.Sprint(proxy.Turns()), "2")
	equal(t, "the connections", fmt.Sprint(proxy.Connections()), "1")
}

// Status takes a connection and one message, which also asks who holds the lock.
func TestRoundTripsOfStatus(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	set := setOf(t, "s", "CREATE TABLE t (id int)")
	status := func(db database.Database) *whimbrel.Status {
		t.Helper()
		st, err := whimbrel.New(db, set, whimbrel.Options{}).Status(background(t))
		must(t, err)
		return st
	}
	if st := status(open(t, url)); len(st.PendingVersions()) != 1 || st.Running != nil {
		t.Errorf("the status without a history is %+v", st)
	}
	_, err := up(t, open(t, url), set)
	must(t, err)
	proxy := testdb.NewProxy(t, url)
	db := open(t, proxy.URL)
	if st := status(db); st.Version != 1 || st.Running != nil {
		t.Errorf("the status is %+v", st)
	}
	equal(t, "the round trips", fmt.Sprint(proxy.Turns()), "2")
	equal(t, "the connections", fmt.Sprint(proxy.Connections()), "1")

	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	callers, err := mysql.New(pool, database.Options{})
	must(t, err)
	for name, db := range map[string]database.Database{"the driver's own": db, "the caller's": callers} {
		if st := status(db); st.Running == nil || st.Running.PID == 0 {
			t.Errorf("on a connection of %s pool, nobody holds the lock", name)
		}
	}
	must(t, r.Close(background(t)))
}

// Applying one more migration takes eight round trips besides its own: two connections, the state,
// what the server is, the lock, the head, and what ends the work on either connection.
func TestRoundTripsOfOneMore(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	_, err := up(t, open(t, url), setOf(t, "s", "CREATE TABLE t (id int)"))
	must(t, err)
	proxy := testdb.NewProxy(t, url)
	_, err = up(t, open(t, proxy.URL), setOf(t, "s", "CREATE TABLE t (id int)", "CREATE TABLE u (id int); CREATE INDEX u_id ON u (id)"))
	must(t, err)
	equal(t, "the round trips", fmt.Sprint(proxy.Turns()), "9")
	equal(t, "the connections", fmt.Sprint(proxy.Connections()), "2")
}

// The first migration takes nine round trips more, most of them for Whimbrel's tables.
func TestRoundTripsOfTheFirst(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	proxy := testdb.NewProxy(t, url)
	_, err := up(t, open(t, proxy.URL), setOf(t, "s", "CREATE TABLE u (id int); CREATE INDEX u_id ON u (id)"))
	must(t, err)
	equal(t, "the round trips", fmt.Sprint(proxy.Turns()), "18")
	equal(t, "the connections", fmt.Sprint(proxy.Connections()), "2")
}

// State tells whether a database without a history has tables or views.
func TestStateOfABareDatabase(t *testing.T) {
	t.Parallel()
	url, db := newDatabase(t)
	do := func(statement string) {
		t.Helper()
		must(t, errOf(db.ExecContext(t.Context(), statement)))
	}
	bare := func() bool {
		t.Helper()
		st, err := open(t, url).State(t.Context(), "s")
		must(t, err)
		return st.Bare
	}
	equal(t, "whether a new database is bare", fmt.Sprint(bare()), "true")
	do("CREATE VIEW v AS SELECT 1")
	equal(t, "whether one with a view is", fmt.Sprint(bare()), "false")
	do("DROP VIEW v")
	do("CREATE TABLE t (id int)")
	equal(t, "whether one with a table is", fmt.Sprint(bare()), "false")
	do("DROP TABLE t")
	equal(t, "whether one without either is", fmt.Sprint(bare()), "true")
}

// A migration of two statements costs seven queries in three messages, and one of one statement,
// here its rollback, four in two: the engine keeps the lock and the connections from one to the
// next.
func TestQueriesOfManyMigrations(t *testing.T) {
	t.Parallel()
	url := testdb.PrivateMariaDB(t).New()
	pool := testdb.OpenMariaDB(t, url)
	const many = 60
	var all []migration.Migration
	for i := range int64(many) {
		all = append(all, migration.Migration{
			Version: i + 1, Name: "m",
			Up:   migration.Text(fmt.Sprintf("%d_m.up.sql", i+1), fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, c int); CREATE INDEX t%[1]d_c ON t%[1]d (c)", i)),
			Down: migration.Text(fmt.Sprintf("%d_m.down.sql", i+1), fmt.Sprintf("DROP TABLE t%d", i)),
		})
	}
	set, err := migration.NewSet("s", all...)
	must(t, err)
	m := whimbrel.New(open(t, url), set, whimbrel.Options{MigrationLockTimeout: waitLimit})
	questions := func(do func() error) (n, allowance int) {
		t.Helper()
		count := func() int {
			var name, text string
			must(t, pool.QueryRow("SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &text))
			n, err := strconv.Atoi(text)
			must(t, err)
			return n
		}
		before, start := count(), time.Now()
		must(t, do())
		// The first run creates the tables. Each second, the lock is released and taken again.
		return count() - before, 40 + 20*int(time.Since(start)/time.Second)
	}
	n, more := questions(func() error { return errOf(m.Up(background(t))) })
	if n > 7*many+more {
		t.Errorf("%d migrations cost %d queries, want at most seven each", many, n)
	}
	n, more = questions(func() error { return errOf(m.Migrate(background(t), whimbrel.By(-many), whimbrel.ApplyOptions{})) })
	if n > 4*many+more {
		t.Errorf("%d migrations that are rolled back cost %d queries, want at most four each", many, n)
	}
}
