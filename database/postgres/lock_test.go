package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// isHeld reports whether another session holds the lock.
func isHeld(t testing.TB, db database.Database, set string) bool {
	t.Helper()
	b, _, err := db.Begin(background(t), set, database.LockOptions{})
	if err == nil {
		must(t, b.Rollback(background(t)))
		return false
	}
	if !errors.Is(err, database.ErrLocked) {
		t.Fatal(err)
	}
	return true
}

// The lock's key is the same for every way to connect, and differs between sets, schemas, histories
// and databases.
func TestOneLockPerSet(t *testing.T) {
	t.Parallel()
	pooled, url := testdb.PgBouncer(t)
	c := connect(t, url)
	do(t, c, "CREATE SCHEMA other")
	holder := begin(t, open(t, url), "s")
	same := map[string]database.Database{
		"a URL":                      open(t, url),
		"PgBouncer":                  open(t, pooled),
		"localhost":                  open(t, strings.Replace(url, "127.0.0.1", "localhost", 1)),
		"a pool":                     postgres.NewPool(newPool(t, url, ofSize(1)), database.Options{}),
		"a connection":               postgres.NewConn(connect(t, url), database.Options{}),
		"a sql.DB":                   postgres.NewDB(openSQL(t, pooled), database.Options{}),
		"another search path":        open(t, url+"&search_path=nowhere,public,other"),
		"the schema by name":         open(t, url+"&search_path=other", database.Options{Schema: "public"}),
		"the history's default name": open(t, url, database.Options{HistoryTable: "whimbrel_history"}),
		"another application":        open(t, url, database.Options{App: "another"}),
	}
	for name, db := range same {
		if !isHeld(t, db, "s") {
			t.Errorf("through %s the lock is free", name)
		}
	}
	different := map[string]database.Database{
		"another schema":   open(t, url, database.Options{Schema: "other"}),
		"another history":  open(t, url, database.Options{HistoryTable: "other_history"}),
		"another database": open(t, testdb.Postgres(t)),
	}
	for name, db := range different {
		if isHeld(t, db, "s") {
			t.Errorf("in %s the lock is held", name)
		}
	}
	do(t, c, "DROP SCHEMA other CASCADE") // that schema has a history now
	equal(t, "whether the lock of another set is held", isHeld(t, open(t, url), "S"), false)
	must(t, holder.Rollback(background(t)))
	for name, db := range same {
		if isHeld(t, db, "s") {
			t.Errorf("through %s the lock is held after it was let go of", name)
		}
	}
}

// A waiting process is notified of the lock's holder, and the error after the timeout names it.
func TestLockHolder(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	before := time.Now().Add(-time.Minute)
	ways := map[string]func() database.Database{
		"from a URL": func() database.Database { return open(t, url, database.Options{App: "billing 'x' \\"}) },
		"from a connection": func() database.Database {
			return postgres.NewConn(connect(t, url), database.Options{App: "billing 'x' \\"})
		},
	}
	for name, way := range ways {
		for what, hold := range map[string]func(database.Database) (release func(context.Context) error){
			"a transaction": func(db database.Database) func(context.Context) error {
				b := begin(t, db, "s")
				must(t, b.Exec(background(t), script("CREATE TABLE whoever_reads_this (x int)")))
				_, err := b.State(background(t))
				must(t, err)
				return b.Rollback
			},
			"a run": func(db database.Database) func(context.Context) error { return guard(t, db, "s").Close },
		} {
			t.Run(what+" "+name, func(t *testing.T) {
				release := hold(way())
				var holder database.Holder
				_, _, err := open(t, url).Begin(background(t), "s", database.LockOptions{Waiting: func(h database.Holder) { holder = h }})
				locked := as[*database.LockedError](t, err)
				equal(t, "the holder in the error", locked.Holder, holder)
				equal(t, "the user", holder.User, "postgres")
				equal(t, "the application", holder.App, `billing 'x' \`)
				equal(t, "the host", holder.Host, "127.0.0.1")
				equal(t, "whether the process is known", holder.PID != 0, true)
				equal(t, "Whimbrel's own query", holder.Query, "")
				equal(t, "whether it began before the test", holder.Since.Before(before), false)
				equal(t, "whether it began in the future", holder.Since.After(time.Now().Add(time.Minute)), false)
				contains(t, "the error", err.Error(), "can't acquire lock", `set "s"`, "user postgres", "application billing")
				must(t, release(background(t)))
			})
		}
	}
}

// A role that can't see other sessions gets the facts that the server reveals.
func TestHolderThatTheRoleMayNotSee(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	begin(t, open(t, url, database.Options{App: "secret"}), "s")
	do(t, c, "GRANT SELECT, INSERT ON whimbrel_history, whimbrel_settings, whimbrel_journal TO "+role)
	_, _, err := open(t, asRole(url, role)).Begin(background(t), "s", database.LockOptions{})
	h := as[*database.LockedError](t, err).Holder
	equal(t, "whether the process is known", h.PID != 0, true)
	equal(t, "the user", h.User, "postgres")
	equal(t, "the query", h.Query, "")
}

// A lock released just before the holder is read has no holder, and the wait succeeds.
func TestLockIsHandedOver(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	holder := begin(t, open(t, url), "s")
	waits := 0
	b, _, err := open(t, url).Begin(background(t), "s", database.LockOptions{Timeout: waitLimit, Waiting: func(database.Holder) {
		if waits++; waits == 3 {
			must(t, holder.Rollback(background(t)))
		}
	}})
	must(t, err)
	must(t, b.Rollback(background(t)))
	equal(t, "the number of times that Waiting was called", waits >= 3, true)
}

// A waiting process has no transaction, so no snapshot that others would wait for.
func TestWaitingHoldsNoTransaction(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	begin(t, open(t, url), "s")
	db := open(t, url, database.Options{App: "one that waits"})
	var transactions []int
	var asked error
	_, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: time.Second, Waiting: func(database.Holder) {
		n := -1
		// The test must not end here: its cleanup would wait for this call of Begin.
		asked = errors.Join(asked, c.QueryRow(background(t), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'one that waits' AND xact_start IS NOT NULL AND datname = current_database()").Scan(&n))
		transactions = append(transactions, n)
	}})
	must(t, asked)
	if len(transactions) == 0 || slices.Max(transactions) > 0 {
		t.Errorf("the session that waits had these numbers of transactions: %v, want 0 each time", transactions)
	}
	as[*database.LockedError](t, err)
}

// With a single connection, a Database never waits for itself.
func TestReadingWhileATransactionHasTheOnlyConnection(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	oneOnly := openSQL(t, url)
	oneOnly.SetMaxOpenConns(1)
	for name, db := range map[string]database.Database{
		"a pool of one": postgres.NewPool(newPool(t, url, ofSize(1)), database.Options{}),
		"a connection":  postgres.NewConn(connect(t, url), database.Options{}),
		"a sql.DB":      postgres.NewDB(oneOnly, database.Options{}),
	} {
		t.Run(name, func(t *testing.T) {
			b := begin(t, db, name)
			must(t, b.Record(background(t), event(1)))
			count(t, db)
			equal(t, "what others see", versions(t, db, name), "[]")
			equal(t, "whether the lock is held", isHeld(t, db, name), true)
			must(t, apply(t, db, name+" too", 1, script("SELECT 1")))
			must(t, errOf(b.Commit(background(t))))
			equal(t, "the applied versions", versions(t, db, name), "[1]")
		})
	}
}

// A transaction or a run holds no lock on the catalogs that all databases of a server share. A
// VACUUM FULL of them would wait for it, and every new connection to the server for that.
func TestSharedCatalogsAreNotLocked(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	db := open(t, url, database.Options{App: "one that migrates"})
	shared := func() string {
		return value(t, c, `SELECT string_agg(DISTINCT relation::regclass::text, ', ') FROM pg_locks WHERE locktype = 'relation' AND database = 0
			AND pid IN (SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%one that migrates%' OR application_name LIKE 'whimbrel%' AND datname = current_database())`)
	}
	for _, version := range []int64{1, 2} { // the first creates the tables
		b := begin(t, db, "s")
		equal(t, "the locks of a transaction", shared(), "<null>")
		must(t, b.Exec(background(t), script(fmt.Sprintf("CREATE TABLE t%d (x int); SELECT 1", version))))
		must(t, b.Record(background(t), event(version)))
		equal(t, fmt.Sprint("the locks of a transaction that has recorded ", version), shared(), "<null>")
		_, err := b.State(background(t))
		must(t, err)
		equal(t, "the locks of a transaction that has read its state", shared(), "<null>")
		must(t, errOf(b.Commit(background(t))))
	}
	r := guard(t, db, "s")
	equal(t, "the locks of a run", shared(), "<null>")
	must(t, execAll(background(t), db, r, script("VACUUM t1; BEGIN; SELECT 1")))
	equal(t, "the locks of a run in a transaction", shared(), "<null>")
	must(t, r.Close(background(t)))
}
