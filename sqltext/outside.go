package sqltext

import (
	"slices"
	"strings"
)

// Outer is something outside of a database that a statement can reach.
type Outer string

const (
	// Roles are roles, users, their passwords, settings and memberships, which the databases of a server share.
	Roles Outer = "roles"
	// Databases are the other databases of the server, and what the server keeps about a database from outside:
	// its owner, its settings, who may connect.
	Databases Outer = "databases"
	// Tablespaces are places in which a server keeps files.
	Tablespaces Outer = "tablespaces"
	// ServerSettings are settings that hold for the whole server.
	ServerSettings Outer = "settings"
	// ServerWork is what the server does: its processes, its log, its plugins, its replication.
	ServerWork Outer = "server"
	// Files are files that a statement writes, or other database files that it opens.
	Files Outer = "files"
	// Programs are programs that the server runs, and code in it that nothing confines.
	Programs Outer = "programs"
	// OtherServers are servers that a statement connects to.
	OtherServers Outer = "servers"
)

// Outers returns all of them.
func Outers() []Outer {
	return []Outer{Roles, Databases, Tablespaces, ServerSettings, ServerWork, Files, Programs, OtherServers}
}

// Beyond reports whether o is outside of the server, too, so that a server which nobody else uses does not confine
// what is done to it.
func (o Outer) Beyond() bool { return o == Files || o == Programs || o == OtherServers }

// Effect is one way in which a statement reaches out of the database that it is run in.
type Effect struct {
	Outer Outer
	// Pos is where the words are that say so, and Words are these words, for messages: "CREATE ROLE".
	Pos   Position
	Words string
	// Maybe reports that the words are in the body of a routine or a block, or in a string that is
	// executed: the text does not tell whether, and with what, they are run.
	Maybe bool
	// Whole reports that the statement does nothing else: without it the schema of the database itself is the same.
	Whole bool
}

// Outside returns how a statement reaches out of its database: what it changes, sends or starts there. A statement
// that only reads what is outside is not reported. own are the names of the database that the statement is run in,
// which are inside of it.
//
// It sees the text alone. It looks into blocks, bodies of routines and strings that are executed, and reports what they
// mention; it does not see statements that are put together from parts, what a called function does that is not
// defined in the text, or that a table is a foreign one.
func (st Statement) Outside(d Dialect, own ...string) []Effect {
	if st.Kind != SQL && st.Kind != CopyIn {
		return nil
	}
	o := &outside{dialect: d, own: own, st: st}
	switch d {
	case PostgreSQL:
		o.postgres([]byte(st.Text), 0)
	case SQLite:
		o.sqlite([]byte(st.Text))
	case MySQL:
		o.mysql([]byte(st.Text), 0)
	}
	return o.effects
}

// outside collects the effects of a statement.
type outside struct {
	dialect Dialect
	own     []string
	st      Statement

	inside int // how deep the text at hand is in bodies and strings

	effects []Effect
}

// maxNested bounds how deep strings in strings are looked into.
const maxNested = 8

// tokens begins to read a text.
func (o *outside) tokens(text []byte) *classifier {
	c := &classifier{dialect: o.dialect, text: text}
	c.lex = lexer{rules: rulesOf(o.dialect), b: text}
	c.lex.class = &c.lex.rules.fine
	c.next()
	return c
}

// found notes an effect, once for each words of a statement. at is the place in the statement's text.
func (o *outside) found(outer Outer, at int, words string, whole bool) {
	e := Effect{Outer: outer, Words: words, Maybe: o.inside > 0, Whole: whole && o.inside == 0}
	if slices.ContainsFunc(o.effects, func(f Effect) bool { return f.Outer == outer && f.Words == words }) {
		return
	}
	p := place{offset: o.st.Pos.Offset, line: o.st.Pos.Line, column: o.st.Pos.Column}
	p.advance([]byte(o.st.Text[:min(at, len(o.st.Text))]))
	e.Pos = p.in(o.st.Pos.File)
	o.effects = append(o.effects, e)
}

// perhaps notes an effect of which the text does not tell whether the statement has it.
func (o *outside) perhaps(outer Outer, at int, words string) {
	o.inside++
	o.found(outer, at, words, false)
	o.inside--
}

// isOwn reports whether the name at hand is that of the statement's own database.
func (o *outside) isOwn(c *classifier) bool {
	name := ""
	switch c.kind {
	case TokenWord:
		name = string(c.token())
		if o.dialect == PostgreSQL {
			name = strings.ToLower(name)
		}
	case TokenName:
		name = string(unquoteName(c.token()))
	case TokenString:
		if c.ansiName() {
			name = string(unquoteName(c.token()))
		}
	}
	return name != "" && slices.Contains(o.own, name)
}

// oneOf reports whether the token at hand is one of the names, which are lower case.
func (c *classifier) oneOf(names ...string) bool {
	return slices.Contains(names, c.name())
}

// name returns the name at hand, unquoted and in lower case.
func (c *classifier) name() string {
	switch c.kind {
	case TokenWord:
		return strings.ToLower(string(c.token()))
	case TokenName:
		return strings.ToLower(string(unquoteName(c.token())))
	case TokenString:
		if c.ansiName() {
			return strings.ToLower(string(unquoteName(c.token())))
		}
	}
	return ""
}

// ansiName reports whether the string at hand is a name if sql_mode has ANSI_QUOTES, of which the text alone does not tell.
func (c *classifier) ansiName() bool {
	return c.dialect == MySQL && c.kind == TokenString && c.text[c.from] == '"'
}

// called reports whether the name at hand is that of a function which is called.
func (c *classifier) called() bool {
	if c.kind != TokenWord && c.kind != TokenName && !c.ansiName() {
		return false
	}
	ahead := *c
	ahead.next()
	return ahead.kind == tOpen
}
