//go:build unix

package whimbreltest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

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
		for i := range w.Databases {
			p := &process{}
			files := set(w.Set, w.More...)
			db := k.function(whimbreltest.Options{URL: w.URL}, p, &files)
			fmt.Println("database", db.Name)
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
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envTask+"="+string(text))
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

// A process that is killed while it makes a template leaves none, and the next one makes it.
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
				c := k.child(t, w)
				k.waitForCopy(t, before)
				c.kill()
			})
			if made != 0 {
				t.Errorf("a killed process made %d templates", made)
			}
			made = k.made(t, func() {
				next := k.child(t, w)
				next.database()
				next.end()
			})
			if made != 1 {
				t.Errorf("the next process made %d templates, want 1", made)
			}
		})
	}
}

// waitForCopy waits until there is a new copy.
func (k *kind) waitForCopy(t *testing.T, before map[string]bool) {
	t.Helper()
	for t.Context().Err() == nil {
		for name := range k.databases(t) {
			if !before[name] && strings.HasPrefix(name, "whimbrel_test_") {
				return
			}
		}
	}
}
