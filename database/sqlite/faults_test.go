package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

// everyStatement: WHIMBREL_FAULTS=full ends processes at every statement, not only at some.
func everyStatement() bool { return os.Getenv("WHIMBREL_FAULTS") == "full" }

// scenario is a command that is ended at each statement in turn, and then repeated by another
// process.
type scenario struct {
	name string
	// up and down scripts of the versions from 1; {dir} is the folder of the database
	files  []string
	atomic bool
	before func(context.Context, *whimbrel.Migrator) error
	do     func(context.Context, *whimbrel.Migrator) error
	race   bool // another process executes it at the same time
}

const (
	upA, downA = "CREATE TABLE a (x); INSERT INTO a VALUES (1)", "DROP TABLE a"
	upB, downB = "CREATE TABLE b (x); INSERT INTO b VALUES (1); INSERT INTO a VALUES (2)", "DELETE FROM a WHERE x = 2; DROP TABLE b"
	upC, downC = "INSERT INTO a VALUES (3)", "DELETE FROM a WHERE x = 3"
	upMixed    = `-- whimbrel: no-transaction
CREATE TABLE m (x);
INSERT INTO m VALUES (1);
PRAGMA recursive_triggers = ON;
VACUUM;
INSERT INTO m SELECT 2 FROM pragma_recursive_triggers WHERE recursive_triggers = 1;
BEGIN;
INSERT INTO m VALUES (3);
INSERT INTO m VALUES (4);
COMMIT;
CREATE INDEX m_x ON m (x);
`
	upAttached = upMixed + `ATTACH '{dir}/other.db' AS other;
INSERT INTO m VALUES (5);
INSERT INTO other.t VALUES (5);
VACUUM;
INSERT INTO other.t SELECT x FROM m WHERE x = 1;
`
	downMixed = `-- whimbrel: no-transaction
INSERT INTO a VALUES (10);
VACUUM;
BEGIN;
INSERT INTO a VALUES (11);
DROP INDEX m_x;
COMMIT;
DROP TABLE m;`
	// This one requires that no other process has the file open.
	upWAL = upAttached + `PRAGMA journal_mode = wal;
INSERT INTO m VALUES (6);
DETACH other;
PRAGMA journal_mode = delete;
INSERT INTO m VALUES (7);`
	upFamily = `CREATE TABLE m (x INTEGER PRIMARY KEY);
CREATE TABLE a (x REFERENCES m ON DELETE CASCADE);
INSERT INTO m VALUES (1), (2), (3);
INSERT INTO a SELECT x FROM m;`
	// Its statements need foreign keys on and off, so it is a run.
	upToggled = `PRAGMA foreign_keys = ON;
DELETE FROM m WHERE x = 1;
PRAGMA foreign_keys = OFF;
CREATE TABLE new_m (x INTEGER PRIMARY KEY CHECK (x > 0));
INSERT INTO new_m SELECT x FROM m;
DROP TABLE m;
ALTER TABLE new_m RENAME TO m;
PRAGMA foreign_keys = ON;
DELETE FROM m WHERE x = 2;`
)

func up(ctx context.Context, m *whimbrel.Migrator) error {
	_, err := m.Up(ctx)
	return err
}

func to(version int64) func(context.Context, *whimbrel.Migrator) error {
	return func(ctx context.Context, m *whimbrel.Migrator) error {
		_, err := m.Migrate(ctx, whimbrel.Version(version), whimbrel.ApplyOptions{})
		return err
	}
}

func rollback(ctx context.Context, m *whimbrel.Migrator) error {
	_, err := m.Migrate(ctx, whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
	return err
}

func mark(ctx context.Context, m *whimbrel.Migrator) error {
	err := m.Mark(ctx, "they are there", 1, 2)
	var already *whimbrel.AlreadyAppliedError
	if errors.As(err, &already) {
		return nil
	}
	return err
}

var scenarios = []scenario{
	{name: "a transaction of one", files: []string{upA, downA}, do: up},
	{name: "an atomic transaction", files: []string{upA, downA, upB, downB, upC, downC}, atomic: true, do: up},
	{name: "transactions", files: []string{upA, downA, upB, downB, upC, downC}, do: up},
	{name: "a mixed run", files: []string{upA, downA, upWAL, downMixed, upC, downC}, do: up},
	{name: "foreign keys on the way", files: []string{upFamily, "DROP TABLE a; DROP TABLE m", upToggled, "SELECT 1"}, do: up},
	{name: "down", files: []string{upA, downA, upMixed, downMixed, upC, downC}, before: up, do: to(1)},
	{name: "a rollback", files: []string{upA, downA, upB, downB, upMixed, downMixed}, before: up, do: rollback},
	{name: "recording only", files: []string{upA, downA, upB, downB}, do: mark},
	{name: "two processes", files: []string{upA, downA, upAttached, downMixed, upC, downC}, do: up, race: true},
}

// play executes the command, or its preparation.
func (s *scenario) play(db database.Database, dir string, do func(context.Context, *whimbrel.Migrator) error) error {
	var all []migration.Migration
	for i := 0; i < len(s.files); i += 2 {
		v := int64(i/2 + 1)
		script := func(direction, text string) *migration.Script {
			return migration.Text(fmt.Sprintf("%d_m.%s.sql", v, direction), strings.ReplaceAll(text, "{dir}", dir))
		}
		all = append(all, migration.Migration{Version: v, Name: "m", Up: script("up", s.files[i]), Down: script("down", s.files[i+1])})
	}
	set, err := migration.NewSet("app", all...)
	if err != nil {
		return err
	}
	return do(bg, whimbrel.New(db, set, whimbrel.Options{Atomic: s.atomic, MigrationLockTimeout: 5 * time.Minute}))
}

// noSync: there are no power failures here; the writes of a killed process are kept.
const noSync = "_pragma=synchronous(0)"

// attempt is one process that isn't ended.
func (s *scenario) attempt(dir string, do func(context.Context, *whimbrel.Migrator) error) error {
	db, err := database.Open(bg, "sqlite:"+filepath.Join(dir, "app.db")+"?"+noSync, database.Options{})
	if err != nil {
		return err
	}
	return errors.Join(s.play(db, dir, do), db.Close())
}

// prepare creates a folder with the database as it is before the command.
func (s *scenario) prepare(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	_, err := open(t, filepath.Join(dir, "other.db"), noSync).Exec("CREATE TABLE t (x)")
	must(t, err)
	if s.before != nil {
		must(t, s.attempt(dir, s.before))
	}
	return dir
}

// again returns a copy of such a folder.
func again(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// sight returns everything that must be the same in the end, whatever was interrupted.
func sight(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "app.db")
	db, err := database.Open(bg, "sqlite:"+path, database.Options{})
	must(t, err)
	defer db.Close()
	b, _, err := db.Begin(bg, "app", database.LockOptions{}) // removes a dead process's leftovers
	must(t, err)
	must(t, errOf(b.Commit(bg)))
	r, _, err := db.Guard(bg, "app", database.LockOptions{}) // and a file it had not recorded
	must(t, err)
	must(t, r.Close(bg))
	var out strings.Builder
	for e, err := range db.History(bg, database.HistoryQuery{}) {
		must(t, err)
		if e.Direction == database.Failed { // only the interrupted attempt leaves one
			continue
		}
		fmt.Fprintln(&out, e.Set, e.Version, e.Direction)
	}
	st, err := db.State(bg, "app")
	must(t, err)
	fmt.Fprintln(&out, "applied:", st.Applied.Versions(), "open:", st.Interrupted)
	snapshot, err := database.Snapshot(bg, db, catalog.Options{})
	must(t, err)
	fmt.Fprintln(&out, snapshot.Text())
	must(t, inspect(path, func(pool *sql.DB) error {
		for _, table := range []string{"a", "b", "m", "whimbrel_settings", "whimbrel_journal"} {
			var rows sql.NullString
			if err := pool.QueryRow("SELECT group_concat(quote(" + map[bool]string{true: "x", false: "1"}[len(table) == 1] + ")) FROM " + table).Scan(&rows); err == nil {
				fmt.Fprintln(&out, "rows of", table+":", rows.String)
			}
		}
		return nil
	}))
	fmt.Fprintln(&out, "rows of other.t:", scan[int](t, filepath.Join(dir, "other.db"), "SELECT count(*) FROM t"))
	fmt.Fprintln(&out, "locks:", len(sideFiles(t, path)))
	return out.String()
}

// follow repeats the command in another process, and compares the result with the expected one.
func (s *scenario) follow(t testing.TB, dir, what, want string, caught error) {
	t.Helper()
	if err := s.attempt(dir, s.do); err != nil {
		t.Errorf("%s: the next process failed: %v\nafter: %v", what, err, caught)
		return
	}
	if got := sight(t, dir); got != want {
		t.Errorf("%s: the end is another one:\n%s\nwant:\n%s\nafter: %v", what, got, want, caught)
	}
}

// unbroken returns the result of an uninterrupted command.
func (s *scenario) unbroken(t testing.TB) (want string) {
	t.Helper()
	dir := s.prepare(t)
	must(t, s.attempt(dir, s.do))
	return sight(t, dir)
}

// points calls try for statement after statement, until the process ends before it reaches the
// n-th. With a step above 1, it tries each step-th statement, alternating before and after.
func points(t testing.TB, step int, try func(n int, after bool) (sprung bool)) (tried int) {
	missed := 0
	for n := step; missed < 3 && !t.Failed(); n += step {
		for _, after := range []bool{false, true} {
			switch {
			case step > 1 && after != (n/step%2 == 0):
			case try(n, after):
				tried, missed = tried+1, 0
			default:
				missed++
			}
		}
	}
	return tried
}

// Connections are dropped, without a COMMIT, before or after a statement.
func TestCutAtEachStatement(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		if s.race {
			continue // it needs processes
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			before, want, step := s.prepare(t), s.unbroken(t), 3
			if everyStatement() {
				step = 1
			}
			t.Logf("%d cuts", points(t, step, func(n int, after bool) bool {
				dir, c := again(t, before), &cutter{n: n, after: after}
				pool := sql.OpenDB(connector{cutDriver{c}, dsn(filepath.Join(dir, "app.db"), noSync)})
				pool.SetMaxIdleConns(0) // otherwise the file can't leave WAL mode
				db, err := sqlite.New(pool, database.Options{})
				must(t, err)
				caught := errors.Join(s.play(db, dir, s.do), db.Close(), pool.Close())
				if !c.sprung() && caught != nil {
					t.Errorf("nothing was cut, and it failed: %v", caught)
				}
				s.follow(t, dir, fmt.Sprintf("cut at statement %d (after it: %t)", n, after), want, caught)
				return c.sprung()
			}))
		})
	}
}

const fallVar = "WHIMBREL_TEST_FALL"

// fall is a process that kills itself at a statement with SIGKILL.
func fall(dir string) error {
	where := strings.Split(os.Getenv(fallVar), "/")
	n, err := strconv.Atoi(where[1])
	if err != nil {
		return err
	}
	c := &cutter{n: n, after: where[2] == "true", kill: func() {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}}
	sql.Register("sqlite-cut", cutDriver{c})
	sqlite.UseClient("sqlite-cut")
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == where[0] })
	return scenarios[i].attempt(dir, scenarios[i].do)
}

// Processes are killed before or after each statement, including those on the file beside the
// database.
func TestKillAtEachStatement(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			before, want, step := s.prepare(t), s.unbroken(t), 7
			if everyStatement() {
				step = 1
			}
			t.Logf("%d kills", points(t, step, func(n int, after bool) bool {
				dir := again(t, before)
				cmd, out := process(t, "fall", dir), &bytes.Buffer{}
				cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%s/%d/%t", fallVar, s.name, n, after))
				cmd.Stdout, cmd.Stderr = out, out
				must(t, cmd.Start())
				if s.race {
					if err := s.attempt(dir, s.do); err != nil {
						t.Errorf("beside a process that was killed at statement %d: %v", n, err)
					}
				}
				err := cmd.Wait()
				killed := wasKilled(err)
				if err != nil && !killed {
					t.Errorf("the process that was to be killed at statement %d failed: %v: %s", n, err, out)
				}
				s.follow(t, dir, fmt.Sprintf("killed (%t) at statement %d (after it: %t)", killed, n, after), want, err)
				return killed
			}))
		})
	}
}

func wasKilled(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
