package sqlite

import (
	"regexp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// tokenList are the tokens of a statement, without white space and comments.
type tokenList []word

// word is a token as it is written, and in the form in which all that mean the same are the same: names that
// need no quotes have none and are in lower case, as are keywords.
type word struct{ raw, form string }

var token = regexp.MustCompile(`(?s)\s+|--[^\n]*|/\*.*?(?:\*/|$)` + // nothing
	`|'(?:[^']|'')*'|"(?:[^"]|"")*"|` + "`(?:[^`]|``)*`" + `|\[[^\]]*\]` + // strings and names in quotes
	`|(?:0[xX][0-9a-fA-F]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)` + // numbers
	`|[\pL_\x{80}-\x{10FFFF}][\pL\pN_$\x{80}-\x{10FFFF}]*` + // words
	`|->>|->|\|\||<<|>>|<=|>=|<>|!=|==|.`)

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func tokens(sql string) tokenList {
	var list tokenList
	for _, t := range token.FindAllString(sql, -1) {
		switch {
		case strings.TrimSpace(t) == "", strings.HasPrefix(t, "--"), strings.HasPrefix(t, "/*"):
		case quoted(t):
			list = append(list, word{t, requote(t)})
		case t[0] == '\'':
			list = append(list, word{t, t})
		default:
			list = append(list, word{t, strings.ToLower(t)})
		}
	}
	return list
}

// withoutEnd cuts off white space and comments at the end of a statement: what follows must not become part of
// the comment.
func withoutEnd(sql string) string {
	end := 0
	for _, at := range token.FindAllStringIndex(sql, -1) {
		t := sql[at[0]:at[1]]
		if strings.TrimSpace(t) != "" && !strings.HasPrefix(t, "--") && !strings.HasPrefix(t, "/*") {
			end = at[1]
		}
	}
	return sql[:end]
}

func quoted(t string) bool { return strings.ContainsAny(t[:1], "\"`[") }

// requote writes a name in quotes as it is written elsewhere: without them if it needs none.
func requote(t string) string {
	name := unquote(t)
	if plainName.MatchString(name) && !keywords[strings.ToLower(name)] {
		return strings.ToLower(name)
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func unquote(t string) string {
	if len(t) < 2 {
		return t
	}
	inner := t[1 : len(t)-1]
	switch t[0] {
	case '"', '`', '\'':
		return strings.ReplaceAll(inner, t[:1]+t[:1], t[:1])
	case '[':
		return inner
	}
	return t
}

// keywords are the words that mean something where a definition is cut.
var keywords = func() map[string]bool {
	words := map[string]bool{}
	for w := range strings.FieldsSeq(`constraint primary not null unique check default collate references generated as foreign key on conflict
		always stored virtual deferrable initially deferred immediate set match and or in is like glob between exists case when then else end
		select from where group order by having limit values using create table index view trigger`) {
		words[w] = true
	}
	return words
}()

func (l tokenList) is(i int, words ...string) bool {
	return i >= 0 && i < len(l) && slices.Contains(words, l[i].form)
}

// text joins tokens in one way.
func (l tokenList) text() string {
	var b strings.Builder
	for i, t := range l {
		call := t.form == "(" && i > 0 && plainName.MatchString(l[i-1].form) && !keywords[l[i-1].form]
		if i > 0 && !call && !l.is(i, ")", ",", ".", ";") && !l.is(i-1, "(", ".") {
			b.WriteByte(' ')
		}
		b.WriteString(t.form)
	}
	return b.String()
}

// asWritten makes quotes count: in a default value "x" is a string, unless it is in parentheses.
func (l tokenList) asWritten() tokenList {
	l = slices.Clone(l)
	for i, t := range l {
		if quoted(t.raw) {
			l[i].form = t.raw
		}
	}
	return l
}

// afterName returns what follows CREATE … name.
func afterName(sql string) tokenList {
	l := tokens(sql)
	for i := range l {
		if !l.is(i, "table", "index", "view", "trigger") {
			continue
		}
		i++
		if l.is(i, "if") && l.is(i+1, "not") {
			i += 3
		}
		if l.is(i+1, ".") {
			i += 2
		}
		if i+1 > len(l) {
			return nil
		}
		rest := l[i+1:]
		if rest.is(0, "using") { // a virtual table's arguments are its own language
			return raw(sql)
		}
		return rest
	}
	return l
}

// raw returns what follows USING, with its tokens as they are.
func raw(sql string) tokenList {
	var list tokenList
	using := false
	for _, t := range token.FindAllString(sql, -1) {
		if using && strings.TrimSpace(t) != "" {
			list = append(list, word{t, t})
		}
		using = using || strings.EqualFold(t, "using")
	}
	return list
}

// closing returns the index behind the parenthesis that closes the one at i.
func (l tokenList) closing(i int) int {
	depth := 0
	for ; i < len(l); i++ {
		switch l[i].form {
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

// split cuts at the commas outside of parentheses.
func (l tokenList) split() []tokenList {
	var parts []tokenList
	begin := 0
	for i := 0; i < len(l); i++ {
		switch l[i].form {
		case "(":
			i = l.closing(i) - 1
		case ",":
			parts = append(parts, l[begin:i])
			begin = i + 1
		}
	}
	return append(parts, l[begin:])
}

// tableObjects returns a table's object with its columns and constraints. l is what follows the name.
func tableObjects(table catalog.Object, l tokenList) []catalog.Object {
	if !l.is(0, "(") {
		table.Set("definition", l.text())
		return []catalog.Object{table}
	}
	end := l.closing(0)
	var parts []catalog.Object
	for _, def := range l[1 : end-1].split() {
		switch {
		case len(def) == 0:
		case def.is(0, "constraint", "primary", "unique", "check", "foreign"):
			for _, c := range def.constraints() {
				parts = append(parts, constraintObject(table.Name, c))
			}
		default:
			parts = append(parts, columnObject(table.Name, def))
		}
	}
	for _, option := range l[end:].split() {
		if len(option) > 0 {
			table.Set(option.text(), "yes") // strict, without rowid
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

func columnObject(table string, def tokenList) catalog.Object {
	o := catalog.Object{Kind: catalog.Column, Of: table, Name: unquote(def[0].raw), Part: true}
	clauses := def[1:].clauses()
	o.Set("type", clauses[0].text())
	values := map[string][]string{}
	var order []string
	for _, c := range clauses[1:] {
		name, value := c.attr()
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

// clauses cuts what follows a column's name: first its type, then what begins with a keyword.
func (l tokenList) clauses() []tokenList {
	parts := []tokenList{nil}
	begin := 0
	for i := 0; i < len(l); i++ {
		if l.begins(i) {
			parts[len(parts)-1] = l[begin:i]
			parts = append(parts, nil)
			begin = i
		}
		if l[i].form == "(" {
			i = l.closing(i) - 1
		}
	}
	parts[len(parts)-1] = l[begin:]
	return parts
}

// begins says that a clause begins at i, and that the word there isn't part of another.
func (l tokenList) begins(i int) bool {
	switch l[i].form {
	case "constraint":
		return true
	case "not":
		return !l.is(i+1, "deferrable") && !l.named(i)
	case "null":
		return !l.is(i-1, "not", "set", "default") && !l.named(i)
	case "default":
		return !l.is(i-1, "set") && !l.named(i)
	case "as":
		return !l.is(i-1, "always") && !l.named(i)
	case "primary", "unique", "check", "collate", "references", "generated":
		return !l.named(i)
	}
	return false
}

// named says that CONSTRAINT and a name stand before i.
func (l tokenList) named(i int) bool { return l.is(i-2, "constraint") }

// attr returns a clause of a column as an attribute.
func (l tokenList) attr() (name, value string) {
	suffix := ""
	if l.is(0, "constraint") && len(l) > 2 {
		suffix = ", constraint " + l[1].form
		l = l[2:]
	}
	n := 1
	switch {
	case l.is(0, "primary") && l.is(1, "key"), l.is(0, "not") && l.is(1, "null"):
		n = 2
	case l.is(0, "generated"):
		n = 3
	}
	n = min(n, len(l))
	if name = l[:n].text(); name == "default" {
		l = l.asWritten()
	}
	value = l[n:].text()
	if name == "as" || name == "generated always as" {
		name = "generated"
	}
	if value == "" {
		value = "yes"
	}
	return name, value + suffix
}

// constraints cuts table constraints, between which the commas can be missing.
func (l tokenList) constraints() []tokenList {
	var parts []tokenList
	begin := 0
	for i := 1; i < len(l); i++ {
		if l.is(i, "constraint", "primary", "unique", "check", "foreign") && !l.is(i-1, "constraint") && !l.named(i) {
			parts = append(parts, l[begin:i])
			begin = i
		}
		if l[i].form == "(" {
			i = l.closing(i) - 1
		}
	}
	return append(parts, l[begin:])
}

func constraintObject(table string, l tokenList) catalog.Object {
	o := catalog.Object{Kind: catalog.Constraint, Of: table, Part: true}
	if l.is(0, "constraint") && len(l) > 2 {
		o.Name = unquote(l[1].raw)
		o.Set("definition", l[2:].text())
		return o
	}
	o.Signature = l.text() // it has no other name
	return o
}
