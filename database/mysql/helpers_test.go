package mysql_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// waitLimit bounds the waits; no test depends on the speed.
const waitLimit = 5 * time.Minute

func TestMain(m *testing.M) {
	if text := os.Getenv(jobEnv); text != "" {
		os.Exit(work(text))
	}
	os.Exit(m.Run())
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %s, want %s", what, got, want)
	}
}

func contains(t testing.TB, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Fatalf("%s: got %q, want something with %q", what, got, want)
	}
}

// as returns the error of type E that err wraps.
func as[E error](t testing.TB, err error) (e E) {
	t.Helper()
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a %T", err, err, e)
	}
	return e
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	every(t, 10*time.Millisecond, what, is)
}

// eventuallyInInnoDB is eventually for what information_schema.innodb_trx shows. InnoDB does not
// refresh that while anybody reads it more often than every 0.1 s.
func eventuallyInInnoDB(t testing.TB, what string, is func() bool) {
	t.Helper()
	every(t, 250*time.Millisecond, what, is)
}

func every(t testing.TB, pause time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(waitLimit); !is(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("not in %s: %s", waitLimit, what)
		}
	}
}

func open(t testing.TB, url string) database.Database {
	t.Helper()
	db, err := database.Open(background(t), url, database.Options{})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// setOf returns a set of up scripts, with versions from 1.
func setOf(t testing.TB, name string, ups ...string) *migration.Set {
	t.Helper()
	set, err := newSet(name, ups)
	must(t, err)
	return set
}

func newSet(name string, ups []string) (*migration.Set, error) {
	var all []migration.Migration
	for i, up := range ups {
		all = append(all, migration.Migration{Version: int64(i + 1), Name: "m", Up: migration.Text(fmt.Sprintf("%d_m.up.sql", i+1), up)})
	}
	return migration.NewSet(name, all...)
}

func up(t testing.TB, db database.Database, set *migration.Set) (*whimbrel.Result, error) {
	t.Helper()
	return whimbrel.New(db, set, whimbrel.Options{MigrationLockTimeout: waitLimit}).Up(background(t))
}

func versions(t testing.TB, db database.Database, set string) string {
	t.Helper()
	st, err := db.State(background(t), set)
	must(t, err)
	return fmt.Sprint(st.Applied.Versions())
}

// value reads one value on a pool beside the driver's.
func value(t testing.TB, db *sql.DB, query string, args ...any) string {
	t.Helper()
	all, err := column(background(t), db, query, args...)
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("%s: %d rows", query, len(all))
	}
	return all[0]
}

// jobEnv contains the job of a child process, which runs this test binary.
const jobEnv = "WHIMBREL_TEST_JOB"

// job is the work of a child process: Up of one set, or the lanes of a backfill.
type job struct {
	URL    string
	Ups    []string
	Worker string // of a backfill
}

// process is a child process. It starts working when its stdin is closed.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr strings.Builder
}

func start(t testing.TB, j job) *process {
	t.Helper()
	text, err := json.Marshal(j)
	must(t, err)
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), jobEnv+"="+string(text))
	p.cmd.Stderr = &p.stderr
	p.stdin, err = p.cmd.StdinPipe()
	must(t, err)
	must(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.kill()
		}
	})
	return p
}

func (p *process) begin() { p.stdin.Close() }

func (p *process) wait() error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, p.stderr.String())
	}
	return nil
}

// kill kills the process with SIGKILL.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// work is the child process's main.
func work(text string) int {
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		io.Copy(io.Discard, os.Stdin)
		err = j.do(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (j job) do(ctx context.Context) error {
	if j.Worker != "" {
		return fillJob(ctx, j.URL, j.Worker)
	}
	db, err := database.Open(ctx, j.URL, database.Options{App: "one of many"})
	if err != nil {
		return err
	}
	defer db.Close()
	set, err := newSet("s", j.Ups)
	if err != nil {
		return err
	}
	_, err = whimbrel.New(db, set, whimbrel.Options{MigrationLockTimeout: waitLimit}).Up(ctx)
	return err
}

// isRunning reports whether a statement like this runs in the database of the pool.
func isRunning(t testing.TB, db *sql.DB, like string) bool {
	t.Helper()
	return value(t, db, "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE ? AND id <> CONNECTION_ID()", like) != "0"
}

// newDatabase returns the URL of a new database, and a pool beside the driver's.
func newDatabase(t testing.TB) (url string, pool *sql.DB) {
	t.Helper()
	url = testdb.MariaDB(t)
	return url, testdb.OpenMariaDB(t, url)
}

// errOf is the error of a call whose result is not of interest.
func errOf[T any](_ T, err error) error { return err }
