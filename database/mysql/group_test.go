package mysql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// rows returns statements that insert the rows from first to last, one each.
func rows(table string, first, last int) string {
	var b strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintf(&b, "INSERT INTO %s VALUES (%d);\n", table, i)
	}
	return b.String()
}

// Many statements that insert rows take few round trips, and each row exists once.
func TestRowsAreSentTogether(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	for name, tt := range map[string]struct {
		table string
		most  int // round trips
		least int
	}{
		"InnoDB":     {table: "CREATE TABLE innodb (x int) ENGINE=InnoDB;\n", most: 50},
		"aria":       {table: "CREATE TABLE aria (x int) ENGINE=Aria;\n", most: 500, least: 380},
		"trigger":    {table: "CREATE TABLE `trigger` (x int);\nCREATE TRIGGER t BEFORE INSERT ON `trigger` FOR EACH ROW SET NEW.x = NEW.x + 0;\n", most: 500, least: 380},
		"a database": {table: "CREATE TABLE `a database` (x int);\n", most: 50},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := testdb.NewProxy(t, url)
			table := "`" + strings.ToLower(name) + "`"
			_, err := up(t, open(t, proxy.URL), setOf(t, name, tt.table+rows(table, 1, 100)))
			must(t, err)
			if n := proxy.Turns(); n > tt.most || n < tt.least {
				t.Errorf("100 statements took %d round trips, want %d to %d", n, tt.least, tt.most)
			}
			equal(t, "the rows", value(t, pool, "SELECT concat(count(*), ' ', count(DISTINCT x)) FROM "+table), "100 100")
		})
	}
}

// If a statement of a group fails, those before it are applied as without groups, and the run
// resumes at it.
func TestFailureInAGroup(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	first := "CREATE TABLE a (x int PRIMARY KEY);\n" + rows("a", 1, 150)
	_, err := up(t, db, setOf(t, "s", first+"INSERT INTO a\n VALUES (7);\n"+rows("a", 151, 300)))
	e := as[*database.StatementError](t, err)
	equal(t, "the place", fmt.Sprintf("%s, index %d", e.Pos, e.Index), "1_m.up.sql:152:1, index 151")
	equal(t, "the code", e.Code, "23000")
	equal(t, "the rows", value(t, pool, "SELECT concat(count(*), ' ', max(x)) FROM a"), "150 150")
	res, err := up(t, db, setOf(t, "s", first+"INSERT INTO a VALUES (1000);\n"+rows("a", 151, 300)))
	must(t, err)
	equal(t, "the first statement", fmt.Sprint(res.Resumed[0].FromStatement), "152")
	equal(t, "the rows", value(t, pool, "SELECT concat(count(*), ' ', max(x)) FROM a"), "301 1000")
}

// A process that is killed in the middle of a group leaves nothing of it.
func TestKilledInAGroup(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	before := "CREATE TABLE a (x int PRIMARY KEY)"
	ups := []string{before, "CREATE TABLE b (x int);\n" + rows("a", 1, 20) + rows("b", 1, 5) + rows("a", 21, 60)}
	_, err := up(t, open(t, url), setOf(t, "s", before))
	must(t, err)
	tx, err := pool.Begin()
	must(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO a VALUES (15)")
	must(t, err)
	p := start(t, job{URL: url, Ups: ups})
	p.begin()
	eventually(t, "a group waits", func() bool { return isRunning(t, pool, "%INSERT INTO a VALUES (15)%") })
	p.kill()
	must(t, tx.Rollback())
	_, err = up(t, open(t, url), setOf(t, "s", ups...))
	must(t, err)
	equal(t, "the rows", value(t, pool, "SELECT concat((SELECT count(*) FROM a), ' ', (SELECT count(*) FROM b), ' ', (SELECT count(DISTINCT x) FROM b))"), "60 5 5")
}

// A group waits for a lock for a second at most. Then its statements are executed one by one, so
// the wait has its place, its blockers, and its retries.
func TestGroupThatWaits(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int PRIMARY KEY)"))
	must(t, err)
	tx, err := pool.Begin()
	must(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO a VALUES (15)")
	must(t, err)
	retried := -1
	_, err = whimbrel.New(db, setOf(t, "s", "CREATE TABLE a (x int PRIMARY KEY)", "CREATE TABLE b (x int);\n"+rows("a", 1, 40)), whimbrel.Options{
		MigrationLockTimeout: waitLimit, Observe: func(_ context.Context, e whimbrel.Event) {
			switch e := e.(type) {
			case whimbrel.StatementStarted:
				if e.Together == 1 {
					retried = e.Index
				}
			case whimbrel.Retrying:
				if retried == 15 {
					tx.Rollback()
				}
			}
		},
	}).Up(background(t))
	must(t, err)
	equal(t, "the rows", value(t, pool, "SELECT count(*) FROM a"), "40")
}

// groupsOf returns a run on a database with the table t, which has executed the first of n
// statements that insert rows. execute sends the others as a group.
func groupsOf(t *testing.T, url string, n int, opts database.Options) (r database.Run, execute func() (bool, error)) {
	t.Helper()
	db, err := database.Open(background(t), url, opts)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	r, _, err = db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	s := migration.Text("x.sql", rows("t", 1, n))
	a, err := s.Analyze(sqltext.MySQL, nil)
	must(t, err)
	var all []sqltext.Statement
	j := database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: n}
	for st, err := range a.All() {
		must(t, err)
		all = append(all, st)
	}
	j.Add(all[0])
	must(t, r.Exec(background(t), s, all[0], nil, &j))
	for _, st := range all[1:] {
		j.Add(st)
	}
	return r, func() (bool, error) { return r.(database.Grouper).ExecGroup(background(t), s, all[1:], &j) }
}

// A group takes one round trip, and a listener for warnings adds none.
func TestRoundTripsOfAGroup(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)")
	proxy := testdb.NewProxy(t, url)
	least := -1
	for range 3 { // once in a while, the guard checks its lock
		r, execute := groupsOf(t, proxy.URL, 33, database.Options{Notice: func(n database.Notice) { t.Errorf("a warning: %+v", n) }})
		proxy.Reset()
		did, err := execute()
		must(t, err)
		equal(t, "whether the group was executed", fmt.Sprint(did), "true")
		if n := proxy.Turns(); least < 0 || n < least {
			least = n
		}
		must(t, r.Close(background(t)))
	}
	equal(t, "the round trips", fmt.Sprint(least), "1")
	equal(t, "the rows", value(t, pool, "SELECT count(*) FROM t"), "99")
}

// Warnings that somebody listens for are those of the statement that caused them, once.
func TestWarningsInAGroup(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	var got []string
	db, err := database.Open(background(t), url, database.Options{Notice: func(n database.Notice) { got = append(got, n.Code+" "+n.Message) }})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	_, err = up(t, db, setOf(t, "s", "CREATE TABLE t (x int PRIMARY KEY);\n"+rows("t", 1, 20)+"INSERT IGNORE INTO t VALUES (7);\n"+rows("t", 21, 40)))
	must(t, err)
	equal(t, "the warnings", strings.Join(got, "; "), "1062 Duplicate entry '7' for key 'PRIMARY'")
	equal(t, "the rows", value(t, pool, "SELECT count(*) FROM t"), "40")
}

// If the connection breaks before the answer to its COMMIT, the server may have committed a group.
// Then it has written the journal, too.
func TestGroupLosesTheConnection(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)")
	proxy := testdb.NewProxy(t, url)
	r, execute := groupsOf(t, proxy.URL, 9, database.Options{})
	proxy.Reset()
	proxy.CutAfter(testdb.ToClient, 3) // of more than ten packets
	_, err := execute()
	as[*database.CommitUnknownError](t, err)
	must(t, r.Close(background(t)))
	r, _, err = open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	st, err := r.State(background(t))
	must(t, err)
	must(t, r.Close(background(t)))
	equal(t, "the rows", value(t, pool, "SELECT count(*) FROM t"), fmt.Sprint(st.Interrupted.Done))
}
