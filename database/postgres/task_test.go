package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// While a script executes, the application_name of its session names it; afterwards it is as
// before.
func TestApplicationNameNamesTheScript(t *testing.T) {
	t.Parallel()
	pooled, url := testdb.PgBouncer(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE seen (n serial, x text)")
	const look = "INSERT INTO seen (x) SELECT current_setting('application_name');"
	file := func(name, text string) *migration.Script { return migration.Text("sql/"+name, text) }
	long := strings.Repeat("a_long_name_", 10)
	check := func(what, want string) {
		t.Helper()
		equal(t, what, value(t, c, "SELECT string_agg(x, ', ' ORDER BY n) FROM seen"), want)
		do(t, c, "DELETE FROM seen")
	}
	pool := newPool(t, url+"&application_name=billing", ofSize(1))
	for name, tt := range map[string]struct {
		db  database.Database
		app string
	}{
		"a URL":     {open(t, url), "whimbrel"},
		"Options":   {open(t, url, database.Options{App: "my app"}), "my app"},
		"a pool":    {postgres.NewPool(pool, database.Options{}), "billing"},
		"an App":    {postgres.NewPool(pool, database.Options{App: "jobs"}), "jobs"},
		"PgBouncer": {open(t, pooled, database.Options{App: "pooled"}), "pooled"},
	} {
		must(t, execTx(t, tt.db, "s", limited(0), file("0005_orders_by_time.up.sql", look), file("0006_x.down.sql", "SET work_mem = '7MB';"+look), file("7.sql", look)))
		check("the name in "+name, tt.app+": 0005_orders_by_time, "+tt.app+": 0006_x.down, "+tt.app+": 7")
		must(t, execTx(t, tt.db, "s", limited(0), file("1.sql", "SET application_name = 'mine';"+look), file("2.sql", look)))
		check("the name that a script sets in "+name, "mine, "+tt.app+": 2")
		must(t, execTx(t, tt.db, "s", limited(0), file(long+".sql", look)))
		check("a long name in "+name, (tt.app + ": " + long)[:63])
		r := guardWith(t, tt.db, limited(0))
		must(t, execInTransactions(t, tt.db, r, file("0008_run.up.sql", look+"VACUUM seen;"+look+"DO $$ BEGIN "+look+" COMMIT; END $$;")))
		must(t, execAll(context.Background(), tt.db, r, file("0008_run.up.sql", "BEGIN;"+look+"COMMIT;")))
		must(t, r.Journal(background(t), nil))
		must(t, r.Close(background(t)))
		in := tt.app + ": 0008_run"
		outside := in
		if name == "PgBouncer" {
			outside = tt.app
		}
		check("the name in a run in "+name, strings.Join([]string{in, in, outside, in}, ", "))
	}
	equal(t, "the pool's name afterwards", poolValue(t, pool, "current_setting('application_name')"), "billing")
	app := strings.Repeat("x", 60)
	must(t, execTx(t, open(t, url, database.Options{App: app}), "s", limited(0), file("0005_orders_by_time.up.sql", look)))
	check("the name of an application with a long name", app[:42]+": 0005_orders_by_time")
}

// A process that waits for the migration lock learns which script its holder executes, and which
// statement: never one of Whimbrel's own, nor that of the session that only holds the lock.
func TestTheHolderOfTheLockAndItsScript(t *testing.T) {
	t.Parallel()
	pooled, url := testdb.PgBouncer(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int)")
	waiter := open(t, url)
	holder := func() (h database.Holder) {
		t.Helper()
		_, _, err := waiter.Begin(background(t), "s", database.LockOptions{Waiting: func(now database.Holder) { h = now }})
		is(t, err, database.ErrLocked)
		return h
	}
	during := func(what string, db database.Database, work func(database.LockOptions) error, want string) {
		t.Helper()
		b := block(t, url, "LOCK TABLE t")
		s := seeing(-1)
		migrated := inBackground(func() error { return work(s.opts) })
		s.until(t, what, anything)
		h := holder()
		equal(t, what, h.App+" / "+h.Task+" / "+h.Query, want)
		b.end(t)
		must(t, migrated())
	}
	s := migration.Text("sql/0005_orders.up.sql", "SELECT 1;\nALTER ROLE postgres PASSWORD NULL;\nINSERT INTO t VALUES (1)")
	for _, tt := range []struct {
		name string
		db   database.Database
	}{{"directly", open(t, url, database.Options{App: "billing"})}, {"through PgBouncer", open(t, pooled, database.Options{App: "billing"})}} {
		db := tt.db
		during("a transaction "+tt.name, db, func(opts database.LockOptions) error { return execTx(t, db, "s", opts, s) }, "billing / 0005_orders / INSERT INTO t VALUES (1)")
	}
	db := open(t, url, database.Options{App: "billing"})
	inRun := func(s *migration.Script) func(opts database.LockOptions) error {
		return func(opts database.LockOptions) error {
			r := guardWith(t, db, opts)
			defer r.Close(context.Background())
			if err := execInTransactions(t, db, r, s); err != nil {
				return err
			}
			return r.Journal(background(t), nil)
		}
	}
	secret := migration.Text("sql/0006_secret.sql", "-- whimbrel: secret\nINSERT INTO t SELECT length('hunter2')")
	const masked = "billing / 0006_secret / INSERT INTO t SELECT length('xxxxx')"
	during("a secret script", db, func(opts database.LockOptions) error { return execTx(t, db, "s", opts, secret) }, masked)
	during("a secret run", db, inRun(secret), masked)
	during("a run", db, inRun(s), "billing / 0005_orders / INSERT INTO t VALUES (1)")
	during("a statement outside transactions", db, inRun(migration.Text("0007_x.sql", "VACUUM FULL t")), "billing / 0007_x / VACUUM FULL t")

	freezer := open(t, url)
	waitedFor := func() database.Holder {
		err := database.UpdateSetting(background(t), freezer, database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "test", Settle: &database.LockOptions{}})
		return as[*database.UnsettledError](t, err).Holder
	}
	tx := beginWith(t, db, limited(0))
	equal(t, "before a script", holder().App+" "+holder().Task+" "+holder().Query, "billing  ")
	must(t, tx.Exec(background(t), s))
	must(t, tx.Record(background(t), event(1)))
	must(t, errOf(tx.State(background(t))))
	for _, h := range []database.Holder{holder(), waitedFor()} {
		equal(t, "after a script", h.App+" / "+h.Task+" / "+h.Query, "billing / 0005_orders / ")
	}
	must(t, tx.Rollback(background(t)))

	r := guardWith(t, db, limited(0))
	defer r.Close(background(t))
	h := waitedFor()
	equal(t, "the holder of a run's lock", h.App+" / "+h.Task+" / "+h.Query, "billing /  / ")
}
