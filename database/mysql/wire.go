package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
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
	answer   []byte // what was read since keep
	forget   func()
}

func (w *wire) Write(b []byte) (int, error) {
	w.reads, w.warnings = 0, -1
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.warnings = -1
	if w.reads++; w.reads == 1 {
		w.warnings = warningsIn(b[:n])
	}
	if w.keeps {
		w.answer = append(w.answer, b[:n]...)
	}
	return n, err
}

// keep begins to keep what the server answers.
func (w *wire) keep() { w.keeps, w.answer = true, w.answer[:0] }

// kept returns how many statements the answer since keep says that the server has executed, and how
// many warnings they caused. Statements with rows and those that follow them are not counted.
func (w *wire) kept() (executed, warnings int) {
	rest := w.answer
	w.keeps = false
	for len(rest) > packetHead {
		size := packetHead + int(binary.LittleEndian.Uint32(rest)&0xffffff)
		_, n, ok := okIn(rest[:min(size, len(rest))])
		if !ok {
			break
		}
		executed, warnings, rest = executed+1, warnings+n, rest[size:]
	}
	return executed, warnings
}

// several tells the server whether a message may contain several statements. No other message may
// be under way.
func (w *wire) several(may bool) error {
	const comSetOption, off = 0x1b, 1
	message := []byte{3, 0, 0, 0, comSetOption, 0, 0}
	if !may {
		message[packetHead+1] = off
	}
	if _, err := w.Conn.Write(message); err != nil {
		return client.ErrInvalidConn
	}
	answer := make([]byte, packetHead, 64)
	if _, err := io.ReadFull(w.Conn, answer); err != nil {
		return client.ErrInvalidConn
	}
	answer = append(answer, make([]byte, binary.LittleEndian.Uint32(answer)&0xffffff)...)
	if _, err := io.ReadFull(w.Conn, answer[packetHead:]); err != nil || len(answer) == packetHead {
		return client.ErrInvalidConn
	}
	if answer[packetHead] == 0xff {
		return fmt.Errorf("the server refuses several statements in one message: %w", errOneByOne)
	}
	return nil
}

// Close closes the connection.
func (w *wire) Close() error {
	if w.forget != nil {
		w.forget()
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
	more, warnings, ok := okIn(answer)
	if !ok || more {
		return -1
	}
	return warnings
}

// okIn reads an OK packet: whether another answer follows, and the number of warnings.
func okIn(packet []byte) (more bool, warnings int, ok bool) {
	const moreResults = 0x08
	if len(packet) < packetHead+1 || int(binary.LittleEndian.Uint32(packet)&0xffffff) != len(packet)-packetHead || packet[packetHead] != 0 {
		return false, 0, false
	}
	rest := packet[packetHead+1:]
	for range 2 { // the affected rows and the inserted id
		if len(rest) == 0 {
			return false, 0, false
		}
		size := 1
		switch rest[0] {
		case 0xfc:
			size += 2
		case 0xfd:
			size += 3
		case 0xfe:
			size += 8
		}
		if len(rest) < size {
			return false, 0, false
		}
		rest = rest[size:]
	}
	if len(rest) < 4 {
		return false, 0, false
	}
	return binary.LittleEndian.Uint16(rest)&moreResults != 0, int(binary.LittleEndian.Uint16(rest[2:])), true
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
		made.forget = func() { w.all.Delete(c) }
		w.all.Store(c, made)
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
