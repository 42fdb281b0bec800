package sqltext

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// place is a Position without the file's name.
type place struct {
	offset       int64
	line, column int
}

func (p place) in(file string) Position { return Position{file, p.offset, p.line, p.column} }

// advance moves p from the beginning of b to its end.
func (p *place) advance(b []byte) {
	if len(b) == 0 {
		return
	}
	atStart := p.offset == 0
	p.offset += int64(len(b))
	if n := bytes.Count(b, newline); n > 0 {
		p.line += n
		p.column = 1
		b = b[bytes.LastIndexByte(b, '\n')+1:]
	} else if atStart && bytes.HasPrefix(b, []byte(byteOrderMark)) {
		b = b[len(byteOrderMark):]
	}
	p.column += characters(b)
}

var newline = []byte{'\n'}

// characters counts the code points of b: the bytes that do not continue one. Unlike counts of
// runes, its results for the parts of a text add up, wherever the text is split.
func characters(b []byte) int {
	n := len(b)
	for len(b) >= 8 {
		v := binary.LittleEndian.Uint64(b)
		if v&0x8080808080808080 != 0 {
			n -= bits.OnesCount64(v >> 7 &^ (v >> 6) & 0x0101010101010101)
		}
		b = b[8:]
	}
	for _, c := range b {
		if c&0xc0 == 0x80 {
			n--
		}
	}
	return n
}
