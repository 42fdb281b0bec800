package pgddl

import (
	"strings"
	"unicode/utf8"
)

type kind byte

const (
	end    kind = iota
	word        // a name or keyword without quotes, in lower case
	quoted      // a name in quotes, without them
	text        // a string in single quotes, without them
	punct       // one character
	opaque      // a string or name of another form
)

type token struct {
	kind kind
	text string
}

// lexer cuts a statement into tokens, without white space and comments.
type lexer struct {
	text string
	i    int
}

func (l *lexer) next() token {
	l.skip()
	if l.i >= len(l.text) {
		return token{}
	}
	switch c := l.text[l.i]; {
	case c == '"':
		return token{quoted, cut(l.quotes('"', false))}
	case c == '\'':
		return token{text, l.quotes('\'', false)}
	case c == '$' && l.dollar():
		return token{kind: opaque}
	case inWord(c) && (c < '0' || c > '9'):
		return l.word()
	case c >= '0' && c <= '9':
		from := l.i
		for l.i < len(l.text) && inWord(l.text[l.i]) {
			l.i++
		}
		return token{punct, l.text[from:l.i]}
	}
	l.i++
	return token{punct, l.text[l.i-1 : l.i]}
}

// skip moves behind white space and comments.
func (l *lexer) skip() {
	for l.i < len(l.text) {
		rest := l.text[l.i:]
		switch {
		case strings.ContainsRune(" \t\n\r\f\v", rune(rest[0])):
			l.i++
		case strings.HasPrefix(rest, "--"):
			n := strings.IndexAny(rest, "\r\n")
			if n < 0 {
				n = len(rest)
			}
			l.i += n
		case strings.HasPrefix(rest, "/*"):
			l.comment()
		default:
			return
		}
	}
}

// comment moves behind a comment, which may have others in it.
func (l *lexer) comment() {
	for depth := 0; l.i < len(l.text); {
		switch rest := l.text[l.i:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			l.i += 2
		case strings.HasPrefix(rest, "*/"):
			l.i += 2
			if depth--; depth == 0 {
				return
			}
		default:
			l.i++
		}
	}
}

// quotes moves behind what is in quotes, and returns that. A quote in it is doubled, or comes after a backslash.
func (l *lexer) quotes(q byte, backslash bool) string {
	var b strings.Builder
	for l.i++; l.i < len(l.text); l.i++ {
		switch c := l.text[l.i]; {
		case c == '\\' && backslash:
			l.i++
		case c != q:
			b.WriteByte(c)
		case l.i+1 < len(l.text) && l.text[l.i+1] == q:
			b.WriteByte(c)
			l.i++
		default:
			l.i++
			return b.String()
		}
	}
	return b.String()
}

// dollar moves behind a string in dollar quotes, if there is one.
func (l *lexer) dollar() bool {
	n := 1
	for l.i+n < len(l.text) && inWord(l.text[l.i+n]) && l.text[l.i+n] != '$' {
		n++
	}
	if l.i+n >= len(l.text) || l.text[l.i+n] != '$' {
		return false
	}
	tag := l.text[l.i : l.i+n+1]
	l.i += len(tag)
	if to := strings.Index(l.text[l.i:], tag); to >= 0 {
		l.i += to + len(tag)
	} else {
		l.i = len(l.text)
	}
	return true
}

// word reads a name or a keyword, or a string that begins with a letter.
func (l *lexer) word() token {
	from := l.i
	for l.i < len(l.text) && inWord(l.text[l.i]) {
		l.i++
	}
	w := lower(l.text[from:l.i])
	rest := l.text[l.i:]
	switch {
	case w == "u" && (strings.HasPrefix(rest, `&"`) || strings.HasPrefix(rest, "&'")):
		l.i++
		l.quotes(rest[1], false)
	case strings.HasPrefix(rest, "'") && (w == "e" || w == "b" || w == "x" || w == "n"):
		l.quotes('\'', w == "e")
	default:
		return token{word, cut(w)}
	}
	return token{kind: opaque}
}

// lower folds as the server does in UTF-8: nothing but the letters of ASCII.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// cut cuts a name off where the server does.
func cut(name string) string {
	const most = 63
	if len(name) <= most {
		return name
	}
	n := most
	for n > 0 && !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}

func inWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
