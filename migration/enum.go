package migration

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// EnumValue is a value that a script adds to a PostgreSQL enum.
type EnumValue struct {
	// Type is the enum's name, in lower case unless it is quoted; Value is the value.
	Type, Value string
	// Own reports that the script also creates the type.
	Own bool
}

// UsedValue is a value that a script adds to an enum and uses, with the first statement that uses
// it. PostgreSQL refuses the use before the transaction that added the value commits. Since version
// 17 it allows the use if the same transaction created the type.
type UsedValue struct {
	EnumValue
	Statement sqltext.Statement
	// Trapped is the first statement that uses the value in the script's own transaction that adds
	// it, nil for none. Together reports that this transaction also creates the type.
	Trapped  *sqltext.Statement
	Together bool
}

// enumReader tracks the enums of a script.
type enumReader struct {
	types  map[string]int // that the script has created so far, and in which of its own transactions; 0: in none
	values []addedValue
	copies copying
}

// copying is the COPY whose data are read.
type copying struct{ sqltext.Statement }

// withData returns a piece of data as a statement: its COPY, with a line end and the data as text.
func (c *copying) withData(st sqltext.Statement) sqltext.Statement {
	switch st.Kind {
	case sqltext.CopyIn:
		c.Statement = st
	case sqltext.CopyData:
		data := c.Statement
		data.Text = "\n" + st.Raw
		return data
	}
	return st
}

type addedValue struct {
	EnumValue
	in int // the transaction of the script's own in which it was added; 0: in none
}

// addsValue matches an ALTER TYPE … ADD VALUE in the body of a DO, possibly in a string. It is
// a pattern, not a reading of tokens, because it looks into strings within strings.
var addsValue = lazyregexp.New(`(?is)\balter\s+type\s+((?:"[^"]+"|[\pL_][\pL\pN_$]*)(?:\s*\.\s*(?:"[^"]+"|[\pL_][\pL\pN_$]*))*)\s+add\s+value\s+(?:if\s+not\s+exists\s+)?'+((?:[^'])+)'+(?:\s+(?:before|after)\s+'+[^']+'+)?`)

// readEnum reads one statement with its verb, or the data of a COPY. in is the number of the
// script's own transaction.
func (a *Analysis) readEnum(e *enumReader, st sqltext.Statement, verb string, in int) {
	st = e.copies.withData(st)
	if len(e.values) > 0 && st.EnumType == "" {
		a.readUse(e, st, in)
	}
	add := func(typeName, value string) {
		_, own := e.types[typeName]
		v := EnumValue{Type: typeName, Value: value, Own: own}
		a.NewValues, e.values = append(a.NewValues, v), append(e.values, addedValue{v, in})
	}
	if st.EnumType == "" && verb != "DO" {
		return
	}
	switch name := enumName(st.EnumType); {
	case name == "" && verb == "DO":
		for _, m := range addsValue.FindAllStringSubmatch(st.Text, -1) {
			add(enumName(m[1]), m[2])
		}
	case name == "":
	case verb == "CREATE":
		if e.types == nil {
			e.types = map[string]int{}
		}
		e.types[name] = in
		a.NewEnums = append(a.NewEnums, name)
	case st.EnumWas == "" || slices.ContainsFunc(e.values, func(v addedValue) bool { return v.Type == name && v.Value == st.EnumWas }):
		add(name, st.EnumValue)
	}
}

// readUse records a statement that uses a value.
func (a *Analysis) readUse(e *enumReader, st sqltext.Statement, in int) {
	for _, v := range e.values {
		if !usesValue(st, v.Value) {
			continue
		}
		i := slices.IndexFunc(a.UsedValues, func(u UsedValue) bool { return u.EnumValue == v.EnumValue })
		if i < 0 {
			i = len(a.UsedValues)
			a.UsedValues = append(a.UsedValues, UsedValue{EnumValue: v.EnumValue, Statement: st})
		}
		if u := &a.UsedValues[i]; in != 0 && v.in == in && u.Trapped == nil {
			first(&u.Trapped, st)
			u.Together = v.Own && e.types[v.Type] == in
		}
	}
}

// usesValue reports whether a statement has a value as a string, or within one: in an array, or in
// the body of a function. The string may also be text or a value of another type; the statement
// does not tell.
func usesValue(st sqltext.Statement, value string) bool {
	if st.EnumType != "" { // which only names it
		return false
	}
	if st.Kind == sqltext.CopyIn && strings.HasPrefix(st.Text, "\n") && hasElement(st.Text, value, "\t\n\r,\"{}") {
		return true
	}
	if strings.Contains(strings.ToLower(st.Text), "enum_range") {
		return true
	}
	for t := range sqltext.Tokens(st.Text, sqltext.PostgreSQL) {
		s := t.Value()
		if t.Kind == sqltext.TokenString && s == value {
			return true
		}
		if len(s) > 0 && (s[0] == '{' || s[0] == '(') && hasElement(s, value, "{}(),\" ") {
			return true
		}
		code := addsValue.ReplaceAllString(s, "")
		if strings.Contains(code, "'"+strings.ReplaceAll(value, "'", "''")+"'") || strings.Contains(code, "$$"+value+"$$") {
			return true
		}
	}
	return false
}

// hasElement reports whether a text has a value between two of the marks or the ends of the text.
func hasElement(text, value, marks string) bool {
	for rest := text; ; {
		i := strings.Index(rest, value)
		if i < 0 {
			return false
		}
		before, after := i == 0 || strings.IndexByte(marks, rest[i-1]) >= 0, rest[i+len(value):]
		if before && (after == "" || strings.IndexByte(marks, after[0]) >= 0) {
			return true
		}
		rest = rest[i+1:]
	}
}

// Uses returns the first statement that has one of the values as a string or within one, nil for
// none.
func (a *Analysis) Uses(values []EnumValue) (*sqltext.Statement, error) {
	if len(values) == 0 {
		return nil, nil
	}
	var copies copying
	for st, err := range a.All() {
		if err != nil {
			return nil, err
		}
		st = copies.withData(st)
		for _, v := range values {
			if usesValue(st, v.Value) {
				return &st, nil
			}
		}
	}
	return nil, nil
}

// enumName returns a type's name as the database has it, without white space between its parts.
func enumName(written string) string {
	name := ""
	for t := range sqltext.Tokens(written, sqltext.PostgreSQL) {
		name += cmp.Or(t.Name(), t.Text)
	}
	return name
}
