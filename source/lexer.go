package source

// lexer follows SQL text byte by byte: where comments and literals are.
type lexer struct {
	in    state
	depth int // of nested block comments
	prev  byte
	ident int    // length of the identifier that ends in prev
	tag   []byte // of the dollar quote, with both dollars
	match int    // how many bytes of tag the text has just had
	skip  bool   // the next byte of an escape string is escaped
	text  []byte // of the line comment
	at    place  // where the comment, or a sign that may open one, began
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

// commentLimit is how much of a comment's text is kept.
const commentLimit = 512

func (l *lexer) step(s *skim, c byte) {
	switch l.in {
	case inText:
		l.stepText(s, c)
	case afterSign:
		switch {
		case l.prev == '-' && c == '-':
			l.in, l.text = inLine, l.text[:0]
		case l.prev == '/' && c == '*':
			l.in, l.depth = openBlock, 1
			c = 0 // it is no part of another sign
		default:
			l.in = inText
			s.statementAt(l.at)
			l.stepText(s, c)
		}
	case inLine:
		if c == '\n' {
			s.comment(string(l.text), l.at)
			l.in = inText
		} else if len(l.text) < commentLimit {
			l.text = append(l.text, c)
		}
	case openBlock, inBlock:
		if l.in == openBlock && c == '!' { // code in a comment: MySQL's /*! and MariaDB's /*M!
			s.statementAt(l.at)
		}
		if l.prev != 0 || c != 'M' {
			l.in = inBlock
		}
		switch {
		case l.prev == '*' && c == '/':
			if l.depth--; l.depth == 0 {
				l.in = inText
			}
			c = ' '
		case l.prev == '/' && c == '*':
			l.depth++
			c = ' '
		}
	case inString:
		if c == '\'' {
			l.in = inText
		}
	case inEscaped:
		switch {
		case l.skip:
			l.skip = false
		case c == '\\':
			l.skip = true
		case c == '\'':
			l.in = inText
		}
	case inName:
		if c == '"' {
			l.in = inText
		}
	case inBackquote:
		if c == '`' {
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
			l.stepText(s, c)
		}
	case inDollar:
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
	l.prev = c
}

func (l *lexer) stepText(s *skim, c byte) {
	ident := l.ident
	l.ident = 0
	switch c {
	case ' ', '\t', '\r', '\n', '\v', '\f', ';':
		return
	case '-', '/':
		l.in, l.at = afterSign, place{s.line, s.column}
		return
	case '#':
		if s.lineBlank { // a comment in MySQL; nothing else begins a line with it
			l.in, l.at, l.text = inLine, place{s.line, s.column}, append(l.text[:0], '#')
			return
		}
	case '\'':
		l.in = inString
		if ident == 1 && (l.prev == 'e' || l.prev == 'E') {
			l.in, l.skip = inEscaped, false
		}
	case '"':
		l.in = inName
	case '`':
		l.in = inBackquote
	case '$':
		if ident == 0 {
			l.in, l.tag = inTag, append(l.tag[:0], c)
		} else {
			l.ident = ident + 1
		}
	case '{':
		if p := s.part(); l.prev == '{' && p.braces.line == 0 {
			p.braces = place{s.line, s.column - 1}
		}
	default:
		if isWord(c) {
			l.ident = ident + 1
		}
	}
	s.statementAt(place{s.line, s.column})
}

// finish is called after the last byte.
func (l *lexer) finish(s *skim) {
	switch l.in {
	case inLine:
		s.comment(string(l.text), l.at)
	case afterSign, openBlock, inBlock: // not closed: whoever cuts statements will say so
		s.statementAt(l.at)
	}
}

// statementAt notes where the first statement of a part begins.
func (s *skim) statementAt(at place) {
	if p := s.part(); p.empty() {
		p.statement = at
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}
