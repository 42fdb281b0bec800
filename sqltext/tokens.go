package sqltext

import (
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// TokenKind says what a [Token] is.
type TokenKind uint8

const (
	tEOF TokenKind = iota
	// TokenWord is a keyword, or a name without quotes.
	TokenWord
	// TokenName is a name in quotes.
	TokenName
	// TokenString is a string constant, in any of the dialect's forms.
	TokenString
	// TokenNumber is a number without a sign, with its fraction and exponent: "1.5", "1e-5". In
	// MySQL it may be a name that begins with a digit.
	TokenNumber
	// TokenPunct is any other character. An operator is one token per character.
	TokenPunct
	// TokenBroken is the rest of a text, from an unclosed quote or comment on.
	TokenBroken

	tSemi // the terminator, whatever DELIMITER set it to
	tOpen
	tClose
	tBackslash
	tVersion // the "/*!40101" that begins a versioned comment
)

// Token is a word, name, constant or other character of a text. White space and comments are not
// tokens. The code in MySQL's versioned comments is.
type Token struct {
	Kind    TokenKind
	Text    string // as written, with its quotes
	Pos     int    // the offset in bytes at which it begins
	dialect Dialect
}

// End returns the offset after the token.
func (t Token) End() int { return t.Pos + len(t.Text) }

// Is reports whether the token is the keyword, in any case, or the character. Quoted names are
// neither.
func (t Token) Is(word string) bool {
	return strings.EqualFold(t.Text, word) && t.Kind != TokenName && t.Kind != TokenString
}

// Name returns the token as the name that the database stores: without quotes, and in PostgreSQL in
// lower case unless quoted, and at most 63 bytes. It returns "" if the token can't be a name.
// MySQL's "…" counts as a name, which it is if sql_mode has ANSI_QUOTES.
func (t Token) Name() string {
	quoted := t.Kind == TokenName || t.dialect == MySQL && t.Kind == TokenString && t.Text[0] == '"'
	switch {
	case quoted:
		return t.folded(string(unquoteName([]byte(t.Text))))
	case t.dialect == MySQL && t.Kind == TokenNumber && strings.Trim(t.Text, "0123456789") != "" && !strings.ContainsAny(t.Text, ".+-"):
		return t.Text // a name may begin with a digit
	case t.Kind != TokenWord:
		return ""
	case t.dialect == PostgreSQL:
		return t.folded(lower(t.Text))
	}
	return t.Text
}

// folded truncates a name as the server does.
func (t Token) folded(name string) string {
	const most = 63
	if t.dialect != PostgreSQL || len(name) <= most {
		return name
	}
	n := most
	for n > 0 && !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}

// lower folds as PostgreSQL does in UTF-8: only ASCII letters.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// Value returns the value of a string constant, and "" for any other token.
func (t Token) Value() string {
	switch {
	case t.Kind != TokenString:
		return ""
	case t.dialect == PostgreSQL:
		return unquotePostgres([]byte(t.Text))
	case t.dialect == MySQL:
		return unquoteMySQL(t.Text)
	}
	return undouble(t.Text[1 : len(t.Text)-1])
}

// TokenList is a sequence of tokens. Its methods accept any index; outside the list there are zero
// Tokens.
type TokenList []Token

// List returns the tokens of a text. It reads an unknown dialect as PostgreSQL.
func List(text string, d Dialect) TokenList { return slices.Collect(Tokens(text, d)) }

// Tokens returns an iterator over the tokens of a text. It reads an unknown dialect as PostgreSQL.
func Tokens(text string, d Dialect) iter.Seq[Token] {
	return func(yield func(Token) bool) {
		r := rulesOf(d)
		l := lexer{rules: r, class: &r.fine, b: []byte(text)}
		for {
			k, from, to := l.next()
			switch k {
			case tEOF:
				return
			case tVersion:
				continue
			case TokenBroken:
				yield(Token{k, text[min(from, len(text)):], from, d})
				return
			case tSemi, tOpen, tClose, tBackslash:
				k = TokenPunct
			}
			if !yield(Token{k, text[from:to], from, d}) {
				return
			}
		}
	}
}

// Split splits the list at commas outside parentheses.
func (l TokenList) Split() []TokenList {
	var parts []TokenList
	from := 0
	for i := 0; i < len(l); i++ {
		switch l[i].Text {
		case "(":
			i = l.Closing(i) - 1
		case ",":
			parts = append(parts, l[from:i])
			from = i + 1
		}
	}
	return append(parts, l[from:])
}

// At returns the token at i.
func (l TokenList) At(i int) Token {
	if i < 0 || i >= len(l) {
		return Token{}
	}
	return l[i]
}

// Names returns the names and words of the list, as [Token.Name] returns them.
func (l TokenList) Names() map[string]bool {
	all := map[string]bool{}
	for _, t := range l {
		if name := t.Name(); name != "" {
			all[name] = true
		}
	}
	return all
}

// From returns the list without its first n tokens.
func (l TokenList) From(n int) TokenList { return l[min(max(n, 0), len(l)):] }

// Is reports whether the tokens from i on are these keywords or characters.
func (l TokenList) Is(i int, words ...string) bool {
	for n, w := range words {
		if !l.At(i + n).Is(w) {
			return false
		}
	}
	return true
}

// Any reports whether the token at i is one of these keywords or characters.
func (l TokenList) Any(i int, words ...string) bool {
	return slices.ContainsFunc(words, l.At(i).Is)
}

// Index returns where these keywords or characters first appear in a row, -1 if they don't.
func (l TokenList) Index(words ...string) int {
	for i := range l {
		if l.Is(i, words...) {
			return i
		}
	}
	return -1
}

// Skip returns the first index from i on whose token is none of these keywords or characters.
func (l TokenList) Skip(i int, words ...string) int {
	for l.Any(i, words...) {
		i++
	}
	return i
}

// Inside returns the tokens between the parenthesis at i and the one that closes it.
func (l TokenList) Inside(i int) TokenList {
	end := l.Closing(i)
	if l.Is(end-1, ")") {
		end--
	}
	return l[:end].From(i + 1)
}

// Closing returns the index after the parenthesis that closes the first one from i on, or the
// length of the list if none does.
func (l TokenList) Closing(i int) int {
	depth := 0
	for i = max(i, 0); i < len(l); i++ {
		switch l[i].Text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(l)
}
