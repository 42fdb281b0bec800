package postgres

import (
	"encoding/binary"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A chunk is full from this many bytes or statements on. The server parses all of a message before
// it executes the first statement: it is slower with many short statements, whose trees no longer
// fit into the processor's cache, and with many messages.
const (
	firstBytes      = 64 << 10 // of the first chunk, so that the server begins while the next is read
	chunkBytes      = 384 << 10
	chunkStatements = 400
)

// chunk is a part of a script's text that is sent as one message, which the server splits: that is
// several times faster than one message for each statement. The number of successful statements
// shows which one failed.
type chunk struct {
	message []byte // a Query message, without the zero byte at its end
	most    int    // the length of the text from which it is full
	parts   []part
	file    string
	limit   time.Duration // the lock timeout, for the watcher
	before  int           // statements of Whimbrel's own before them
}

// queryHeader is the beginning of a Query message: its type and length.
const queryHeader = 5

// part is a statement of a chunk, whose text is part of the chunk's.
type part struct {
	offset       int64  // where its Raw begins in the script
	at, from, to uint32 // where its Raw begins in the chunk, and where its Text is
	index        uint32 // in the script
	start, pos   lineColumn
}

type lineColumn struct{ line, column uint32 }

func lineColumnOf(p sqltext.Position) lineColumn {
	return lineColumn{uint32(p.Line), uint32(p.Column)}
}

func (l lineColumn) in(file string, offset int64) sqltext.Position {
	return sqltext.Position{File: file, Offset: offset, Line: int(l.line), Column: int(l.column)}
}

// newChunk returns an empty chunk, with memory for a text of a size.
func newChunk(size int) *chunk {
	k := &chunk{message: make([]byte, 0, queryHeader+size+1)}
	k.reset()
	return k
}

// reset empties a chunk.
func (k *chunk) reset() {
	*k = chunk{message: append(k.message[:0], 'Q', 0, 0, 0, 0), parts: k.parts[:0]}
}

// begin adds a statement of Whimbrel's own before those of the script; "" adds none.
func (k *chunk) begin(sql string) {
	if sql != "" {
		k.before = 1
		k.message = append(append(k.message, sql...), ";\n"...)
	}
}

func (k *chunk) add(st sqltext.Statement) {
	at := k.len()
	from := at + int(st.Pos.Offset-st.Start.Offset)
	k.file = st.Pos.File
	k.parts = append(k.parts, part{
		offset: st.Start.Offset, at: uint32(at), from: uint32(from), to: uint32(from + len(st.Text)), index: uint32(st.Index),
		start: lineColumnOf(st.Start), pos: lineColumnOf(st.Pos),
	})
	k.message = append(k.message, st.Raw...)
}

// len returns the length of the text.
func (k *chunk) len() int { return len(k.message) - queryHeader }

func (k *chunk) full() bool { return k.len() >= k.most || len(k.parts) == chunkStatements }

// text returns the text.
func (k *chunk) text() string { return string(k.message[queryHeader:]) }

// encoded returns the whole message.
func (k *chunk) encoded() []byte {
	binary.BigEndian.PutUint32(k.message[1:], uint32(len(k.message))) // without the type, with the zero byte
	return append(k.message, 0)
}

// statement returns what is needed of a statement for messages. text is that of the chunk.
func (k *chunk) statement(text string, i int) sqltext.Statement {
	p, end := k.parts[i], uint32(len(text))
	if i+1 < len(k.parts) {
		end = k.parts[i+1].at
	}
	return sqltext.Statement{
		Raw: text[p.at:end], Text: text[p.from:p.to], Index: int(p.index),
		Start: p.start.in(k.file, p.offset), Pos: p.pos.in(k.file, p.offset+int64(p.from-p.at)),
	}
}

// watched returns the statements for the watcher.
func (k *chunk) watched() []watched {
	text, all := k.text(), make([]watched, len(k.parts))
	for i := range k.parts {
		all[i] = watched{st: k.statement(text, i), limit: k.limit}
	}
	return all
}

// explain finds the statement of an error: the one at the server's position, or the first that did
// not succeed.
func (k *chunk) explain(pg *pgconn.PgError, succeeded int) error {
	i, text := max(min(succeeded, len(k.parts)-1), 0), k.text()
	if pg.Position > 0 {
		at := uint32(byteOffset(text, int(pg.Position)))
		for i = 0; i+1 < len(k.parts) && k.parts[i+1].at <= at; i++ {
		}
	}
	st := k.statement(text, i)
	copied := *pg
	if pg.Position > 0 { // count from the statement's beginning
		copied.Position -= int32(utf8.RuneCountInString(text[:k.parts[i].at]))
	}
	return statementError(st, &copied, st.Raw, st.Start)
}

// byteOffset converts the server's position, in characters from 1, to bytes from 0.
func byteOffset(s string, position int) int {
	n := 0
	for i := range s {
		if n++; n == position {
			return i
		}
	}
	return len(s)
}
