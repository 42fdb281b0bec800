package mycatalog

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// notUnderstood is the error of a definition that the server writes in a way that is not known.
func notUnderstood(sql string) error { return fmt.Errorf("this is not understood: %.100s", sql) }

// isName reports whether the token at i is a name in quotes, as the server writes names.
func isName(list sqltext.TokenList, i int) bool {
	t := list.At(i)
	return t.Kind == sqltext.TokenName || t.Kind == sqltext.TokenString && t.Text[0] == '"'
}

// render joins tokens, with one space where there was something between them.
func render(list sqltext.TokenList) string {
	var b strings.Builder
	for i, t := range list {
		if i > 0 && t.Pos > list[i-1].End() {
			b.WriteByte(' ')
		}
		b.WriteString(t.Text)
	}
	return b.String()
}

// unqualified takes the name of the database out of a definition that the server has written: where it
// qualifies a table or a function. In front of a column stands the name of its table alone, or of both, so
// one name there is never the database's, even if it is the same.
func (r *reader) unqualified(sql string) string {
	list := sqltext.List(sql, sqltext.MySQL)
	var b strings.Builder
	kept := 0
	for i := range list {
		if r.qualifies(list, i) {
			b.WriteString(sql[kept:list[i].Pos])
			kept = list[i+2].Pos
		}
	}
	b.WriteString(sql[kept:])
	return b.String()
}

func (r *reader) qualifies(list sqltext.TokenList, i int) bool {
	if !isName(list, i) || !list.Is(i+1, ".") || !isName(list, i+2) || list.Is(i-1, ".") {
		return false
	}
	if name := list[i].Name(); name != r.database && !(r.foldCase && strings.EqualFold(name, r.database)) {
		return false
	}
	return list.Is(i+3, ".") || list.Is(i+3, "(") || inTablePlace(list, i) || sequenceArgument(list, i)
}

// inTablePlace says that the name at i is that of a table: FROM, JOIN, REFERENCES stand before it, but for
// parentheses.
func inTablePlace(list sqltext.TokenList, i int) bool {
	for i--; list.Is(i, "("); i-- {
	}
	return list.Any(i, "from", "join", "straight_join", "references")
}

// sequenceArgument says that the name at i is that of a sequence.
func sequenceArgument(list sqltext.TokenList, i int) bool {
	return list.Is(i-1, "(") && list.Any(i-2, "nextval", "lastval", "setval") || list.Is(i-2, "value", "for")
}
