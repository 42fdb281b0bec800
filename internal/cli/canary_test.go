package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// The canary is a password in two halves. Between them is a character that breaks a URL.
const head, tail = "Zk9QwCanary", "Xv7RtCanary"

// canaryURLs are URLs that are wrong in every way that has its own code, and some that are right.
// No server answers at any of them.
func canaryURLs() []string {
	urls := []string{
		"libsql://x.example.invalid?authToken=" + head, "nosuch://u:" + head + "@h/db", "://u:" + head + "@h", "POSTGRES://u:" + head + "@h/db",
		"postgres:u:" + head + "@h/db", "u:" + head + "@tcp(127.0.0.1:1)/db", "host=127.0.0.1 port=1 password=" + head, "password='" + head + " " + tail + "' host=h",
		"sqlite://u:" + head + "@127.0.0.1/db", "sqlite:u:" + head + "/x@127.0.0.1", "sqlite:app.db?_key=" + head, "sqlite:app.db?mode=" + head + "@h",
		"postgres://u:" + head + "@127.0.0.1:1/db?sslmode=nosuch&connect_timeout=x", "mysql://u:" + head + "@127.0.0.1:1/db?lock=nosuch",
	}
	for _, scheme := range []string{"postgres", "mysql"} {
		for _, sep := range []string{"", "/", "@", "#", "?", "%", " ", ":", "%2F", "\\", "\"", "\x1b[31m", "?a=", "/x?a=b@", "\u202e"} {
			urls = append(urls, scheme+"://u:"+head+sep+tail+"@127.0.0.1:1/db")
		}
		for _, rest := range []string{
			"u:" + head + "@/db", "u:" + head + "/db", "u:" + head, ":" + head + "@127.0.0.1:1", "u@127.0.0.1:" + head + "/db", "u:" + head + "@127.0.0.1:1",
			"127.0.0.1:1/db?password=" + head, "127.0.0.1:1/db?sslpassword=" + head + "&sslmode=nosuch", "127.0.0.1:1/db?token=" + head + "&x", "u:" + head + "@[::1/db",
			"u:" + head + "@127.0.0.1:1/db?sslmode=require&sslrootcert=/nosuch", "u:" + head + "@127.0.0.1:1/a/b",
		} {
			urls = append(urls, scheme+"://"+rest)
		}
	}
	return urls
}

// canaryRun runs the command in a folder of its own and looks for the canary in everything that it
// leaves behind.
type canaryRun struct {
	t   *testing.T
	dir string

	mu     sync.Mutex
	looked bytes.Buffer // what was asked of a name server
}

func (c *canaryRun) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			b := make([]byte, 4096)
			n, _ := theirs.Read(b)
			c.mu.Lock()
			c.looked.Write(b[:n])
			c.mu.Unlock()
			theirs.Close()
		}()
		return ours, nil
	}}
}

func (c *canaryRun) run(env map[string]string, args ...string) {
	c.t.Helper()
	var out, errs bytes.Buffer
	Run(Process{
		Args:      args,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Stdin:     Input{Reader: strings.NewReader("")},
		Stdout:    render.Stream{Writer: &out}, Stderr: render.Stream{Writer: &errs},
	})
	c.mu.Lock()
	looked := c.looked.String()
	c.looked.Reset()
	c.mu.Unlock()
	for where, text := range map[string]string{"stdout": out.String(), "stderr": errs.String(), "name server": looked} {
		if strings.Contains(text, head) || strings.Contains(text, tail) {
			c.t.Errorf("%q, environment %q: on %s\n%s", args, env, where, text)
		}
	}
}

// files looks at everything below the folder, but not at what the test wrote itself.
func (c *canaryRun) files(what string) {
	c.t.Helper()
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && !strings.Contains(path, head) {
			return err
		}
		text, _ := os.ReadFile(path)
		if filepath.Base(path) != "canary.yaml" && strings.Contains(path+string(text), "Canary") {
			c.t.Errorf("%s: %s has the canary", what, path)
		}
		return nil
	})
	if err != nil {
		c.t.Error(err)
	}
}

// commands returns the words of every command there is.
func commands() (all [][]string) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Parent() == nil || cmd.Parent().Name() != "completion" { // cobra's, which write to the process's own output
			all = append(all, strings.Fields(cmd.CommandPath())[1:])
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk((&app{}).root())
	return append(all, []string{"help"})
}

// TestNoPasswordIsShown gives every command every kind of wrong URL, at every place where a URL can
// be.
func TestNoPasswordIsShown(t *testing.T) {
	c := &canaryRun{t: t, dir: t.TempDir()}
	was := net.DefaultResolver
	net.DefaultResolver = c.resolver()
	t.Cleanup(func() { net.DefaultResolver = was })
	t.Chdir(c.dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("migrations", 0o777); err != nil {
		t.Fatal(err)
	}
	write("migrations/1_a.up.sql", "CREATE TABLE a (x integer);")
	urls := canaryURLs()
	few := []string{urls[0], "postgres://u:" + head + "/" + tail + "@127.0.0.1:1/db", "mysql://u:" + head + "@127.0.0.1:1/db", "x=1 password=" + head}
	for i, url := range urls {
		for _, cmd := range []string{"status", ""} { // as a database, each command opens it by the same code
			c.run(nil, append(strings.Fields(cmd), "--database", url)...)
			c.run(nil, append(strings.Fields(cmd), "--json", "--database="+url)...)
			c.run(nil, append(strings.Fields(cmd), url)...)
		}
		c.run(nil, "diff", url, url, "--json")
		c.run(map[string]string{"WHIMBREL_DATABASE_URL": url}, "status", "--lock", url)
		c.run(map[string]string{"DATABASE_URL": url}, "up", "--quiet")
		write("canary.yaml", fmt.Sprintf("database: %q\n%q: x\n", url, url))
		c.run(nil, "status", "--config", "canary.yaml")
		write("canary.yaml", fmt.Sprintf("database: %q\nenvironments:\n  %q:\n    database: x\n", url, url))
		c.run(nil, "status", "--config", "canary.yaml", "--env", "u")
		c.run(nil, "status", "--config", "canary.yaml", "--lock", "advisory")
		write("canary.yaml", "database: ${SECRET}\ndir: "+url+"\n")
		c.run(map[string]string{"SECRET": url}, "status", "--config", "canary.yaml", "--json")
		write("canary.yaml", fmt.Sprintf("database: sqlite:app.db\nset: %q\nmigration_lock_timeout: %q\n", url, url))
		c.run(nil, "status", "--config", "canary.yaml")
		c.files(fmt.Sprintf("URL %d", i))
	}
	for _, words := range commands() {
		for _, url := range few {
			with := func(more ...string) []string { return append(append([]string{}, words...), more...) }
			c.run(nil, with(url)...)
			c.run(nil, with(url, url, "--json")...)
			c.run(nil, with("--"+url)...)
			c.run(nil, with("-"+url)...)
			c.run(map[string]string{"DATABASE_URL": url}, words...)
			found, _, _ := (&app{}).root().Find(words)
			found.InheritedFlags() // merges them
			found.Flags().VisitAll(func(f *pflag.Flag) {
				c.run(map[string]string{"DATABASE_URL": "sqlite:app.db"}, with("--"+f.Name+"="+url, "--json")...)
			})
		}
		c.files(strings.Join(words, " "))
	}
}

// TestNoPasswordInErrorsOfTheLibrary opens what can't be opened, and follows the error to its
// cause.
func TestNoPasswordInErrorsOfTheLibrary(t *testing.T) {
	c := &canaryRun{t: t, dir: t.TempDir()}
	was := net.DefaultResolver
	net.DefaultResolver = c.resolver()
	t.Cleanup(func() { net.DefaultResolver = was })
	t.Chdir(c.dir)
	for _, url := range canaryURLs() {
		db, err := database.Open(t.Context(), url, database.Options{})
		if err == nil {
			db.Close()
			t.Errorf("%q was opened", url)
		}
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			if strings.Contains(cause.Error(), "Canary") {
				t.Errorf("%q: %T says %v", url, cause, cause)
			}
		}
	}
	if strings.Contains(c.looked.String(), "Canary") {
		t.Errorf("a name server was asked %q", c.looked.String())
	}
}

// TestNoPasswordIsRecorded has URLs in what people write into the history.
func TestNoPasswordIsRecorded(t *testing.T) {
	c := &canaryRun{t: t, dir: t.TempDir()}
	t.Chdir(c.dir)
	if err := os.MkdirAll("migrations", 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"migrations/1_a.up.sql": "CREATE TABLE a (x integer);", "migrations/1_a.down.sql": "DROP TABLE a;"} {
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"DATABASE_URL": "sqlite:app.db"}
	url := "copied from postgres://u:" + head + "/" + tail + "@h/db"
	for _, args := range [][]string{
		{"up", "--reason", url},
		{"down", "--reason=" + url},
		{"mark", "1", "--reason", url},
		{"forget", "1", "--reason", url},
		{"freeze", "--reason", url},
		{"status"},
		{"thaw", "--reason", url},
		{"settings", "set", "migration_lock_timeout", "20s", "--reason", url},
		{"drift", "--accept", "--reason", url},
		{"history", "--json"},
		{"history"},
		{"settings"},
	} {
		c.run(env, args...)
	}
	db, err := database.Open(t.Context(), "sqlite:app.db", database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reasons := 0
	for e, err := range db.History(t.Context(), database.HistoryQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(e.Reason, "copied from postgres://…") {
			reasons++
		}
	}
	if reasons != 8 {
		t.Errorf("%d reasons are in the history, want 8", reasons)
	}
	c.files("the history")
}

// TestStatementsAreNoURLs executes statements that have something of a URL or of its other forms.
func TestStatementsAreNoURLs(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"DATABASE_URL": "sqlite:app.db"}
	query := func(args ...string) (code int, out, errs string) {
		var stdout, stderr bytes.Buffer
		code = Run(Process{
			Args: append([]string{"sql"}, args...), LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
			Stdin: Input{Reader: strings.NewReader("")}, Stdout: render.Stream{Writer: &stdout}, Stderr: render.Stream{Writer: &stderr},
		})
		return code, stdout.String(), stderr.String()
	}
	if code, _, errs := query("--write", "CREATE TABLE users (id integer, password text)"); code != 0 {
		t.Fatal(errs)
	}
	if code, _, errs := query("--write", "INSERT INTO users VALUES (17, 'x')"); code != 0 {
		t.Fatal(errs)
	}
	for _, statement := range []string{
		"SELECT id FROM users WHERE password = 'x'", "SELECT id FROM users WHERE password='x'", "select id from users where Password\n= 'x'",
		"SELECT id FROM users WHERE id||':b@c'='17:b@c'", "SELECT(id)FROM(users)WHERE'a:b@c'LIKE'a:b@%'", "SELECT id FROM users -- postgres://u:p@h/db",
	} {
		code, out, errs := query("--json", statement)
		wantEqual(t, "exit code of "+statement+errs, code, exitDone)
		wantContains(t, statement, out, "17")
	}
	for _, url := range []string{"postgres://u:p@h/db", " MySQL://h", "nosuch://x", "sqlite:app.db", "postgres:u:p@h"} {
		code, _, errs := query(url)
		wantEqual(t, "exit code of "+url, code, exitUsage)
		wantContains(t, url, errs, "does not take a URL here")
	}
	// What fails is shown without its password.
	c := &canaryRun{t: t, dir: "."}
	for _, statement := range append(canaryURLs(), "SELECT nosuch FROM users WHERE password = '"+head+"'", "SELECT 1;\nSELECT nosuch FROM users WHERE password = '"+head+"'") {
		c.run(env, "sql", statement)
		c.run(env, "sql", "--json", statement)
		c.run(env, "sql", "--write", statement)
	}
}

func TestSentencesAreKeptButForPasswords(t *testing.T) {
	for text, want := range map[string]string{
		"ticket 12: me@example.com asked":              "ticket 12: me@example.com asked",
		"set password = 'geheim', since it had leaked": "set password=xxxxx, since it had leaked",
		"host=h password='ge heim\\'x' port=1":         "host=h password=xxxxx port=1",
		"the sslpassword=geheim was wrong":             "the sslpassword=xxxxx was wrong",
		"the password= was empty":                      "the password=xxxxx empty",
		"an index for password_resets = soon":          "an index for password_resets = soon",
		"from postgres://u:a/b@h/db, by hand":          "from postgres://…, by hand",
		"u:geheim@tcp(h)/db":                           "…",
		"postgres:u:geheim@h":                          "…",
	} {
		if got := shownSentence(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestOutputIntoStandardOutput(t *testing.T) {
	t.Chdir(t.TempDir())
	env := func(name string) (string, bool) { return "sqlite:app.db", name == "DATABASE_URL" }
	for _, args := range [][]string{{"sql", "--write", "CREATE TABLE a (x integer)"}, {"snapshot", "--out", "/dev/stdout"}} {
		var out, errs bytes.Buffer
		code := Run(Process{Args: args, LookupEnv: env, Stdout: render.Stream{Writer: &out}, Stderr: render.Stream{Writer: &errs}})
		if code != 0 {
			t.Fatalf("%q: exit %d\n%s", args, code, errs.String())
		}
		if args[0] == "snapshot" {
			wantContains(t, "snapshot", out.String(), "CREATE TABLE a")
			wantContains(t, "snapshot", out.String(), "Wrote 1 object to /dev/stdout.\n")
		}
	}
}
