package source

import (
	"bytes"
	"strings"
)

// lexer finds comments, and the first statement, in the lines of a text.
//
// It is not sqltext's lexer, which reports an error for what it can't read: other tools' markers
// and templates need not be SQL, and a comment that does not end must not hide a misspelt
// directive. The dialect may be unknown, too, in which case two of these lexers read both ways.
type lexer struct {
	reading      // what it has found
	nests   bool // block comments nest

	in     state  // at the end of the last line
	closer []byte // of a quote
	depth  int    // of block comments
	at     place  // where the block comment began
}

type state uint8

const (
	inText    state = iota
	inQuotes        // 'literal', "name", `name` or $tag$ literal $tag$
	inEscaped       // E'literal'
	inBlock         // /* comment */
)

// commentLimit is how much of a comment's text is kept.
const commentLimit = 512

// special are the bytes that may begin anything but words and numbers.
var special = [256]bool{'-': true, '/': true, '#': true, '\'': true, '"': true, '`': true, '$': true, '{': true}

// next reads a line, with its end.
func (l *lexer) next(s *skim, p []byte) {
	for i := 0; i < len(p); {
		switch l.in {
		case inText:
			for !l.empty() && i < len(p) && !special[p[i]] {
				i++
			}
			if i < len(p) {
				i = l.plain(s, p, i)
			}
		case inQuotes:
			n := bytes.Index(p[i:], l.closer)
			if n < 0 {
				return
			}
			i += n + len(l.closer)
			l.in = inText
		case inEscaped:
			i = l.escaped(p, i)
		case inBlock:
			i = l.block(s, p, i)
		}
	}
}

// plain reads what begins at p[i], in neither a literal nor a comment, and returns where it ends.
func (l *lexer) plain(s *skim, p []byte, i int) int {
	var prev, prev2 byte
	if i > 0 {
		prev = p[i-1]
	}
	if i > 1 {
		prev2 = p[i-2]
	}
	rest, end := p[i:], i+1
	switch c := p[i]; {
	case strings.IndexByte(blanks+";", c) >= 0:
		return end
	case bytes.HasPrefix(rest, []byte("--")):
		l.comment(comment(rest[len("--"):]), s.place(p, i))
		return len(p)
	case c == '#' && i == s.indent: // in MySQL; nothing else begins a line with it
		l.comment(comment(rest), s.place(p, i))
		return len(p)
	case bytes.HasPrefix(rest, []byte("/*")):
		l.in, l.depth, l.at = inBlock, 1, s.place(p, i)
		if code := bytes.TrimPrefix(rest[len("/*"):], []byte("M")); bytes.HasPrefix(code, []byte("!")) {
			l.note(l.at) // code in a comment: MySQL's /*! and MariaDB's /*M!
		}
		return i + len("/*")
	case c == '\'' && prev|0x20 == 'e' && !isWord(prev2):
		l.in = inEscaped
	case c == '\'' || c == '"' || c == '`':
		l.in, l.closer = inQuotes, append(l.closer[:0], c)
	case c == '$' && !isWord(prev) && prev != '$':
		if n := tagEnd(rest); n > 0 {
			l.in, l.closer, end = inQuotes, append(l.closer[:0], rest[:n]...), i+n
		}
	case bytes.HasPrefix(rest, []byte("{{")) && l.braces.line == 0:
		l.braces = s.place(p, i)
	}
	if l.empty() {
		l.note(s.place(p, i))
	}
	return end
}

// tagEnd returns where the opening tag of a dollar quote ends, 0 if p does not begin with one.
func tagEnd(p []byte) int {
	for i := 1; i < len(p); i++ {
		switch {
		case p[i] == '$':
			return i + 1
		case !isWord(p[i]), i == 1 && isDigit(p[i]):
			return 0
		}
	}
	return 0
}

// escaped reads E'…' from p[i] on.
func (l *lexer) escaped(p []byte, i int) int {
	for ; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '\'':
			l.in = inText
			return i + 1
		}
	}
	return len(p)
}

// block reads a block comment from p[i] on.
func (l *lexer) block(s *skim, p []byte, i int) int {
	for from := i; i < len(p); i++ {
		switch {
		case bytes.HasPrefix(p[i:], []byte("*/")):
			l.blockLine(s, p, from, i)
			i++
			from = i + 1
			if l.depth--; l.depth == 0 {
				l.in = inText
				return from
			}
		case l.nests && bytes.HasPrefix(p[i:], []byte("/*")):
			i++
			l.depth++
		case p[i] == '\n':
			l.blockLine(s, p, from, i)
		}
	}
	return len(p)
}

// blockLine checks a line of a block comment, which can't have directives. The line of a comment
// begins behind what people put before it.
func (l *lexer) blockLine(s *skim, p []byte, from, end int) {
	text := bytes.TrimLeft(p[from:end], "*"+blanks)
	l.noteMisspelt(comment(text), s.place(p, end-len(text)))
}

// comment returns as much of a comment's text as is kept.
func comment(text []byte) []byte {
	text = bytes.TrimSuffix(text, []byte("\n"))
	return text[:min(len(text), commentLimit)]
}

// note keeps where the first statement of a part begins.
func (l *lexer) note(at place) {
	if l.empty() {
		l.statement = at
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}
