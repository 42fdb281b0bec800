package sqltext

import (
	"bytes"
	"fmt"
	"io"
	"iter"
)

// A grammar watches the tokens of one statement to decide whether a terminator ends it.
type grammar interface {
	// begin prepares for the next statement.
	begin()
	// token handles a token. word is the keyword that the token is, in upper case, "" for none, and
	// otherWord for another word. It
	// returns false if the rest of the statement needs no watching, or after l.fail. It receives a
	// terminator only if that does not end the statement.
	token(l *lexer, k TokenKind, tok []byte, word string) bool
	// open returns the reason why the statement is not over, nil if it may be.
	open() *unfinished
	// inBody reports that the current tokens belong to a routine's body, which runs at another
	// time.
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
	inCopyLine // within a line of COPY data that is too long for one piece
)

// Scanner reads the pieces of a text. It is not safe for concurrent use.
type Scanner struct {
	dialect Dialect
	src     window
	lex     lexer
	grammar grammar
	names   names
	state   state
	file    string
	pos     place    // where the current piece begins
	copyAt  Position // the COPY whose data is read
	strings conforming
	next    Statement // the piece that is read
	index   int
	err     error
}

// NewScanner returns a Scanner for the text of a reader.
func NewScanner(r io.Reader, d Dialect, opts Options) *Scanner {
	return newScanner(newWindow(r), d, opts)
}

// NewTextScanner returns a Scanner for a text. Its pieces are parts of the text, so they take no
// memory of their own.
func NewTextScanner(text string, d Dialect, opts Options) *Scanner {
	return newScanner(windowOf(text), d, opts)
}

func newScanner(src window, d Dialect, opts Options) *Scanner {
	s := &Scanner{
		dialect: d,
		src:     src,
		file:    opts.File,
		pos:     place{line: max(opts.Line, 1), column: 1},
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
	s.lex = lexer{rules: rulesOf(d), src: &s.src, wanted: s.names.wanted}
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

// Next returns the next piece, and io.EOF after the last one. If the text cannot be split, the
// error is an [*Error]. Next returns errors of the reader unchanged. After an error it returns only
// that error.
func (s *Scanner) Next() (Statement, error) {
	if s.err != nil {
		return Statement{}, s.err
	}
	s.lex.b, s.lex.i = s.src.bytes(), 0
	s.lex.depth, s.lex.version, s.lex.dollar = 0, 0, false
	s.next = Statement{}
	if s.state == inSQL {
		s.err = s.statement(&s.next)
	} else {
		s.err = s.copyData(&s.next)
	}
	if s.lex.ended && s.src.err != io.EOF {
		s.err = s.src.err
	}
	if s.err != nil {
		return Statement{}, s.err
	}
	return s.next, nil
}

// piece holds facts about a statement whose end is not yet found.
type piece struct {
	text     int    // where the statement begins, -1 before that
	begun    bool   // its first token was read
	first    string // that token if it is a word
	reserved string
	session  bool // mentions what changes the session
	inTx     bool // mentions what has an effect only for the rest of its transaction
}

// statement reads up to the next terminator.
func (s *Scanner) statement(st *Statement) error {
	l := &s.lex
	if s.pos.offset == 0 {
		l.i = s.byteOrderMark()
	}
	s.grammar.begin()
	l.class = &l.rules.fine
	p := piece{text: -1}
	for {
		k, from, to := l.next()
		switch k {
		case TokenBroken:
			return s.errorAt(l.errAt, l.errMsg)
		case tEOF:
			return s.atEnd(st, &p, from)
		case tSemi:
			if l.depth > 0 || l.version > 0 || s.grammar.open() != nil {
				break
			}
			return s.terminated(st, &p, from, to)
		case tBackslash:
			return s.psqlCommand(st, &p, from)
		case TokenWord, TokenName:
			s.mention(&p, l.b[from:to], k == TokenName)
		}
		if p.text < 0 {
			p.text = from
			if done, err := s.first(st, k, from, to); done {
				return err
			}
		}
		if l.class == &l.rules.fine && !s.watch(&p, k, from, to) {
			if l.errMsg != "" {
				return s.errorAt(l.errAt, l.errMsg)
			}
			l.class = &l.rules.coarse
		}
	}
}

// first handles a statement's first token if it begins a command of the database's command-line
// client, which does not end where statements do.
func (s *Scanner) first(st *Statement, k TokenKind, from, to int) (done bool, err error) {
	switch {
	case s.dialect == MySQL && k == TokenWord:
		return s.mysqlCommand(st, from, to)
	case s.dialect == SQLite && k == TokenPunct && s.lex.b[from] == '.':
		return true, s.errorAt(from, "this is a command of the sqlite3 shell, not SQL: take the line out, or write what it does in SQL")
	}
	return false, nil
}

// watch passes a token to the grammar. It returns false if the rest of the statement needs no
// watching.
func (s *Scanner) watch(p *piece, k TokenKind, from, to int) bool {
	tok, word := s.lex.b[from:to], ""
	if k == TokenWord {
		word = known(tok)
	}
	if !p.begun && k != tVersion {
		p.first, p.begun = word, true
	}
	return s.grammar.token(&s.lex, k, tok, word)
}

// mention records an identifier that is one of the names to find.
func (s *Scanner) mention(p *piece, tok []byte, quoted bool) {
	if !quoted && !s.lex.wanted.may(tok) {
		return
	}
	name, session, inTx := s.names.find(tok, quoted)
	if p.reserved == "" {
		p.reserved = name
	}
	if (session || inTx) && !s.grammar.inBody() {
		p.session, p.inTx = p.session || session, p.inTx || inTx
	}
}

// terminated emits the piece that ends with the terminator from … to.
func (s *Scanner) terminated(st *Statement, p *piece, from, to int) error {
	if p.text < 0 {
		s.emit(st, Empty, from, from, to)
		return nil
	}
	if s.copyBegins() {
		return s.copyIn(st, p, from, to)
	}
	if s.dialect == MySQL && p.first == "SET" && changesBackslashes(s.lex.b[p.text:from]) {
		return s.errorAt(p.text, "this sets the sql_mode NO_BACKSLASH_ESCAPES, with which a string may end at another place than Whimbrel assumes: leave that mode out, and double each backslash in the strings that follow")
	}
	s.sql(st, SQL, p, from, to)
	return nil
}

// changesBackslashes reports whether a SET turns on the sql_mode in which a backslash in a string
// is an ordinary character. A SET with REPLACE removes a mode.
func changesBackslashes(set []byte) bool {
	return bytesContainFold(set, "no_backslash_escapes") && bytesContainFold(set, "sql_mode") && !bytesContainFold(set, "replace(")
}

// copyBegins reports whether the statement is a COPY … FROM stdin.
func (s *Scanner) copyBegins() bool {
	g, ok := s.grammar.(*postgresGrammar)
	return ok && g.state == pgCopyIn
}

// atEnd emits the last piece of the text, which has no terminator.
func (s *Scanner) atEnd(st *Statement, p *piece, n int) error {
	if n == 0 {
		return io.EOF
	}
	if v := s.lex.version; v > 0 {
		return s.errorAt(v-1, "the versioned comment that begins here is not closed: its */ is missing")
	}
	if u := s.grammar.open(); u != nil {
		return s.errorAt(u.at, u.msg)
	}
	return s.terminated(st, p, n, n)
}

// sql classifies a statement and emits it.
func (s *Scanner) sql(st *Statement, k Kind, p *piece, from, to int) {
	change := s.classify(st, p, from)
	s.emit(st, k, p.text, from, to)
	st.Reserved = p.reserved
	s.index++
	if s.dialect == PostgreSQL && (change != conformingSame || s.strings.off || s.strings.open || st.Tx == TxBegin) {
		s.strings.see(st, change)
		s.lex.rules = s.strings.rules()
	}
}

// classify classifies the statement that ends at an offset. It returns what the statement does to
// standard_conforming_strings.
func (s *Scanner) classify(st *Statement, p *piece, to int) conformingChange {
	if s.dialect == PostgreSQL && !p.session && !p.inTx {
		switch p.first {
		case "INSERT", "UPDATE", "DELETE", "MERGE":
			return conformingSame // it has no facts
		}
	}
	if s.dialect == SQLite && !p.session && p.first == "INSERT" && plainInsert(s.lex.b[p.text:to]) {
		st.ForeignKeys = KeysChecked
		return conformingSame
	}
	rules := rulesOf(s.dialect)
	if s.strings.off {
		rules = oldRules
	}
	c := classifier{cursor: newCursor(trimRight(s.lex.b[p.text:to]), s.dialect, rules), Statement: st, mentions: p.session, inTx: p.inTx}
	c.classify()
	return c.conforming
}

// emit makes a piece of the window's first n bytes and moves past them. The statement is between
// from and to.
func (s *Scanner) emit(st *Statement, k Kind, from, to, n int) {
	b := s.src.bytes()
	st.Raw, st.Kind, st.Index = s.src.take(n), k, s.index
	if k != CopyData {
		to = from + len(trimRight(b[from:to]))
	}
	st.Text = st.Raw[from:to]
	st.Start = s.pos.in(s.file)
	s.pos.advance(b[:from])
	st.Pos = s.pos.in(s.file)
	s.pos.advance(b[from:n])
}

func (s *Scanner) errorAt(i int, msg string) *Error {
	if s.strings.off {
		msg += fmt.Sprintf(" (since standard_conforming_strings is off, from line %d on, a backslash escapes the next character in every string)", s.strings.at.Line)
	}
	return &Error{Pos: s.positionOf(i), Msg: msg}
}

// positionOf returns the position of the window's byte i.
func (s *Scanner) positionOf(i int) Position {
	p := s.pos
	p.advance(s.src.bytes()[:i])
	return p.in(s.file)
}

// trimRight removes white space at the end.
func trimRight(b []byte) []byte {
	n := len(b)
	for n > 0 && (b[n-1] == ' ' || b[n-1] >= '\t' && b[n-1] <= '\r') {
		n--
	}
	return b[:n]
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
