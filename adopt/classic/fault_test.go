package classic_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
)

// unitCase is a unit that a program sends unless it finds its last version applied.
type unitCase struct {
	last  uint64
	queue func(d classic.Driver) error
}

func queued(d classic.Driver, script string, version int64) error {
	return errors.Join(d.Run(strings.NewReader(script), "sql", fmt.Sprintf("%d.up.sql", version)), d.InsertVersion(version))
}

var unitCases = map[string]unitCase{
	"migrations": {last: 2, queue: func(d classic.Driver) error {
		return errors.Join(queued(d, "CREATE TABLE t (x int)", 1), queued(d, "INSERT INTO t VALUES (1)", 2))
	}},
	"mixed": {last: 5, queue: func(d classic.Driver) error {
		return errors.Join(queued(d, "CREATE TABLE t (x int)", 1), d.InsertVersion(5), d.Run(strings.NewReader("INSERT INTO t VALUES (1)"), "sql", "rows.sql"))
	}},
}

// A unit is sent or not, wherever its process is killed or its COMMIT is lost, and the next process
// completes it.
func TestUnitCutAtEachCall(t *testing.T) {
	for name, u := range unitCases {
		for _, fault := range []error{memdb.ErrKilled, memdb.ErrCommitted, memdb.ErrNotCommitted} {
			t.Run(fmt.Sprintf("%s: %v", name, fault), func(t *testing.T) {
				t.Parallel()
				n := 0
				for ; cutUnit(t, u, fault, n); n++ {
					continue
				}
				if t.Logf("%d calls", n); n == 0 {
					t.Error("nothing was cut")
				}
			})
		}
	}
}

// cutUnit sends a unit with a fault at the nth call for which it is possible, and reports whether
// there is such a call.
func cutUnit(t *testing.T, u unitCase, fault error, n int) (cut bool) {
	t.Helper()
	m := memdb.New()
	db, err := m.Open(t.Context(), database.Options{})
	noError(t, err)
	calls := 0
	d, err := classic.WithInstance(db, classic.Config{LockTimeout: -1})
	noError(t, err)
	db.SetHook(func(op string) error {
		if errors.Is(fault, memdb.ErrKilled) || op == memdb.OpTxCommit {
			calls++
			if calls == n+1 {
				cut = true
				return fault
			}
		}
		return nil
	})
	err = d.Lock()
	if err == nil {
		err = errors.Join(u.queue(d), d.UnLock())
	}
	d.First() // does not panic
	_, _, _ = d.Version()
	other := open(t, m, classic.Config{LockTimeout: -1})
	sent := other.Read(u.last)
	if err == nil && !sent {
		t.Fatalf("call %d: UnLock returned no error, and nothing was sent", n)
	}
	if other.Read(1) != sent {
		t.Fatalf("call %d: a part was sent", n)
	}
	noError(t, other.Lock())
	if !sent {
		noError(t, u.queue(other))
	}
	noError(t, other.UnLock())
	wantVersion(t, other, int64(u.last), false)
	wantRows(t, m, "t", 1)
	return cut
}

// A run outside a transaction is resumed by a process that sends the same script again.
func TestRunCutAtEachCall(t *testing.T) {
	const script = "CREATE TABLE t (x int);\nINSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t (x);\nINSERT INTO t VALUES (2)"
	send := func(d classic.Driver) error {
		if err := d.Lock(); err != nil {
			return err
		}
		if d.Read(1) {
			return d.UnLock()
		}
		return errors.Join(queued(d, script, 1), d.UnLock())
	}
	n, cut := 0, true
	for cut {
		n++
		m := memdb.New()
		db, err := m.Open(t.Context(), database.Options{})
		noError(t, err)
		d, err := classic.WithInstance(db, classic.Config{LockTimeout: -1})
		noError(t, err)
		calls := 0
		cut = false
		db.SetHook(func(string) error {
			if calls++; calls == n {
				cut = true
				return memdb.ErrKilled
			}
			return nil
		})
		if err := send(d); err == nil {
			wantVersion(t, open(t, m, classic.Config{}), 1, false)
		}
		other := open(t, m, classic.Config{LockTimeout: -1})
		noError(t, send(other))
		wantVersion(t, other, 1, false)
		wantRows(t, m, "t", 2)
	}
	if n < 10 {
		t.Errorf("the run has %d calls; want more", n)
	}
}

// Everything works with a single connection, which the lock occupies.
func TestOneConnection(t *testing.T) {
	pool, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db"))
	noError(t, err)
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	db, err := sqlite.New(pool, database.Options{})
	noError(t, err)
	d, err := classic.WithInstance(db, classic.Config{})
	noError(t, err)
	defer d.Close()
	apply(t, d, "CREATE TABLE t (x int)", "1.up.sql", 1)
	noError(t, d.ApplyMetadata("tables: {t: {owner: me}}"))
	noError(t, d.Lock())
	wantVersion(t, d, 1, false)
	mode, err := d.GetSetting("migration_mode")
	if mode != "true" || err != nil {
		t.Errorf("GetSetting returned %s, %v", mode, err)
	}
	if _, err := d.ExportMetadata(); err != nil {
		t.Error(err)
	}
	if ok, _, err := d.GetInconsistentMetadata(); !ok || err != nil {
		t.Errorf("GetInconsistentMetadata returned %t, %v", ok, err)
	}
	noError(t, d.Run(strings.NewReader("INSERT INTO t VALUES (1)"), "sql", "rows.sql"))
	noError(t, d.UnLock())
	noError(t, d.Lock())
	noError(t, d.Reset())
	wantVersion(t, d, classic.NilVersion, false)
	noError(t, d.UnLock())
}
