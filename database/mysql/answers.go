package mysql

import "encoding/binary"

// answer is what the server says of a statement that it has executed.
type answer struct {
	okPacket            // if it has no rows
	rows     [][]string // NULL is ""
}

// answers reads the answers to the statements of a message.
type answers struct {
	each func(answer) // is called with each; nil for none
	all  []answer

	rest    []byte // of a packet that has not arrived as a whole
	over    bool   // a statement has failed
	reads   bool   // the rows of an answer
	columns uint64 // of its columns, how many are to come
	defined bool   // the end of its columns was seen
	rows    [][]string
}

// The first byte of a packet.
const (
	packetOK    = 0
	packetNull  = 0xfb // of a value
	packetEnd   = 0xfe
	packetError = 0xff
)

// add reads more bytes from the server.
func (a *answers) add(b []byte) {
	a.rest = append(a.rest, b...)
	at := 0
	for len(a.rest)-at > packetHead {
		size := packetHead + int(binary.LittleEndian.Uint32(a.rest[at:])&0xffffff)
		if len(a.rest)-at < size {
			break
		}
		if size > packetHead && !a.over {
			a.packet(a.rest[at : at+size])
		}
		at += size
	}
	a.rest = append(a.rest[:0], a.rest[at:]...)
}

// packet reads a packet.
func (a *answers) packet(packet []byte) {
	const oldEnd = 5 // the length of an end before a server says more in it
	switch body := packet[packetHead:]; {
	case body[0] == packetError:
		a.over = true
	case !a.reads && body[0] == packetOK:
		p, ok := okIn(packet)
		a.over = !ok
		a.push(answer{okPacket: p})
	case !a.reads:
		a.reads, a.defined, a.rows = true, false, nil
		a.columns, _, _ = lengthEncoded(body)
	case a.columns > 0:
		a.columns--
	case body[0] == packetEnd && len(body) == oldEnd && !a.defined: // of the columns
		a.defined = true
	case body[0] == packetEnd:
		a.reads = false
		a.push(answer{rows: a.rows})
	default:
		a.defined = true
		a.rows = append(a.rows, valuesIn(body))
	}
}

func (a *answers) push(one answer) {
	if a.over {
		return
	}
	a.all = append(a.all, one)
	if a.each != nil {
		a.each(one)
	}
}

// valuesIn reads the values of a row.
func valuesIn(row []byte) (values []string) {
	for len(row) > 0 {
		if row[0] == packetNull {
			values, row = append(values, ""), row[1:]
			continue
		}
		n, rest, ok := lengthEncoded(row)
		if !ok || n > uint64(len(rest)) {
			return values
		}
		values, row = append(values, string(rest[:n])), rest[n:]
	}
	return values
}
