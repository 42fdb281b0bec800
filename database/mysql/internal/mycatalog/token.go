package mycatalog

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// notUnderstood is the error for a definition in an unknown form.
func notUnderstood(sql string) error { return fmt.Errorf("this is not understood: %.100s", sql) }

// isName reports whether the token at i is a name in quotes, as the server writes names.
func isName(list sqltext.TokenList, i int) bool {
	t := list.At(i)
	return t.Kind == sqltext.TokenName || t.Kind == sqltext.TokenString && t.Text[0] == '"'
}

// render joins tokens, with one space between those that were separated.
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

// unqualified removes the database's name from a definition that the server has written, where it
// qualifies a table or a function. A column is qualified with its table, or with both, so a single
// name before a column is never the database's, even if it is equal.
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

// inTablePlace reports whether the name at i is that of a table: FROM, JOIN or REFERENCES precedes
// it, perhaps with parentheses between.
func inTablePlace(list sqltext.TokenList, i int) bool {
	for i--; list.Is(i, "("); i-- {
	}
	return list.Any(i, "from", "join", "straight_join", "references")
}

// sequenceArgument reports whether the name at i is that of a sequence.
func sequenceArgument(list sqltext.TokenList, i int) bool {
	return list.Is(i-1, "(") && list.Any(i-2, "nextval", "lastval", "setval") || list.Is(i-2, "value", "for")
}
