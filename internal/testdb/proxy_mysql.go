package testdb

// mysqlWire recognizes the packets of MySQL's protocol: a three-byte length, a sequence number,
// which increases within an exchange, and a body. A message too long for one packet continues in
// the next; the last packet is shorter than the maximum.
type mysqlWire struct {
	packets [2]mysqlPackets
}

// mysqlLongest is the longest body of a packet.
const mysqlLongest = 1<<24 - 1

// The commands without an answer. A command begins an exchange.
const (
	mysqlQuit         = 0x01
	mysqlSendLongData = 0x18 // a part of a prepared statement's parameter
	mysqlCloseStmt    = 0x19
)

func (m *mysqlWire) goodbye(b []byte) bool {
	return len(b) > 4 && b[3] == 0 && (b[4] == mysqlQuit || b[4] == mysqlCloseStmt)
}

func (m *mysqlWire) next(d Direction, b []byte) (taken int, whole bool) {
	return m.packets[d].next(b)
}

func (m *mysqlWire) message(_ Direction, b []byte) []byte {
	var p mysqlPackets
	n, _ := p.next(b)
	return b[:n]
}

func (m *mysqlWire) asks() bool {
	p := &m.packets[ToServer]
	return p.number != 0 || p.command != mysqlSendLongData
}

// yourTurn returns true: the rest of an answer follows its first packet without waiting.
func (m *mysqlWire) yourTurn() bool { return true }

// mysqlPackets finds the ends of messages in one direction.
type mysqlPackets struct {
	head    []byte // of the current packet
	left    int    // remaining bytes of its body
	goesOn  bool   // another packet of the message follows
	begun   bool   // the message's first byte has arrived
	number  byte   // of the message's first packet
	command byte   // the message's first byte
}

func (p *mysqlPackets) next(b []byte) (taken int, whole bool) {
	for taken < len(b) {
		if len(p.head) < 4 {
			p.head = append(p.head, b[taken])
			taken++
			if len(p.head) < 4 {
				continue
			}
			p.open()
		} else {
			if !p.begun {
				p.begun, p.command = true, b[taken]
			}
			n := min(p.left, len(b)-taken)
			p.left -= n
			taken += n
		}
		if p.left > 0 {
			continue
		}
		p.head = p.head[:0]
		if !p.goesOn {
			p.begun = false
			return taken, true
		}
	}
	return taken, false
}

// open reads the head of a packet.
func (p *mysqlPackets) open() {
	p.left = int(p.head[0]) | int(p.head[1])<<8 | int(p.head[2])<<16
	p.goesOn = p.left == mysqlLongest
	if !p.begun {
		p.number, p.command = p.head[3], 0
	}
}
