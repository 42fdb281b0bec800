package source

import (
	"bytes"
	"strings"
)

// lexer finds comments, and the first statement, in SQL text. It takes pieces that are no longer
// than a line.
//
// It is not sqltext's lexer: it reads text as it passes by for the checksum, in bounded memory
// whatever the length of a token; it continues where sqltext reports an error, since other tools'
// markers and templates need not be SQL; and the dialect may be unknown, in which case two of them
// read both ways.
type lexer struct {
	reading      // what it has found
	nests   bool // block comments nest

	in     state
	noted  bool // the first statement of the part has been found
	sign   byte // the byte before, where two bytes make a sign; 0 for none
	depth  int  // of block comments
	tag    []byte
	match  int    // how many bytes of tag the text has just had
	skip   bool   // the next byte of an escape string is escaped
	text   []byte // of the line comment, or of the line of a block comment
	at     place  // where the comment, or a sign that may open one, began
	lineAt place  // where text began, in a block comment

	prev, prev2 byte // the last bytes of the piece before
}

type state uint8

const (
	inText      state = iota
	afterSign         // behind a "-" or "/" that may open a comment
	inLine            // -- comment
	openBlock         // just behind the opening of a block comment
	inBlock           // /* comment */
	inString          // 'literal'
	inEscaped         // E'literal'
	inName            // "name"
	inBackquote       // `name`
	inTag             // between the dollars of an opening dollar quote
	inDollar          // $tag$ literal $tag$
)

// closers are the bytes that end what is quoted.
var closers = [...]byte{inString: '\'', inName: '"', inBackquote: '`'}

// commentLimit is how much of a comment's text is kept.
const commentLimit = 512

// special are the bytes that may change the state of plain text.
var special = [256]bool{'-': true, '/': true, '#': true, '\'': true, '"': true, '`': true, '$': true, '{': true}

// run goes over a piece of a line, from its byte from on.
func (l *lexer) run(s *skim, p []byte, from int) {
	for i := from; i < len(p); i++ {
		switch l.in {
		case inText:
			for l.noted && i < len(p) && !special[p[i]] {
				i++
			}
			if i < len(p) {
				l.plain(s, p, i)
			}
		case inString, inName, inBackquote:
			n := bytes.IndexByte(p[i:], closers[l.in])
			if n < 0 {
				i = len(p)
				break
			}
			i += n
			l.in = inText
		case inLine:
			l.lineComment(p[i:])
			i = len(p)
		case inDollar:
			l.dollar(p[i])
		default:
			l.step(s, p, i)
		}
	}
	switch n := len(p); {
	case n > 1:
		l.prev2, l.prev = p[n-2], p[n-1]
	case n == 1:
		l.prev2, l.prev = l.prev, p[0]
	}
}

// before returns the two bytes ahead of p[i].
func (l *lexer) before(p []byte, i int) (prev2, prev byte) {
	switch i {
	case 0:
		return l.prev2, l.prev
	case 1:
		return l.prev, p[0]
	}
	return p[i-2], p[i-1]
}

// plain takes one byte of text that is neither in a literal nor in a comment.
func (l *lexer) plain(s *skim, p []byte, i int) {
	prev2, prev := l.before(p, i)
	switch p[i] {
	case ' ', '\t', '\r', '\n', '\v', '\f', ';':
		return
	case '-', '/':
		l.in, l.sign, l.at = afterSign, p[i], s.place(p, i)
		return
	case '#':
		if s.blankBefore(p, i) { // a comment in MySQL; nothing else begins a line with it
			l.in, l.text, l.at = inLine, append(l.text[:0], '#'), s.place(p, i)
			return
		}
	case '\'':
		l.in = inString
		if (prev == 'e' || prev == 'E') && !isWord(prev2) {
			l.in, l.skip = inEscaped, false
		}
	case '"':
		l.in = inName
	case '`':
		l.in = inBackquote
	case '$':
		if !isWord(prev) && prev != '$' {
			l.in, l.tag = inTag, append(l.tag[:0], '$')
		}
	case '{':
		if prev == '{' && l.braces.line == 0 {
			l.braces = s.place(p, i)
			l.braces.column--
		}
	}
	if !l.noted {
		l.note(s.place(p, i))
	}
}

// step takes one byte in one of the less frequent states.
func (l *lexer) step(s *skim, p []byte, i int) {
	c := p[i]
	switch l.in {
	case afterSign:
		switch {
		case l.sign == '-' && c == '-':
			l.in, l.text = inLine, l.text[:0]
		case l.sign == '/' && c == '*':
			l.in, l.sign, l.depth, l.text = openBlock, 0, 1, l.text[:0]
		default:
			l.in = inText
			l.note(l.at)
			l.plain(s, p, i)
		}
	case openBlock, inBlock:
		l.block(s, p, i)
	case inEscaped:
		switch {
		case l.skip:
			l.skip = false
		case c == '\\':
			l.skip = true
		case c == '\'':
			l.in = inText
		}
	case inTag:
		switch {
		case c == '$':
			l.tag = append(l.tag, c)
			l.in, l.match = inDollar, 0
		case isWord(c) && (len(l.tag) > 1 || !isDigit(c)):
			l.tag = append(l.tag, c)
		default:
			l.in = inText
			l.plain(s, p, i)
		}
	}
}

func (l *lexer) block(s *skim, p []byte, i int) {
	c := p[i]
	l.blockText(s, p, i)
	if l.in == openBlock && c == '!' { // code in a comment: MySQL's /*! and MariaDB's /*M!
		l.note(l.at)
	}
	if l.in == inBlock || l.sign != 0 || c != 'M' {
		l.in = inBlock
	}
	switch {
	case l.sign == '*' && c == '/':
		c = 0 // it is no part of another sign
		if l.depth--; l.depth == 0 {
			l.in = inText
		}
	case l.sign == '/' && c == '*' && l.nests:
		s.fork(i)
		c = 0
		l.depth++
	}
	l.sign = c
}

// blockText keeps the line of a block comment that is at hand, without what people put before it.
func (l *lexer) blockText(s *skim, p []byte, i int) {
	switch c := p[i]; {
	case c == '\n' || c == '/' && l.sign == '*':
		if len(l.text) > 0 {
			l.noteMisspelt(l.text, l.lineAt)
		}
		l.text = l.text[:0]
	case len(l.text) == 0 && (c == '*' || strings.IndexByte(blanks, c) >= 0):
	case len(l.text) < commentLimit:
		if len(l.text) == 0 {
			l.lineAt = s.place(p, i)
		}
		l.text = append(l.text, c)
	}
}

func (l *lexer) dollar(c byte) {
	switch {
	case c == l.tag[l.match]:
		if l.match++; l.match == len(l.tag) {
			l.in = inText
		}
	case c == '$':
		l.match = 1
	default:
		l.match = 0
	}
}

// lineComment takes the rest of a line, or as much of it as there is.
func (l *lexer) lineComment(p []byte) {
	text, whole := bytes.CutSuffix(p, []byte{'\n'})
	l.text = append(l.text, text[:min(len(text), commentLimit-len(l.text))]...)
	if whole {
		l.comment(l.text, l.at)
		l.in = inText
	}
}

// note keeps where the first statement of a part begins.
func (l *lexer) note(at place) {
	if !l.noted {
		l.noted = true
		l.statement = at
	}
}

// finish is called after the last byte.
func (l *lexer) finish() {
	switch l.in {
	case inLine:
		l.comment(l.text, l.at)
	case afterSign, openBlock, inBlock: // not closed: whoever cuts statements will say so
		l.note(l.at)
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}
