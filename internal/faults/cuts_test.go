package faults

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// every has the rig try everything; otherwise what fits into a minute.
var every = flag.Bool("every", false, "try every fault, not a part of them")

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		os.Exit(childMain(job))
	}
	flag.Parse()
	code := m.Run()
	for _, line := range tally.lines() {
		fmt.Println(line)
	}
	os.Exit(code)
}

// tally counts the faults that were tried.
var tally counts

type counts struct {
	mu    sync.Mutex
	order []string
	n     map[string]int
}

func (c *counts) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	if _, ok := c.n[what]; !ok {
		c.order = append(c.order, what)
	}
	c.n[what] += n
}

func (c *counts) lines() (lines []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, what := range c.order {
		lines = append(lines, fmt.Sprintf("%6d × %s", c.n[what], what))
	}
	return lines
}

// Every call of the contract in memory, broken in every way.
func TestEveryCallInMemory(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		r := &rig{place: &memory{}}
		for _, w := range r.ways() {
			tried, err := r.exhaust(t.Context(), s, w, 0, 1)
			if err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
			t.Logf("%s, %s: %d", s.name, w.name, tried)
			tally.add("in memory: "+w.name, tried)
		}
	}
}

// Every message of PostgreSQL's protocol.
func TestEveryMessageToPostgres(t *testing.T) {
	for _, s := range scenarios {
		for i := range (&wire{}).ways() {
			t.Run(s.name+"/"+(&wire{}).ways()[i].name, func(t *testing.T) {
				t.Parallel()
				url := testdb.Postgres(t)
				r := &rig{place: newPostgres(t, url, url)}
				w := r.ways()[i]
				tried, err := r.exhaust(t.Context(), s, w, 0, 1)
				if err != nil {
					t.Error(err)
				}
				tally.add("PostgreSQL: "+w.name, tried)
			})
		}
	}
}
