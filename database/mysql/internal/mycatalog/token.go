package mycatalog

import (
	"strings"
)

// tok is a token of a definition. What is in the comments that only some versions read
// (/*!80023 INVISIBLE */, /*M!100301 COMPRESSED*/) stands as if there were no comment.
type tok struct {
	text     string
	pos, end int
	spaced   bool // something stands before it that is no token
}

// tokens cuts a definition. Strings know escapes by backslash.
func tokens(sql string) (list []tok) {
	spaced := false
	for i := 0; i < len(sql); {
		end, is := tokenEnd(sql, i)
		if is {
			list = append(list, tok{sql[i:end], i, end, spaced})
		}
		spaced = !is
		i = end
	}
	return list
}

// tokenEnd returns where that ends which begins at i, and whether it is a token.
func tokenEnd(sql string, i int) (end int, is bool) {
	rest := sql[i:]
	switch c := rest[0]; {
	case c == ' ' || '\t' <= c && c <= '\r':
		return i + 1, false
	case strings.HasPrefix(rest, "/*!"), strings.HasPrefix(rest, "/*M!"):
		n := strings.IndexByte(rest, '!') + 1
		for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
			n++
		}
		return i + n, false
	case strings.HasPrefix(rest, "*/"):
		return i + 2, false
	case strings.HasPrefix(rest, "/*"):
		return endAfter(sql, i+2, "*/"), false
	case c == '#', strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' '):
		return endAfter(sql, i, "\n"), false
	case c == '`' || c == '\'' || c == '"':
		return quotedEnd(sql, i), true
	case !wordByte(c):
		return i + 1, true
	}
	end = i + 1
	for end < len(sql) && wordByte(sql[end]) {
		end++
	}
	return end, true
}

func endAfter(sql string, from int, mark string) int {
	if n := strings.Index(sql[from:], mark); n >= 0 {
		return from + n + len(mark)
	}
	return len(sql)
}

func quotedEnd(sql string, i int) int {
	q := sql[i]
	for i++; i < len(sql); i++ {
		switch {
		case sql[i] == '\\' && q != '`':
			i++
		case sql[i] == q && i+1 < len(sql) && sql[i+1] == q:
			i++
		case sql[i] == q:
			return i + 1
		}
	}
	return len(sql)
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// is says that the token at i is a word, in whatever case.
func is(list []tok, i int, words ...string) bool {
	for n, w := range words {
		if i+n < 0 || i+n >= len(list) || !strings.EqualFold(list[i+n].text, w) {
			return false
		}
	}
	return true
}

func isAny(list []tok, i int, words ...string) bool {
	for _, w := range words {
		if is(list, i, w) {
			return true
		}
	}
	return false
}

func isName(list []tok, i int) bool {
	return i >= 0 && i < len(list) && (list[i].text[0] == '`' || list[i].text[0] == '"')
}

// unquote returns the name that a token means.
func (t tok) unquote() string {
	if n := len(t.text); n >= 2 && (t.text[0] == '`' || t.text[0] == '"') {
		q := t.text[:1]
		return strings.ReplaceAll(t.text[1:n-1], q+q, q)
	}
	return t.text
}

// closing returns the index behind the parenthesis that closes the one at i.
func closing(list []tok, i int) int {
	depth := 0
	for ; i < len(list); i++ {
		switch list[i].text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(list)
}

// render joins tokens, with one space where there was something between them.
func render(list []tok) string {
	var b strings.Builder
	for i, t := range list {
		if i > 0 && t.spaced {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// unqualified takes the name of the database out of a definition that the server has written: where it
// qualifies a table or a function. In front of a column stands the name of its table alone, or of both, so
// one name there is never the database's, even if it is the same.
func (r *reader) unqualified(sql string) string {
	list := tokens(sql)
	var b strings.Builder
	kept := 0
	for i := range list {
		if r.qualifies(list, i) {
			b.WriteString(sql[kept:list[i].pos])
			kept = list[i+2].pos
		}
	}
	b.WriteString(sql[kept:])
	return b.String()
}

func (r *reader) qualifies(list []tok, i int) bool {
	if !isName(list, i) || !is(list, i+1, ".") || !isName(list, i+2) || is(list, i-1, ".") {
		return false
	}
	if name := list[i].unquote(); name != r.database && !(r.foldCase && strings.EqualFold(name, r.database)) {
		return false
	}
	return is(list, i+3, ".") || is(list, i+3, "(") || inTablePlace(list, i) || sequenceArgument(list, i)
}

// inTablePlace says that the name at i is that of a table: FROM, JOIN, REFERENCES stand before it, but for
// parentheses.
func inTablePlace(list []tok, i int) bool {
	for i--; i >= 0 && list[i].text == "("; i-- {
	}
	return isAny(list, i, "from", "join", "straight_join", "references")
}

// sequenceArgument says that the name at i is that of a sequence.
func sequenceArgument(list []tok, i int) bool {
	return is(list, i-1, "(") && isAny(list, i-2, "nextval", "lastval", "setval") || is(list, i-2, "value", "for")
}
