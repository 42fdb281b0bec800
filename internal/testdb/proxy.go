package testdb

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Proxy forwards bytes between clients and a PostgreSQL or MariaDB server unchanged. It counts
// messages, and can be stalled and cut. Clients must not encrypt, or messages can't be recognized;
// URL disables that. A MariaDB client must not compress.
type Proxy struct {
	// URL leads to the same database as the URL passed to NewProxy, through the proxy.
	URL string

	// Quiet is how long a client must be silent before an answer is delivered to it. So a client
	// that sends several queries without waiting has sent all of them before the first answer
	// arrives, and Turns sees that it didn't wait. The default is 10 ms; 0 delivers at once. Set it
	// before connecting, and before a Reset or CutAfter, which publish it to the goroutines that
	// read it.
	Quiet time.Duration

	t                testing.TB
	network, address string // the server's
	protocol         func() protocol

	mu       sync.Mutex
	changed  sync.Cond // signals: closed, stalled, or a wire ended
	wires    map[*wire]bool
	opened   int
	turns    int
	messages [2]int    // by direction
	at       [5]moment // by what: when it happens
	match    [2]func(message []byte) bool
	matched  what // what to do before the matching message
	abrupt   bool
	refusing bool       // refuse connections after a cut
	refuses  bool       // close new connections
	gone     bool       // drop everything silently
	strays   []net.Conn // connections made since then
	alone    bool
	stalled  bool
	closed   bool
	running  sync.WaitGroup
}

// Direction is the direction of messages through a proxy.
type Direction int

// The two directions.
const (
	ToServer Direction = iota
	ToClient
)

func (d Direction) String() string {
	return [...]string{"to server", "to client"}[d]
}

// NewProxy returns a proxy for a URL of this package, with a TCP port or a Unix socket. It ends
// with the test.
func NewProxy(t testing.TB, serverURL string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		t:     t,
		Quiet: 10 * time.Millisecond,
		wires: map[*wire]bool{},
	}
	p.changed.L = &p.mu
	p.Reset()
	p.lead(t, serverURL, listener.Addr().String())
	p.running.Go(func() { p.accept(listener) })
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		_ = listener.Close()
		p.Cut()
		p.running.Wait()
	})
	return p
}

// lead sets the server's address and protocol, and the URL through the proxy.
func (p *Proxy) lead(t testing.TB, serverURL, through string) {
	t.Helper()
	u := parse(t, serverURL)
	query := u.Query()
	switch u.Scheme {
	case "mysql":
		p.network, p.address = mariaDBAddress(u)
		p.protocol = func() protocol { return &mysqlWire{} }
		query.Del("socket")
		query.Set("tls", "false")
	default:
		config, err := pgconn.ParseConfig(serverURL)
		if err != nil {
			t.Fatal(err)
		}
		p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
		p.protocol = func() protocol { return newPostgresWire() }
		query.Del("host")
		query.Del("port")
		query.Set("sslmode", "disable")
	}
	u.Host, u.RawQuery = through, query.Encode()
	p.URL = u.String()
}

// get reads a field of a proxy under its lock.
func get[T any](p *Proxy, field *T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *field
}

// set changes a field of a proxy under its lock.
func set[T any](p *Proxy, field *T, value T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*field = value
}

// when sets what happens before the first message in a direction that matches.
func (p *Proxy) when(d Direction, match func(message []byte) bool, happens what) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.match[d], p.matched = match, happens
}

// Turns returns how many round trips the clients have waited for since the last Reset, on all
// connections: how often a client sent something and then received the server's request for the
// next query or a password. Queries sent without waiting for each other's answers are one turn, and
// so is a COPY, since pgx sends the data without waiting for the server to be ready for it.
// Connecting counts (one turn without a password), disconnecting doesn't.
//
// On MariaDB it is how often a client sent something and was answered, whatever the answer's
// length. Messages without an answer (closing a prepared statement) don't count, nor does the
// server's greeting.
func (p *Proxy) Turns() int { return get(p, &p.turns) }

// Connections returns the number of connections made since the last Reset.
func (p *Proxy) Connections() int { return get(p, &p.opened) }

// Messages returns the number of protocol messages in a direction since the last Reset. A client's
// goodbye doesn't count: no side waits for it, so it could arrive before or after a Reset. On
// MariaDB, closing a prepared statement doesn't count either; a message of several packets counts
// once.
func (p *Proxy) Messages(d Direction) int { return get(p, &p.messages[d]) }

// Reset sets all counts to zero and cancels CutAfter, StallAfter, HoldAfter and VanishAfter.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns, p.opened, p.messages, p.gone, p.refuses = 0, 0, [2]int{}, false, false
	p.match = [2]func([]byte) bool{}
	for i := range p.at {
		p.at[i] = never
	}
}

// Cut closes all connections on both sides. New ones are accepted; pgx makes one at once, to cancel
// the statement of the old one.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	for w := range p.wires {
		w.end()
	}
	for _, c := range p.strays {
		_ = c.Close()
	}
	p.strays = nil
	p.refuses = p.refuses || p.refusing
	p.changed.Broadcast()
}

// RefuseAfterCut makes the proxy close new connections at once after the next cut, like a server
// that is down.
func (p *Proxy) RefuseAfterCut() { set(p, &p.refusing, true) }

// CutAfter cuts once, after n messages in a direction since the last Reset: the n-th is delivered,
// and no later one in either direction. With n = 0, the first is not delivered.
func (p *Proxy) CutAfter(d Direction, n int) { set(p, &p.at[cuts][d], n) }

// CutWhenAnswered cuts once, before the first message to the client that matches, which is lost.
// match receives the part of the message that has arrived, which is all of a short one.
func (p *Proxy) CutWhenAnswered(match func(message []byte) bool) { p.when(ToClient, match, cuts) }

// CutAlone makes CutAfter cut only the connection of that message, from now on. Others continue.
func (p *Proxy) CutAlone() { set(p, &p.alone, true) }

// CutAbruptly makes cuts reset connections from now on, like a firewall that has forgotten them or
// a machine that restarted: reading and writing fail at once (ECONNRESET, EPIPE), and the unread
// part of a long last message can be lost. Otherwise a cut closes connections in order: reading
// ends.
func (p *Proxy) CutAbruptly() { set(p, &p.abrupt, true) }

// Stall stops all traffic in both directions, on new connections too, until Resume. Connections
// stay open, as when a cable is unplugged.
func (p *Proxy) Stall() { set(p, &p.stalled, true) }

// StallAfter stalls once, after n messages in a direction since the last Reset: the n-th is
// delivered, and no later one in either direction until Resume. With n = 0, the first is not
// delivered.
func (p *Proxy) StallAfter(d Direction, n int) { set(p, &p.at[stalls][d], n) }

// Stalled reports whether all traffic is stopped.
func (p *Proxy) Stalled() bool { return get(p, &p.stalled) }

// Resume ends a Stall; nothing is lost.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = false
	p.changed.Broadcast()
}

// HoldAfter holds back everything that follows the n-th message to the server since the last Reset,
// on its connection, until Deliver: also the connection's end. The server's side stays open, and
// other connections continue. With n = 0 it is the first connection.
func (p *Proxy) HoldAfter(n int) { set(p, &p.at[holds][ToServer], n) }

// HoldWhen is HoldAfter for the first message to the server that matches, which is held back, too.
// match receives the part of the message that has arrived, which is all of a short one.
func (p *Proxy) HoldWhen(match func(message []byte) bool) { p.when(ToServer, match, holds) }

// Holding reports whether a message is held back.
func (p *Proxy) Holding() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.heldWires()) > 0
}

func (p *Proxy) heldWires() (all []*wire) {
	for w := range p.wires {
		if w.held {
			all = append(all, w)
		}
	}
	return all
}

// Abandon closes the client's side of the connections with held messages.
func (p *Proxy) Abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.heldWires() {
		_ = w.client.Close()
	}
}

// Deliver delivers the held messages and then the connection's end, and returns when the server has
// ended the connection, too. The answers are discarded. open reports whether the server's side was
// still open.
func (p *Proxy) Deliver() (open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.heldWires()
	for _, w := range late {
		w.held, w.late = false, true
	}
	p.changed.Broadcast()
	for _, w := range late {
		for p.wires[w] {
			p.changed.Wait()
		}
	}
	return len(late) > 0
}

// VanishAfter drops all traffic in both directions permanently and silently, after n messages in a
// direction since the last Reset: connections stay open on the server's side, even if the client's
// process ends, and new ones get no answer. This simulates the loss of the client's machine, except
// for the kernel's probes (TCP keepalives), which this machine's kernel answers for the proxy. Cut
// ends the connections, and Reset lets messages pass again.
func (p *Proxy) VanishAfter(d Direction, n int) { set(p, &p.at[vanishes][d], n) }

// VanishWhen is VanishAfter for the messages before the first one in a direction that matches, as
// in HoldWhen.
func (p *Proxy) VanishWhen(d Direction, match func(message []byte) bool) {
	p.when(d, match, vanishes)
}

// Gone reports whether all traffic is dropped.
func (p *Proxy) Gone() bool { return get(p, &p.gone) }

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// admit reports whether a new connection gets an answer.
func (p *Proxy) admit(client net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.refuses, p.closed:
		_ = client.Close()
	case p.gone:
		p.strays = append(p.strays, client)
	default:
		return true
	}
	return false
}

func (p *Proxy) serve(client net.Conn) {
	if !p.admit(client) {
		return
	}
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		p.t.Logf("the proxy can't reach the server: %v", err)
		_ = client.Close()
		return
	}
	w := &wire{proxy: p, protocol: p.protocol(), client: client, server: server}
	p.mu.Lock()
	p.opened++
	p.wires[w] = true
	if p.closed {
		w.end()
	}
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { w.copy(ToServer, server, client) })
	both.Go(func() { w.copy(ToClient, client, server) })
	both.Wait()
	p.mu.Lock()
	w.end() // the vanished client left it open
	delete(p.wires, w)
	p.changed.Broadcast()
	p.mu.Unlock()
}

// protocol recognizes the messages of one connection.
type protocol interface {
	// goodbye reports whether the client's message that begins with b ends something without an
	// answer.
	goodbye(b []byte) bool

	// next takes bytes up to the end of the current message, and reports whether it was reached.
	next(d Direction, b []byte) (taken int, whole bool)

	// message returns the part of b that belongs to the message it begins with.
	message(d Direction, b []byte) []byte

	// asks reports whether the client's message that has just ended expects an answer.
	asks() bool

	// yourTurn reports whether the server waits for the client after the message that has just
	// ended.
	yourTurn() bool
}

// wire is one connection. The proxy's mutex guards it.
type wire struct {
	proxy          *Proxy
	protocol       protocol
	client, server net.Conn
	within         [2]bool   // by direction: inside a message
	goodbye        [2]bool   // by direction: which is a goodbye
	asked          bool      // the client has asked since its last turn
	spoke          time.Time // when the client last sent something
	held           bool      // messages from the client are held back
	late           bool      // they were, and are delivered; answers are discarded
	ended          bool
}

func (w *wire) end() {
	w.ended = true
	for _, conn := range []net.Conn{w.client, w.server} {
		if tcp, ok := conn.(*net.TCPConn); ok && w.proxy.abrupt {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// copy forwards bytes in one direction until either end closes.
func (w *wire) copy(d Direction, to, from net.Conn) {
	defer w.over(d)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !w.pass(d, to, buf[:n]) {
			return
		}
		if err != nil {
			return
		}
	}
}

// over handles the end of one direction.
func (w *wire) over(d Direction) {
	p := w.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	half, ok := w.server.(interface{ CloseWrite() error })
	switch {
	case p.gone && !w.ended: // the other end isn't notified
		return
	case d == ToServer && w.late && ok:
		_ = half.CloseWrite()
		return
	}
	w.end()
	p.changed.Broadcast()
}

// pass delivers bytes in one direction as permitted, and reports whether the wire is still whole.
func (w *wire) pass(d Direction, to net.Conn, b []byte) bool {
	if d == ToClient {
		w.awaitQuiet()
	}
	for len(b) > 0 {
		n, err := w.deliver(d, to, b)
		if err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

// deliver delivers the part of b before the next cut or stall, and returns its length.
func (w *wire) deliver(d Direction, to net.Conn, b []byte) (n int, err error) {
	p := w.proxy
	p.mu.Lock()
	for (p.stalled || w.held && d == ToServer) && !w.ended {
		p.changed.Wait()
	}
	if w.ended {
		p.mu.Unlock()
		return 0, net.ErrClosed
	}
	if p.gone || d == ToClient && (w.held || w.late) {
		p.mu.Unlock()
		return len(b), nil
	}
	if d == ToServer {
		w.spoke = time.Now()
	}
	n, end := w.count(d, b)
	if end == nothing {
		p.mu.Unlock()
		return to.Write(b)
	}
	defer p.mu.Unlock() // until then nothing else passes anywhere
	_ = to.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, err = to.Write(b[:n])
	if end != cuts {
		p.stalled, w.held, p.gone = p.stalled || end == stalls, w.held || end == holds, p.gone || end == vanishes
		_ = to.SetWriteDeadline(time.Time{})
		return n, err
	}
	if p.alone {
		w.end()
		p.changed.Broadcast()
	} else {
		p.cut()
	}
	return n, net.ErrClosed
}

// what happens after a message.
type what int

const (
	nothing what = iota
	cuts
	stalls
	holds
	vanishes
)

// moment is a number of messages in each direction, after the first of which something happens.
type moment [2]int

var never = moment{-1, -1}

// after returns what happens after the given number of messages in a direction, once.
func (p *Proxy) after(d Direction, messages int) what {
	for happens, at := range p.at {
		if messages == at[d] {
			p.at[happens] = never
			return what(happens)
		}
	}
	return nothing
}

// count counts the messages that end in b. It returns how much of b may be delivered, and what
// happens then.
func (w *wire) count(d Direction, b []byte) (n int, end what) {
	p := w.proxy
	for n < len(b) {
		if !w.within[d] {
			w.within[d] = true
			w.goodbye[d] = d == ToServer && w.protocol.goodbye(b[n:])
			if p.messages[d] == 0 && !w.goodbye[d] { // before the first message
				if end := p.after(d, 0); end != nothing {
					return n, end
				}
			}
			if match := p.match[d]; match != nil && match(w.protocol.message(d, b[n:])) {
				p.match[d], w.within[d] = nil, false
				return n, p.matched
			}
		}
		taken, whole := w.protocol.next(d, b[n:])
		n += taken
		if !whole {
			continue
		}
		w.within[d] = false
		if w.goodbye[d] {
			continue
		}
		p.messages[d]++
		w.turn(d)
		if end := p.after(d, p.messages[d]); end != nothing {
			return n, end
		}
	}
	return n, nothing
}

// turn updates whose turn it is after a message.
func (w *wire) turn(d Direction) {
	switch {
	case d == ToServer:
		w.asked = w.asked || w.protocol.asks()
	case w.asked && w.protocol.yourTurn():
		w.asked = false
		w.proxy.turns++
	}
}

// awaitQuiet waits until the client has been silent for a while.
func (w *wire) awaitQuiet() {
	for {
		w.proxy.mu.Lock()
		left := w.proxy.Quiet - time.Since(w.spoke)
		if !w.asked || w.ended {
			left = 0
		}
		w.proxy.mu.Unlock()
		if left <= 0 {
			return
		}
		time.Sleep(left)
	}
}
