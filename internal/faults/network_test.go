package faults

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestLateMessage kills a process while one of its messages is on its way to the server. The
// message arrives, at a session that is still open, after another process has finished the command.
func TestLateMessage(t *testing.T) {
	for _, at := range networks {
		t.Run(at.name, func(t *testing.T) {
			t.Run("the statement", func(t *testing.T) {
				t.Parallel()
				n := at.new(t)
				want, err := n.playUnbroken(t.Context(), unnamed)
				if err != nil {
					t.Fatal(err)
				}
				late, err := n.deliverLate(t.Context(), unnamed, want, nil, testTimeout, func(p *testdb.Proxy) { p.HoldWhen(queryContaining(at.index)) })
				if err != nil {
					t.Error(err)
				}
				if !late {
					t.Error("the statement did not arrive late")
				}
				tally.add(at.name+": a statement that arrives late", 1)
			})
			t.Run("any message", func(t *testing.T) {
				t.Parallel()
				n := at.new(t)
				random := newRandom(t)
				for _, s := range []*scenario{unnamed, unnamedFirst, scenarioOf("a mixed run"), scenarioOf("a run down"), scenarioOf("transactions")} {
					if err := n.deliverAnyLate(t.Context(), at.name, s, random); err != nil {
						t.Errorf("%s: %v", s.name, err)
					}
				}
			})
		})
	}
}

// TestLateMessageFindsTheMutant uses a driver that does not store which session works for a run. It
// leaves that session open, and the late message builds a second index. Its statement is
// announced in an earlier message.
func TestLateMessageFindsTheMutant(t *testing.T) {
	t.Parallel()
	at := networks[0]
	n := at.new(t)
	want, err := n.playUnbroken(t.Context(), unnamedFirst)
	if err != nil {
		t.Fatal(err)
	}
	forgets := func(ctx context.Context) error {
		_, err := n.place.(*postgres).lines(ctx, "UPDATE public.whimbrel_journal SET backend_pid = NULL, backend_start = NULL, backend_user = NULL RETURNING set_name")
		return err
	}
	// A busy server may notice that the client is gone before it has built the index.
	for range 10 {
		late, err := n.deliverLate(t.Context(), unnamedFirst, want, forgets, testTimeout, func(p *testdb.Proxy) { p.HoldWhen(queryContaining(at.index)) })
		if !late {
			t.Error("the statement did not arrive late")
		}
		if err != nil {
			t.Log(err)
			return
		}
	}
	t.Error("no fault revealed the mutant")
}

// TestGoneMachine stops forwarding a process's messages without closing its connections: the
// server's sessions stay open. The kernel of this machine still answers keepalive probes, so this
// tests the driver's own means; see TestDeadNetwork for the kernel's.
func TestGoneMachine(t *testing.T) {
	for _, at := range networks {
		moments := map[string]func(p *testdb.Proxy){
			"before the statement": func(p *testdb.Proxy) { p.VanishWhen(testdb.ToServer, queryContaining(at.index)) },
			"before its answer": func(p *testdb.Proxy) {
				sent, is := false, queryContaining(at.index)
				p.VanishWhen(testdb.ToServer, func(message []byte) bool {
					sent = sent || is(message)
					return false
				})
				p.VanishWhen(testdb.ToClient, func([]byte) bool { return sent })
			},
		}
		for name, arm := range moments {
			t.Run(at.name+"/"+name, func(t *testing.T) { at.testGoneMachine(t, unnamed, arm) })
		}
		t.Run(at.name+"/in a transaction", func(t *testing.T) {
			at.testGoneMachine(t, scenarioOf("a mixed run"), func(p *testdb.Proxy) { p.VanishWhen(testdb.ToServer, queryContaining("INSERT INTO m VALUES (4)")) })
		})
	}
	t.Run("MariaDB/in an atomic transaction", func(t *testing.T) { // which has a guard in MariaDB
		networks[1].testGoneMachine(t, scenarioOf("an atomic transaction of rows"), func(p *testdb.Proxy) { p.VanishWhen(testdb.ToServer, queryContaining("INSERT INTO a VALUES (9)")) })
	})
}

// networks are the servers whose connections the tests of this file break.
var networks = []network{
	{"PostgreSQL", "CREATE INDEX CONCURRENTLY", func(t *testing.T) *networkRig {
		t.Helper()
		url := testdb.Postgres(t)
		p := newPostgres(t, url, url)
		return &networkRig{&rig{place: p}, &p.wire}
	}},
	{"MariaDB", "ALTER TABLE a ADD INDEX", func(t *testing.T) *networkRig {
		t.Helper()
		p := newMariaDB(t, testdb.MariaDB(t))
		return &networkRig{&rig{place: p}, &p.wire}
	}},
}

type network struct {
	name  string
	index string // the beginning of the statement that creates an index without a name
	new   func(t *testing.T) *networkRig
}

// networkRig starts processes and breaks their connections.
type networkRig struct {
	*rig
	wire *wire
}

// queryContaining matches messages with a statement that contains text. It does not match
// parameters.
func queryContaining(text string) func(message []byte) bool {
	return func(message []byte) bool {
		query := message[0] == 'Q' || message[0] == 'P' || len(message) > 4 && message[3] == 0 && message[4] == 3
		return query && bytes.Contains(message, []byte(text))
	}
}

// deliverAnyLate holds back all messages after a random one, or (with -every) after each one in
// turn.
func (n *networkRig) deliverAnyLate(ctx context.Context, where string, s *scenario, random *rand.Rand) error {
	e, err := n.reference(ctx, s)
	if err != nil {
		return err
	}
	points := []int{random.IntN(e.points[0])}
	if *every {
		points = random.Perm(e.points[0])
	}
	for _, point := range points {
		if _, err := n.deliverLate(ctx, s, e.want, nil, 5*time.Second, func(p *testdb.Proxy) { p.HoldAfter(point) }); err != nil {
			return fmt.Errorf("after message %d: %w", point, err)
		}
		tally.add(where+": a message that arrives late", 1)
	}
	return nil
}

// deliverLate kills a process when one of its messages is held back, has another process execute
// the command, and then delivers the message. The other process may have to wait for the session of
// the killed one, which can hold a lock or, in the middle of a message, a snapshot. If it still
// waits after patience, the message is delivered first. last reports whether it came after the
// other process had finished.
func (n *networkRig) deliverLate(ctx context.Context, s *scenario, want string, between func(context.Context) error, patience time.Duration, arm func(*testdb.Proxy)) (last bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	proxy := n.wire.proxies[cut]
	if err := n.kill(ctx, s, arm, proxy.Holding); err != nil {
		return false, err
	}
	last = proxy.Holding()
	if between != nil {
		if err := between(ctx); err != nil {
			return false, err
		}
	}
	waits, next := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		next <- n.attempt(ctx, n.open, s.observed(func(e whimbrel.Event) {
			switch e.(type) {
			case whimbrel.LockWaiting, whimbrel.StatementWaiting:
				select {
				case waits <- struct{}{}:
				default:
				}
			}
		}))
	}()
	var waiting time.Time
	for {
		select {
		case err := <-next:
			proxy.Deliver()
			if err != nil {
				return last, fmt.Errorf("the next process failed: %w", err)
			}
			return last, n.compare(ctx, want)
		case <-waits:
			if waiting.IsZero() {
				waiting = time.Now()
			}
			if time.Since(waiting) > patience && proxy.Holding() {
				last = false
				proxy.Deliver()
			}
		}
	}
}

// testGoneMachine cuts off a process without closing its connections, and has another process
// execute the command.
func (at network) testGoneMachine(t *testing.T, s *scenario, arm func(*testdb.Proxy)) {
	t.Parallel()
	n := at.new(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	want, err := n.playUnbroken(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	proxy := n.wire.proxies[cut]
	defer proxy.Cut()
	if err := n.kill(ctx, s, arm, proxy.Gone); err != nil {
		t.Fatal(err)
	}
	if !proxy.Gone() {
		t.Fatal("the command finished before its machine was gone")
	}
	if err := n.attempt(ctx, n.open, s); err != nil {
		t.Fatalf("the next process failed: %v", err)
	}
	if err := n.compare(ctx, want); err != nil {
		t.Error(err)
	}
	tally.add(at.name+": a machine that is gone", 1)
}

// kill starts a process, and kills it when happened reports true.
func (n *networkRig) kill(ctx context.Context, s *scenario, arm func(*testdb.Proxy), happened func() bool) error {
	if err := n.prepare(ctx, s); err != nil {
		return err
	}
	proxy := n.wire.proxies[cut]
	proxy.Cut()
	proxy.Reset()
	arm(proxy)
	p, err := n.wire.start(s, n.placeholders())
	if err != nil {
		return err
	}
	for !happened() && !isOver(p.ended) {
		time.Sleep(time.Millisecond)
	}
	_, err = p.kill()
	return err
}

// compare returns an error if the final state differs from want.
func (r *rig) compare(ctx context.Context, want string) error {
	got, err := r.finalState(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("the final state differs:\n%s", diffLines(want, got))
	}
	return err
}

// observed returns the scenario with a function that receives its events.
func (s *scenario) observed(observe func(whimbrel.Event)) *scenario {
	seen := *s
	seen.opts.Observe = func(_ context.Context, e whimbrel.Event) { observe(e) }
	return &seen
}
