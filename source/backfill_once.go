package source

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A squash executes the statements of a backfill once, for all rows. That has the same effect if
// each statement treats the rows independently, and :first and :last only select them: the
// conditions with them then hold for every row, and are replaced by "is not null", which holds for
// every key.

// once returns a backfill's script with statements for all rows.
func (j *joiner) once(s *migration.Script) (*migration.Script, error) {
	body, err := s.Body(j.dialect)
	if err != nil {
		return nil, err
	}
	if body == nil {
		return nil, &Error{File: s.File, Msg: "is a Go function, which can't be part of a squash; end the range before it, or begin after it"}
	}
	text, err := readAll(s)
	if err != nil {
		return nil, err
	}
	for _, st := range slices.Backward(body.Statements) {
		o := onceStatement{l: sqltext.List(st.Text, j.dialect), st: st.Statement, d: j.dialect, b: s.Backfill}
		changed, ok := o.rewrite()
		if !ok {
			return nil, wrong(&st.Statement, "is executed for each batch of a backfill, and may have another effect if a squash executes it once for all rows; end the range before this file, or begin after it")
		}
		at := int(st.Pos.Offset)
		text = text[:at] + changed + text[at+len(st.Text):]
	}
	all := migration.Text(s.File, text)
	all.Directives, all.Directives.RetryFor = s.Directives, 0
	return all, nil
}

// onceStatement rewrites one statement.
type onceStatement struct {
	l  sqltext.TokenList
	st sqltext.Statement
	d  sqltext.Dialect
	b  *migration.Backfill
	// names are those by which the statement calls the table. only says that it reads no other one,
	// so that a column without a table is one of it.
	names []string
	only  bool
}

// edit replaces the text between two offsets.
type edit struct {
	from, to int
	text     string
}

// rewrite returns the statement for all rows, and false if it may have another effect.
func (o *onceStatement) rewrite() (string, bool) {
	if !o.independent() || !o.findTable() {
		return "", false
	}
	var edits []edit
	done := 0 // tokens before it have been read
	for i := range o.l {
		if i < done || !o.isParam(i) {
			continue
		}
		e, next, ok := o.condition(i)
		if !ok || len(edits) > 0 && e.from < edits[len(edits)-1].to {
			return "", false
		}
		edits, done = append(edits, e), next
	}
	if o.remaining(edits) {
		return "", false
	}
	text := o.st.Text
	for _, e := range slices.Backward(edits) {
		text = text[:e.from] + e.text + text[e.to:]
	}
	return text, true
}

// remaining reports whether a parameter is outside all edits.
func (o *onceStatement) remaining(edits []edit) bool {
	for _, p := range o.st.Params(o.d) {
		if !slices.ContainsFunc(edits, func(e edit) bool { return e.from <= p.From && p.To <= e.to }) {
			return true
		}
	}
	return false
}

// aggregates are functions that depend on how many rows a statement reads.
var aggregates = []string{"count", "sum", "min", "max", "avg", "total", "array_agg", "string_agg", "group_concat", "json_agg", "jsonb_agg", "json_object_agg", "json_arrayagg", "bool_and", "bool_or", "every"}

// independent reports whether the statement treats each row by itself.
func (o *onceStatement) independent() bool {
	verb := o.st.Verb()
	if verb != "UPDATE" && verb != "DELETE" && verb != "INSERT" {
		return false
	}
	for i := range o.l {
		t := o.l[i]
		switch {
		case t.Is("LIMIT"), t.Is("OFFSET"), t.Is("FETCH"), t.Is("OVER"), t.Is("DISTINCT") && !o.l.Is(i+1, "FROM"), t.Is("UNION"), t.Is("INTERSECT"), t.Is("EXCEPT"):
			return false
		case verb == "INSERT" && (t.Is("GROUP") || o.l.Is(i+1, "(") && slices.Contains(aggregates, strings.ToLower(t.Text))):
			return false
		}
	}
	return true
}

// findTable finds the backfill's table in the statement. It must be there once: as what is changed,
// or as what an INSERT selects from.
func (o *onceStatement) findTable() bool {
	parts := tableParts(sqltext.List(o.b.Table, o.d))
	table, found, tables := parts[len(parts)-1], 0, 0
	for i := 0; i < len(o.l); i++ {
		if o.l[i].Name() == "" || !o.isTable(i) {
			continue
		}
		tables++
		name := o.l[i].Name()
		end := i + 1
		for o.l.Is(end, ".") {
			name, end = o.l.At(end+1).Name(), end+2
		}
		if name == table {
			found++
			o.names = append(o.names, table)
			if o.l.Is(end, "AS") {
				end++
			}
			if alias := o.l.At(end); alias.Name() != "" && !isClause(alias) {
				o.names = []string{alias.Name()}
			}
		}
		i = end - 1
	}
	into := 0
	if o.st.Verb() == "INSERT" {
		into = 1
	}
	o.only = tables-into == 1 && o.l.Index("JOIN") < 0 && !o.commaInFrom()
	return found == 1
}

func tableParts(l sqltext.TokenList) (names []string) {
	for _, t := range l {
		if name := t.Name(); name != "" {
			names = append(names, name)
		}
	}
	if names == nil {
		names = []string{""}
	}
	return names
}

// isTable reports whether the name at i follows a word after which a table comes.
func (o *onceStatement) isTable(i int) bool {
	for i--; o.l.Any(i, "ONLY", "IGNORE", "LOW_PRIORITY", "QUICK"); i-- {
	}
	return o.l.Any(i, "UPDATE", "FROM", "INTO", "JOIN", "USING") && !o.l.Is(i-1, "DISTINCT") && !o.l.Any(i+1, "SELECT", "SET")
}

// commaInFrom reports whether a FROM has a second table behind a comma.
func (o *onceStatement) commaInFrom() bool {
	for i := range o.l {
		if !o.l[i].Is("FROM") {
			continue
		}
		for i++; i < len(o.l) && !isClause(o.l[i]) && !o.l[i].Is(")"); i++ {
			if o.l[i].Is(",") || o.l[i].Is("(") {
				return true
			}
		}
	}
	return false
}

// isClause reports whether a token begins what follows a table.
func isClause(t sqltext.Token) bool {
	return slices.ContainsFunc([]string{"SET", "WHERE", "FROM", "JOIN", "LEFT", "RIGHT", "INNER", "CROSS", "NATURAL", "FULL", "USING", "ON", "SELECT", "VALUES", "RETURNING", "ORDER", "GROUP", "INDEXED", "NOT", "DEFAULT", "PARTITION", "FORCE", "USE", "TABLESAMPLE", "OVERRIDING"}, t.Is)
}

// isParam reports whether a parameter is at i.
func (o *onceStatement) isParam(i int) bool {
	return o.l.Is(i, ":") && o.l.Any(i+1, "first", "last") && !o.l.Is(i-1, ":")
}

// condition returns the edit for the condition whose first parameter is at i, and the index behind
// it: KEY >= :first, KEY <= :last, KEY BETWEEN :first AND :last, or with the sides exchanged.
func (o *onceStatement) condition(i int) (e edit, next int, ok bool) {
	from, end, last, ok := o.bound(i)
	if !ok {
		return e, 0, false
	}
	var key sqltext.TokenList
	var start int
	switch {
	case !last && o.l.Is(from-1, "BETWEEN") && o.l.Is(end, "AND"):
		key, start = o.keyBefore(from - 1)
		behind, isLast, found := o.boundAt(end + 1)
		if !found || !isLast {
			return e, 0, false
		}
		end = behind
	case !last && o.l.Is(from-2, ">", "="), last && o.l.Is(from-2, "<", "="):
		key, start = o.keyBefore(from - 2)
	case !last && o.l.Is(end, "<", "="), last && o.l.Is(end, ">", "="):
		start = from
		key, end = o.keyAfter(end + 2)
	}
	columns, isKey := o.columns(key)
	if !isKey || !o.begins(start) || !o.ends(end) {
		return e, 0, false
	}
	e = edit{from: o.l[start].Pos, to: o.l[end-1].End()}
	for n, c := range columns {
		if n > 0 {
			e.text += " AND "
		}
		e.text += o.st.Text[c[0].Pos:c[len(c)-1].End()] + " IS NOT NULL"
	}
	if len(columns) > 1 {
		e.text = "(" + e.text + ")"
	}
	return e, end, true
}

// bound returns the bounds of the value whose first parameter is at i, with the parentheses around
// it and a cast.
func (o *onceStatement) bound(i int) (from, end int, last, ok bool) {
	if o.l.Is(i-1, "(") {
		if end, last, ok = o.boundAt(i - 1); ok {
			return i - 1, end, last, true
		}
	}
	end, last, ok = o.boundAt(i)
	return i, end, last, ok
}

// boundAt reads a value from i on: :first, (:first), (:first.a, :first.b).
func (o *onceStatement) boundAt(i int) (end int, last, ok bool) {
	parens := o.l.Is(i, "(")
	if parens {
		i++
	}
	for n := 0; ; n++ {
		if !o.isParam(i) || n > 0 && last != o.l[i+1].Is("last") {
			return i, last, false
		}
		last = o.l[i+1].Is("last")
		i += 2
		if o.l.Is(i, ".") && o.l[i].Pos == o.l[i-1].End() {
			if !parens && len(o.b.Key) > 1 {
				return i, last, false // one column of several
			}
			i += 2
		}
		for o.l.Is(i, ":", ":") { // a cast
			i += 3
		}
		if !parens {
			return i, last, true
		}
		if o.l.Is(i, ")") {
			return i + 1, last, true
		}
		if !o.l.Is(i, ",") {
			return i, last, false
		}
		i++
	}
}

// keyBefore returns the key that ends before i, and where it begins.
func (o *onceStatement) keyBefore(i int) (sqltext.TokenList, int) {
	start := i - 1
	if o.l.Is(start, ")") {
		for start >= 0 && !o.l.Is(start, "(") {
			start--
		}
	} else {
		for o.l.Is(start-1, ".") {
			start -= 2
		}
	}
	if start < 0 {
		return nil, 0
	}
	return o.l[start:i], start
}

// keyAfter returns the key that begins at i, and where it ends.
func (o *onceStatement) keyAfter(i int) (sqltext.TokenList, int) {
	end := i + 1
	if o.l.Is(i, "(") {
		end = o.l.Closing(i)
	} else {
		for o.l.Is(end, ".") {
			end += 2
		}
	}
	if end > len(o.l) {
		return nil, i
	}
	return o.l[i:end], end
}

// columns returns the columns of a key, and false if it is not, or may not be, the backfill's.
func (o *onceStatement) columns(key sqltext.TokenList) (all []sqltext.TokenList, ok bool) {
	if len(key) == 0 {
		return nil, false
	}
	all = []sqltext.TokenList{key}
	if key.Is(0, "(") {
		all = key.Inside(0).Split()
	}
	var names []string
	for _, c := range all {
		if len(c)%2 == 0 || c[len(c)-1].Name() == "" {
			return nil, false
		}
		for n := 1; n < len(c); n += 2 {
			if !c[n].Is(".") {
				return nil, false
			}
		}
		if len(c) == 1 && !o.only || len(c) > 1 && !slices.Contains(o.names, c[len(c)-3].Name()) {
			return nil, false
		}
		names = append(names, c[len(c)-1].Name())
	}
	if o.assigned(names) {
		return nil, false
	}
	return all, o.b.Key == nil || slices.Equal(names, o.b.Key)
}

// assigned reports whether the statement assigns one of the names.
func (o *onceStatement) assigned(names []string) bool {
	if o.st.Verb() != "UPDATE" {
		return false
	}
	from := o.l.Index("SET")
	for i := from + 1; from >= 0 && i < len(o.l) && !o.l[i].Is("WHERE"); i++ {
		if o.l.Is(i, "(") {
			inside := o.l.Inside(i)
			i = o.l.Closing(i) - 1
			for _, name := range names {
				if o.l.Is(i+1, "=") && inside.Names()[name] {
					return true
				}
			}
		} else if slices.Contains(names, o.l[i].Name()) && o.l.Is(i+1, "=") && o.l.Any(i-1, "SET", ",", ".") {
			return true
		}
	}
	return false
}

// begins reports whether a condition begins at i.
func (o *onceStatement) begins(i int) bool { return o.l.Any(i-1, "WHERE", "AND", "(", "ON") }

// ends reports whether a condition ends before i.
func (o *onceStatement) ends(i int) bool {
	return i >= len(o.l) || o.l.Any(i, "AND", ")", "RETURNING", "ON", "ORDER", "WHERE")
}
