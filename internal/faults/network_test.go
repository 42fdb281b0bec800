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

// A process is killed while one of its messages is on its way. The message arrives at the server's open session when
// another process has finished the command.
func TestLateMessage(t *testing.T) {
	for _, at := range networks {
		t.Run(at.name, func(t *testing.T) {
			t.Run("the statement", func(t *testing.T) {
				t.Parallel()
				n := at.new(t)
				want, err := n.unbroken(t.Context(), unnamed)
				if err != nil {
					t.Fatal(err)
				}
				late, err := n.late(t.Context(), unnamed, want, nil, func(p *testdb.Proxy) { p.HoldWhen(carries(at.index)) })
				if err != nil || !late {
					t.Errorf("late: %v, %v", late, err)
				}
				tally.add(at.name+": a statement that arrives late", 1)
			})
			t.Run("any message", func(t *testing.T) {
				t.Parallel()
				n := at.new(t)
				random := draw(t)
				for _, s := range []*scenario{unnamed, scenarioOf("a mixed run"), scenarioOf("a run down"), scenarioOf("batches")} {
					if err := n.lateAnywhere(t.Context(), at.name, s, random); err != nil {
						t.Errorf("%s: %v", s.name, err)
					}
				}
			})
		})
	}
}

// A driver that does not know which session has worked for a run leaves it open, and builds a second index.
func TestLateMessageFindsTheMutant(t *testing.T) {
	t.Parallel()
	at := networks[0]
	n := at.new(t)
	want, err := n.unbroken(t.Context(), unnamed)
	if err != nil {
		t.Fatal(err)
	}
	forgets := func(ctx context.Context) error {
		_, err := n.place.(*postgres).lines(ctx, "UPDATE public.whimbrel_journal SET backend_pid = NULL, backend_start = NULL, backend_user = NULL RETURNING set_name")
		return err
	}
	late, err := n.late(t.Context(), unnamed, want, forgets, func(p *testdb.Proxy) { p.HoldWhen(carries(at.index)) })
	if err == nil || !late {
		t.Error("the rig has not noticed")
	}
	t.Log(err)
}

// The machine of a process, or its network, is gone without a word: the server's sessions stay open, and nothing comes any
// more. The kernel of this machine answers the probes of the server's, so what is shown here are the driver's own means; see
// TestDeadNetwork for the others.
func TestGoneMachine(t *testing.T) {
	for _, at := range networks {
		moments := map[string]func(p *testdb.Proxy){
			"before the statement": func(p *testdb.Proxy) { p.VanishWhen(testdb.ToServer, carries(at.index)) },
			"before its answer": func(p *testdb.Proxy) {
				sent, is := false, carries(at.index)
				p.VanishWhen(testdb.ToServer, func(message []byte) bool {
					sent = sent || is(message)
					return false
				})
				p.VanishWhen(testdb.ToClient, func([]byte) bool { return sent })
			},
		}
		for name, arm := range moments {
			t.Run(at.name+"/"+name, func(t *testing.T) { at.vanishes(t, unnamed, arm) })
		}
		t.Run(at.name+"/in a transaction", func(t *testing.T) {
			at.vanishes(t, scenarioOf("a mixed run"), func(p *testdb.Proxy) { p.VanishWhen(testdb.ToServer, carries("INSERT INTO m VALUES (4)")) })
		})
	}
	t.Run("MariaDB/in a batch", func(t *testing.T) { // which has a guard there
		networks[1].vanishes(t, scenarioOf("an atomic batch of rows"), func(p *testdb.Proxy) { p.VanishWhen(testdb.ToServer, carries("INSERT INTO a VALUES (9)")) })
	})
}

// networks are those in which messages are late, and machines vanish.
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
	index string // how the statement begins that makes an index without a name
	new   func(t *testing.T) *networkRig
}

// networkRig breaks processes of their own, by what leads to the server.
type networkRig struct {
	*rig
	wire *wire
}

// carries matches the message that has a statement with a text in it: not a parameter that is to be stored.
func carries(text string) func(message []byte) bool {
	return func(message []byte) bool {
		query := message[0] == 'Q' || message[0] == 'P' || len(message) > 4 && message[3] == 0 && message[4] == 3
		return query && bytes.Contains(message, []byte(text))
	}
}

// lateAnywhere holds back what comes after some message, or after every one.
func (n *networkRig) lateAnywhere(ctx context.Context, where string, s *scenario, random *rand.Rand) error {
	e, err := n.end(ctx, s)
	if err != nil {
		return err
	}
	points := []int{random.IntN(e.messages)}
	if *every {
		points = random.Perm(e.messages)
	}
	for _, point := range points {
		if _, err := n.late(ctx, s, e.want, nil, func(p *testdb.Proxy) { p.HoldAfter(point) }); err != nil {
			return fmt.Errorf("after message %d: %w", point, err)
		}
		tally.add(where+": a message that arrives late", 1)
	}
	return nil
}

// late kills a process when something of it is held back, has another one execute the command, and delivers it then. The other
// one can wait for just the session that has not heard the end of its client, which has a lock, or a snapshot in the middle of
// a message; then it is delivered before. It reports
// whether what was held back has come last.
func (n *networkRig) late(ctx context.Context, s *scenario, want string, between func(context.Context) error, arm func(*testdb.Proxy)) (last bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
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
			if time.Since(waiting) > 5*time.Second && proxy.Holding() {
				last = false
				proxy.Deliver()
			}
		}
	}
}

// vanishes has a process's machine vanish, and another process execute the command.
func (at network) vanishes(t *testing.T, s *scenario, arm func(*testdb.Proxy)) {
	t.Parallel()
	n := at.new(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	want, err := n.unbroken(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	proxy := n.wire.proxies[cut]
	defer proxy.Cut()
	if err := n.kill(ctx, s, arm, proxy.Gone); err != nil {
		t.Fatal(err)
	}
	if !proxy.Gone() {
		t.Fatal("the command was done before its machine was gone")
	}
	if err := n.attempt(ctx, n.open, s); err != nil {
		t.Fatalf("the next process failed: %v", err)
	}
	if err := n.compare(ctx, want); err != nil {
		t.Error(err)
	}
	tally.add(at.name+": a machine that is gone", 1)
}

// kill starts a process, and kills it when something has happened to its messages, or it has ended.
func (n *networkRig) kill(ctx context.Context, s *scenario, arm func(*testdb.Proxy), happened func() bool) error {
	if err := n.prepare(ctx, s); err != nil {
		return err
	}
	proxy := n.wire.proxies[cut]
	proxy.Cut()
	proxy.Reset()
	arm(proxy)
	p, err := n.wire.start(s, n.words())
	if err != nil {
		return err
	}
	for !happened() && !isOver(p.ended) {
		time.Sleep(time.Millisecond)
	}
	_, err = p.kill()
	return err
}

// compare sees whether the end is the one that is wanted.
func (r *rig) compare(ctx context.Context, want string) error {
	got, err := r.sight(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("the end is another one:\n%s", difference(want, got))
	}
	return err
}

// observed is the scenario with somebody who looks on.
func (s *scenario) observed(observe func(whimbrel.Event)) *scenario {
	seen := *s
	seen.opts.Observe = observe
	return &seen
}
