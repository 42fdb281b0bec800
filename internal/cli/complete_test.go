package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// inFolder is a folder with migrations, a configuration and a SQLite database.
type inFolder struct {
	t   *testing.T
	dir string
}

func newFolder(t *testing.T, files map[string]string) inFolder {
	t.Helper()
	f := inFolder{t, t.TempDir()}
	for name, text := range files {
		path := filepath.Join(f.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// run returns what a command prints, with the folder's database and migrations.
func (f inFolder) run(args ...string) string {
	var out bytes.Buffer
	env := map[string]string{
		"WHIMBREL_DATABASE_URL": "sqlite:" + filepath.ToSlash(filepath.Join(f.dir, "app.db")),
		"WHIMBREL_DIR":          filepath.Join(f.dir, "migrations"),
	}
	Run(Process{
		Args: args, LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Stdin: Input{Reader: strings.NewReader("")}, Stdout: render.Stream{Writer: &out}, Stderr: render.Stream{Writer: &out},
	})
	return out.String()
}

// offers returns what the shell would offer, without the descriptions.
func (f inFolder) offers(args ...string) string {
	var words []string
	for line := range strings.Lines(f.run(append([]string{"__complete"}, args...)...)) {
		if strings.HasPrefix(line, ":") {
			break
		}
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

var fourTables = map[string]string{
	"migrations/0001_a.up.sql":   "CREATE TABLE a (x int);",
	"migrations/0001_a.down.sql": "DROP TABLE a;",
	"migrations/0002_b.up.sql":   "CREATE TABLE b (x int);",
	"migrations/0002_b.down.sql": "DROP TABLE b;",
	"migrations/0003_c.up.sql":   "CREATE TABLE c (x int);",
	"migrations/0004_d.up.sql":   "CREATE TABLE d (x int);",
	"whimbrel.yaml":              "environments:\n  staging: {database: 'sqlite:s.db'}\n  local: {database: 'sqlite:l.db'}\n  production: {database: 'sqlite:p.db'}\n",
}

// Versions are offered in the order in which people choose them, and as the files have them:
// applied ones from the newest, pending ones from the oldest.
func TestCompletionOfVersions(t *testing.T) {
	t.Parallel()
	f := newFolder(t, fourTables)
	if got, want := f.offers("up", "--to", ""), "0001 0002 0003 0004"; got != want {
		t.Errorf("a new database: up --to offers %q, want %q", got, want)
	}
	f.run("up", "--to", "2")
	for command, want := range map[string]string{
		"up --to":   "0003 0004",
		"down --to": "0002 0001",
		"to":        "0002 0001 0003 0004",
		"forget":    "0002 0001",
		"mark":      "0003 0004",
		"mark 3":    "0004",
		"accept":    "",
		"resolve":   "",
		"baseline":  "0002 0001 0003 0004",
	} {
		if got := f.offers(append(strings.Fields(command), "")...); got != want {
			t.Errorf("%s offers %q, want %q", command, got, want)
		}
	}
	if got, want := f.offers("to", "3"), "3"; got != want {
		t.Errorf("to 3 offers %q, want %q", got, want)
	}
	if got, want := f.offers("to", "000"), "0002 0001 0003 0004"; got != want {
		t.Errorf("to 000 offers %q, want %q", got, want)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "migrations/0001_a.up.sql"), []byte("CREATE TABLE a (y int);"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := f.offers("accept", ""); got != "0001" {
		t.Errorf("accept offers %q, want the edited 0001", got)
	}
	if got, want := f.offers("to", "--database", "sqlite:/nosuch/folder/x.db", ""), "0004 0003 0002 0001"; got != want {
		t.Errorf("without a database to offers %q, want %q", got, want)
	}
}

func TestCompletionOfEnvironments(t *testing.T) {
	t.Parallel()
	f := newFolder(t, fourTables)
	config := filepath.Join(f.dir, "whimbrel.yaml")
	if got, want := f.offers("status", "--config", config, "--env", ""), "staging local production"; got != want {
		t.Errorf("--env offers %q, want the order of the file, %q", got, want)
	}
	if got, want := f.offers("report", "--config", config, "local", ""), "staging production"; got != want {
		t.Errorf("report local offers %q, want %q", got, want)
	}
	if got, want := f.offers("diff", "--config", config, "local", ""), "staging production"; got != want {
		t.Errorf("diff local offers %q, want %q", got, want)
	}
	if got := f.offers("diff", "--config", config, "local", "staging", ""); got != "" {
		t.Errorf("diff local staging offers %q, want nothing", got)
	}
}

// The commands of backfills offer the versions that they can change, the newest first.
func TestBackfillsAreCompleted(t *testing.T) {
	t.Parallel()
	const fill = "-- whimbrel: backfill t\nUPDATE t SET x = 1 WHERE id BETWEEN :first AND :last;"
	f := newFolder(t, map[string]string{
		"migrations/0001_t.up.sql":           "CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER); INSERT INTO t (id) VALUES (1), (2);",
		"migrations/0002_done.backfill.sql":  fill,
		"migrations/0003_open.backfill.sql":  fill,
		"migrations/0004_other.backfill.sql": fill,
	})
	f.run("up", "--detach")
	f.run("backfill", "run", "2")
	f.run("backfill", "pause", "3")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"backfill", "show", ""}, "0004 0003 0002"},
		{[]string{"backfill", "run", ""}, "0004 0003"},
		{[]string{"backfill", "pause", ""}, "0004"},
		{[]string{"backfill", "resume", ""}, "0003"},
		{[]string{"backfill", "retry", ""}, ""},
		{[]string{"backfill", "cancel", "4"}, "4"},
		{[]string{"backfill", "pause", "0004", ""}, ""},
		{[]string{"backfill", "set", "3", ""}, "batch= target= parallel= pause= timeout= attempts="},
		{[]string{"backfill", "set", "3", "pause=1s", "p"}, "batch= target= parallel= timeout= attempts="},
	} {
		if got := f.offers(c.args...); got != c.want {
			t.Errorf("%q offers %q, want %q", c.args, got, c.want)
		}
	}
}

// Shells offer files only where the command takes some.
func TestFilesAreCompletedWhereTheyBelong(t *testing.T) {
	t.Parallel()
	f := newFolder(t, nil)
	for line, files := range map[string]bool{
		"redo": false, "up": false, "metadata reload": false, "new x": false, "settings set frozen": false, "up --steps": false, "up --lock-timeout": false, "up --reason": false,
		"load": true, "diff": true, "diff a": true, "convert": true, "convert a": true, "sql": true, "up --schema-file": true, "snapshot --out": true, "up --env-file": true,
	} {
		got := f.run(append([]string{"__complete"}, append(strings.Fields(line), "")...)...)
		if strings.HasPrefix(got, ":0\n") != files {
			t.Errorf("%s offers files: %t, want %t:\n%s", line, !files, files, got)
		}
	}
	wantContains(t, "the description of a flag", f.run("__complete", "up", "--config"), "--config\tconfiguration file (default")
	wantContains(t, "the offers for a URL", f.run("__complete", "up", "--database", "sqlite:"), ":6\n") // no space after it
}
