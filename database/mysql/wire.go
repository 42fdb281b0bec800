package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	client "github.com/go-sql-driver/mysql"
)

// wire is the network connection of one of the driver's own connections. It reads how many warnings
// a statement caused from the server's answer, which the client library skips. Without it, a round
// trip after each statement would ask.
type wire struct {
	net.Conn
	reads    int // since the last write
	warnings int // in the answer that the first of them contained; -1 if it is unknown
	keeps    bool
	answers  answers // what was read since keep
	closed   atomic.Bool
	forget   atomic.Pointer[func()] // called by Close

	several bool // a message may contain several statements
	told    bool // what the server was told about that
	unread  int  // how many of its answers to that are unread
	refuses bool // it does not accept several statements
}

// Write sends a message. If the server has to know that it may contain several statements, or that
// it may no longer, Write tells it in the same packet, unless the message ends the connection:
// nobody would read the answer.
func (w *wire) Write(b []byte) (int, error) {
	w.reads, w.warnings = 0, -1
	if w.several == w.told || isQuit(b) {
		return w.Conn.Write(b)
	}
	w.told = w.several
	w.unread++
	head := optionSeveral(w.several)
	n, err := (&net.Buffers{head, b}).WriteTo(w.Conn)
	return max(int(n)-len(head), 0), err
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.read(b)
	w.warnings = -1
	if w.reads++; w.reads == 1 {
		w.warnings = warningsIn(b[:n])
	}
	if w.keeps {
		w.answers.add(b[:n])
	}
	return n, err
}

// read reads what the server answers to messages, without its answers to optionSeveral.
func (w *wire) read(b []byte) (n int, err error) {
	for n == 0 && err == nil {
		if w.unread == 0 {
			return w.Conn.Read(b)
		}
		if n, err = io.ReadAtLeast(w.Conn, b, packetHead+1); err != nil {
			break
		}
		size := packetHead + int(binary.LittleEndian.Uint32(b)&0xffffff)
		if n < size {
			var more int
			more, err = io.ReadAtLeast(w.Conn, b[n:], size-n)
			n += more
		}
		if err == nil {
			w.unread--
			w.refuses = w.refuses || b[packetHead] == 0xff
			n = copy(b, b[size:n])
		}
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// keep begins to keep what the server answers. It calls each, unless that is nil, with each answer
// as it arrives.
func (w *wire) keep(each func(answer)) { w.keeps, w.answers = true, answers{each: each} }

// kept returns the answers since keep: one for each statement that the server has executed.
func (w *wire) kept() []answer {
	w.keeps = false
	return w.answers.all
}

// exec sends several statements in one message. It returns what the server says of those that it
// has executed, and calls each with that as it arrives; the server stops at the first that fails.
func (w *wire) exec(ctx context.Context, c *conn, statements string, each func(answer)) (all []answer, err error) {
	w.several = true
	defer func() { w.several = false }()
	w.keep(each)
	_, err = c.ExecContext(ctx, statements)
	return w.kept(), err
}

// optionSeveral is a message that tells the server whether a message may contain several
// statements.
func optionSeveral(may bool) []byte {
	const comSetOption, on, off = 0x1b, 0, 1
	message := []byte{3, 0, 0, 0, comSetOption, off, 0}
	if may {
		message[packetHead+1] = on
	}
	return message
}

// isQuit reports whether a message ends the connection.
func isQuit(message []byte) bool {
	const comQuit = 0x01
	return len(message) == packetHead+1 && message[packetHead] == comQuit
}

// Close closes the connection. The client library also calls it from a goroutine of its own, as
// soon as the context ends.
func (w *wire) Close() error {
	w.closed.Store(true)
	if forget := w.forget.Load(); forget != nil {
		(*forget)()
	}
	return w.Conn.Close()
}

// SyscallConn lets the client library find out whether the server has closed the connection.
func (w *wire) SyscallConn() (syscall.RawConn, error) {
	c, ok := w.Conn.(syscall.Conn)
	if !ok {
		return nil, syscall.EINVAL
	}
	return c.SyscallConn()
}

// packetHead is the length of the head of a packet: its length, and its number.
const packetHead = 4

// warningsIn returns the number of warnings in an answer, if it is exactly one OK packet and the
// last one; -1 otherwise.
func warningsIn(answer []byte) int {
	p, ok := okIn(answer)
	if !ok || p.more {
		return -1
	}
	return p.warnings
}

// okPacket is the answer to a statement without rows.
type okPacket struct {
	affected, id uint64 // rows; the id that was inserted
	more         bool   // another answer follows
	warnings     int
}

// okIn reads an OK packet.
func okIn(packet []byte) (p okPacket, ok bool) {
	const moreResults = 0x08
	if len(packet) < packetHead+1 || int(binary.LittleEndian.Uint32(packet)&0xffffff) != len(packet)-packetHead || packet[packetHead] != 0 {
		return p, false
	}
	rest := packet[packetHead+1:]
	if p.affected, rest, ok = lengthEncoded(rest); !ok {
		return p, false
	}
	if p.id, rest, ok = lengthEncoded(rest); !ok || len(rest) < 4 {
		return p, false
	}
	p.more, p.warnings = binary.LittleEndian.Uint16(rest)&moreResults != 0, int(binary.LittleEndian.Uint16(rest[2:]))
	return p, true
}

// lengthEncoded reads a number of one byte, or of those that follow it.
func lengthEncoded(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	size := map[byte]int{0xfc: 2, 0xfd: 3, 0xfe: 8}[b[0]]
	if size == 0 {
		return uint64(b[0]), b[1:], true
	}
	if len(b) <= size {
		return 0, nil, false
	}
	for i := size; i > 0; i-- {
		n = n<<8 | uint64(b[i])
	}
	return n, b[size+1:], true
}

// wires finds the wire of a connection of the pool.
type wires struct {
	driver.Connector
	all sync.Map // from driver.Conn to *wire
}

type wireKey struct{}

// newPool returns a pool of connections that have wires, unless they are encrypted.
func newPool(config *client.Config) (*sql.DB, *wires, error) {
	config = config.Clone()
	if config.TLS == nil {
		config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if made, ok := ctx.Value(wireKey{}).(*wire); ok && err == nil {
				made.Conn, c = c, made
			}
			return c, err
		}
	}
	c, err := client.NewConnector(config)
	if err != nil {
		return nil, nil, err
	}
	w := &wires{Connector: c}
	return sql.OpenDB(w), w, nil
}

// Connect makes a connection.
func (w *wires) Connect(ctx context.Context) (driver.Conn, error) {
	made := &wire{warnings: -1}
	c, err := w.Connector.Connect(context.WithValue(ctx, wireKey{}, made))
	if err == nil && made.Conn != nil {
		forget := func() { w.all.Delete(c) }
		w.all.Store(c, made)
		if made.forget.Store(&forget); made.closed.Load() { // the context has ended
			forget()
		}
	}
	return c, err
}

// of returns the wire of a connection, nil if it has none. The receiver can be nil.
func (w *wires) of(c *sql.Conn) (found *wire) {
	if w == nil {
		return nil
	}
	c.Raw(func(c any) error {
		if one, ok := w.all.Load(c); ok {
			found = one.(*wire)
		}
		return nil
	})
	return found
}
