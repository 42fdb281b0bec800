package sqltext

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Masked stands in place of a secret.
const Masked = "xxxxx"

// Span is a part of a text, as offsets in bytes.
type Span struct{ From, To int }

// Secrets returns the parts of a text that are passwords, in order: the literals that follow PASSWORD and what is like it (in
// CREATE ROLE, in the options of a server or a user mapping, in CHANGE MASTER), those of IDENTIFIED BY, the keys of an encrypted
// SQLite database, and the passwords inside of connection strings and URLs. The text may be a part of a statement, or not be SQL.
// It finds a literal that only looks like a password, too: Secrets is for what is shown, not for what is executed.
func Secrets(text string, d Dialect) []Span {
	if !maySecret(text) {
		return nil
	}
	f := secretFinder{text: text, dialect: d, tokens: secretTokens(text, d)}
	for f.i = 0; f.i < len(f.tokens); f.i++ {
		f.token()
	}
	return f.spans
}

// Literals returns all string literals of a text, in order: what a script whose text must not be kept may hide anywhere.
func Literals(text string, d Dialect) (spans []Span) {
	for _, t := range secretTokens(text, d) {
		if t.kind == tString || t.kind == tErr {
			spans = append(spans, t.inner(text))
		}
	}
	return spans
}

// Mask returns a text with its Secrets replaced by Masked.
func Mask(text string, d Dialect) string { return MaskSpans(text, Secrets(text, d)) }

// MaskSpans returns a text with some parts of it replaced by Masked. Line ends within them stay, so that lines keep their numbers.
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

// HasSecret reports whether a statement carries a password that its text would keep. Rows that a statement writes or looks
// for are data, whatever their columns are called.
func HasSecret(st Statement, d Dialect) bool {
	if st.Kind != SQL || dataStatement.MatchString(st.Text) && !strings.Contains(strings.ToLower(st.Text), "dblink") {
		return false
	}
	return len(Secrets(st.Text, d)) > 0
}

var dataStatement = regexp.MustCompile(`(?i)^(insert|update|delete|merge|replace|select|with|values|load)\b`)

// anySecret matches what every text with a secret has. It is a fast answer for all others.
var anySecret = regexp.MustCompile(`(?i)pass|pwd|identified|secret|token|credential|key|://`)

func maySecret(text string) bool { return anySecret.MatchString(text) }

// secretToken is a token with its place.
type secretToken struct {
	kind     kind
	from, to int
	word     string // in lower case
}

// inner is a literal without its quotes, which is all of it that is secret.
func (t secretToken) inner(text string) Span {
	from, to := t.from, t.to
	if i := strings.IndexAny(text[from:to], `'"$`); i >= 0 {
		quote := text[from+i : from+i+1]
		if quote == "$" {
			if n := strings.IndexByte(text[from+i+1:to], '$'); n >= 0 {
				quote = text[from+i : from+i+n+2]
			}
		}
		from += i + len(quote)
		if strings.HasSuffix(text[from:to], quote) {
			to -= len(quote)
		}
	}
	return Span{from, to}
}

func secretTokens(text string, d Dialect) (all []secretToken) {
	r := rulesOf(d)
	l := lexer{rules: r, class: &r.fine, b: []byte(text)}
	for {
		k, from, to := l.next()
		switch k {
		case tEOF:
			return all
		case tErr: // a literal that does not end, or one of which the beginning is cut off
			return append(all, secretToken{kind: tErr, from: min(from, len(text)), to: len(text)})
		case tWord:
			all = append(all, secretToken{kind: k, from: from, to: to, word: strings.ToLower(text[from:to])})
		default:
			all = append(all, secretToken{kind: k, from: from, to: to, word: text[from:to]})
		}
	}
}

type secretFinder struct {
	text    string
	dialect Dialect
	tokens  []secretToken
	spans   []Span
	i       int
}

var (
	secretWord = regexp.MustCompile(`(?i)(pass|passwd|password|passphrase|passcode|pwd|secret|token|credentials?|api_?key|access_?key|private_?key|_key)(_?[0-9]*|_value|_string)$`)
	// inLiteral matches a password in a connection string, and in a document.
	inLiteral = regexp.MustCompile(`(?i)((?:password|passwd|passphrase|pwd|secret|token)"?\s*[=:]\s*)(''[^']+''|'(?:[^'\\]|\\.|'')*'?|"(?:[^"\\]|\\.)*"?|[^\s'",;&)]+)|(://[^\s/:@']*:)([^\s'"]*)@|(://[^\s/:@']+:)([^\s'"@:/]*[^0-9\s'"@:/][^\s'"@:/]*)`)
)

func (f *secretFinder) token() {
	t := f.tokens[f.i]
	switch {
	case t.kind == tString || t.kind == tErr:
		f.literal(t)
	case t.kind == tWord && t.word == "identified":
		f.identified()
	case t.kind == tWord && t.word == "password" && f.is(f.i+1, "for"): // SET PASSWORD FOR user = …
		for f.i+1 < len(f.tokens) && f.tokens[f.i].word != "=" {
			f.i++
		}
		f.value(f.i + 1)
	case t.kind == tWord && t.word == "key" && (f.ahead("pragma", 3) || f.ahead("attach", 8)),
		t.kind == tWord && (t.word == "rekey" || t.word == "hexkey" || t.word == "hexrekey" || t.word == "textkey") && f.ahead("pragma", 3),
		t.kind == tWord && secretWord.MatchString(t.word),
		t.kind == tQuoted && secretWord.MatchString(strings.Trim(t.word, "`\"[]")):
		f.value(f.i + 1)
	}
}

// ahead reports whether one of the last n tokens is a word.
func (f *secretFinder) ahead(word string, n int) bool {
	for i := max(f.i-n, 0); i < f.i; i++ {
		if f.tokens[i].word == word {
			return true
		}
	}
	return false
}

func (f *secretFinder) is(i int, word string) bool {
	return i < len(f.tokens) && f.tokens[i].word == word
}

// value hides the literal that follows, behind signs such as = and =>, and a function that hashes it.
func (f *secretFinder) value(i int) {
	for ; i < len(f.tokens); i++ {
		t := f.tokens[i]
		switch {
		case t.kind == tString || t.kind == tErr || t.kind == tQuoted && strings.HasPrefix(t.word, `"`):
			if in := t.inner(f.text); in.To > in.From {
				f.hide(in)
			} else if end := strings.Index(f.text[t.to:], f.text[t.from:t.to]); end > 0 { // a string in a string: its quotes are doubled
				f.hide(Span{t.to, t.to + end})
			}
			f.i = i
			return
		case t.kind == tNumber && t.to-t.from > 1, t.word == "0x":
			f.hide(Span{t.from, t.to})
			f.i = i
			return
		case t.word == "=", t.word == ">", t.word == ":", t.word == ",", t.kind == tOpen, t.word == "to", t.word == "e", t.word == "n", t.word == "x", t.word == "u", t.word == "&",
			t.word == "password", t.word == "old_password", t.word == "is":
		default:
			return
		}
	}
}

// identified hides the literals of IDENTIFIED BY … and its kin, but for the names of plugins and users.
func (f *secretFinder) identified() {
	for f.i++; f.i < len(f.tokens); f.i++ {
		t := f.tokens[f.i]
		switch {
		case t.kind == tSemi, t.word == "require", t.word == "account", t.word == "comment", t.word == "attribute":
			f.i--
			return
		case t.kind == tString || t.kind == tErr || t.kind == tQuoted && strings.HasPrefix(t.word, `"`):
			before := f.tokens[f.i-1].word
			if before != "with" && before != "via" && before != "@" && !f.is(f.i+1, "@") {
				f.hide(t.inner(f.text))
			}
		}
	}
}

// literal looks into a literal, which may be a connection string, or the name of a setting or a member whose value follows.
func (f *secretFinder) literal(t secretToken) {
	in := t.inner(f.text)
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
	slices.SortFunc(found, func(a, b Span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To)) })
	for _, s := range found {
		f.hide(Span{in.From + s.From, in.From + s.To})
	}
	if secretWord.MatchString(inner) && !strings.ContainsAny(inner, " \n") && (f.is(f.i+1, ",") || f.is(f.i+1, ":") || f.is(f.i+1, "=")) {
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
