package testdb

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Tap is a connection between clients and a PostgreSQL server on which a test reads the messages.
type Tap struct {
	// URL leads to the same database as the URL passed to NewTap, through the tap. Clients must not
	// encrypt.
	URL string

	mu      sync.Mutex
	wires   int
	conns   map[net.Conn]bool
	closed  bool
	running sync.WaitGroup
	read    func(wire int, m any)
}

// NewTap returns a tap for a URL of this package. It calls read for each message before forwarding
// it: one at a time, and for each connection in the order in which a client waits for answers. m is
// a client's *pgproto3.StartupMessage, Parse, Bind, Query or Sync, or a server's
// *pgproto3.ReadyForQuery, NoticeResponse or ErrorResponse. Other messages are forwarded unread.
// read must not keep m, and may change a Parse. The tap ends with the test.
func NewTap(t testing.TB, serverURL string, read func(wire int, m any)) *Tap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t}
	p.lead(t, serverURL, listener.Addr().String())
	tap := &Tap{URL: p.URL, conns: map[net.Conn]bool{}, read: read}
	tap.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			tap.running.Go(func() { tap.serve(client, p.network, p.address) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		tap.mu.Lock()
		tap.closed = true
		for c := range tap.conns {
			_ = c.Close()
		}
		tap.mu.Unlock()
		tap.running.Wait()
	})
	return tap
}

func (tap *Tap) serve(client net.Conn, network, address string) {
	server, err := net.Dial(network, address)
	if err != nil {
		_ = client.Close()
		return
	}
	tap.mu.Lock()
	tap.wires++
	wire := tap.wires
	for _, c := range []net.Conn{client, server} {
		tap.conns[c] = true
		if tap.closed {
			_ = c.Close()
		}
	}
	tap.mu.Unlock()
	end := func() {
		_ = client.Close()
		_ = server.Close()
	}
	var both sync.WaitGroup
	both.Go(func() { defer end(); tap.pass(wire, server, client, true) })
	both.Go(func() { defer end(); tap.pass(wire, client, server, false) })
	both.Wait()
	tap.mu.Lock()
	delete(tap.conns, client)
	delete(tap.conns, server)
	tap.mu.Unlock()
}

// pass forwards messages in one direction until either end closes. A connection's first has no
// type.
func (tap *Tap) pass(wire int, to io.Writer, from io.Reader, toServer bool) {
	for first := toServer; ; first = false {
		head := make([]byte, 5)
		if first {
			head = head[1:]
		}
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(head[len(head)-4:])) - 4
		if size < 0 {
			return
		}
		message := append(head, make([]byte, size)...)
		if _, err := io.ReadFull(from, message[len(head):]); err != nil {
			return
		}
		m := messageOf(message[0], toServer)
		if first {
			m = &pgproto3.StartupMessage{}
		}
		if m != nil && m.Decode(message[len(head):]) == nil {
			tap.mu.Lock()
			tap.read(wire, m)
			tap.mu.Unlock()
			if parse, ok := m.(*pgproto3.Parse); ok {
				message, _ = parse.Encode(nil)
			}
		}
		if _, err := to.Write(message); err != nil {
			return
		}
	}
}

// messageOf returns a message of a type, or nil for those that are forwarded unread.
func messageOf(kind byte, toServer bool) pgproto3.Message {
	switch {
	case toServer && kind == 'P':
		return &pgproto3.Parse{}
	case toServer && kind == 'B':
		return &pgproto3.Bind{}
	case toServer && kind == 'Q':
		return &pgproto3.Query{}
	case toServer && kind == 'S':
		return &pgproto3.Sync{}
	case !toServer && kind == 'Z':
		return &pgproto3.ReadyForQuery{}
	case !toServer && kind == 'N':
		return &pgproto3.NoticeResponse{}
	case !toServer && kind == 'E':
		return &pgproto3.ErrorResponse{}
	}
	return nil
}
