package sqltext

import "bytes"

// lexer finds tokens. It skips white space, comments, and the bytes of which class says cSkip. A
// statement that no grammar watches is read fast, with the coarse table.
type lexer struct {
	rules *rules
	class *classes
	b     []byte  // the text read so far, from the beginning of the piece
	i     int     // the end of the last token
	src   *window // the source of more text; nil if b is all of it

	wanted  wanted // the words that next returns with the coarse table
	depth   int    // open parentheses
	ended   bool   // src has no more text
	version int    // 1 + the offset of the versioned comment around i; 0 for none
	dollar  bool   // MySQL: a dollar-quoted body may follow (LANGUAGE JAVASCRIPT)
	errAt   int
	errMsg  string
}

// more reads more text into b, and reports whether there was any.
func (l *lexer) more() bool {
	if l.src == nil {
		return false
	}
	ok := l.src.fill()
	l.b = l.src.bytes()
	l.ended = l.ended || !ok
	return ok
}

// at returns the byte at i, -1 after the end.
func (l *lexer) at(i int) int {
	for i >= len(l.b) {
		if !l.more() {
			return -1
		}
	}
	return int(l.b[i])
}

func (l *lexer) fail(at int, msg string) (TokenKind, int, int) {
	l.errAt, l.errMsg = at, msg
	l.i = at
	return TokenBroken, at, at
}

// token moves past a token and returns it.
func (l *lexer) token(k TokenKind, from, to int) (TokenKind, int, int) {
	l.i = to
	return k, from, to
}

// next returns the next token and its bounds in b.
func (l *lexer) next() (TokenKind, int, int) {
	i := l.i
	for {
		b, class := l.b, l.class
		if class == &l.rules.coarse {
			i = l.skim(i)
		}
		for i < len(b) && class[b[i]] == cSkip {
			i++
		}
		if i == len(b) {
			if l.more() {
				continue
			}
			return l.token(tEOF, i, i)
		}
		c := class[b[i]]
		if c == cDelim {
			if to := l.delimiterEnd(i); to > 0 {
				return l.token(tSemi, i, to)
			}
			c = l.rules.plain[b[i]]
		}
		switch c {
		case cWord:
			k, from, to := l.word(i)
			if class == &l.rules.fine || k != TokenString && (k != TokenWord || l.wanted.may(l.b[from:to])) {
				return k, from, to
			}
			i = to
			continue
		case cDigit:
			if class == &l.rules.fine {
				return l.token(TokenNumber, i, l.numberEnd(i))
			}
			i = l.wordEnd(i + 1)
			continue
		case cQuote:
			k, from, to := l.quote(i, i)
			if class == &l.rules.fine || k == TokenBroken {
				return k, from, to
			}
			i = to
			continue
		case cSemi:
			return l.token(tSemi, i, i+1)
		case cOpen, cClose:
			k := l.paren(c)
			if class == &l.rules.fine {
				return l.token(k, i, i+1)
			}
			i++
			continue
		case cSkip, cPunct:
			if class == &l.rules.fine {
				if b[i] == '.' && l.isDigit(i+1) && (i == 0 || !l.qualifies(b[i-1])) {
					return l.token(TokenNumber, i, l.numberEnd(i))
				}
				return l.token(TokenPunct, i, i+1)
			}
			i++
			continue
		}
		k, from, to := l.special(c, i)
		if k != TokenPunct || class == &l.rules.fine && from != to {
			return k, from, to
		}
		i = l.i
	}
}

// skim moves past plain words, numbers, strings and parentheses with the coarse table, as next
// does, but all at once. It stops before anything else, and before what may continue after b.
func (l *lexer) skim(i int) int {
	b, r := l.b, l.rules
	for i < len(b) {
		switch r.coarse[b[i]] {
		case cSkip:
			i++
		case cWord, cDigit:
			z := i + 1
			for z < len(b) && r.cont[b[z]] {
				z++
			}
			if z == len(b) || b[i] > '9' && (l.wanted.may(b[i:z]) || z == i+1 && (b[z] == '\'' || b[z] == '&')) {
				return i
			}
			i = z
		case cQuote:
			z := l.plainEnd(i)
			if z < 0 {
				return i
			}
			i = z
		case cOpen:
			l.depth++
			i++
		case cClose:
			l.depth = max(l.depth-1, 0)
			i++
		default:
			return i
		}
	}
	return i
}

// plainEnd returns the end of the string at i, -1 if it has a backslash that matters or b may not
// have all of it.
func (l *lexer) plainEnd(i int) int {
	b := l.b
	for {
		n := bytes.IndexByte(b[i+1:], '\'')
		if n < 0 || l.rules.backslash && bytes.IndexByte(b[i+1:i+1+n], '\\') >= 0 {
			return -1
		}
		i += n + 2
		if i == len(b) {
			return -1
		}
		if b[i] != '\'' { // a doubled quote
			return i
		}
	}
}

// paren counts a parenthesis if no statement ends within parentheses. It ignores a surplus closing
// one, as psql does.
func (l *lexer) paren(c class) TokenKind {
	switch {
	case !l.rules.parens:
	case c == cOpen:
		l.depth++
	case l.depth > 0:
		l.depth--
	}
	if c == cOpen {
		return tOpen
	}
	return tClose
}

// special handles a byte that may begin a quote or a comment. It returns an empty TokenPunct for a
// comment, and a TokenPunct of one byte if nothing begins.
func (l *lexer) special(c class, i int) (TokenKind, int, int) {
	switch c {
	case cDouble:
		if l.rules.doubleIsString {
			return l.quote(i, i)
		}
		return l.quoted(i, i)
	case cBacktick, cBracket:
		return l.quoted(i, i)
	case cDash:
		return l.dash(i)
	case cHash:
		return l.lineComment(i)
	case cSlash:
		return l.slash(i)
	case cStar:
		if l.version > 0 && l.at(i+1) == '/' {
			l.version = 0
			return l.token(TokenPunct, i+2, i+2)
		}
	case cDollar:
		return l.dollarSign(i)
	case cBackslash:
		return l.backslash(i)
	case cNUL:
		return l.fail(i, "there is a NUL byte here, which no SQL text can have: if the file is UTF-16, save it as UTF-8")
	}
	return l.token(TokenPunct, i, i+1)
}

// word returns the word at i, or the string of which it is the prefix.
func (l *lexer) word(i int) (TokenKind, int, int) {
	z, b, cont := i+1, l.b, &l.rules.cont
	for z < len(b) && cont[b[z]] {
		z++
	}
	if z == len(b) {
		z = l.wordEnd(z)
	}
	if l.rules.prefixes && z == i+1 {
		switch l.b[i] {
		case 'e', 'E':
			if l.at(z) == '\'' {
				return l.escapeString(i, z)
			}
		case 'u', 'U':
			if l.at(z) == '&' && l.at(z+1) == '\'' {
				return l.quote(i, z+1)
			}
			if l.at(z) == '&' && l.at(z+1) == '"' {
				return l.quoted(i, z+1)
			}
		}
	}
	return l.token(TokenWord, i, z)
}

func (l *lexer) wordEnd(i int) int {
	for {
		for i < len(l.b) {
			if !l.rules.cont[l.b[i]] {
				return i
			}
			i++
		}
		if !l.more() {
			return i
		}
	}
}

// numberEnd returns where the number at i ends. In MySQL a name may begin with digits, and in
// PL/pgSQL two dots follow the first number of a range.
func (l *lexer) numberEnd(i int) int {
	to := l.wordEnd(i)
	for j := i; j < to; j++ {
		if c := l.b[j]; c != '_' && (c < '0' || c > '9') {
			return l.exponentEnd(i, to)
		}
	}
	if l.at(to) != '.' || l.rules.fine['.'] == cDelim || l.at(to+1) == '.' {
		return to
	}
	to++
	if c := l.at(to); c >= '0' && c <= '9' || (c == 'e' || c == 'E') && (l.isDigit(to+1) || l.signed(to+1)) {
		return l.exponentEnd(to, l.wordEnd(to))
	}
	return to
}

// exponentEnd returns where the digits from i to an offset, with an exponent whose sign may follow,
// end.
func (l *lexer) exponentEnd(i, to int) int {
	digits := bytes.TrimRight(l.b[i:to], "eE")
	if len(digits) != to-i-1 || len(bytes.Trim(digits, "0123456789_")) > 0 || !l.signed(to) {
		return to
	}
	return l.wordEnd(to + 1)
}

// signed reports whether a sign and a digit are at i.
func (l *lexer) signed(i int) bool {
	c := l.at(i)
	return (c == '+' || c == '-') && l.rules.fine[c] != cDelim && l.isDigit(i+1)
}

func (l *lexer) isDigit(i int) bool { c := l.at(i); return c >= '0' && c <= '9' }

// qualifies reports whether a dot after the byte c belongs to a qualified name or a range.
func (l *lexer) qualifies(c byte) bool {
	return l.rules.cont[c] || bytes.IndexByte([]byte("\"`'])."), c) >= 0
}

// delimiterEnd returns where the delimiter at i ends, 0 if there is none. A delimiter that is a
// word ("go") must be a whole word.
func (l *lexer) delimiterEnd(i int) int {
	d := l.rules.delimiter
	l.at(i + len(d) - 1)
	if !bytes.HasPrefix(l.b[i:], []byte(d)) {
		return 0
	}
	to := i + len(d)
	if l.rules.cont[d[0]] {
		if c := l.at(to); c >= 0 && l.rules.cont[c] {
			return 0
		}
	}
	return to
}

func (l *lexer) dash(i int) (TokenKind, int, int) {
	if l.at(i+1) != '-' {
		return l.token(TokenPunct, i, i+1)
	}
	if l.rules.dashNeedsSpace {
		if c := l.at(i + 2); c > ' ' && c != 0x7f {
			return l.token(TokenPunct, i, i+1)
		}
	}
	return l.lineComment(i)
}

// lineComment skips a comment up to its line end. In PostgreSQL a single CR ends it too.
func (l *lexer) lineComment(i int) (TokenKind, int, int) {
	for {
		b := l.b
		for ; i < len(b); i++ {
			switch c := b[i]; {
			case c == '\n' || c == '\r' && l.rules.crEndsComment:
				return l.token(TokenPunct, i, i)
			case c == 0:
				return l.special(cNUL, i)
			}
		}
		if !l.more() {
			return l.token(TokenPunct, i, i)
		}
	}
}

func (l *lexer) slash(i int) (TokenKind, int, int) {
	if l.at(i+1) != '*' {
		return l.token(TokenPunct, i, i+1)
	}
	if l.rules.versioned {
		if to := l.versionedBegin(i); to > 0 {
			l.version = i + 1
			return l.token(tVersion, i, to)
		}
	}
	return l.blockComment(i)
}

// versionedBegin returns where the code in the versioned comment at i begins, 0 if it is a comment
// for every server. MariaDB's "/*M!" begins one too. The versions 99999 and 999999 mean "never".
func (l *lexer) versionedBegin(i int) int {
	i += 2
	if l.at(i) == 'M' {
		i++
	}
	if l.at(i) != '!' {
		return 0
	}
	i++
	from := i
	for i < from+6 && l.at(i) >= '0' && l.at(i) <= '9' {
		i++
	}
	if v := string(l.b[from:i]); v == "99999" || v == "999999" {
		return 0
	}
	return i
}

func (l *lexer) blockComment(at int) (TokenKind, int, int) {
	depth, i := 1, at+2
	for {
		b := l.b
		for i+1 < len(b) {
			switch {
			case b[i] == '*' && b[i+1] == '/':
				i += 2
				if depth--; depth == 0 {
					return l.token(TokenPunct, i, i)
				}
				continue
			case b[i] == '/' && b[i+1] == '*' && l.rules.nestedComments:
				depth++
				i++
			case b[i] == 0:
				return l.special(cNUL, i)
			}
			i++
		}
		if !l.more() {
			break
		}
	}
	if l.rules.nestedComments {
		return l.fail(at, "the comment that begins here is not closed: its */ is missing (comments nest, so each /* inside it needs its own)")
	}
	return l.fail(at, "the comment that begins here is not closed: its */ is missing")
}
