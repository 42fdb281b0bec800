package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// reports collects what is reported about blocked statements.
type reports struct {
	mu         sync.Mutex
	blocked    []database.Blockage
	asked      []database.Blocker
	terminated []database.Blocker
}

// options returns options that collect. terminate is the answer for each session that may be
// terminated.
func (r *reports) options(timeout time.Duration, terminate bool) database.LockOptions {
	return database.LockOptions{
		Timeout: waitLimit, LockTimeout: timeout,
		Blocked: func(b database.Blockage) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.blocked = append(r.blocked, b)
		},
		Terminate: func(b database.Blocker) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, b)
			return terminate
		},
		Terminated: func(b database.Blocker) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.terminated = append(r.terminated, b)
		},
	}
}

// last returns the last report.
func (r *reports) last() (b database.Blockage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.blocked) > 0 {
		b = r.blocked[len(r.blocked)-1]
	}
	return b
}

// describe formats the parts of a blockage that don't change from run to run, with the user's
// statement or that of a session of the test.
func describe(b database.Blockage) string {
	text := fmt.Sprintf("%q waits for %s on %s", b.SQL, b.Lock, b.Object)
	for _, one := range b.Blockers {
		text += fmt.Sprintf("\n%s of %s, %s", one.Kind, one.User, one.State)
		if one.Query != "" {
			text += fmt.Sprintf(", %q", one.Query)
		}
		if one.Lock != "" {
			text += fmt.Sprintf(", has %s on %s", one.Lock, one.Object)
		}
		if one.Prepared != "" {
			text += ", " + one.Prepared
		}
		if len(one.BlockedBy) > 0 {
			text += fmt.Sprintf(", waits for %d", len(one.BlockedBy))
		}
		if one.Exempt != "" {
			text += ", exempt: " + one.Exempt
		}
	}
	return text + fmt.Sprintf("\n%d behind", b.Queued)
}

// server is a kind of server that shows more or less of its locks.
type server struct {
	name     string
	settings []string
}

var (
	bare   = server{"nothing", []string{"performance-schema=OFF"}}
	plugin = server{"the plugin", []string{"performance-schema=OFF", "plugin-load-add=metadata_lock_info"}}
	perf   = server{"performance_schema", []string{"performance-schema=ON", "performance-schema-instrument=wait/lock/metadata/sql/mdl=ON", "performance-schema-consumer-events-statements-current=ON"}}
)

// place is a database with an ordinary user of the application.
type place struct {
	url  string
	pool *sql.DB // of root
	app  *sql.DB
}

func newPlace(t testing.TB, s *testdb.MariaDBServer) *place {
	t.Helper()
	p := &place{url: s.New()}
	p.pool = testdb.OpenMariaDB(t, p.url)
	name := value(t, p.pool, "SELECT DATABASE()")
	for _, s := range []string{
		"CREATE USER IF NOT EXISTS app IDENTIFIED BY 'secret'", "GRANT ALL ON `" + name + "`.* TO app",
		"CREATE TABLE a (id int PRIMARY KEY, x int)", "INSERT INTO a VALUES (1, 1), (2, 2)", "CREATE TABLE other (x int)",
	} {
		_, err := p.pool.Exec(s)
		must(t, err)
	}
	p.app = testdb.OpenMariaDB(t, p.as(t, "app"))
	return p
}

// as returns the URL for another user.
func (p *place) as(t testing.TB, user string) string {
	t.Helper()
	u, err := url.Parse(p.url)
	must(t, err)
	u.User = url.UserPassword(user, "secret")
	return u.String()
}

// session is a session of the application.
type session struct {
	ctx context.Context
	c   *sql.Conn
	id  int64
}

func (p *place) session(t testing.TB, statements ...string) *session {
	t.Helper()
	c, err := p.app.Conn(background(t))
	must(t, err)
	ctx, stop := context.WithCancel(background(t))
	s := &session{ctx: ctx, c: c}
	must(t, c.QueryRowContext(background(t), "SELECT CONNECTION_ID()").Scan(&s.id))
	for _, text := range statements {
		_, err := c.ExecContext(background(t), text)
		must(t, err)
	}
	t.Cleanup(func() {
		stop()
		c.Close()
	})
	return s
}

// start executes a statement in the background.
func (s *session) start(text string) *session {
	go s.c.ExecContext(s.ctx, text)
	return s
}

// blockedCase is a statement that something blocks, and how it is reported.
type blockedCase struct {
	server       server
	name, script string
	setUp        func(t *testing.T, p *place)
	want, hidden string
}

// A blocked statement is reported with the sessions that it waits for, as far as the server shows
// them, and with the number of those that wait behind it.
func TestBlocked(t *testing.T) {
	t.Parallel()
	const alter = "ALTER TABLE a ADD COLUMN y int"
	byServer := map[string][]blockedCase{}
	for _, tc := range []blockedCase{
		{perf, "a reader that executes a statement", alter, func(t *testing.T, p *place) {
			p.session(t, "START TRANSACTION", "SELECT * FROM a").start("SELECT SLEEP(60)")
		}, `"ALTER TABLE a ADD COLUMN y int" waits for EXCLUSIVE on DB.a
session of app, User sleep, "SELECT SLEEP(60)", has SHARED_READ on DB.a
1 behind`, ""},
		{plugin, "a reader that executes a statement", alter, func(t *testing.T, p *place) {
			p.session(t, "START TRANSACTION", "SELECT * FROM a").start("SELECT SLEEP(60)")
		}, `"ALTER TABLE a ADD COLUMN y int" waits for EXCLUSIVE on DB.a
session of app, User sleep, "SELECT SLEEP(60)", has SHARED_READ on DB.a
1 behind`, ""},
		{bare, "a reader that executes a statement", alter, func(t *testing.T, p *place) {
			p.session(t, "START TRANSACTION", "SELECT * FROM a").start("SELECT SLEEP(60)")
		}, `"ALTER TABLE a ADD COLUMN y int" waits for table metadata lock on 
session of app, User sleep, "SELECT SLEEP(60)", exempt: the server does not say whether it holds the lock
1 behind`, "metadata_lock_info"},
		{perf, "an idle transaction", alter, func(t *testing.T, p *place) {
			p.session(t, "START TRANSACTION", "UPDATE a SET x = 2 WHERE id = 1")
		}, `"ALTER TABLE a ADD COLUMN y int" waits for EXCLUSIVE on DB.a
idle transaction of app, idle, "UPDATE a SET x = 2 WHERE id = 1", has SHARED_WRITE on DB.a
1 behind`, ""},
		{bare, "an idle transaction", alter, func(t *testing.T, p *place) {
			p.session(t, "START TRANSACTION", "UPDATE a SET x = 2 WHERE id = 1")
		}, `"ALTER TABLE a ADD COLUMN y int" waits for table metadata lock on 
idle transaction of app, idle, exempt: the server does not say whether it holds the lock
1 behind`, "metadata_lock_info"},
		{plugin, "LOCK TABLES", alter, func(t *testing.T, p *place) {
			p.session(t, "LOCK TABLES a WRITE")
		}, `"ALTER TABLE a ADD COLUMN y int" waits for EXCLUSIVE on DB.a
idle transaction of app, idle, has SHARED_NO_READ_WRITE on DB.a
1 behind`, ""},
		{perf, "a transaction that waits itself", alter, func(t *testing.T, p *place) {
			p.session(t, "START TRANSACTION", "UPDATE other SET x = 2", "INSERT INTO other VALUES (7)", "SELECT * FROM other FOR UPDATE")
			p.session(t, "START TRANSACTION", "SELECT * FROM a").start("UPDATE other SET x = 3")
		}, `"ALTER TABLE a ADD COLUMN y int" waits for EXCLUSIVE on DB.a
session of app, Updating, "UPDATE other SET x = 3", has SHARED_READ on DB.a, waits for 1
idle transaction of app, idle, "SELECT * FROM other FOR UPDATE", has X record lock on DB.other
1 behind`, ""},
		{plugin, "a prepared transaction", alter, func(t *testing.T, p *place) {
			p.session(t, "XA START 'global','branch',7", "UPDATE a SET x = 2 WHERE id = 1", "XA END 'global','branch',7", "XA PREPARE 'global','branch',7").c.Close()
			p.app.SetMaxIdleConns(0)
			t.Cleanup(func() { p.pool.Exec("XA ROLLBACK 'global','branch',7") })
			eventuallyInInnoDB(t, "the session of the prepared transaction is gone", func() bool {
				return value(t, p.pool, "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = 0") == "1"
			})
		}, `"ALTER TABLE a ADD COLUMN y int" waits for S table lock on DB.a
prepared transaction of , prepared, has IX table lock on DB.a, 'global','branch',7, exempt: a prepared transaction has no session: XA COMMIT or XA ROLLBACK ends it
0 behind`, ""},
		{bare, "a row", "UPDATE a SET x = 3 WHERE id = 1", func(t *testing.T, p *place) {
			p.session(t, "START TRANSACTION", "UPDATE a SET x = 2 WHERE id = 1")
		}, `"UPDATE a SET x = 3 WHERE id = 1" waits for X record lock on DB.a
idle transaction of app, idle, has X record lock on DB.a
0 behind`, ""},
		{plugin, "a migration of another set", alter, func(t *testing.T, p *place) {
			b, _, err := open(t, p.url).Begin(background(t), "another", database.LockOptions{})
			must(t, err)
			must(t, b.Exec(background(t), scriptOf("UPDATE a SET x = 5", 0)))
			t.Cleanup(func() { b.Rollback(context.Background()) })
		}, `"ALTER TABLE a ADD COLUMN y int" waits for EXCLUSIVE on DB.a
migration of root, idle, has SHARED_WRITE on DB.a, exempt: it is another migration
1 behind`, ""},
		{perf, "a superuser", alter, func(t *testing.T, p *place) {
			block(t, p.pool, "START TRANSACTION", "SELECT * FROM a")
		}, `"ALTER TABLE a ADD COLUMN y int" waits for EXCLUSIVE on DB.a
idle transaction of root, idle, "SELECT * FROM a", has SHARED_READ on DB.a, exempt: its user may end sessions of others (SUPER, CONNECTION ADMIN)
1 behind`, ""},
	} {
		byServer[tc.server.name] = append(byServer[tc.server.name], tc)
	}
	for _, s := range []server{bare, plugin, perf} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			running := testdb.PrivateMariaDB(t, s.settings...)
			for _, tc := range byServer[s.name] {
				t.Run(tc.name, func(t *testing.T) {
					t.Parallel()
					tc.check(t, newPlace(t, running))
				})
			}
			t.Run("terminate", func(t *testing.T) {
				t.Parallel()
				terminate(t, newPlace(t, running), s.name != bare.name)
			})
		})
	}
}

func (tc blockedCase) check(t *testing.T, p *place) {
	db := open(t, p.url)
	_, err := up(t, db, setOf(t, "first", "DO 1"))
	must(t, err)
	tc.setUp(t, p)
	var r reports
	ctx, stop := context.WithCancel(background(t))
	defer stop()
	run, _, err := db.Guard(ctx, "s", r.options(0, false))
	must(t, err)
	script := scriptOf(tc.script, 0)
	ended := make(chan error, 1)
	go func() {
		an, err := script.Analyze(sqltext.MySQL, nil)
		for st := range an.All() {
			err = run.Exec(ctx, script, st, nil, nil)
		}
		ended <- err
	}()
	defer p.queue(t, tc.script)()
	got := ""
	for end := time.Now().Add(waitLimit); got != tc.want && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got = strings.ReplaceAll(describe(r.last()), value(t, p.pool, "SELECT DATABASE()"), "DB")
	}
	equal(t, "the report", got, tc.want)
	b := r.last()
	contains(t, "what is hidden", b.Hidden, tc.hidden)
	if tc.hidden == "" {
		equal(t, "what is hidden", b.Hidden, "")
	}
	if b.Waited < time.Second || b.Waited > waitLimit {
		t.Errorf("it waits for %s, want at least a second", b.Waited)
	}
	for _, one := range b.Blockers {
		if one.Kind == database.BlockerIdle && one.Since.IsZero() && tc.name != "LOCK TABLES" {
			t.Errorf("the transaction's begin is unknown: %+v", one)
		}
	}
	stop()
	<-ended
	must(t, run.Close(context.Background()))
}

// queue starts a query of the application when an ALTER TABLE waits, and returns a function that
// waits for its end.
func (p *place) queue(t testing.TB, script string) (wait func()) {
	if !strings.HasPrefix(script, "ALTER") {
		return func() {}
	}
	ctx, stop := context.WithCancel(background(t))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; n == 0 && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			p.pool.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'ALTER%' AND state LIKE 'Waiting%'").Scan(&n)
		}
		p.app.ExecContext(ctx, "UPDATE a SET x = 9 WHERE id = 2")
	}()
	return func() {
		stop()
		<-done
	}
}

// Without the privileges to see locks and sessions, the report says which one is missing.
func TestBlockedByTheUnseen(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	p := &place{url: url, pool: pool}
	user := value(t, pool, "SELECT left(md5(DATABASE()), 20)")
	for _, s := range []string{"CREATE USER `" + user + "` IDENTIFIED BY 'secret'", "GRANT ALL ON `" + value(t, pool, "SELECT DATABASE()") + "`.* TO `" + user + "`", "CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)"} {
		_, err := pool.Exec(s)
		must(t, err)
	}
	t.Cleanup(func() { pool.Exec("DROP USER `" + user + "`") })
	db := open(t, p.as(t, user))
	for name, tc := range map[string]struct{ blocker, script string }{
		"a metadata lock": {"SELECT * FROM a", "ALTER TABLE a ADD COLUMN y int"},
		"a row":           {"UPDATE a SET x = 2", "UPDATE a SET x = 3"},
	} {
		end := block(t, p.pool, "START TRANSACTION", tc.blocker)
		var r reports
		lockTimedOut(t, inRun(t, db, r.options(time.Second, true), scriptOf(tc.script, 0)))
		b := r.last()
		contains(t, name, b.Hidden, "GRANT PROCESS")
		equal(t, name+": the statement", b.SQL, tc.script)
		equal(t, name+": the blockers", fmt.Sprint(len(b.Blockers), len(r.asked)), "0 0")
		end()
	}
}

// terminate checks that only a session that is known to block is terminated, if the caller says so
// and its user is no superuser.
func terminate(t *testing.T, p *place, known bool) {
	db := open(t, p.url)
	bystander := p.session(t, "START TRANSACTION", "SELECT * FROM other")
	check := func(what string, r *reports, want int64) {
		t.Helper()
		switch {
		case want == 0 && len(r.asked)+len(r.terminated) > 0, want != 0 && (len(r.asked) != 1 || len(r.terminated) != 1 || r.terminated[0].PID != want):
			t.Errorf("%s: asked for %+v, terminated %+v, want %d (0: nobody)", what, r.asked, r.terminated, want)
		}
	}
	blocker := p.session(t, "START TRANSACTION", "SELECT * FROM a")
	var r reports
	opts := r.options(2*time.Second, true)
	if known {
		opts.LockTimeout = waitLimit
	}
	err := inRun(t, db, opts, scriptOf("SET @a = 'lock_wait_timeout'; ALTER TABLE a ADD COLUMN y int", 0)) // it looks as if it had a limit of its own
	_, lost := blocker.c.ExecContext(background(t), "SELECT 1")
	if known {
		must(t, err)
		check("a reader", &r, blocker.id)
		if lost == nil {
			t.Error("the blocker lives")
		}
	} else {
		lockTimedOut(t, err)
		check("a reader that the server hides", &r, 0)
		must(t, lost)
	}
	writer := p.session(t, "START TRANSACTION", "UPDATE a SET x = 2")
	r = reports{}
	b, _, err := db.Begin(background(t), "s", r.options(0, true))
	must(t, err)
	must(t, b.Exec(background(t), scriptOf("UPDATE a SET x = 3", 0)))
	must(t, errOf(b.Commit(background(t))))
	check("a writer", &r, writer.id)
	equal(t, "the rows", value(t, p.pool, "SELECT group_concat(x) FROM a"), "3,3")
	_, err = bystander.c.ExecContext(background(t), "SELECT 1")
	must(t, err)
}

// A statement of a Go function is observed, and its lock timeout is the function's error.
func TestBlockedFunction(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	for _, s := range []string{"CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)", "CREATE TABLE b (x int)"} {
		_, err := pool.Exec(s)
		must(t, err)
	}
	end := block(t, pool, "START TRANSACTION", "UPDATE a SET x = 2")
	fn := mysql.Func("f", func(ctx context.Context, tx mysql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO b VALUES (1)"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE a SET x = 3"); err != nil {
			return fmt.Errorf("raising x: %w", err)
		}
		return nil
	})
	db := open(t, url)
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit, LockTimeout: time.Second})
	must(t, err)
	contains(t, "the error", lockTimedOut(t, b.Exec(background(t), fn)).Error(), "raising x")
	must(t, b.Rollback(background(t)))
	equal(t, "the rows of b", value(t, pool, "SELECT count(*) FROM b"), "0")

	var r reports
	opts := r.options(0, false)
	report := opts.Blocked
	opts.Blocked = func(b database.Blockage) {
		report(b)
		end()
	}
	b, _, err = db.Begin(background(t), "s", opts)
	must(t, err)
	must(t, b.Exec(background(t), fn))
	must(t, errOf(b.Commit(background(t))))
	equal(t, "the statement", r.last().SQL, "UPDATE a SET x = 3")
	equal(t, "the rows of a and b", value(t, pool, "SELECT concat(x, ' ', (SELECT count(*) FROM b)) FROM a"), "3 1")
}

// A statement is looked at after most of its lock timeout, or after a second if it has none.
func TestWhenBlockedIsReported(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := pool.Exec("CREATE TABLE a (x int)")
	must(t, err)
	db := open(t, url)
	for limit, want := range map[time.Duration]time.Duration{-1: time.Second, 9500 * time.Millisecond: 8 * time.Second} {
		end := block(t, pool, "START TRANSACTION", "SELECT * FROM a")
		var first time.Duration
		begun := time.Now()
		opts := database.LockOptions{Timeout: waitLimit, Blocked: func(database.Blockage) {
			first = time.Since(begun)
			end()
		}}
		must(t, inRun(t, db, opts, scriptOf("ALTER TABLE a COMMENT 'x'", limit)))
		if first < want {
			t.Errorf("with a limit of %s it is reported after %s, want at least %s", limit, first, want)
		}
	}
}
