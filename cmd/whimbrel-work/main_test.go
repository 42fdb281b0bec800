package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// programs is a folder with whimbrel and whimbrel-work, which is in PATH.
var programs string

// TestMain builds both programs, as a release contains them, in one folder.
func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

func withPrograms(m *testing.M) int {
	dir, err := os.MkdirTemp("", "whimbrel-work-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-race=false", "-o", dir, "../whimbrel", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		return 1
	}
	programs = dir
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return m.Run()
}

// A script runs once on each kind of database.
func TestSQLite(t *testing.T) {
	runScripts(t, "sqlite", func(env *testscript.Env) string {
		return "sqlite:" + filepath.ToSlash(filepath.Join(env.WorkDir, "app.db"))
	})
}

func TestPostgres(t *testing.T) { runScripts(t, "postgres", onServer(testdb.Postgres)) }

func TestMariaDB(t *testing.T) { runScripts(t, "mariadb", onServer(testdb.MariaDB), "nowhere") }

func onServer(create func(testing.TB) string) func(*testscript.Env) string {
	return func(env *testscript.Env) string {
		tb, ok := env.T().(testing.TB)
		if !ok {
			env.T().Fatal("testscript's T is no testing.TB")
		}
		return create(tb)
	}
}

func runScripts(t *testing.T, kind string, newDatabase func(*testscript.Env) string, only ...string) {
	t.Parallel()
	dir := "testdata/script"
	for i, name := range only {
		only[i] = filepath.Join(dir, name+".txtar")
	}
	if len(only) > 0 {
		dir = ""
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, Files: only, RequireUniqueNames: true, RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "sqlite", "postgres", "mariadb":
				return cond == kind, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("DATABASE_URL", newDatabase(env))
			env.Setenv("PROGRAMS", programs)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
}

// code runs a command that must exit with a code: code 5 whimbrel verify.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// worker starts "whimbrel work" for a database, which becomes whimbrel-work, and waits until it has
// begun.
func worker(t *testing.T, url, dir string, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), filepath.Join(programs, "whimbrel"), append([]string{"work"}, args...)...)
	out := &output{}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = []string{"DATABASE_URL=" + url, "PATH=/nowhere"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	eventually(t, "the worker says that it works", func() bool { return strings.Contains(out.String(), "Working on the backfills") })
	return cmd, out
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after five minutes, it is not the case that %s", what)
		}
	}
}

// users is a folder with a table of rows and a detached backfill that counts in each row how often
// it was changed.
func users(t *testing.T, url string) (dir string, value func(query string) int) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"0001_users.up.sql":       "CREATE TABLE users (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);\nINSERT INTO users (id) SELECT generate_series(1, 4000);\n",
		"0002_count.backfill.sql": "-- whimbrel: backfill users\n-- whimbrel: detach\n-- whimbrel: batch 20\n-- whimbrel: pause 5ms\nUPDATE users SET n = n + 1 WHERE id BETWEEN :first AND :last;\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "migrations"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "migrations", name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	up := exec.CommandContext(t.Context(), filepath.Join(programs, "whimbrel"), "up")
	up.Dir, up.Env = dir, []string{"DATABASE_URL=" + url}
	if out, err := up.CombinedOutput(); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return dir, func(query string) (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// The worker is killed while it changes rows. The next one continues when the lease has ended, and
// every row is changed once.
func TestKill(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	dir, value := users(t, url)
	cmd, _ := worker(t, url, dir)
	eventually(t, "rows are changed", func() bool { return value("SELECT count(*) FROM users WHERE n > 0") > 0 })
	cmd.Process.Kill()
	cmd.Wait()
	next, out := worker(t, url, dir, "--until-done")
	if err := next.Wait(); err != nil {
		t.Fatalf("the next worker: %v\n%s", err, out)
	}
	if n := value("SELECT count(*) FROM users WHERE n <> 1"); n > 0 {
		t.Errorf("%d rows were not changed exactly once", n)
	}
}

// SIGTERM lets the batches commit, and ends the worker with 0.
func TestTerminate(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	dir, value := users(t, url)
	cmd, out := worker(t, url, dir, append(pageArgs(t, "work", "--workers", "4"), "--ui", "127.0.0.1:0")...)
	if !regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).MatchString(out.String()) {
		t.Errorf("the worker does not say where its pages are:\n%s", out)
	}
	if strings.Contains(out.String(), "warning") {
		t.Errorf("the worker warns of a loopback address:\n%s", out)
	}
	eventually(t, "rows are changed", func() bool { return value("SELECT count(*) FROM users WHERE n > 0") > 0 })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the worker: %v\n%s", err, out)
	}
	next, out := worker(t, url, t.TempDir(), pageArgs(t, "work", "--until-done")...)
	if err := next.Wait(); err != nil {
		t.Fatalf("the next worker: %v\n%s", err, out)
	}
	if n := value("SELECT count(*) FROM users WHERE n <> 1"); n > 0 {
		t.Errorf("%d rows were not changed exactly once", n)
	}
}

// pageArgs returns the flags of a command that docs/containers.md must show.
func pageArgs(t *testing.T, command string, flags ...string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/containers.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := `args: ["` + strings.Join(append([]string{command}, flags...), `", "`) + `"]`
	if !strings.Contains(strings.Join(strings.Fields(string(page)), " "), quoted) {
		t.Errorf("docs/containers.md lacks %s", quoted)
	}
	return flags
}

// An address that other machines can reach is warned of.
func TestPublicPagesAreWarnedOf(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	dir, _ := users(t, url)
	_, out := worker(t, url, dir, "--ui", "0.0.0.0:0")
	eventually(t, "the worker warns", func() bool {
		return strings.Contains(out.String(), "warning: everybody who can reach")
	})
}
