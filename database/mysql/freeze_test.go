package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
)

// overtakers are what can happen to a set while a process is suspended that has lost its lock.
var overtakers = map[string]struct {
	happen  func(t *testing.T, db database.Database)
	present string // whether the statement that waits then takes effect: "0" or "1"
}{
	"a setting changes": {func(t *testing.T, db database.Database) {
		must(t, database.UpdateSetting(background(t), db, freeze(nil)))
	}, "1"},
	"another process takes over": {func(t *testing.T, db database.Database) {
		tx, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
		must(t, err)
		must(t, tx.Record(background(t), entryOf(9)))
		must(t, errOf(tx.Commit(background(t))))
	}, "0"},
}

// freeze freezes the sets.
func freeze(settle *database.LockOptions) database.SettingUpdate {
	return database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "release", Settle: settle}
}

// overtake suspends a Tx or a Run and ends its guard, lets something else happen, and then lets the
// server continue with the message until it ends.
func overtake(t *testing.T, url string, pool *sql.DB, held any, happen func(*testing.T, database.Database), end func()) {
	t.Helper()
	defer mysql.Suspend(held)()
	guard, worker := mysql.ConnectionsOf(held)
	executeAll(t, pool, fmt.Sprintf("KILL %d", guard))
	const connected = "SELECT count(*) FROM information_schema.processlist WHERE id = ?"
	eventually(t, "the guard has ended", func() bool { return value(t, pool, connected, guard) == "0" })
	happen(t, open(t, url))
	end()
	eventually(t, "the message has ended", func() bool { return value(t, pool, connected+" AND command <> 'Sleep'", worker) == "0" })
}

// The server executes nothing more of a message whose process is suspended and has lost its lock.
func TestSuspendedAmongCallsToldAhead(t *testing.T) {
	t.Parallel()
	for name, tt := range overtakers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			executeAll(t, pool, "CREATE TABLE locked (id int)")
			r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit, LockTimeout: waitLimit})
			must(t, err)
			end := block(t, pool, "LOCK TABLES locked WRITE")
			all := callsOf(t, 1, "CREATE TABLE a (id int)", "CREATE TABLE b AS SELECT * FROM locked", "CREATE TABLE c (id int)", "DROP TABLE a")
			tellAhead(t, r, all)
			for _, c := range all[:2] {
				must(t, call(background(t), r, c))
			}
			eventually(t, "the statement waits", func() bool { return isRunning(t, pool, "CREATE TABLE b%") })
			overtake(t, url, pool, r, tt.happen, end)
			equal(t, "the tables", value(t, pool, "SELECT GROUP_CONCAT(table_name ORDER BY 1) FROM information_schema.tables WHERE table_schema = DATABASE() AND LENGTH(table_name) = 1"),
				map[string]string{"0": "a", "1": "a,b"}[tt.present])
			equal(t, "the entries of the run", value(t, pool, "SELECT GROUP_CONCAT(version) FROM whimbrel_history WHERE set_name = 's' AND version < 9"), "1")
			equal(t, "the statement in the journal", value(t, pool, "SELECT begun FROM whimbrel_journal WHERE set_name = 's'"), all[2].Statement.Text)
			if call(background(t), r, all[2]) == nil && call(background(t), r, all[3]) == nil {
				t.Error("the run continues")
			}
			r.Close(background(t))
		})
	}
}

// The same holds for a sequence, which rolls back the transaction in which it lost the lock.
func TestSuspendedInASequence(t *testing.T) {
	t.Parallel()
	for name, tt := range overtakers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			executeAll(t, pool, "CREATE TABLE t (x int)", "CREATE TABLE locked (x int)")
			opts := database.LockOptions{LockTimeout: waitLimit}
			s := sequencer(t, open(t, url), opts)
			end := block(t, pool, "LOCK TABLES locked WRITE")
			failed := make(chan error)
			go func() {
				_, _, err := commitEach(background(t), t, s, opts, func() {}, "INSERT INTO t VALUES (1)", "INSERT INTO locked VALUES (1)", "INSERT INTO t VALUES (2)")
				failed <- err
			}()
			eventually(t, "the statement waits", func() bool { return isRunning(t, pool, "INSERT INTO locked%") })
			overtake(t, url, pool, s, tt.happen, end)
			equal(t, "the rows", value(t, pool, "SELECT concat((SELECT group_concat(x) FROM t), ' ', (SELECT count(*) FROM locked))"), "1 0")
			equal(t, "the entries of the sequence", value(t, pool, "SELECT GROUP_CONCAT(version) FROM whimbrel_history WHERE set_name = 's' AND version < 9"), "1,2")
			if <-failed == nil {
				t.Error("no error")
			}
		})
	}
}

// A freeze waits for a run of which either connection ends, whichever is older.
func TestFreezeWaitsForWhatIsLeftOfARun(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"of an older guard, the guard", "of an older guard, the worker", "of an older worker, the guard", "of an older worker, the worker"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			older, killed := i/2, i%2 // 0: the guard
			url, pool := newDatabase(t)
			own := dialling(t, url, nil, nil)
			db, err := mysql.New(own, database.Options{})
			must(t, err)
			var c [2]*sql.Conn
			for i := range c {
				c[i], err = own.Conn(background(t))
				must(t, err)
			}
			must(t, c[1-older].Close())
			must(t, c[older].Close()) // the pool gives this one first
			r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
			must(t, err)
			guard, worker := mysql.ConnectionsOf(r)
			equal(t, "whether the guard is older", fmt.Sprint(guard < worker), fmt.Sprint(older == 0))
			failed := make(chan error)
			go func() { failed <- execute(background(t), r, "SELECT SLEEP(100)") }()
			eventually(t, "the statement runs", func() bool { return isRunning(t, pool, "SELECT SLEEP%") })
			var waited atomic.Int64
			frozen := make(chan error, 1)
			opts := &database.LockOptions{Timeout: waitLimit, Waiting: func(database.Holder) { waited.Add(1) }}
			go func() { frozen <- database.UpdateSetting(background(t), open(t, url), freeze(opts)) }()
			wait := func() {
				until := waited.Load() + 3
				eventually(t, "the freeze has waited", func() bool {
					select {
					case err := <-frozen:
						t.Fatalf("the freeze does not wait: %v", err)
					default:
					}
					return waited.Load() >= until
				})
			}
			wait()
			resume := func() {}
			if killed == 0 {
				resume = sync.OnceFunc(mysql.Suspend(r))
			}
			defer resume()
			id := []int64{guard, worker}[killed]
			executeAll(t, pool, fmt.Sprintf("KILL %d", id))
			eventually(t, "the connection has ended", func() bool {
				return value(t, pool, "SELECT count(*) FROM information_schema.processlist WHERE id = ?", id) == "0"
			})
			wait()
			resume()
			if <-failed == nil {
				t.Error("no error")
			}
			r.Close(context.Background())
			must(t, <-frozen)
		})
	}
}
