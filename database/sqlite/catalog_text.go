package sqlite

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// tokens returns the tokens of a statement, without an unclosed comment at its end.
func tokens(sql string) sqltext.TokenList {
	l := sqltext.List(sql, sqltext.SQLite)
	if last := l.At(len(l) - 1); strings.HasPrefix(last.Text, "/*") {
		l = l[:len(l)-1]
	}
	return l
}

// withoutEnd removes white space and comments at the end of a statement, so that what is appended
// does not become part of a comment.
func withoutEnd(sql string) string {
	l := tokens(sql)
	return sql[:l.At(len(l)-1).End()]
}

// plainName is the form of names that need no quotes, unless they are keywords.
var plainName = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

// form returns the common form of all tokens with the same meaning: keywords, and names that need
// no quotes, in lower case and without quotes.
func form(t sqltext.Token) string {
	switch t.Kind {
	case sqltext.TokenString:
		return t.Text
	case sqltext.TokenName:
		name := t.Name()
		if lower := strings.ToLower(name); plainName.MatchString(name) && !keywords[lower] {
			return lower
		}
		return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return strings.ToLower(t.Text)
}

// written returns a token with its quotes. In a default value quotes matter: "x" is a string there,
// unless it is in parentheses.
func written(t sqltext.Token) string {
	if t.Kind == sqltext.TokenName {
		return t.Text
	}
	return form(t)
}

// nameOf is the name that a column or a constraint has, which may be written as a string.
func nameOf(t sqltext.Token) string { return cmp.Or(t.Name(), t.Value(), t.Text) }

// keywords are the words with a meaning where a definition is split.
var keywords = func() map[string]bool {
	words := map[string]bool{}
	for w := range strings.FieldsSeq(`constraint primary not null unique check default collate references generated as foreign key on conflict
		always stored virtual deferrable initially deferred immediate set match and or in is like glob between exists case when then else end
		select from where group order by having limit values using create table index view trigger`) {
		words[w] = true
	}
	return words
}()

// operators are those of two characters, which have no space between them; "->>" has one more.
const operators = "-> >> << || <= >= <> != =="

// render joins tokens with the same spaces however they were written.
func render(l sqltext.TokenList, form func(sqltext.Token) string) string {
	var b strings.Builder
	before := "" // the form of the token before
	for i, t := range l {
		f := form(t)
		call := f == "(" && plainName.MatchString(before) && !keywords[before]
		operator := i > 0 && t.Pos == l[i-1].End() && strings.Contains(operators, before+f)
		if i > 0 && !call && !operator && !l.Any(i, ")", ",", ".", ";") && !l.Any(i-1, "(", ".") {
			b.WriteByte(' ')
		}
		b.WriteString(f)
		before = f
	}
	return b.String()
}

// afterName returns what follows CREATE … name.
func afterName(sql string) sqltext.TokenList {
	l := tokens(sql)
	for i := range l {
		if !l.Any(i, "table", "index", "view", "trigger") {
			continue
		}
		i++
		if l.Is(i, "if", "not") {
			i += 3
		}
		if l.Is(i+1, ".") {
			i += 2
		}
		return l.From(i + 1)
	}
	return l
}

// tableObjects returns a table's object with its columns and constraints. l begins after the name.
func tableObjects(table catalog.Object, l sqltext.TokenList) []catalog.Object {
	if !l.Is(0, "(") {
		table.Set("definition", render(l, form))
		return []catalog.Object{table}
	}
	var parts []catalog.Object
	for _, def := range l.Inside(0).Split() {
		switch {
		case len(def) == 0:
		case def.Any(0, "constraint", "primary", "unique", "check", "foreign"):
			for _, c := range tableConstraints(def) {
				parts = append(parts, constraintObject(table.Name, c))
			}
		default:
			parts = append(parts, columnObject(table.Name, def))
		}
	}
	for _, option := range l.From(l.Closing(0)).Split() {
		if len(option) > 0 {
			table.Set(render(option, form), "yes") // strict, without rowid
		}
	}
	return append([]catalog.Object{table}, unique(parts)...)
}

// unique drops constraints that are there twice.
func unique(parts []catalog.Object) []catalog.Object {
	seen := map[string]bool{}
	return slices.DeleteFunc(parts, func(o catalog.Object) bool {
		id := o.ID()
		defer func() { seen[id] = true }()
		return seen[id]
	})
}

func columnObject(table string, def sqltext.TokenList) catalog.Object {
	o := catalog.Object{Kind: catalog.Column, Of: table, Name: nameOf(def[0]), Part: true}
	clauses := clauses(def[1:])
	o.Set("type", render(clauses[0], form))
	values := map[string][]string{}
	var order []string
	for _, c := range clauses[1:] {
		name, value := clauseAttr(c)
		if values[name] == nil {
			order = append(order, name)
		}
		values[name] = append(values[name], value)
	}
	for _, name := range order {
		o.Set(name, strings.Join(values[name], "; "))
	}
	return o
}

// clauses splits the text after a column's name: first its type, then the clauses that keywords
// begin.
func clauses(l sqltext.TokenList) []sqltext.TokenList { return splitBefore(l, 0, beginsClause) }

// splitBefore splits a list before each token, outside of parentheses, for which begins is true. It
// asks from the index first on, so that the first part can be empty.
func splitBefore(l sqltext.TokenList, first int, begins func(l sqltext.TokenList, i int) bool) (parts []sqltext.TokenList) {
	begin := 0
	for i := first; i < len(l); i++ {
		if begins(l, i) {
			parts = append(parts, l[begin:i])
			begin = i
		}
		if l[i].Is("(") {
			i = l.Closing(i) - 1
		}
	}
	return append(parts, l[begin:])
}

// beginsClause reports whether a clause begins at i with a word that isn't part of another clause.
func beginsClause(l sqltext.TokenList, i int) bool {
	switch form(l[i]) {
	case "constraint":
		return true
	case "not":
		return !l.Any(i+1, "deferrable") && !namedConstraint(l, i)
	case "null":
		return !l.Any(i-1, "not", "set", "default") && !namedConstraint(l, i)
	case "default":
		return !l.Any(i-1, "set") && !namedConstraint(l, i)
	case "as":
		return !l.Any(i-1, "always") && !namedConstraint(l, i)
	case "primary", "unique", "check", "collate", "references", "generated":
		return !namedConstraint(l, i)
	}
	return false
}

// namedConstraint reports whether CONSTRAINT and a name precede i.
func namedConstraint(l sqltext.TokenList, i int) bool { return l.Is(i-2, "constraint") }

// clauseAttr returns a clause of a column as an attribute.
func clauseAttr(l sqltext.TokenList) (name, value string) {
	suffix := ""
	if l.Any(0, "constraint") && len(l) > 2 {
		suffix = ", constraint " + form(l[1])
		l = l[2:]
	}
	n := 1
	switch {
	case l.Any(0, "primary") && l.Any(1, "key"), l.Any(0, "not") && l.Any(1, "null"):
		n = 2
	case l.Any(0, "generated"):
		n = 3
	}
	n = min(n, len(l))
	if name = render(l[:n], form); name == "default" {
		value = render(l[n:], written)
	} else {
		value = render(l[n:], form)
	}
	if name == "as" || name == "generated always as" {
		name = "generated"
	}
	if value == "" {
		value = "yes"
	}
	return name, value + suffix
}

// tableConstraints splits table constraints, which may lack commas between them.
func tableConstraints(l sqltext.TokenList) []sqltext.TokenList {
	return splitBefore(l, 1, func(l sqltext.TokenList, i int) bool {
		return l.Any(i, "constraint", "primary", "unique", "check", "foreign") && !l.Any(i-1, "constraint") && !namedConstraint(l, i)
	})
}

func constraintObject(table string, l sqltext.TokenList) catalog.Object {
	o := catalog.Object{Kind: catalog.Constraint, Of: table, Part: true}
	if l.Any(0, "constraint") && len(l) > 2 {
		o.Name = nameOf(l[1])
		o.Set("definition", render(l[2:], form))
		return o
	}
	o.Signature = render(l, form) // it has no other name
	return o
}
