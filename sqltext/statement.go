package sqltext

import "bytes"

// PositionAt returns the position of an offset in bytes in the statement's text.
func (st Statement) PositionAt(at int) Position {
	p := place{offset: st.Pos.Offset, line: st.Pos.Line, column: st.Pos.Column}
	p.advance([]byte(st.Text[:min(at, len(st.Text))]))
	return p.in(st.Pos.File)
}

// Verb returns the keyword that the statement begins with, in upper case: "CREATE", "SELECT". It
// skips parentheses before the keyword, and returns "" if there is none.
func (st Statement) Verb() string {
	const far = 1024 // enough for comments between parentheses
	n := 0
	for n < len(st.Text) && isLetter(st.Text[n]) {
		n++
	}
	if n > 0 {
		return keyword([]byte(st.Text[:n]))
	}
	for t := range Tokens(st.Text[:min(len(st.Text), far)], MySQL) { // which has versioned comments
		if !t.Is("(") {
			if t.Kind != TokenWord {
				return ""
			}
			return keyword([]byte(t.Text))
		}
	}
	return ""
}

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// DroppedDatabase returns the name of the database that a DROP DATABASE drops. In MySQL, DROP
// SCHEMA is the same.
func (st Statement) DroppedDatabase(d Dialect) (name string, ok bool) {
	if st.Verb() != "DROP" {
		return "", false
	}
	pattern := "DROP DATABASE IF|EXISTS*"
	if d == MySQL {
		pattern = "DROP DATABASE|SCHEMA IF|EXISTS*"
	}
	return st.nameAfter(d, pattern)
}

// CreatedSchema returns the name of the schema that a CREATE SCHEMA creates, as the database stores
// it, and "" for any other statement.
func (st Statement) CreatedSchema(d Dialect) string {
	if st.Verb() != "CREATE" {
		return ""
	}
	// Without a name it is named after the role.
	name, _ := st.nameAfter(d, "CREATE SCHEMA IF|NOT|EXISTS* AUTHORIZATION*")
	return name
}

// nameAfter returns the name that follows a pattern of [cursor.match].
func (st Statement) nameAfter(d Dialect, pattern string) (name string, ok bool) {
	rest, _, ok := newCursor([]byte(st.Text), d, rulesOf(d)).match(pattern)
	if !ok {
		return "", false
	}
	return rest.asToken().Name(), true
}

// SetsSession reports whether the statement only changes settings of the session, so that another
// session can execute it too: SET and similar statements, and queries that call set_config.
func (st Statement) SetsSession() bool {
	switch st.Verb() {
	case "SET", "RESET", "USE", "PRAGMA", "ATTACH", "DETACH":
		return st.Session
	case "SELECT":
		if !st.Session {
			return false
		}
		for c := newCursor([]byte(st.Text), PostgreSQL, postgresRules); c.kind != tEOF; c.next() {
			if c.name() == "set_config" && c.called() {
				return true
			}
		}
	}
	return false
}

// Comments returns the comments before the statement, without their marks. It leaves out a line
// comment that is on the last line of the previous statement.
func (st Statement) Comments(d Dialect) (all []string) {
	l := lexer{rules: rulesOf(d), b: []byte(st.Raw[:st.Pos.Offset-st.Start.Offset])}
	ownLine := st.Start.Column <= 1
	for i := 0; i < len(l.b); {
		switch c := l.b[i]; {
		case bytes.HasPrefix(l.b[i:], []byte("/*")):
			l.blockComment(i)
			all = append(all, string(l.b[i+2:l.i-2]))
			i = l.i
		case c == '-', c == '#':
			l.lineComment(i)
			if ownLine {
				all = append(all, string(bytes.TrimLeft(l.b[i:l.i], "-#")))
			}
			i = l.i
		default:
			ownLine = ownLine || c == '\n'
			i++
		}
	}
	return all
}
