package sqltext

// class says how a byte outside of quotes begins a token.
type class uint8

const (
	cSkip class = iota
	cWord
	cDigit
	cPunct
	cOpen
	cClose
	cSemi
	cQuote    // '
	cDouble   // "
	cBacktick // `
	cBracket  // [
	cDash     // a comment, perhaps
	cSlash    // a comment, perhaps
	cHash     // a comment
	cStar     // the end of a versioned comment, perhaps
	cDollar
	cBackslash
	cNUL
	cDelim // the first byte of MySQL's DELIMITER, perhaps
)

type classes [256]class

// rules are the differences between the dialects' lexers.
type rules struct {
	fine, coarse classes
	plain        classes   // fine without a DELIMITER
	cont         [256]bool // bytes that continue a word

	backslash      bool // a backslash escapes in strings
	doubleIsString bool // "…" is a string
	prefixes       bool // E'…' and U&'…'
	nestedComments bool
	crEndsComment  bool
	dashNeedsSpace bool // "--" begins a comment only before white space
	versioned      bool // "/*!40101 …" is code
	dollarIsWord   bool // $ begins words
	parens         bool // no statement ends within parentheses
	delimiter      string
}

var (
	postgresRules = newRules(rules{prefixes: true, nestedComments: true, crEndsComment: true, parens: true}, "\"$\\")
	sqliteRules   = newRules(rules{}, "\"`[")
	mysqlRules    = newRules(rules{
		backslash: true, doubleIsString: true, dashNeedsSpace: true, versioned: true,
		dollarIsWord: true,
	}, "\"`#*$\\")
)

func rulesOf(d Dialect) *rules {
	switch d {
	case SQLite:
		return sqliteRules
	case MySQL:
		return mysqlRules
	}
	return postgresRules
}

var specials = map[byte]class{'"': cDouble, '`': cBacktick, '[': cBracket, '#': cHash, '*': cStar, '$': cDollar, '\\': cBackslash}

// newRules fills the tables. special are the bytes with a meaning in this dialect, in addition to
// the common ones.
func newRules(r rules, special string) *rules {
	for c := range 256 {
		b := byte(c)
		switch {
		case b == ' ' || b >= '\t' && b <= '\r':
			r.fine[b] = cSkip
		case b >= '0' && b <= '9':
			r.fine[b], r.cont[b] = cDigit, true
		case b == '_' || b >= 0x80 || b|0x20 >= 'a' && b|0x20 <= 'z':
			r.fine[b], r.cont[b] = cWord, true
		default:
			r.fine[b] = cPunct
		}
	}
	for b, c := range map[byte]class{0: cNUL, ';': cSemi, '\'': cQuote, '-': cDash, '/': cSlash, '(': cOpen, ')': cClose} {
		r.fine[b] = c
	}
	for _, b := range []byte(special) {
		r.fine[b] = specials[b]
	}
	r.cont['$'] = true
	r.delimiter = ";"
	r.plain = r.fine
	r.coarsen()
	return &r
}

// coarsen fills the table for statements of which only the end matters.
func (r *rules) coarsen() {
	r.coarse = r.fine
	for b, c := range r.fine {
		if c == cPunct || !r.parens && (c == cOpen || c == cClose) {
			r.coarse[b] = cSkip
		}
	}
}

// withDelimiter returns MySQL's rules with another terminator. A semicolon is then an ordinary
// byte.
func withDelimiter(d string) *rules {
	if d == ";" {
		return mysqlRules
	}
	n := *mysqlRules
	n.delimiter = d
	n.plain[';'], n.fine[';'] = cPunct, cPunct
	if d[0] == '$' || d[0] >= 0x80 { // cuts a word, as in END$$
		n.cont[d[0]] = false
	}
	n.fine[d[0]] = cDelim
	n.coarsen()
	return &n
}
