package sqlite_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
)

// chain returns a Tx that began with the COMMIT of another one of the same Database, which keeps
// its journal, and the cutter behind the Database.
func chain(t *testing.T, path, params string) (database.Database, database.Tx, *cutter) {
	t.Helper()
	c := &cutter{}
	pool := sql.OpenDB(connector{cutDriver{c}, dsn(path, params)})
	t.Cleanup(func() { pool.Close() })
	_, err := open(t, path, params).Exec("CREATE TABLE t (x)")
	must(t, err)
	db, err := sqlite.New(pool, database.Options{})
	must(t, err)
	sqlite.Own(db)
	applyMore(t, db, 1)
	tx, _ := chained(t, begin(t, db), 4)
	if tx == nil {
		t.Fatal("CommitAndBegin did not begin a Tx")
	}
	return db, tx, c
}

// chained applies a migration in a Tx, and returns the Tx that began with its COMMIT.
func chained(t *testing.T, tx database.Tx, version int64) (database.Tx, database.Recorded) {
	t.Helper()
	must(t, tx.Exec(bg, text(fmt.Sprintf("CREATE TABLE t%d (x)", version))))
	must(t, tx.Record(bg, event(version)))
	r, next, found, err := database.CommitAndBegin(bg, tx, database.LockOptions{})
	must(t, err)
	if next != nil && (found.Head != r.Head || found.Interrupted) {
		t.Errorf("the next Tx found %+v after head %d", found, r.Head)
	}
	return next, r
}

// once runs do before the next text of this kind is sent.
func (c *cutter) once(text string, do func()) {
	c.before = func(sent string) {
		if sent == text {
			c.before = nil
			do()
		}
	}
}

// Between COMMIT and BEGIN, a Tx sends the statement that keeps the read lock, and nothing else.
// SQLite keeps the journal open.
func TestStatementsOfAChain(t *testing.T) {
	t.Parallel()
	onlyKept(t)
	_, tx, c := chain(t, filepath.Join(t.TempDir(), "app.db"), noSync)
	var sent []string
	c.before = func(text string) {
		verb, _, _ := strings.Cut(text, " ")
		sent = append(sent, verb)
	}
	for v := range int64(3) {
		if tx, _ = chained(t, tx, 5+v); tx == nil {
			t.Fatal("CommitAndBegin did not begin a Tx")
		}
	}
	c.before = nil
	must(t, tx.Rollback(bg))
	if got, want := strings.Join(sent, " "), strings.Repeat("CREATE INSERT PRAGMA COMMIT BEGIN ", 3); got+" " != want {
		t.Errorf("3 Txs sent %s, want %s", got, want)
	}
}

// Between COMMIT and BEGIN, others can have the lock. Then the next Tx has not begun, and the one
// that Begin returns is as any other.
func TestOthersBetweenTransactions(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"delete", "truncate", "persist", "wal"} {
		for what, statement := range map[string]string{"rolls back": "ROLLBACK", "commits": "COMMIT"} {
			t.Run(journal+" "+what, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "app.db")
				db, tx, c := chain(t, path, noSync+"&_pragma=journal_mode("+journal+")")
				other := open(t, path, noSync)
				other.SetMaxOpenConns(1)
				c.once("BEGIN IMMEDIATE", func() {
					_, err := other.Exec("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
					must(t, err)
					_, err = other.Exec(statement)
					if statement == "COMMIT" && journal != "wal" && (runtime.GOOS == "windows") == (err != nil) {
						t.Errorf("a COMMIT beside the read lock: %v", err)
					}
				})
				next, r := chained(t, tx, 5)
				if next != nil && (statement == "COMMIT" || journal == "delete") {
					t.Fatal("the next Tx has begun")
				}
				rows := 0
				if statement == "COMMIT" {
					rows = 1
					_, _ = other.Exec("COMMIT") // unless it is done
				}
				if next == nil {
					var found database.Found
					var err error
					next, found, err = db.Begin(bg, "app", patient)
					must(t, err)
					if found.Head != r.Head {
						t.Errorf("the next Tx found the head %d, want %d", found.Head, r.Head)
					}
				}
				must(t, next.Exec(bg, text("INSERT INTO t VALUES (2)")))
				if got, want := journalOf(t, path), journal != "wal"; got != want {
					t.Errorf("in the next Tx, a journal exists: %t, want %t", got, want)
				}
				must(t, next.Record(bg, event(6)))
				must(t, errOf(next.Commit(bg)))
				if n := scan[int](t, path, "SELECT count(*) FROM t WHERE x = 1"); n != rows {
					t.Errorf("%d rows of the other connection, want %d", n, rows)
				}
				if n := scan[int](t, path, "SELECT count(*) FROM whimbrel_history WHERE set_name = 'app'"); n != 6 {
					t.Errorf("%d entries, want 6", n)
				}
			})
		}
	}
}

// A migration of another process between COMMIT and BEGIN is in the head of the next Tx.
func TestAMigrationBetweenTransactions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db, tx, c := chain(t, path, noSync+"&_pragma=journal_mode(wal)")
	other := connect(t, "sqlite:"+path, database.Options{})
	c.once("BEGIN IMMEDIATE", func() { apply(t, other, 500, "SELECT 1") })
	next, r := chained(t, tx, 5)
	if next != nil {
		t.Fatal("the next Tx has begun")
	}
	b, found, err := db.Begin(bg, "app", patient)
	must(t, err)
	if found.Head != r.Head+1 {
		t.Errorf("the head is %d, want %d", found.Head, r.Head+1)
	}
	must(t, b.Rollback(bg))
}

// A file that is replaced between COMMIT and BEGIN is noticed before anything else runs.
func TestAFileThatIsReplacedBetweenTransactions(t *testing.T) {
	t.Parallel()
	for what, do := range deletions {
		path := filepath.Join(t.TempDir(), "app.db")
		_, tx, c := chain(t, path, noSync)
		c.once("BEGIN IMMEDIATE", func() { do(t, path) })
		must(t, tx.Exec(bg, text("INSERT INTO t VALUES (1)")))
		must(t, tx.Record(bg, event(5)))
		_, next, _, err := database.CommitAndBegin(bg, tx, database.LockOptions{})
		if err == nil || !strings.Contains(err.Error(), "replaced while it was open") {
			t.Errorf("%s: the error is %v, want a text with %q", what, err, "replaced while it was open")
		}
		if next != nil {
			t.Errorf("%s: the next Tx has begun", what)
		}
	}
}
