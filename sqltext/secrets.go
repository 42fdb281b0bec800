package sqltext

import (
	"cmp"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Masked replaces a secret.
const Masked = "xxxxx"

// Span is a part of a text, in byte offsets.
type Span struct{ From, To int }

// Secrets returns the passwords in a text, in order: the literals that follow PASSWORD and similar
// words (in CREATE ROLE, in the options of a server or user mapping, in CHANGE MASTER), those of
// IDENTIFIED BY, the keys of encrypted SQLite databases, and the passwords in connection strings
// and URLs. The text may be part of a statement, or no SQL at all. Secrets also returns literals
// that only look like a password, so use it for display, never for execution.
func Secrets(text string, d Dialect) []Span {
	if !maySecret(text) {
		return nil
	}
	f := secretFinder{text: text, dialect: d, tokens: List(text, d)}
	for f.i = 0; f.i < len(f.tokens); f.i++ {
		f.token()
	}
	return f.spans
}

// Literals returns all string literals of a text, in order. A script whose text must be kept secret
// may contain secrets in any of them.
func Literals(text string, d Dialect) (spans []Span) {
	for t := range Tokens(text, d) {
		if t.Kind == TokenString || t.Kind == TokenBroken {
			spans = append(spans, t.inner())
		}
	}
	return spans
}

// Mask returns a text with its Secrets replaced by Masked.
func Mask(text string, d Dialect) string { return MaskSpans(text, Secrets(text, d)) }

// MaskLiterals returns a text with all its Literals replaced by Masked. It is for a statement of a
// script that another process executes, and that may be secret.
func MaskLiterals(text string, d Dialect) string { return MaskSpans(text, Literals(text, d)) }

// MaskSpans returns a text with the spans replaced by Masked. It keeps line ends, so line numbers
// stay the same.
func MaskSpans(text string, spans []Span) string {
	if len(spans) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, s := range spans {
		if s.From < at {
			continue
		}
		b.WriteString(text[at:s.From] + Masked + strings.Repeat("\n", strings.Count(text[s.From:s.To], "\n")))
		at = s.To
	}
	b.WriteString(text[at:])
	return b.String()
}

// HasSecret reports whether the statement's text contains a password. Rows that the statement
// writes or selects are data, whatever their columns are called.
func (st Statement) HasSecret(d Dialect) bool {
	if st.Kind != SQL {
		return false
	}
	switch st.Verb() {
	case "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "SELECT", "WITH", "VALUES", "LOAD":
		if d != PostgreSQL || !containsFold(st.Text, "dblink") {
			return false
		}
	}
	return len(Secrets(st.Text, d)) > 0
}

// maySecret reports whether a text has part of what every text with a secret has. It makes the
// check of all other texts fast: only pairs of bytes that are rare elsewhere are looked at closely.
// The word KEY, which tables have, is a secret's in PRAGMA and ATTACH alone.
func maySecret(text string) bool {
	key, pair := false, uint8(0)
	for i := 0; i < len(text); i++ {
		is := pair & secondBytes[text[i]]
		if pair = firstBytes[text[i]]; is == 0 {
			continue
		}
		for _, p := range secretParts {
			from := i - 1 - p.at
			if from < 0 || len(text)-from < len(p.word) || !foldEqual(text[from:from+len(p.word)], p.word) {
				continue
			}
			if p.word != "key" || from > 0 && isLetter(text[from-1]) { // api_key
				return true
			}
			key = true
		}
	}
	return key && (containsFold(text, "pragma") || containsFold(text, "attach"))
}

// secretPart is a part of a word with a secret. At the offset at it has one of the pairs.
type secretPart struct {
	word string
	at   int
}

var secretParts = [...]secretPart{
	{"pass", 0}, {"pwd", 0}, {"identified", 6}, {"secret", 2}, {"token", 2}, {"credential", 0}, {"key", 0}, {"://", 0},
}

// The pairs are cr, ke, pa, pw, fi, and a colon with a slash, in both cases. The bytes of a pair
// have a bit in common.
var (
	firstBytes  = [256]uint8{'c': 1, 'C': 1, 'k': 2, 'K': 2, 'p': 4, 'P': 4, 'f': 8, 'F': 8, ':': 16}
	secondBytes = [256]uint8{'r': 1, 'R': 1, 'e': 2, 'E': 2, 'a': 4, 'A': 4, 'w': 4, 'W': 4, 'i': 8, 'I': 8, '/': 16}
)

// inner returns a literal without its quotes. Only this part is secret.
func (t Token) inner() Span {
	from, inner := t.Pos, t.Text
	if i := strings.IndexAny(inner, `'"$`); i >= 0 {
		quote := inner[i : i+1]
		if quote == "$" {
			if n := strings.IndexByte(inner[i+1:], '$'); n >= 0 {
				quote = inner[i : i+n+2]
			}
		}
		from += i + len(quote)
		inner = strings.TrimSuffix(inner[i+len(quote):], quote)
	}
	return Span{from, from + len(inner)}
}

type secretFinder struct {
	text    string
	dialect Dialect
	tokens  TokenList
	spans   []Span
	i       int
}

// secretName reports whether the value of a setting or a member with this name is a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, stem := range []string{
		strings.TrimSuffix(strings.TrimRight(name, "0123456789"), "_"), strings.TrimSuffix(name, "_value"), strings.TrimSuffix(name, "_string"),
	} {
		for _, end := range []string{
			"pass", "passwd", "password", "passphrase", "passcode", "pwd", "secret", "token", "credential", "credentials",
			"apikey", "accesskey", "privatekey", "_key",
		} {
			if strings.HasSuffix(stem, end) {
				return true
			}
		}
	}
	return false
}

// inLiteral matches a password in a connection string or a document, in the content of a literal,
// which is not SQL.
var inLiteral = lazyregexp.New(`(?i)((?:password|passwd|passphrase|pwd|secret|token)"?\s*[=:]\s*)(''[^']+''|'(?:[^'\\]|\\.|'')*'?|"(?:[^"\\]|\\.)*"?|[^\s'",;&)]+)|(://[^\s/:@']*:)([^\s'"]*)@|(://[^\s/:@']+:)([^\s'"@:/]*[^0-9\s'"@:/][^\s'"@:/]*)`)

func (f *secretFinder) token() {
	t := f.tokens[f.i]
	switch {
	case t.Kind == TokenString || t.Kind == TokenBroken:
		f.literal(t)
	case t.Is("identified"):
		f.identified()
	case f.tokens.Is(f.i, "password", "for"): // SET PASSWORD FOR user = …
		for f.i+1 < len(f.tokens) && !f.tokens[f.i].Is("=") {
			f.i++
		}
		f.value(f.i + 1)
	case t.Is("key") && (f.ahead("pragma", 3) || f.ahead("attach", 8)),
		f.tokens.Any(f.i, "rekey", "hexkey", "hexrekey", "textkey") && f.ahead("pragma", 3),
		t.Kind == TokenWord && secretName(t.Text),
		t.Kind == TokenName && secretName(strings.Trim(t.Text, "`\"[]")):
		f.value(f.i + 1)
	}
}

// ahead reports whether one of the last n tokens is a word.
func (f *secretFinder) ahead(word string, n int) bool {
	return f.tokens[max(f.i-n, 0):f.i].Index(word) >= 0
}

// mayHide reports whether a token is a literal, or would be one without ANSI_QUOTES.
func (t Token) mayHide() bool {
	return t.Kind == TokenString || t.Kind == TokenBroken || t.Kind == TokenName && t.Text[0] == '"'
}

// value masks the literal that follows, after signs such as = and =>, and a function that hashes
// it.
func (f *secretFinder) value(i int) {
	for ; i < len(f.tokens); i++ {
		t := f.tokens[i]
		switch {
		case t.mayHide():
			if in := t.inner(); in.To > in.From {
				f.hide(in)
			} else if end := strings.Index(f.text[t.End():], t.Text); end > 0 { // a string in a string: its quotes are doubled
				f.hide(Span{t.End(), t.End() + end})
			}
			f.i = i
			return
		case t.Kind == TokenNumber && len(t.Text) > 1:
			f.hide(Span{t.Pos, t.End()})
			f.i = i
			return
		case f.tokens.Any(i, "=", ">", ":", ",", "(", "to", "e", "n", "x", "u", "&", "password", "old_password", "is"):
		default:
			return
		}
	}
}

// identified masks the literals of IDENTIFIED BY … and similar clauses, except names of plugins and
// users.
func (f *secretFinder) identified() {
	for f.i++; f.i < len(f.tokens); f.i++ {
		t := f.tokens[f.i]
		switch {
		case f.tokens.Any(f.i, ";", "require", "account", "comment", "attribute"):
			f.i--
			return
		case t.mayHide():
			if !f.tokens.Any(f.i-1, "with", "via", "@") && !f.tokens.Is(f.i+1, "@") {
				f.hide(t.inner())
			}
		}
	}
}

// literal searches a literal, which may be a connection string or SQL, or the name of a setting or
// member whose value follows.
func (f *secretFinder) literal(t Token) {
	in := t.inner()
	inner := f.text[in.From:in.To]
	var found []Span
	if len(inner) < len(f.text) {
		found = Secrets(inner, f.dialect) // of SQL in it, as a DO block has
	}
	for _, m := range inLiteral.FindAllStringSubmatchIndex(inner, -1) {
		for g := 4; g < len(m); g += 4 { // the values: groups 2, 4 and 6
			if m[g] >= 0 {
				found = append(found, Span{m[g], m[g+1]})
			}
		}
	}
	order.By(found, func(a, b Span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To)) })
	for _, s := range found {
		f.hide(Span{in.From + s.From, in.From + s.To})
	}
	if secretName(inner) && !strings.ContainsAny(inner, " \n") && f.tokens.Any(f.i+1, ",", ":", "=") {
		f.value(f.i + 2)
	}
}

func (f *secretFinder) hide(s Span) {
	n := len(f.spans)
	switch {
	case s.To <= s.From:
	case n == 0 || f.spans[n-1].To <= s.From:
		f.spans = append(f.spans, s)
	default: // they overlap
		f.spans[n-1].To = max(f.spans[n-1].To, s.To)
	}
}
