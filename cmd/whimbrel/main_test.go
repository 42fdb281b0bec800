package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestMain(m *testing.M) {
	if !raceDetector {
		testscript.Main(m, map[string]func(){"whimbrel": main})
		return
	}
	os.Exit(runWithBuilt(m))
}

// runWithBuilt runs the tests with a command that is built without the race detector, with which
// SQLite, a very large Go program, takes twenty times as long. The tests of package cli cover the
// command's concurrency.
func runWithBuilt(m *testing.M) int {
	dir, err := os.MkdirTemp("", "whimbrel-command-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-race=false", "-o", dir, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // the compiled packages that everything else uses
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the command: %v\n%s", err, out)
		return 1
	}
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return m.Run()
}

// A script runs once on each kind of database. $DATABASE_URL is the URL of an empty one, and
// $DB_USER, $DB_HOST and so on are its parts.
func TestSQLite(t *testing.T) {
	runScripts(t, "sqlite", func(env *testscript.Env) string {
		return "sqlite:" + filepath.ToSlash(filepath.Join(env.WorkDir, "app.db"))
	})
}

func TestPostgres(t *testing.T) {
	runScripts(t, "postgres", serverDatabase(testdb.Postgres))
}

// serverDatabase returns what creates an empty database for a script on a server.
func serverDatabase(create func(testing.TB) string) func(*testscript.Env) string {
	return func(env *testscript.Env) string {
		tb, ok := env.T().(testing.TB)
		if !ok {
			env.T().Fatal("testscript's T is no testing.TB")
		}
		return create(tb)
	}
}

// MariaDB runs the scripts whose SQL every database accepts and which expect no CREATE TABLE in a
// transaction.
func TestMariaDB(t *testing.T) {
	runScripts(t, "mariadb", serverDatabase(testdb.MariaDB), "answers", "config", "create", "database", "deleted", "edited", "freeze", "goals", "goals_wrong", "history", "irreversible", "locked", "looking", "metadata", "mysql", "mysql_tools", "outoforder", "outside", "promises", "sql",
		"abandon", "backfill", "backfill_detached", "backfill_failing", "backfill_stopped", "backfill_sync", "backfill_waits", "blocked", "records", "replayed", "restored", "resume", "running", "schema_file", "seed", "settings", "squash_minimal", "status", "tables", "together", "where")
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
		Dir:                 dir,
		Files:               only,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "sqlite", "postgres", "mariadb":
				return cond == kind, nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(env *testscript.Env) error {
			raw := newDatabase(env)
			env.Setenv("DATABASE_URL", raw)
			u, err := url.Parse(raw)
			if err != nil {
				return err
			}
			env.Setenv("DB_HOST", u.Host)
			env.Setenv("DB_USER", u.User.Username())
			env.Setenv("DB_NAME", strings.TrimPrefix(u.Path, "/"))
			env.Values[procsKey{}] = &procs{env: env, all: map[string]*proc{}, held: map[string]held{}}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":     code,
			"crlf":     crlf,
			"finish":   finish,
			"hold":     hold,
			"jsonq":    jsonq,
			"release":  release,
			"releases": releases,
			"said":     said,
			"signal":   sendSignal,
			"sql":      runSQL,
			"start":    start,
			"until":    until,
			"untilsql": untilSQL,
		},
	})
}

// code runs a command that must exit with a code: code 5 whimbrel verify.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command…")
	}
	checkCode(ts, ts.Exec(args[1], args[2:]...), args[0])
}

// crlf gives a file the line ends of another system.
func crlf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: crlf file")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "\n", "\r\n")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o666))
}

// releases sets OLDER and NEWER to the URLs of two new databases, on two minor releases of
// PostgreSQL.
func releases(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: releases")
	}
	tb := ts.Value(procsKey{}).(*procs).env.T().(testing.TB)
	older, newer := testdb.PostgresReleases(tb)
	ts.Setenv("OLDER", older.New(tb))
	ts.Setenv("NEWER", newer.New(tb))
}

func checkCode(ts *testscript.TestScript, err error, want string) {
	if got := codeOf(ts, err); strconv.Itoa(got) != want {
		ts.Fatalf("exit code %d, want %s", got, want)
	}
}

func codeOf(ts *testscript.TestScript, err error) int {
	if err == nil {
		return 0
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		ts.Fatalf("%v", err)
	}
	return exit.ExitCode()
}

// until runs a command again and again until it exits with a code.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until N command…")
	}
	for { // the test's own time limit ends it
		if strconv.Itoa(codeOf(ts, ts.Exec(args[1], args[2:]...))) == args[0] {
			return
		}
	}
}

// procs are the processes that start has started. Unlike testscript's own, they have exit codes
// that can be checked, and several can have one name.
type procs struct {
	env  *testscript.Env
	all  map[string]*proc
	held map[string]held
}

type procsKey struct{}

type proc struct {
	cmds     []*exec.Cmd
	out, err output
}

func procsOf(ts *testscript.TestScript, args []string, usage string, least int) (*procs, string) {
	if len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
	return ts.Value(procsKey{}).(*procs), args[0]
}

// start starts a command n times under a name: start NAME N command….
func start(ts *testscript.TestScript, neg bool, args []string) {
	ps, name := procsOf(ts, args, "start NAME N command…", 3)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	path, err := exec.LookPath(args[2])
	ts.Check(err)
	p := &proc{}
	for range n {
		c := exec.Command(path, args[3:]...)
		c.Dir, c.Env, c.Stdout, c.Stderr = ts.MkAbs("."), ps.env.Vars, &p.out, &p.err
		ts.Check(c.Start())
		p.cmds = append(p.cmds, c)
		ts.Defer(func() { _ = c.Process.Kill() }) // it has ended unless the script failed
	}
	ps.all[name] = p
}

// output collects the output of several processes.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// said waits until a process of a name has written a text to stderr: said NAME 'text'.
func said(ts *testscript.TestScript, neg bool, args []string) {
	ps, name := procsOf(ts, args, "said NAME text", 2)
	for !strings.Contains(ps.all[name].err.String(), args[1]) {
		time.Sleep(time.Millisecond) // the test's own time limit ends it
	}
}

// signal sends INT, TERM or KILL to the processes of a name.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	ps, name := procsOf(ts, args, "signal NAME INT|TERM|KILL", 2)
	for _, c := range ps.all[name].cmds {
		ts.Check(c.Process.Signal(signals[args[1]]))
	}
}

// finish waits for the processes of a name, which must all exit with a code, or any; stdout and
// stderr are then theirs.
func finish(ts *testscript.TestScript, neg bool, args []string) {
	ps, name := procsOf(ts, args, "finish NAME CODE", 2)
	p := ps.all[name]
	var bad []string
	for _, c := range p.cmds {
		if got := codeOf(ts, c.Wait()); args[1] != "any" && strconv.Itoa(got) != args[1] {
			bad = append(bad, strconv.Itoa(got))
		}
	}
	fmt.Fprint(ts.Stdout(), p.out.String())
	fmt.Fprint(ts.Stderr(), p.err.String())
	if len(bad) > 0 {
		ts.Fatalf("exit codes %s, want %s\n%s%s", strings.Join(bad, ", "), args[1], p.out.String(), p.err.String())
	}
}

// runSQL executes a statement in the script's database and prints the rows it returns.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: sql 'statement'")
	}
	rows, err := query(ts.Getenv("DATABASE_URL"), args[0])
	switch {
	case err == nil && neg:
		ts.Fatalf("the statement has succeeded")
	case err != nil && !neg:
		ts.Fatalf("%v", err)
	case err != nil:
		fmt.Fprintln(ts.Stderr(), err)
	}
	fmt.Fprint(ts.Stdout(), rows)
}

// untilSQL executes a statement again and again until it succeeds.
func untilSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: untilsql 'statement'")
	}
	for { // the test's own time limit ends it
		if _, err := query(ts.Getenv("DATABASE_URL"), args[0]); err == nil {
			return
		}
	}
}

// openSQL opens a database with database/sql.
func openSQL(url string) (*sql.DB, error) {
	driver, name := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, name = "sqlite", path
	}
	if rest, ok := strings.CutPrefix(url, "mysql://"); ok {
		at := strings.IndexByte(rest, '@') + 1
		address, database, _ := strings.Cut(rest[at:], "/")
		driver, name = "mysql", rest[:at]+"tcp("+address+")/"+database
	}
	return sql.Open(driver, name)
}

func query(url, statement string) (string, error) {
	db, err := openSQL(url)
	if err != nil {
		return "", err
	}
	defer db.Close()
	rows, err := db.Query(statement)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for rows.Next() {
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return "", err
		}
		for i, v := range values {
			if text, ok := v.([]byte); ok { // as MySQL's client has it
				values[i] = string(text)
			}
		}
		fmt.Fprintln(&b, values...)
	}
	return b.String(), rows.Err()
}

// jsonq queries the JSON document on stdout, or in a file given first:
//
//	jsonq .applied [1,2]        the value, compared as JSON
//	jsonq .error.message ~text  a string that matches a regular expression
//	jsonq .migrations.len 2     the length of a list
//	jsonq .steps.each.name ["a"] a value of each element of a list
//	! jsonq .error.file         there is no such thing
func jsonq(ts *testscript.TestScript, neg bool, args []string) {
	file := "stdout"
	if len(args) > 0 && !strings.HasPrefix(args[0], ".") {
		file, args = args[0], args[1:]
	}
	if len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: jsonq [file] path [value]")
	}
	got, found, err := lookup(ts.ReadFile(file), args[0])
	ts.Check(err)
	if len(args) == 1 {
		if found == neg {
			ts.Fatalf("%s: found %v: %v", args[0], found, got)
		}
		return
	}
	if same, err := matches(got, args[1]); err != nil || !found || same == neg {
		ts.Fatalf("%s is %s, want %s %v", args[0], got, args[1], err)
	}
}

func matches(got, want string) (bool, error) {
	pattern, ok := strings.CutPrefix(want, "~")
	if !ok {
		return got == want || got == strconv.Quote(want), nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return false, err
	}
	var text string
	if json.Unmarshal([]byte(got), &text) == nil {
		got = text
	}
	return re.MatchString(got), nil
}
