package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// every tries every fault. Without it, the tests try a random part of them.
var every = flag.Bool("every", false, "try every fault, not a random part of them")

// only selects scenarios.
var only = flag.String("only", "", "try the scenarios whose names contain this, such as backfill")

// chosen returns the scenarios that the flag -only selects. Without it, that is all of them.
func chosen(all ...*scenario) []*scenario {
	return slices.DeleteFunc(slices.Clone(all), func(s *scenario) bool { return !strings.Contains(s.name, *only) })
}

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		os.Exit(childMain(job))
	}
	flag.Parse()
	if !isFlagSet("test.parallel") {
		flag.Set("test.parallel", "4") // tests mostly wait for servers
	}
	code := m.Run()
	for _, line := range tally.lines() {
		fmt.Println(line)
	}
	os.Exit(code)
}

func isFlagSet(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
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

// TestEveryCallInMemory breaks every call of the contract in memory, in every way.
func TestEveryCallInMemory(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		synctest.Test(t, func(t *testing.T) { // waiting takes no time
			r := &rig{place: &memory{}}
			for _, w := range r.ways() {
				tried, err := r.tryEveryPoint(t.Context(), s, w, 0, 1)
				if err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
				t.Logf("%s, %s: %d", s.name, w.name, tried)
				tally.add("in memory: "+w.name, tried)
			}
		})
	}
}

// messages breaks scenarios at messages of the protocol: at every message, in every way, or
// (without -every) at one random message in each way.
func messages(t *testing.T, where string, newRig func(*testing.T) *rig, scenarios ...*scenario) {
	t.Helper()
	random := newRandom(t)
	for _, s := range chosen(scenarios...) {
		mine := rand.New(rand.NewPCG(random.Uint64(), 0))
		if *every {
			everyMessage(t, where, newRig, s)
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			e, err := r.reference(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range r.ways() {
				happened, err := r.tryPoint(t.Context(), s, w, mine.IntN(e.points[i]), e.want)
				if err != nil {
					t.Error(err)
				}
				if happened {
					tally.add(where+": "+w.name, 1)
				}
			}
		})
	}
}

func everyMessage(t *testing.T, where string, newRig func(*testing.T) *rig, s *scenario) {
	t.Helper()
	for i, w := range (&wire{}).ways() {
		t.Run(s.name+"/"+w.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tried, err := r.tryEveryPoint(t.Context(), s, r.ways()[i], 0, 1)
			if err != nil {
				t.Error(err)
			}
			t.Logf("tried %d", tried)
			tally.add(where+": "+w.name, tried)
		})
	}
}

// TestEveryMessageToPostgres breaks scenarios at messages of PostgreSQL's protocol. With -every it
// uses the oldest and the newest server.
func TestEveryMessageToPostgres(t *testing.T) {
	if !*every {
		messages(t, "PostgreSQL", onPostgres(testdb.Postgres), slices.Concat(scenarios, filling)...)
		return
	}
	majors := testdb.PostgresMajors(t)
	for _, m := range []testdb.Major{majors[0], majors[len(majors)-1]} {
		name := fmt.Sprintf("PostgreSQL %d", m.Major)
		t.Run(name, func(t *testing.T) { messages(t, name, onPostgres(m.New), slices.Concat(scenarios, filling)...) })
	}
}

func onPostgres(newURL func(testing.TB) string) func(*testing.T) *rig {
	return func(t *testing.T) *rig {
		t.Helper()
		url := newURL(t)
		return &rig{place: newPostgres(t, url, url)}
	}
}

// TestEveryMessageToPgBouncer does the same through a pooler with more server connections than
// clients.
func TestEveryMessageToPgBouncer(t *testing.T) {
	messages(t, "PgBouncer", func(t *testing.T) *rig {
		t.Helper()
		pooled, direct := testdb.PgBouncer(t)
		return &rig{place: newPostgres(t, pooled, direct)}
	}, append([]*scenario{scenarioOf("transactions"), scenarioOf("a concurrent index")}, filling...)...)
}

// TestEveryMessageToMariaDB breaks scenarios at messages of MariaDB's protocol.
func TestEveryMessageToMariaDB(t *testing.T) {
	messages(t, "MariaDB", func(t *testing.T) *rig {
		t.Helper()
		return &rig{place: newMariaDB(t, testdb.MariaDB(t))}
	}, onMariaDB...)
}
