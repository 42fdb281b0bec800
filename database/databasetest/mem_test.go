package databasetest

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
	"go.uber.org/goleak"
)

func TestMemdb(t *testing.T) {
	Run(t, func(*testing.T) Target { return memTarget(memdb.New()) })
}

// A driver that queues returns errors as late as it can.
func TestMemdbQueued(t *testing.T) {
	Run(t, func(*testing.T) Target {
		target := memdb.New()
		target.Queue(true)
		return memTarget(target)
	})
}

// A driver that executes what it is told ahead passes.
func TestMemdbAhead(t *testing.T) {
	Run(t, func(*testing.T) Target {
		target := memdb.New()
		target.Ahead(true)
		return memTarget(target)
	})
}

// A target without optional fields passes.
func TestMemdbWithoutPowers(t *testing.T) {
	Run(t, func(*testing.T) Target {
		full := memTarget(memdb.New())
		return Target{Open: full.Open, Tables: full.Tables, RowCount: full.RowCount, Holders: true, OneWriter: true, NoDDL: true}
	})
}

// plain returns a target that keeps the contract.
func plain() Target { return memTarget(memdb.New()) }

// memTarget returns a target of memdb.
func memTarget(target *memdb.Target) Target {
	return Target{
		Open: func(ctx context.Context, opts database.Options) (database.Database, error) {
			return target.Driver().Open(ctx, "mem:", opts)
		},
		Tables: func(ctx context.Context) ([]string, error) {
			tables, err := target.Tables(ctx)
			if err != nil {
				return nil, err
			}
			own, err := target.OwnTables(ctx)
			return append(tables, own...), err
		},
		RowCount: func(ctx context.Context, table string) (int, error) {
			rows, err := target.Rows(ctx, table)
			return len(rows), err
		},
		Schemas: true,
		Holders: true,
		Powers:  []database.Power{database.PowerSettings, database.PowerReset, database.PowerMetadata, database.PowerQuery, database.PowerClone, database.PowerHolder, database.PowerBackfill},
		Session: []SessionChange{{
			Name: "a setting", Change: "SET colour = red", Probe: "INSERT INTO probe VALUES (1) WHERE colour = red",
		}},
		Never: func(table string) string { return "CREATE INDEX CONCURRENTLY on_" + table + " ON " + table + " (x)" },
		Again: "ALTER SYSTEM SET colour = red",
		Half:  func(ctx context.Context, table string) (string, func() error, error) { return half(ctx, target, table) },
		Func: func(id, table string, fail error) *migration.Script {
			return memdb.Func(id, func(ctx context.Context, tx memdb.Tx) error {
				if err := tx.Exec(ctx, "CREATE TABLE "+table+" (x int)"); err != nil {
					return err
				}
				return fail
			})
		},
		Slow:   "SELECT forever()",
		Notice: "NOTICE 'hello from whimbrel'",
		Block: func(_ context.Context, table string) (func() error, error) {
			release := target.Block(table, database.Blockage{Blockers: []database.Blocker{{Holder: database.Holder{PID: 7}, Kind: database.BlockerIdle}}})
			return func() error { release(); return nil }, nil
		},
		Deadlock: func(_ context.Context, _, wanted string) (func() error, error) {
			target.Deadlock(wanted, 1)
			return func() error { return nil }, nil
		},
		Blockers: true, Terminates: true, Counters: memCounters(target),
		Break: func(db database.Database) { db.(*memdb.Database).Kill() },
	}
}

// memCounters is a table whose counters memdb keeps itself.
func memCounters(target *memdb.Target) *Counters {
	return &Counters{
		Create: func(ctx context.Context, rows int) error {
			db, err := target.Open(ctx, database.Options{})
			if err != nil {
				return err
			}
			defer db.Close()
			tx, _, err := db.Begin(ctx, "the table of counters", database.LockOptions{})
			if err == nil {
				err = tx.Exec(ctx, text("CREATE TABLE counters (id int, n int)"))
			}
			if err == nil {
				_, err = tx.Commit(ctx)
			}
			for key := 1; key <= rows && err == nil; key++ {
				err = target.Insert("counters", strconv.Itoa(key))
			}
			return err
		},
		Body: "UPDATE counters SET n = n + 1 WHERE id BETWEEN :first AND :last",
		Read: func(context.Context) (map[int]int, error) {
			counts := map[int]int{}
			for row, n := range target.Touched("counters") {
				key, err := strconv.Atoi(row)
				if err != nil {
					return nil, err
				}
				counts[key] = n
			}
			return counts, nil
		},
		Insert: func(_ context.Context, key int) error { return target.Insert("counters", strconv.Itoa(key)) },
		Delete: func(_ context.Context, key int) error { return target.Delete("counters", strconv.Itoa(key)) },
		Fail: func(_ context.Context, key int, fails bool) error {
			times := 0
			if fails {
				times = -1
			}
			target.FailRow("counters", strconv.Itoa(key), times)
			return nil
		},
	}
}

// half creates an index. leave kills a process while it drops the index.
func half(ctx context.Context, target *memdb.Target, table string) (statement string, leave func() error, err error) {
	const drop = "DROP INDEX CONCURRENTLY doomed"
	do := func(statement string, fault error) error {
		db, err := target.Open(ctx, database.Options{})
		if err != nil {
			return err
		}
		defer db.Close()
		r, _, err := db.Guard(ctx, "another set", database.LockOptions{})
		if err != nil {
			return err
		}
		db.SetHook(func(op string) error {
			if op == memdb.OpRunExec {
				return fault
			}
			return nil
		})
		all, err := sqltext.Split(statement, db.Dialect(), sqltext.Options{})
		if err != nil {
			return err
		}
		if err := r.Exec(ctx, text(statement), all[0], nil, nil); fault == nil {
			return err
		}
		return nil
	}
	leave = func() error { return do(drop, memdb.ErrHalfway) }
	return drop, leave, do("CREATE INDEX CONCURRENTLY doomed ON "+table+" (x)", nil)
}

// recorder is a reporter that stores the result.
type recorder struct {
	cleanups []func()
	message  string // of the failure, "" for none
	skipped  bool
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(string, ...any) {
	r.skipped = true
	runtime.Goexit()
}

// outcomeOf is how a case ended.
type outcomeOf struct {
	message string   // "" if it did not fail
	promise *promise // the last that was checked: the one that was broken
	checked map[*promise]bool
	skipped bool
}

// record runs a case on a target, in a bubble in which waiting takes no time.
func record(t *testing.T, tc testCase, newTarget func() Target) (out outcomeOf) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		var c *check
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer func() {
				if p := recover(); p != nil {
					r.message = fmt.Sprintf("panic: %v\n%s", p, debug.Stack())
				}
			}()
			c = newCheck(r, newTarget())
			tc.run(c)
		}()
		<-ended
		for _, f := range slices.Backward(r.cleanups) {
			f()
		}
		out = outcomeOf{r.message, c.promise, c.checked, r.skipped}
	})
	return out
}

// Neither the suite nor memdb leaks goroutines.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// commitTx is Commit without its result.
func commitTx(ctx context.Context, tx database.Tx) error {
	_, err := tx.Commit(ctx)
	return err
}
