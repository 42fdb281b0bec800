package testdb

import "encoding/binary"

// postgresWire recognizes the messages of PostgreSQL's protocol: a type byte, a length that
// includes itself, and a body. A connection's first message has no type byte.
type postgresWire struct {
	framers [2]framer
	greeted bool // the server has been ready for a query
}

func newPostgresWire() *postgresWire {
	w := &postgresWire{}
	w.framers[ToServer].untyped = true
	return w
}

// goodbye: Terminate.
func (w *postgresWire) goodbye(b []byte) bool { return b[0] == 'X' && !w.framers[ToServer].untyped }

func (w *postgresWire) next(d Direction, b []byte) (taken int, whole bool) {
	return w.framers[d].next(b)
}

func (w *postgresWire) message(d Direction, b []byte) []byte {
	f := framer{untyped: w.framers[d].untyped}
	n, _ := f.next(b)
	return b[:n]
}

func (w *postgresWire) asks() bool { return true }

func (w *postgresWire) yourTurn() bool {
	f := &w.framers[ToClient]
	switch f.kind {
	case 'Z': // ReadyForQuery
		w.greeted = true
		return true
	case 'R': // an authentication request other than AuthenticationOk and AuthenticationSASLFinal
		return f.code != 0 && f.code != 12
	case 'E': // ErrorResponse: it ends a connection that is being made
		return !w.greeted
	}
	return false
}

// framer finds the ends of messages in one direction.
type framer struct {
	untyped bool
	head    []byte // the known head of the current message
	body    int    // the remaining bytes after that
	kind    byte   // the type of the last message that ended
	code    uint32 // of the last authentication message: its kind
}

// next takes bytes up to the end of the current message, and reports whether it was reached.
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

// missing returns how many bytes are needed before the current message can be skipped.
func (f *framer) missing() int {
	switch {
	case f.untyped:
		return 4 - len(f.head)
	case len(f.head) > 0 && f.head[0] == 'R':
		return 9 - len(f.head)
	}
	return 5 - len(f.head)
}

// length returns the total length of the current message.
func (f *framer) length() int {
	if f.untyped {
		return int(binary.BigEndian.Uint32(f.head))
	}
	return 1 + int(binary.BigEndian.Uint32(f.head[1:]))
}
