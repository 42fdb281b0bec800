package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// seed makes a test repeat the random moments of an earlier run.
var seed = flag.Uint64("seed", 0, "seed of the random moments of faults; 0: a new one")

func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat the same moments with -seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// childEnv holds the job of a test binary that was started to be killed.
const childEnv = "WHIMBREL_FAULTS_CHILD"

type child struct {
	URL      string
	Scenario string
	Words    []string
	Workers  int // of a process that only executes batches; 0 executes the scenario's command
}

// childMain is the main function of the process to be killed.
func childMain(text string) int {
	var c child
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		ctx := context.Background()
		var db database.Database
		if db, err = database.Open(ctx, c.URL, database.Options{App: "to be killed"}); err == nil {
			if s := scenarioOf(c.Scenario); c.Workers > 0 {
				err = s.fill(ctx, db, c.Words, c.Workers)
			} else {
				err = s.run(ctx, db, c.Words, nil)
			}
			db.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// start starts a process that executes a scenario's command through the wire.
func (w *wire) start(s *scenario, words []string) (*process, error) {
	return startChild(child{URL: w.proxies[cut].URL, Scenario: s.name, Words: words})
}

func startChild(c child) (*process, error) {
	job, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(job))
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// process is a process that a test may kill.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}
	err    error // set when ended is closed
}

// kill ends the process like kill -9. killed is false if it had succeeded before; that it had
// failed before is an error.
func (p *process) kill() (killed bool, err error) {
	_ = p.cmd.Process.Kill()
	<-p.ended
	var exit *exec.ExitError
	switch {
	case errors.As(p.err, &exit) && exit.ExitCode() == -1:
		return true, nil
	case p.err != nil:
		return false, fmt.Errorf("the process failed before it was killed: %w: %s", p.err, p.stderr.String())
	}
	return false, nil
}

// killAfter kills a process some time after its n-th message.
func (w *wire) killAfter(s *scenario, words []string, n int, later time.Duration) (killed bool, err error) {
	wire := w.proxies[cut]
	wire.Cut()
	wire.Reset()
	p, err := w.start(s, words)
	if err != nil {
		return false, err
	}
	w.awaitMessages(n, p.ended)
	time.Sleep(later)
	return p.kill()
}

// awaitMessages waits until the wire has passed n messages to the server, or ended is closed.
func (w *wire) awaitMessages(n int, ended <-chan struct{}) {
	for w.proxies[cut].Messages(testdb.ToServer) < n {
		select {
		case <-ended:
			return
		case <-time.After(200 * time.Microsecond):
		}
	}
}

// repetitions returns how often a test kills something: many with -every, else few.
func repetitions(few, many int) int {
	if *every {
		return many
	}
	return few
}

// TestKilledProcess kills a process at random moments.
func TestKilledProcess(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := testdb.Postgres(t)
		p := newPostgres(t, url, url)
		killProcesses(t, &rig{place: p}, &p.wire, "PostgreSQL", slices.Concat(scenarios, filling))
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		p := newMariaDB(t, testdb.MariaDB(t))
		killProcesses(t, &rig{place: p}, &p.wire, "MariaDB", onMariaDB)
	})
}

func killProcesses(t *testing.T, r *rig, w *wire, where string, scenarios []*scenario) {
	t.Helper()
	scenarios = chosen(scenarios...)
	random, known, killed := newRandom(t), map[string]reference{}, 0
	for i := range repetitions(10, 250) {
		s := scenarios[i%len(scenarios)]
		if _, ok := known[s.name]; !ok {
			e, err := r.reference(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			known[s.name] = e
		}
		n, later := random.IntN(known[s.name].points[0]), time.Duration(random.IntN(3000))*time.Microsecond
		wasKilled, err := r.killAndCompare(t.Context(), s, known[s.name].want, func() (bool, error) { return w.killAfter(s, r.placeholders(), n, later) })
		if err != nil {
			t.Fatalf("%s, killed %s after message %d: %v", s.name, later, n, err)
		}
		if wasKilled {
			killed++
		}
	}
	tally.add(where+": kill -9 of a process", killed)
}

// killAndCompare executes a scenario in a process that kill starts and kills, has another process
// execute it again, and compares the final state.
func (r *rig) killAndCompare(
	ctx context.Context, s *scenario, want string, kill func() (bool, error),
) (killed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	if err := r.prepare(ctx, s); err != nil {
		return false, err
	}
	if killed, err = kill(); err != nil {
		return killed, err
	}
	if err := r.attempt(ctx, r.open, s); err != nil {
		return killed, fmt.Errorf("the next process failed: %w", err)
	}
	got, err := r.finalState(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("the final state differs:\n%s", diffLines(want, got))
	}
	return killed, err
}

// TestKilledServer kills a server at random moments, and starts it again.
func TestKilledServer(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server := testdb.PrivatePostgres(t)
		url := server.New()
		p := newPostgres(t, url, url)
		killServer(t, server, p, &p.wire, "PostgreSQL", slices.Concat(scenarios, filling))
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		server := testdb.PrivateMariaDB(t)
		p := newMariaDB(t, server.New())
		killServer(t, server, p, &p.wire, "MariaDB", onMariaDB)
	})
}

func killServer(t *testing.T, server interface {
	Kill()
	Start()
}, p interface {
	place
	disconnect()
	connect(testing.TB)
}, w *wire, where string, scenarios []*scenario,
) {
	t.Helper()
	scenarios = chosen(scenarios...)
	random, r, killed := newRandom(t), &rig{place: p}, 0
	for i := range repetitions(3, 100) {
		s := scenarios[random.IntN(len(scenarios))]
		e, err := r.reference(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		n, later := random.IntN(e.points[0]), time.Duration(random.IntN(3000))*time.Microsecond
		wasKilled, err := r.killAndCompare(t.Context(), s, e.want, func() (bool, error) {
			var broken error
			ended := make(chan struct{})
			w.proxies[cut].Reset()
			go func() {
				defer close(ended)
				broken = r.attempt(t.Context(), w.openThrough(w.proxies[cut]), s)
			}()
			w.awaitMessages(n, ended)
			time.Sleep(later)
			server.Kill()
			<-ended
			server.Start()
			p.disconnect()
			p.connect(t)
			if needsDecision(broken) {
				return true, broken
			}
			return broken != nil, nil
		})
		if err != nil {
			t.Fatalf("fault %d, %s, killed %s after message %d: %v", i, s.name, later, n, err)
		}
		if wasKilled {
			killed++
		}
	}
	tally.add(where+": kill of the server", killed)
}
