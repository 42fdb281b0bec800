//go:build unix

package whimbreltest_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/whimbreltest"
)

// envTask is set in a process that works for a test: what it does, as JSON.
const envTask = "WHIMBREL_TEST_TASK"

// task is what a process does: it gets databases one after the other, prints a line for each, and
// keeps the last one until its standard input ends.
type task struct {
	Kind, URL string
	Set       string
	More      []string
	Databases int
	OwnServer bool // without the URL of a server; a line with the URL follows each database
}

// process is a test in another process.
type process struct {
	testing.TB // nil: whatever is not overridden panics
	cleanups   []func()
}

func (p *process) Helper()                  {}
func (p *process) Cleanup(do func())        { p.cleanups = append(p.cleanups, do) }
func (p *process) Context() context.Context { return context.Background() }

func (p *process) Fatalf(format string, args ...any) {
	fmt.Printf("failed: "+format+"\n", args...)
	os.Exit(1)
}
func (p *process) Errorf(format string, args ...any) { p.Fatalf(format, args...) }

func (p *process) end() {
	for len(p.cleanups) > 0 {
		last := len(p.cleanups) - 1
		do := p.cleanups[last]
		p.cleanups = p.cleanups[:last]
		do()
	}
}

func worker(text string) int {
	var w task
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	for _, k := range servers {
		if k.name != w.Kind {
			continue
		}
		if k.dialect != "" && !w.OwnServer {
			w.URL = "" // that of the environment
		}
		for i := range w.Databases {
			p := &process{}
			files := set(w.Set, w.More...)
			db := k.function(whimbreltest.Options{URL: w.URL}, p, &files)
			st, err := db.Database.State(p.Context(), "default")
			if err != nil || st.Applied.Len() != 2+len(w.More) {
				p.Fatalf("%v migrations are applied, want %d (%v)", st, 2+len(w.More), err)
			}
			fmt.Println("database", db.Name)
			if w.OwnServer {
				fmt.Println("url", db.URL)
			}
			if i == w.Databases-1 {
				io.Copy(io.Discard, os.Stdin)
			}
			p.end()
		}
	}
	fmt.Println("done")
	return 0
}

// child is a process that does a task.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	input io.Closer
	lines *bufio.Scanner
}

func (k *kind) child(t *testing.T, w task) *child {
	t.Helper()
	w.Kind, w.URL = k.name, k.url
	if w.OwnServer {
		w.URL = ""
	}
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envTask+"="+string(text))
	if w.OwnServer && k.variable != "" {
		cmd.Env = append(cmd.Env, k.variable+"=")
	}
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, input: input, lines: bufio.NewScanner(output)}
	t.Cleanup(c.kill)
	return c
}

// database returns the next database that the process has.
func (c *child) database() string {
	c.t.Helper()
	c.lines.Scan()
	name, ok := strings.CutPrefix(c.lines.Text(), "database ")
	if !ok {
		c.t.Fatalf("the process says %q", c.lines.Text())
	}
	return name
}

// end lets the process end.
func (c *child) end() {
	c.t.Helper()
	c.input.Close()
	c.lines.Scan()
	if err := c.cmd.Wait(); err != nil || c.lines.Text() != "done" {
		c.t.Errorf("the process says %q: %v", c.lines.Text(), err)
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	_ = c.cmd.Wait()
}

// wait returns a statement that takes a moment, where the database has one.
func (k *kind) wait(seconds int) []string {
	if k.sleep == "" {
		return nil
	}
	return []string{fmt.Sprintf(k.sleep, seconds)}
}

// Many processes that start at once share one template.
func TestManyProcesses(t *testing.T) { // not parallel: it counts templates
	for _, k := range servers {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			names := map[string]bool{}
			made := k.made(t, func() {
				var all []*child
				for range 6 {
					all = append(all, k.child(t, task{Set: t.Name(), More: k.wait(1), Databases: 3}))
				}
				for _, c := range all {
					for range 3 {
						names[c.database()] = true
					}
				}
				for _, c := range all {
					c.end()
				}
			})
			if made != 1 {
				t.Errorf("%d templates were made, want 1", made)
			}
			if len(names) != 18 {
				t.Errorf("the processes had %d databases, want 18", len(names))
			}
			for name := range names {
				if k.exists(t, name) {
					t.Errorf("%s was not dropped", name)
				}
			}
		})
	}
}

// The databases of a killed process are dropped by the next one; those of a living one are not.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, k *kind) {
		alive := k.child(t, task{Set: t.Name(), Databases: 1})
		killed := k.child(t, task{Set: t.Name(), Databases: 1})
		kept, lost := alive.database(), killed.database()
		if !k.exists(t, lost) {
			t.Fatalf("%s does not exist", lost)
		}
		killed.kill()
		for k.exists(t, lost) { // the server needs a moment to notice
			c := k.child(t, task{Set: t.Name(), Databases: 1})
			c.database()
			c.end()
		}
		if !k.exists(t, kept) {
			t.Error("the database of a living process was dropped")
		}
		alive.end()
		if k.exists(t, kept) {
			t.Error("the database of a process that has ended is left")
		}
	})
}

// A process that is killed while it makes a template leaves nothing that is used: the next process
// makes the template, with all migrations.
func TestKilledWhileItMakesTheTemplate(t *testing.T) { // not parallel: it counts templates
	for _, k := range servers {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			if k.sleep == "" {
				t.Skip("SQLite has no statement that waits")
			}
			w := task{Set: t.Name(), More: k.wait(3), Databases: 1}
			made := k.made(t, func() {
				before := k.databases(t)
				killed := k.child(t, w)
				k.waitForOne(t, before)
				killed.kill()
				next := k.child(t, w)
				next.database()
				next.end()
			})
			if made != 1 {
				t.Errorf("%d templates were made, want 1", made)
			}
		})
	}
}

// waitForOne waits until a process has begun to make a template.
func (k *kind) waitForOne(t *testing.T, before map[string]bool) {
	t.Helper()
	for t.Context().Err() == nil {
		for name := range k.databases(t) {
			if !before[name] && strings.HasPrefix(name, "whimbrel_t") {
				return
			}
		}
	}
}

// Without a URL, a process starts a server of its own, which ends with it.
func TestOwnServer(t *testing.T) {
	t.Parallel()
	for _, k := range servers {
		if k.dialect == "" {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.need(t)
			c := k.child(t, task{Set: t.Name(), Databases: 2, OwnServer: true})
			var folder string
			for range 2 {
				c.database()
				c.lines.Scan()
				url, err := url.Parse(strings.TrimPrefix(c.lines.Text(), "url "))
				if err != nil {
					t.Fatal(err)
				}
				at := url.Query().Get("host") // of PostgreSQL's socket
				if at == "" {
					at = filepath.Dir(url.Query().Get("socket"))
				}
				if _, err := os.Stat(at); err != nil || folder != "" && folder != at {
					t.Fatalf("the server of %s is not in %q: %v", url, folder, err)
				}
				folder = at
			}
			c.end()
			for t.Context().Err() == nil {
				if _, err := os.Stat(filepath.Dir(folder)); os.IsNotExist(err) {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// Templates that no test uses are removed, but no database that only has a similar name.
func TestUnusedTemplates(t *testing.T) { // not parallel: it looks at all templates
	for _, k := range servers {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			similar := []string{"whimbrel_test_mine", "whimbrel_template_mine", "whimbrel_test_0123456789abcdef_1_01234567", "whimbrel_spare_mine", "whimbrel_spare_0123456789abcdef01234567_1_01234567"}
			for _, name := range similar {
				k.create(t, name)
			}
			w := task{Set: t.Name(), Databases: 1}
			before := k.databases(t)
			c := k.child(t, w)
			c.database()
			c.end()
			template := k.newTemplate(t, before)
			k.age(t, template, 6)
			other := task{Set: t.Name() + " other", Databases: 1}
			for days, exists := range map[int]bool{6: true, 8: false} {
				k.age(t, template, days)
				c := k.child(t, other)
				c.database()
				c.end()
				if k.databases(t)[template] != exists {
					t.Errorf("after %d days without use, that %s exists is %v, want %v", days, template, !exists, exists)
				}
				if !exists { // the next one makes it again
					c := k.child(t, w)
					c.database()
					c.end()
				}
			}
			for _, name := range similar {
				if !k.databases(t)[name] {
					t.Errorf("%s was dropped", name)
				}
			}
		})
	}
}

// newTemplate returns the template that was made after before.
func (k *kind) newTemplate(t *testing.T, before map[string]bool) string {
	t.Helper()
	for name := range k.databases(t) {
		if !before[name] && strings.HasPrefix(name, "whimbrel_template_") {
			return name
		}
	}
	t.Fatal("no template was made")
	return ""
}

// create creates a database that whimbreltest didn't make.
func (k *kind) create(t *testing.T, name string) {
	t.Helper()
	if k.dialect == "" {
		dir := filepath.Join(k.folder(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(dir) })
		return
	}
	k.execute(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { k.execute(t, "DROP DATABASE "+name) })
}

// age makes a template look as if it was used some days ago.
func (k *kind) age(t *testing.T, template string, days int) {
	t.Helper()
	then := time.Now().UTC().AddDate(0, 0, -days)
	note := "whimbrel test template, last used " + then.Format(time.DateOnly)
	switch k.dialect {
	case "":
		if err := os.Chtimes(filepath.Join(k.folder(), template), then, then); err != nil {
			t.Fatal(err)
		}
	case "postgresql":
		k.execute(t, fmt.Sprintf("COMMENT ON DATABASE %s IS '%s'", template, note))
	default:
		k.execute(t, fmt.Sprintf("UPDATE %s.whimbrel_template SET used = '%s'", template, note))
	}
}

// execute executes a statement on the server, without whimbreltest.
func (k *kind) execute(t *testing.T, statement string) {
	t.Helper()
	dsn := k.url
	if k.dialect == "mysql" {
		dsn = k.dsn
	}
	pool, err := sql.Open(k.client, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.ExecContext(context.Background(), statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}

// folder is that of SQLite's files.
func (k *kind) folder() string { return filepath.Dir(strings.TrimPrefix(k.url, "sqlite:")) }
