package metadata

import (
	"cmp"
	"fmt"
	"strings"
)

// Kind is the kind of object that a name refers to.
type Kind string

// The kinds. ViewColumn is a column of any kind of view. Function includes all routines; Table
// includes partitioned and foreign tables.
const (
	Schema     Kind = "schema"
	Table      Kind = "table"
	Column     Kind = "column"
	View       Kind = "view"
	ViewColumn Kind = "view column"
	Function   Kind = "function"
	Type       Kind = "type"
)

// Type returns the kind for people: a column of a view is a column, too.
func (k Kind) Type() string {
	if k == ViewColumn {
		return string(Column)
	}
	return string(k)
}

// IsColumn reports whether the kind is one of the two column kinds.
func (k Kind) IsColumn() bool { return k == Column || k == ViewColumn }

// Columns returns the kind of the columns of a table or view, and "" for other kinds.
func (k Kind) Columns() Kind {
	switch k {
	case Table:
		return Column
	case View:
		return ViewColumn
	}
	return ""
}

// of returns the owner's kind for a column, and the kind itself otherwise.
func (k Kind) of() Kind {
	switch k {
	case Column:
		return Table
	case ViewColumn:
		return View
	}
	return k
}

// valid reports whether the kind is known.
func (k Kind) valid() bool { return k.rank() >= 0 }

func (k Kind) rank() int {
	for i, known := range []Kind{Schema, Table, View, Function, Type} {
		if k.of() == known {
			return i
		}
	}
	return -1
}

// Name identifies an object. Names are as stored in the database: case-sensitive and unquoted.
type Name struct {
	Kind   Kind
	Schema string // "" for a schema, and if the database has none
	Object string // the schema, table, view, function or type
	Args   string // a function's argument types, in parentheses
	Column string // "" unless it is a column
}

// String returns the name without its kind: public.users, public.users.email, public.area(integer,
// integer). A part that contains a dot, quote or parenthesis, or that starts or ends with white
// space, is in double quotes.
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

// table returns the name of a column's table or view.
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

// ParseName reads the form that Name.String writes. A column is preceded by its table or view; an
// unqualified name has no schema.
func ParseName(kind Kind, text string) (Name, error) {
	n := Name{Kind: kind}
	if !kind.valid() {
		return n, fmt.Errorf("unknown kind of object %q", kind)
	}
	parts, rest, err := split(text)
	if err != nil {
		return n, err
	}
	wrong := func(want string) (Name, error) {
		return n, fmt.Errorf("%q is not the name of a %s: write it as %s", text, kind.Type(), want)
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
		return n, fmt.Errorf("%q is not the name of a %s: put double quotes around a name with parentheses", text, kind.Type())
	}
	switch {
	case len(parts) == 1:
		n.Object = parts[0]
	case kind != Schema && len(parts) == 2:
		n.Schema, n.Object = parts[0], parts[1]
	case kind == Schema:
		return wrong(`app, or '"my.app"' if it contains a dot`)
	default:
		return wrong(`public.users, or 'public."my.users"' if it contains a dot`)
	}
	return n, nil
}

// split splits a name at its dots, up to an opening parenthesis.
func split(text string) (parts []string, rest string, err error) {
	for s := text; ; {
		var part string
		if inner, quoted := strings.CutPrefix(s, `"`); quoted {
			if part, s, err = unquote(inner); err != nil {
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
			return nil, "", fmt.Errorf("%q is not a name: one of its parts is empty", text)
		}
		parts = append(parts, part)
		switch {
		case s == "" || s[0] == '(':
			return parts, s, nil
		case s[0] != '.':
			return nil, "", fmt.Errorf("%q is not a name: a dot must follow a quoted part", text)
		}
		s = s[1:]
	}
}

// unquote reads a quoted part after its opening quote.
func unquote(s string) (part, rest string, err error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `"`)
		if !found {
			return "", "", fmt.Errorf("unterminated quote")
		}
		b.WriteString(before)
		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, nil
		}
		b.WriteByte('"')
		s = after[1:]
	}
}
