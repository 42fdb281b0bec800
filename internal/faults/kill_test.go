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
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// seed is what the random moments are drawn from, so that they can be drawn again.
var seed = flag.Uint64("seed", 0, "where the random moments of kills begin; 0: somewhere")

func draw(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("to draw the same moments again: -seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// childEnv tells the test binary that it is a process to be killed, and what it does until then.
const childEnv = "WHIMBREL_FAULTS_CHILD"

type child struct {
	URL      string
	Scenario string
	Words    []string
}

// childMain is main of the process to be killed.
func childMain(text string) int {
	var c child
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		ctx := context.Background()
		var db database.Database
		if db, err = database.Open(ctx, c.URL, database.Options{App: "to be killed"}); err == nil {
			err = scenarioOf(c.Scenario).run(ctx, db, c.Words)
			db.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// start starts a process that executes a scenario's command by the wire. What it returns kills it as kill -9 does, and says with
// an error that it was killed, or why it had ended before.
func (w *wire) start(s *scenario, words []string) (*process, error) {
	job, err := json.Marshal(child{w.proxies[cut].URL, s.name, words})
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(job))
	p.cmd.Stderr = &p.said
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// process is one that may be killed.
type process struct {
	cmd   *exec.Cmd
	said  bytes.Buffer
	ended chan struct{}
	err   error // when it has ended
}

// kill ends the process as kill -9 does, and reports whether it has; a process that had failed before is an error.
func (p *process) kill() (was bool, err error) {
	_ = p.cmd.Process.Kill()
	<-p.ended
	var exit *exec.ExitError
	switch {
	case errors.As(p.err, &exit) && exit.ExitCode() == -1:
		return true, nil
	case p.err != nil:
		return false, fmt.Errorf("the process that was not killed yet: %w: %s", p.err, p.said.String())
	}
	return false, nil
}

// killed kills a process when the wire has seen so many messages, and then some time has passed.
func (w *wire) killed(s *scenario, words []string, n int, later time.Duration) (was bool, err error) {
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

// awaitMessages waits until the wire has seen so many messages, or something has ended.
func (w *wire) awaitMessages(n int, ended <-chan struct{}) {
	for w.proxies[cut].Messages(testdb.ToServer) < n {
		select {
		case <-ended:
			return
		case <-time.After(50 * time.Microsecond):
		}
	}
}

// moments is how often something is killed.
func moments(few, many int) int {
	if *every {
		return many
	}
	return few
}

// A process is killed at random moments.
func TestKilledProcess(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := testdb.Postgres(t)
		p := newPostgres(t, url, url)
		killProcesses(t, &rig{place: p}, &p.wire, "PostgreSQL", scenarios)
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		p := newMariaDB(t, testdb.MariaDB(t))
		killProcesses(t, &rig{place: p}, &p.wire, "MariaDB", withoutDDL)
	})
}

func killProcesses(t *testing.T, r *rig, w *wire, where string, scenarios []*scenario) {
	t.Helper()
	random, known, killed := draw(t), map[string]end{}, 0
	for i := range moments(10, 250) {
		s := scenarios[i%len(scenarios)]
		if _, ok := known[s.name]; !ok {
			e, err := r.end(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			known[s.name] = e
		}
		n, later := random.IntN(known[s.name].messages), time.Duration(random.IntN(3000))*time.Microsecond
		was, err := r.killAndSee(t.Context(), s, known[s.name].want, func() (bool, error) { return w.killed(s, r.words(), n, later) })
		if err != nil {
			t.Fatalf("%s, killed %s after message %d: %v", s.name, later, n, err)
		}
		if was {
			killed++
		}
	}
	tally.add(where+": kill -9 of a process", killed)
}

// end is what a scenario leads to, and after how many messages to the server.
type end struct {
	want     string
	messages int
}

func (r *rig) end(ctx context.Context, s *scenario) (e end, err error) {
	if e.want, err = r.unbroken(ctx, s); err == nil {
		e.messages, err = r.length(ctx, s, r.ways()[0])
	}
	return e, err
}

// killAndSee is try, where somebody else breaks the process.
func (r *rig) killAndSee(ctx context.Context, s *scenario, want string, kill func() (bool, error)) (was bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := r.prepare(ctx, s); err != nil {
		return false, err
	}
	if was, err = kill(); err != nil {
		return was, err
	}
	if err := r.attempt(ctx, r.open, s); err != nil {
		return was, fmt.Errorf("the next process failed: %w", err)
	}
	got, err := r.sight(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("the end is another one:\n%s", difference(want, got))
	}
	return was, err
}

// A server is killed at random moments, and started again.
func TestKilledServer(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server := testdb.PrivatePostgres(t)
		url := server.New()
		p := newPostgres(t, url, url)
		killServer(t, server, p, &p.wire, "PostgreSQL", scenarios)
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		server := testdb.PrivateMariaDB(t)
		p := newMariaDB(t, server.New())
		killServer(t, server, p, &p.wire, "MariaDB", withoutDDL)
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
	random, r, killed := draw(t), &rig{place: p}, 0
	for i := range moments(3, 100) {
		s := scenarios[random.IntN(len(scenarios))]
		e, err := r.end(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		n, later := random.IntN(e.messages), time.Duration(random.IntN(3000))*time.Microsecond
		was, err := r.killAndSee(t.Context(), s, e.want, func() (bool, error) {
			var broken error
			ended := make(chan struct{})
			w.proxies[cut].Reset()
			go func() {
				defer close(ended)
				broken = r.attempt(t.Context(), w.through(w.proxies[cut]), s)
			}()
			w.awaitMessages(n, ended)
			time.Sleep(later)
			server.Kill()
			<-ended
			server.Start()
			p.disconnect()
			p.connect(t)
			if stopsForGood(broken) {
				return true, broken
			}
			return broken != nil, nil
		})
		if err != nil {
			t.Fatalf("fault %d, %s, killed %s after message %d: %v", i, s.name, later, n, err)
		}
		if was {
			killed++
		}
	}
	tally.add(where+": kill of the server", killed)
}
