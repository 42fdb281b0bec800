package sqltext

// Param is a named parameter of a statement: ":first", or ":first.tenant_id" for a part of it.
type Param struct {
	// Name is the word after the colon, as written.
	Name string
	// Column is the name after the dot, as [Token.Name] returns it, and "" for none.
	Column string
	// From and To are the bounds of the parameter in the statement's Text, in bytes.
	From, To int
}

// Params returns the named parameters of the statement, in their order. What is in a string, a
// comment or a quoted name is none, and neither are a cast (::type), an assignment (:=), the bounds
// of an array slice ([1:n]), nor the parameters that a server itself has (see Placeholder).
func (st Statement) Params(d Dialect) []Param {
	var all []Param
	l := List(st.Text, d)
	var read sliceReader
	for i := 0; i < len(l); i++ {
		if read.see(l, i, d) || !l[i].Is(":") {
			continue
		}
		name := l.At(i + 1)
		switch {
		case name.Is(":") && name.Pos == l[i].End(), name.Is("=") && name.Pos == l[i].End():
			i++ // a cast or an assignment
		case name.Kind == TokenWord && name.Pos == l[i].End():
			p := Param{Name: name.Text, From: l[i].Pos, To: name.End()}
			i++
			if n := l.part(i); n > 0 {
				i += n
				p.Column, p.To = l[i].Name(), l[i].End()
			}
			all = append(all, p)
		}
	}
	return all
}

// part returns 2 if the token at i is followed by a dot and a name, without white space, else 0.
func (l TokenList) part(i int) int {
	dot, name := l.At(i+1), l.At(i+2)
	if dot.Is(".") && dot.Pos == l[i].End() && name.Pos == dot.End() && name.Name() != "" {
		return 2
	}
	return 0
}

// sliceReader tells the colon of a PostgreSQL array slice from that of a parameter.
type sliceReader struct {
	open []bracket
}

type bracket struct {
	kind  bracketKind
	colon bool // the colon of the slice has been read
}

type bracketKind uint8

const (
	inParens    bracketKind = iota
	inArray                 // ARRAY[…], and […] within it
	inSubscript             // of an element or a slice
)

// see follows the token at i, and reports whether it is the colon of a slice.
func (s *sliceReader) see(l TokenList, i int, d Dialect) bool {
	if d != PostgreSQL {
		return false
	}
	n := len(s.open)
	switch t := l[i]; {
	case t.Is("("):
		s.open = append(s.open, bracket{})
	case t.Is("["):
		kind := inSubscript
		if l.At(i-1).Is("ARRAY") || n > 0 && s.open[n-1].kind == inArray && l.Any(i-1, "[", ",") {
			kind = inArray
		}
		s.open = append(s.open, bracket{kind: kind})
	case (t.Is(")") || t.Is("]")) && n > 0:
		s.open = s.open[:n-1]
	case t.Is(":") && n > 0 && s.open[n-1].kind == inSubscript && !s.open[n-1].colon:
		if next := l.At(i + 1); next.Is(":") && next.Pos == t.End() {
			return false // a cast
		}
		s.open[n-1].colon = true
		return true
	}
	return false
}

// Placeholder returns the first parameter in the server's own notation, such as $1 or ?, which only
// a client can give a value. ok is false if the statement has none.
func (st Statement) Placeholder(d Dialect) (text string, pos Position, ok bool) {
	l := List(st.Text, d)
	for i, t := range l {
		next := l.At(i + 1)
		adjacent := next.Pos == t.End() && (next.Kind == TokenWord || next.Kind == TokenNumber)
		switch {
		case d == PostgreSQL && t.Kind == TokenPunct && len(t.Text) > 1 && t.Text[0] == '$':
			text = t.Text
		case d != PostgreSQL && t.Is("?"):
			text = "?"
			if d == SQLite && adjacent && next.Kind == TokenNumber {
				text += next.Text
			}
		case d == SQLite && adjacent && (t.Is("@") || t.Is("$")):
			text = t.Text + next.Text
		default:
			continue
		}
		return text, st.PositionAt(t.Pos), true
	}
	return "", st.Pos, false
}
