package sqltext

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math/bits"
)

// A grammar watches the tokens of one statement for what makes a terminator not
// the end of it.
type grammar interface {
	// begin prepares for the next statement.
	begin()
	// token takes a token; depth counts the parentheses around it. It returns
	// false when the rest of the statement cannot surprise, or after l.fail. Of a
	// terminator it is told only when it does not end the statement.
	token(l *lexer, k kind, tok []byte, depth int) bool
	// open returns the reason why the statement is not over, nil if it may be.
	open() *unfinished
	// inBody reports that the tokens at hand are of a routine's body, which runs
	// at another time.
	inBody() bool
}

// unfinished is a body that lacks its end.
type unfinished struct {
	at  int
	msg string
}

// state says what the scanner expects.
type state uint8

const (
	inSQL state = iota
	inCopy
	inCopyLine // amid a line of COPY data too long for one piece
)

// Scanner reads the pieces of a text. It is not safe for concurrent use.
type Scanner struct {
	dialect Dialect
	src     window
	lex     lexer
	grammar grammar
	names   names
	state   state
	pos     Position // where the current piece begins
	copyAt  Position // where the COPY stands whose data is read
	index   int
	err     error
}

// NewScanner returns a Scanner of the text that r delivers.
func NewScanner(r io.Reader, d Dialect, opts Options) *Scanner {
	s := &Scanner{
		dialect: d,
		src:     window{r: r, buf: make([]byte, windowSize)},
		pos:     Position{File: opts.File, Line: max(opts.Line, 1), Column: 1},
		names:   newNames(opts.Reserved, d),
	}
	switch d {
	case PostgreSQL:
		s.grammar = &postgresGrammar{}
	case SQLite:
		s.grammar = &sqliteGrammar{}
	case MySQL:
		s.grammar = &mysqlGrammar{}
	default:
		s.err = fmt.Errorf("sqltext: %v is no dialect that this package knows", d)
	}
	s.lex = lexer{rules: rulesOf(d), src: &s.src}
	return s
}

// All returns the pieces of the text in their order. An error ends them.
func (s *Scanner) All() iter.Seq2[Statement, error] {
	return func(yield func(Statement, error) bool) {
		for {
			st, err := s.Next()
			if err == io.EOF || !yield(st, err) || err != nil {
				return
			}
		}
	}
}

// Next returns the next piece, and io.EOF behind the last one. Where the text
// cannot be cut the error is an [*Error]; an error of the reader comes as it is.
// After an error there is nothing more.
func (s *Scanner) Next() (Statement, error) {
	if s.err != nil {
		return Statement{}, s.err
	}
	s.lex.b, s.lex.i = s.src.bytes(), 0
	s.lex.version, s.lex.dollar = 0, false
	var st Statement
	if s.state == inSQL {
		st, s.err = s.statement()
	} else {
		st, s.err = s.copyData()
	}
	if s.lex.ended && s.src.err != io.EOF {
		s.err = s.src.err
	}
	if s.err != nil {
		return Statement{}, s.err
	}
	return st, nil
}

// piece is what is known of a statement while its end is looked for.
type piece struct {
	text     int // where the statement begins; -1: not yet
	depth    int // parentheses
	watched  bool
	reserved string
	session  bool // mentions what changes the session
}

// statement reads up to the next terminator.
func (s *Scanner) statement() (Statement, error) {
	l := &s.lex
	if s.pos.Offset == 0 {
		l.i = s.byteOrderMark()
	}
	s.grammar.begin()
	l.class = &l.rules.fine
	p := piece{text: -1, watched: true}
	for {
		k, from, to := l.next()
		switch k {
		case tErr:
			return Statement{}, s.errorAt(l.errAt, l.errMsg)
		case tEOF:
			return s.atEnd(&p, from)
		case tSemi:
			if p.depth > 0 || l.version > 0 || s.grammar.open() != nil {
				break
			}
			return s.terminated(&p, from, to)
		case tBackslash:
			return s.psqlCommand(&p, from)
		case tWord:
			if p.text < 0 && s.dialect == MySQL {
				if st, err, ok := s.mysqlCommand(from, to); ok {
					return st, err
				}
			}
			s.mention(&p, l.b[from:to], false)
		case tQuoted:
			s.mention(&p, l.b[from:to], true)
		case tOpen:
			p.depth += s.parens()
		case tClose:
			p.depth = max(p.depth-s.parens(), 0)
		case tPunct:
			if p.text < 0 && s.dialect == SQLite && l.b[from] == '.' {
				return Statement{}, s.errorAt(from, "this is a command of the sqlite3 shell, not SQL: take the line out, or write what it does in SQL")
			}
		}
		if p.text < 0 {
			p.text = from
		}
		if p.watched && !s.grammar.token(l, k, l.b[from:to], p.depth) {
			p.watched = false
			l.class = &l.rules.coarse
			if l.errMsg != "" {
				return Statement{}, s.errorAt(l.errAt, l.errMsg)
			}
		}
	}
}

// parens is 1 where parentheses hold a statement together, else 0: psql does not
// cut within them, the other clients do.
func (s *Scanner) parens() int {
	if s.lex.rules.parens {
		return 1
	}
	return 0
}

// mention notes the names that an identifier may be one of.
func (s *Scanner) mention(p *piece, tok []byte, quoted bool) {
	if !quoted && !s.names.maybe(len(tok)) {
		return
	}
	name, session := s.names.find(tok, quoted)
	if p.reserved == "" {
		p.reserved = name
	}
	if session && !s.grammar.inBody() {
		p.session = true
	}
}

// terminated makes the piece that ends with the terminator from … to.
func (s *Scanner) terminated(p *piece, from, to int) (Statement, error) {
	if p.text < 0 {
		return s.emit(Empty, from, from, to), nil
	}
	if g, ok := s.grammar.(*postgresGrammar); ok && g.copyIn() {
		return s.copyIn(p, from, to)
	}
	return s.sql(SQL, p, from, to), nil
}

// atEnd makes the last piece of the text, which has no terminator.
func (s *Scanner) atEnd(p *piece, n int) (Statement, error) {
	switch l := &s.lex; {
	case n == 0:
		return Statement{}, io.EOF
	case l.version > 0:
		return Statement{}, s.errorAt(l.version-1, "the versioned comment that begins here is not closed: its */ is missing")
	case p.text < 0:
		return s.emit(Empty, n, n, n), nil
	}
	if u := s.grammar.open(); u != nil {
		return Statement{}, s.errorAt(u.at, u.msg)
	}
	if g, ok := s.grammar.(*postgresGrammar); ok && g.copyIn() {
		return s.copyIn(p, n, n)
	}
	return s.sql(SQL, p, n, n), nil
}

// sql makes a piece of a statement and classifies it.
func (s *Scanner) sql(k Kind, p *piece, from, to int) Statement {
	c := classifier{dialect: s.dialect, session: p.session}
	c.text = bytes.TrimRight(s.lex.b[p.text:from], " \t\n\v\f\r")
	c.classify()
	st := s.emit(k, p.text, from, to)
	st.Tx, st.Why, st.Session = c.tx, c.why, c.session
	st.EnumType, st.EnumValue = c.enumType, c.enumValue
	st.Reserved = p.reserved
	s.index++
	return st
}

// emit hands out the window's first n bytes as a piece whose statement is what is
// between from and to, and moves on.
func (s *Scanner) emit(k Kind, from, to, n int) Statement {
	b := s.src.bytes()
	st := Statement{Raw: string(b[:n]), Start: s.pos, Index: s.index, Kind: k}
	st.Text = st.Raw[from:to]
	if k != CopyData {
		st.Text = trimRight(st.Text)
	}
	st.Pos = advance(s.pos, b[:from])
	s.pos = advance(st.Pos, b[from:n])
	s.src.discard(n)
	return st
}

func (s *Scanner) errorAt(i int, msg string) *Error {
	return &Error{Pos: advance(s.pos, s.src.bytes()[:i]), Msg: msg}
}

func trimRight(s string) string {
	n := len(s)
	for n > 0 && (s[n-1] == ' ' || s[n-1] >= '\t' && s[n-1] <= '\r') {
		n--
	}
	return s[:n]
}

const byteOrderMark = "\xef\xbb\xbf"

// byteOrderMark returns the length of the mark that the text begins with.
func (s *Scanner) byteOrderMark() int {
	s.lex.at(len(byteOrderMark) - 1)
	if bytes.HasPrefix(s.lex.b, []byte(byteOrderMark)) {
		return len(byteOrderMark)
	}
	return 0
}

// advance returns the position behind b, which begins at p.
func advance(p Position, b []byte) Position {
	if len(b) == 0 {
		return p
	}
	atStart := p.Offset == 0
	p.Offset += int64(len(b))
	if n := bytes.Count(b, []byte{'\n'}); n > 0 {
		p.Line += n
		p.Column = 1
		b = b[bytes.LastIndexByte(b, '\n')+1:]
	} else if atStart && bytes.HasPrefix(b, []byte(byteOrderMark)) {
		b = b[len(byteOrderMark):]
	}
	p.Column += characters(b)
	return p
}

// characters counts the code points of b: the bytes that do not continue one.
// Unlike a count of runes it adds up wherever a text is cut.
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
