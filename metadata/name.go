package metadata

import (
	"cmp"
	"fmt"
	"strings"
)

// Kind says what sort of object a name is of.
type Kind string

// The kinds. A column of a view, which can be any kind of view, is told from one of a table. A
// function can be any routine, a table a partitioned or a foreign one, too.
const (
	Schema     Kind = "schema"
	Table      Kind = "table"
	Column     Kind = "column"
	View       Kind = "view"
	ViewColumn Kind = "view column"
	Function   Kind = "function"
	Type       Kind = "type"
)

// Type returns the kind as people call it: a column is a column, whatever it is of.
func (k Kind) Type() string {
	if k == ViewColumn {
		return string(Column)
	}
	return string(k)
}

// IsColumn reports that the kind is one of the two of columns.
func (k Kind) IsColumn() bool { return k == Column || k == ViewColumn }

// Columns returns the kind of the columns of tables and of views, "" for other kinds.
func (k Kind) Columns() Kind {
	switch k {
	case Table:
		return Column
	case View:
		return ViewColumn
	}
	return ""
}

// of is the kind of what a column belongs to; every other kind is its own.
func (k Kind) of() Kind {
	switch k {
	case Column:
		return Table
	case ViewColumn:
		return View
	}
	return k
}

// valid reports that it is one of the kinds.
func (k Kind) valid() bool { return k.rank() >= 0 }

func (k Kind) rank() int {
	for i, known := range []Kind{Schema, Table, View, Function, Type} {
		if k.of() == known {
			return i
		}
	}
	return -1
}

// Name is the identity of an object. Names are as the database has them: letters' case counts,
// and nothing is quoted.
type Name struct {
	Kind   Kind
	Schema string // "" for a schema, and where the database has none
	Object string // of a schema, table, view, function or type
	Args   string // of a function: the types of its arguments, in parentheses
	Column string // of a column
}

// String returns the name without its kind: public.users, public.users.email,
// public.area(integer, integer). A part in which there is a dot, a quote, a parenthesis or white space
// at an end stands in double quotes.
func (n Name) String() string {
	var b strings.Builder
	if n.Schema != "" {
		b.WriteString(quote(n.Schema) + ".")
	}
	b.WriteString(quote(n.Object) + n.Args)
	if n.Column != "" {
		b.WriteString("." + quote(n.Column))
	}
	return b.String()
}

// words returns the name with its kind.
func (n Name) words() string { return n.Kind.Type() + " " + n.String() }

// table returns the name of what a column belongs to.
func (n Name) table() Name {
	n.Kind, n.Column = n.Kind.of(), ""
	return n
}

func (n Name) compare(m Name) int {
	return cmp.Or(
		cmp.Compare(n.Kind.rank(), m.Kind.rank()), cmp.Compare(n.Schema, m.Schema), cmp.Compare(n.Object, m.Object),
		cmp.Compare(n.Args, m.Args), cmp.Compare(n.Column, m.Column))
}

func quote(part string) string {
	if part != "" && !strings.ContainsAny(part, `."()`) && strings.TrimSpace(part) == part {
		return part
	}
	return `"` + strings.ReplaceAll(part, `"`, `""`) + `"`
}

// ParseName reads what Name.String writes. The name of a column has that of its table or view
// before it, and one without a schema is a name of two parts.
func ParseName(kind Kind, text string) (Name, error) {
	n := Name{Kind: kind}
	if !kind.valid() {
		return n, fmt.Errorf("there is no kind of object %q", kind)
	}
	parts, rest, err := split(text)
	if err != nil {
		return n, err
	}
	wrong := func(want string) (Name, error) {
		return n, fmt.Errorf("%q is no name of a %s: want one such as %s", text, kind.Type(), want)
	}
	if kind.IsColumn() {
		if len(parts) < 2 || rest != "" {
			return wrong("public.users.email")
		}
		n.Column, parts = parts[len(parts)-1], parts[:len(parts)-1]
	}
	switch {
	case kind == Function && !strings.HasSuffix(rest, ")"):
		return wrong("public.area(integer, integer)")
	case kind == Function:
		n.Args = "(" + strings.Join(strings.Fields(strings.TrimSpace(rest[1:len(rest)-1])), " ") + ")"
	case rest != "":
		return n, fmt.Errorf("%q is no name of a %s: a name with parentheses stands in double quotes", text, kind.Type())
	}
	switch {
	case kind == Schema && len(parts) == 1, len(parts) == 1:
		n.Object = parts[0]
	case kind != Schema && len(parts) == 2:
		n.Schema, n.Object = parts[0], parts[1]
	case kind == Schema:
		return wrong(`app, or '"my.app"' where there is a dot in it`)
	default:
		return wrong(`public.users, or 'public."my.users"' where there is a dot in it`)
	}
	return n, nil
}

// split cuts a name at its dots, and at an opening parenthesis.
func split(text string) (parts []string, rest string, err error) {
	for s := text; ; {
		var part string
		if inner, quoted := strings.CutPrefix(s, `"`); quoted {
			if part, s, err = quoted1(inner); err != nil {
				return nil, "", fmt.Errorf("%q: %w", text, err)
			}
		} else {
			end := strings.IndexAny(s, `.(`)
			if end < 0 {
				end = len(s)
			}
			part, s = s[:end], s[end:]
		}
		if part == "" {
			return nil, "", fmt.Errorf("%q is no name: a part of it is empty", text)
		}
		parts = append(parts, part)
		switch {
		case s == "" || s[0] == '(':
			return parts, s, nil
		case s[0] != '.':
			return nil, "", fmt.Errorf("%q is no name: after a part in quotes comes a dot", text)
		}
		s = s[1:]
	}
}

// quoted1 reads a quoted part behind its opening quote.
func quoted1(s string) (part, rest string, err error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `"`)
		if !found {
			return "", "", fmt.Errorf("a quote is not closed")
		}
		b.WriteString(before)
		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, nil
		}
		b.WriteByte('"')
		s = after[1:]
	}
}
