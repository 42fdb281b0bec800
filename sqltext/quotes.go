package sqltext

import "bytes"

// find returns the offset of the next c at or after i, -1 if the text has no more.
func (l *lexer) find(i int, c byte) int {
	for {
		if i < len(l.b) {
			if j := bytes.IndexByte(l.b[i:], c); j >= 0 {
				return i + j
			}
			i = len(l.b)
		}
		if !l.more() {
			return -1
		}
	}
}

// quote returns the string whose opening quote is at open and whose prefix, if any, begins at from.
func (l *lexer) quote(from, open int) (TokenKind, int, int) {
	var to int
	if l.rules.backslash {
		to = l.escapedEnd(open)
	} else {
		to = l.doubledEnd(open, l.b[open])
	}
	if to < 0 {
		return l.fail(from, "the string that begins here is not closed: its "+string(l.b[open])+" is missing")
	}
	return l.token(TokenString, from, to)
}

// quoted returns the quoted identifier whose opening quote is at open.
func (l *lexer) quoted(from, open int) (TokenKind, int, int) {
	closer := l.b[open]
	to := -1
	if closer == '[' { // a ] can't be written inside
		closer = ']'
		if j := l.find(open+1, closer); j >= 0 {
			to = j + 1
		}
	} else {
		to = l.doubledEnd(open, closer)
	}
	if to < 0 {
		return l.fail(from, "the quoted name that begins here is not closed: its "+string(closer)+" is missing")
	}
	return l.token(TokenName, from, to)
}

// doubledEnd returns the end of the quote that opens at i, -1 if it does not end.
func (l *lexer) doubledEnd(i int, q byte) int {
	for {
		j := l.find(i+1, q)
		if j < 0 {
			return -1
		}
		if l.at(j+1) != int(q) {
			return j + 1
		}
		i = j + 1
	}
}

// escapedEnd is doubledEnd for quotes in which a backslash escapes. It keeps the offset of the next
// quote while it skips the backslashes before it, so that it searches a long string only once.
func (l *lexer) escapedEnd(open int) int {
	q, quote := l.b[open], -1
	for i := open + 1; ; {
		if quote < i {
			if quote = l.find(i, q); quote < 0 {
				return -1
			}
		}
		if k := bytes.IndexByte(l.b[i:quote], '\\'); k >= 0 {
			i += k + 2
			continue
		}
		if l.at(quote+1) != int(q) {
			return quote + 1
		}
		i = quote + 2
	}
}

// escapeString returns PostgreSQL's E'…'. Its continuation on a later line, which looks like
// another string, has escapes too.
func (l *lexer) escapeString(from, open int) (TokenKind, int, int) {
	for {
		to := l.escapedEnd(open)
		if to < 0 {
			return l.fail(from, "the string that begins here is not closed: its ' is missing (in E'…' a backslash escapes a quote)")
		}
		if open = l.continuation(to); open < 0 {
			return l.token(TokenString, from, to)
		}
	}
}

// continuation returns where a string that was closed before i continues: at a quote after only
// white space, comments and at least one line end. It returns -1 if the string doesn't continue.
func (l *lexer) continuation(i int) int {
	for newline := false; ; i++ {
		switch l.at(i) {
		case '\n', '\r':
			newline = true
		case ' ', '\t', '\f', '\v':
		case '\'':
			if newline {
				return i
			}
			return -1
		case '-':
			if l.at(i+1) != '-' {
				return -1
			}
			for c := l.at(i); c > 0 && c != '\n' && c != '\r'; c = l.at(i) {
				i++
			}
			i--
		default:
			return -1
		}
	}
}

// dollarSign returns the dollar-quoted string at i, or another token if none begins there.
func (l *lexer) dollarSign(i int) (TokenKind, int, int) {
	if l.rules.dollarIsWord && !l.dollar {
		return l.word(i)
	}
	open := l.dollarTag(i)
	if open == 0 {
		if l.rules.dollarIsWord {
			return l.word(i)
		}
		return l.token(TokenPunct, i, l.parameterEnd(i))
	}
	for from := open; ; {
		tag := l.b[i:open]
		if j := bytes.Index(l.b[from:], tag); j >= 0 {
			return l.token(TokenString, i, from+j+len(tag))
		}
		from = max(from, len(l.b)-len(tag)+1)
		if !l.more() {
			return l.fail(i, "the dollar-quoted string that begins here is not closed: its "+string(l.b[i:open])+" is missing")
		}
	}
}

// dollarTag returns the end of the opening $tag$ at i, 0 if there is none.
func (l *lexer) dollarTag(i int) int {
	for j := i + 1; ; j++ {
		switch c := l.at(j); {
		case c == '$':
			return j + 1
		case c < 0 || !l.rules.cont[c] || j == i+1 && c >= '0' && c <= '9':
			return 0
		}
	}
}

// parameterEnd returns the end of the parameter $1 at i.
func (l *lexer) parameterEnd(i int) int {
	i++
	for c := l.at(i); c >= '0' && c <= '9'; c = l.at(i) {
		i++
	}
	return i
}

// backslash handles a backslash outside quotes, which only the databases' command-line clients
// understand.
func (l *lexer) backslash(i int) (TokenKind, int, int) {
	if !l.rules.versioned { // PostgreSQL: the scanner knows psql's commands
		return l.token(tBackslash, i, i+1)
	}
	c := l.at(i + 1)
	if c == 'N' { // MySQL's NULL
		return l.token(TokenPunct, i, i+2)
	}
	name := `\`
	if c > ' ' && c < 0x7f {
		name += string(rune(c))
	}
	return l.fail(i, name+" is a command of the mysql client, not SQL: end the statement with its delimiter, and leave the client's commands out")
}
