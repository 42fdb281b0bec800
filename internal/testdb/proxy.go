package testdb

import (
	"encoding/binary"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Proxy is a wire between a client and a PostgreSQL server. Bytes pass unchanged; it counts what passes, and
// can be stalled and cut. The client must not encrypt, or there are no messages to be counted: URL says so.
type Proxy struct {
	// URL leads to the same database as the URL that the proxy was made with, through the proxy.
	URL string

	// Quiet is for how long a client must have said nothing before an answer is delivered to it, so that one which
	// sends several queries, one by one but without waiting, has sent all of them before the first answer can reach
	// it, and Turns sees that it didn't wait. The default is 10 ms; set it before connecting. 0 delivers at once.
	Quiet time.Duration

	network, address string // the server's

	mu       sync.Mutex
	changed  sync.Cond // closed, stalled or a wire's end
	wires    map[*wire]bool
	opened   int
	turns    int
	messages [2]int // by direction
	cuts     [2]int // by direction: when messages reaches it, cut; -1: don't
	stalled  bool
	closed   bool
	running  sync.WaitGroup
}

// Direction is a way of messages through a proxy.
type Direction int

// The two directions.
const (
	ToServer Direction = iota
	ToClient
)

func (d Direction) String() string {
	return [...]string{"to server", "to client"}[d]
}

// NewProxy returns a proxy in front of a PostgreSQL server, which may listen on a TCP port or a Unix socket. It
// ends with the test.
func NewProxy(t testing.TB, serverURL string) *Proxy {
	t.Helper()
	config, err := pgconn.ParseConfig(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		URL:   through(parse(t, serverURL), listener.Addr().String()),
		Quiet: 10 * time.Millisecond,
		wires: map[*wire]bool{},
		cuts:  [2]int{-1, -1},
	}
	p.changed.L = &p.mu
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
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

// through rewrites a server's URL so that it leads to another address of the same server.
func through(u *url.URL, address string) string {
	query := u.Query()
	query.Del("host")
	query.Del("port")
	query.Set("sslmode", "disable")
	rewritten := *u
	rewritten.Host = address
	rewritten.RawQuery = query.Encode()
	return rewritten.String()
}

// Turns returns how many round trips the clients have waited for since the last Reset, on all connections: how
// often a client has spoken and then been told that it is its turn again (ready for a query, or for a password).
// Queries that are sent without waiting for one another's answers are one turn, and so is a COPY, since pgx sends
// the data without waiting for the server to be ready for it. Making a connection counts (one turn without a
// password), closing it doesn't.
func (p *Proxy) Turns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turns
}

// Connections returns how many connections were made since the last Reset.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// Messages returns how many protocol messages have passed in a direction since the last Reset. A client's
// goodbye isn't counted, since nobody waits for it: it could arrive before or after a Reset.
func (p *Proxy) Messages(d Direction) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.messages[d]
}

// Reset starts all counts at zero and forgets what CutAfter was told.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns, p.opened, p.messages, p.cuts = 0, 0, [2]int{}, [2]int{-1, -1}
}

// Cut closes all connections, towards the server and towards the client. New ones are accepted; pgx makes one at
// once, to ask the server to cancel what the old one was at.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	for w := range p.wires {
		w.end()
	}
	p.changed.Broadcast()
}

// CutAfter cuts once, when n messages since the last Reset have passed in a direction: the n-th is delivered,
// and no later one is, in either direction. With n = 0 the first is not delivered.
func (p *Proxy) CutAfter(d Direction, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts[d] = n
}

// Stall stops all traffic in both directions, on new connections too, until Resume. Connections stay open, as
// they do when a cable is unplugged.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
}

// Resume ends a Stall; nothing is lost.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = false
	p.changed.Broadcast()
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		_ = client.Close()
		return
	}
	w := &wire{proxy: p, client: client, server: server}
	w.framers[ToServer].untyped = true
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
	delete(p.wires, w)
	p.mu.Unlock()
}

// wire is one connection. The proxy's mutex guards it.
type wire struct {
	proxy          *Proxy
	client, server net.Conn
	framers        [2]framer
	asked          bool      // the client has spoken since it was last its turn
	greeted        bool      // the server has been ready for a query
	spoke          time.Time // when the client last did
	ended          bool
}

func (w *wire) end() {
	w.ended = true
	_ = w.client.Close()
	_ = w.server.Close()
}

// copy passes bytes in one direction until either end closes.
func (w *wire) copy(d Direction, to, from net.Conn) {
	defer func() {
		w.proxy.mu.Lock()
		w.end()
		w.proxy.changed.Broadcast()
		w.proxy.mu.Unlock()
	}()
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

// pass delivers bytes in one direction when they may be, and reports whether the wire is still whole.
func (w *wire) pass(d Direction, to net.Conn, b []byte) bool {
	if d == ToClient {
		w.awaitQuiet()
	}
	p := w.proxy
	p.mu.Lock()
	for p.stalled && !w.ended {
		p.changed.Wait()
	}
	if w.ended {
		p.mu.Unlock()
		return false
	}
	if d == ToServer {
		w.asked, w.spoke = true, time.Now()
	}
	n, cut := w.count(d, b)
	if cut {
		// Still under the lock, so that nothing else passes anywhere.
		_ = to.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, _ = to.Write(b[:n])
		p.cut()
		p.mu.Unlock()
		return false
	}
	p.mu.Unlock()
	_, err := to.Write(b)
	return err == nil
}

// count counts the messages that end in b and returns how much of it may be delivered and whether the wire is
// to be cut after that.
func (w *wire) count(d Direction, b []byte) (n int, cut bool) {
	p := w.proxy
	f := &w.framers[d]
	for n < len(b) {
		if p.cuts[d] == 0 && !f.goodbye(d, b[n]) { // before the first message
			p.cuts = [2]int{-1, -1}
			return n, true
		}
		taken, whole := f.next(b[n:])
		n += taken
		if !whole || f.goodbye(d, f.kind) {
			continue
		}
		p.messages[d]++
		if d == ToClient && w.asked && w.yourTurn(f) {
			w.asked = false
			p.turns++
		}
		if p.messages[d] == p.cuts[d] {
			p.cuts = [2]int{-1, -1}
			return n, true
		}
	}
	return n, false
}

// yourTurn reports whether the server, with the message that has just ended, waits for the client.
func (w *wire) yourTurn(f *framer) bool {
	switch f.kind {
	case 'Z': // ReadyForQuery
		w.greeted = true
		return true
	case 'R': // an authentication request, but for AuthenticationOk and AuthenticationSASLFinal
		return f.code != 0 && f.code != 12
	case 'E': // ErrorResponse: when a connection is being made it ends it
		return !w.greeted
	}
	return false
}

// awaitQuiet returns when the client has said nothing for a while.
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

// framer finds where messages of PostgreSQL's protocol end: a type byte, a length that counts itself, a body. A
// connection's first message has no type byte.
type framer struct {
	untyped bool
	head    []byte // of the message under way: what has to be known of it
	body    int    // what is left of it after that
	kind    byte   // the type of the message that ended last
	code    uint32 // of an authentication message that ended last: which
}

// goodbye reports whether a message of this kind, to be begun or just ended, is a client's Terminate.
func (f *framer) goodbye(d Direction, kind byte) bool {
	return d == ToServer && kind == 'X' && !f.untyped && len(f.head) == 0
}

// next takes bytes up to the end of the message under way and reports whether that has been reached.
func (f *framer) next(b []byte) (taken int, whole bool) {
	for f.missing() > 0 {
		if taken == len(b) {
			return taken, false
		}
		f.head = append(f.head, b[taken])
		taken++
		if f.missing() == 0 {
			f.body = f.length() - len(f.head)
		}
	}
	body := min(f.body, len(b)-taken)
	f.body -= body
	if f.body > 0 {
		return taken + body, false
	}
	f.kind, f.code = 0, 0
	if !f.untyped {
		f.kind = f.head[0]
	}
	if f.kind == 'R' {
		f.code = binary.BigEndian.Uint32(f.head[5:])
	}
	f.head, f.untyped = f.head[:0], false
	return taken + body, true
}

// missing returns how many bytes have to be known yet before the message under way can be skipped.
func (f *framer) missing() int {
	switch {
	case f.untyped:
		return 4 - len(f.head)
	case len(f.head) > 0 && f.head[0] == 'R':
		return 9 - len(f.head)
	}
	return 5 - len(f.head)
}

// length returns how long the message under way is, all in all.
func (f *framer) length() int {
	if f.untyped {
		return int(binary.BigEndian.Uint32(f.head))
	}
	return 1 + int(binary.BigEndian.Uint32(f.head[1:]))
}
