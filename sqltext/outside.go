package sqltext

import (
	"slices"
	"strings"
)

// Outer is a kind of thing outside a database that a statement can reach.
type Outer string

const (
	// Roles are roles and users with their passwords, settings and memberships, which all databases
	// of a server share.
	Roles Outer = "roles"
	// Databases are the other databases of the server, and what the server stores about a database:
	// its owner, its settings, who may connect.
	Databases Outer = "databases"
	// Tablespaces are directories in which a server keeps files.
	Tablespaces Outer = "tablespaces"
	// ServerSettings are settings of the whole server.
	ServerSettings Outer = "settings"
	// ServerWork is the server's own activity: its processes, log, plugins and replication.
	ServerWork Outer = "server"
	// Files are files that a statement writes, or other database files that it opens.
	Files Outer = "files"
	// Programs are programs that the server starts, and unconfined code in the server.
	Programs Outer = "programs"
	// OtherServers are servers that a statement connects to.
	OtherServers Outer = "servers"
)

// Outers returns all kinds.
func Outers() []Outer {
	return []Outer{Roles, Databases, Tablespaces, ServerSettings, ServerWork, Files, Programs, OtherServers}
}

// Beyond reports whether o is outside the server too, so that not even a server of its own confines
// the statement.
func (o Outer) Beyond() bool { return o == Files || o == Programs || o == OtherServers }

// Effect is one way in which a statement reaches outside its database.
type Effect struct {
	Outer Outer
	// Pos is the position of the words that show the effect. Words are these words, for messages:
	// "CREATE ROLE".
	Pos   Position
	Words string
	// Maybe reports that the words are in the body of a routine or a block, or in a string that is
	// executed. The text does not tell whether, and with which values, they run.
	Maybe bool
	// Whole reports that the statement has no other effect: the schema of the database is the same
	// without it.
	Whole bool
}

// Outside returns what the statement changes, sends or starts outside its database. It does not
// report statements that only read there. own are the names of the statement's database, which is
// not outside.
//
// Outside sees only the text. It looks into blocks, bodies of routines and strings that are
// executed. It does not see statements that are concatenated, the effects of functions that the
// text does not define, or whether a table is a foreign table.
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

// maxNested limits how deep strings within strings are searched.
const maxNested = 8

// tokens begins to read a text.
func (o *outside) tokens(text []byte) *classifier {
	c := &classifier{dialect: o.dialect, text: text}
	c.lex = lexer{rules: rulesOf(o.dialect), b: text}
	c.lex.class = &c.lex.rules.fine
	c.next()
	return c
}

// found adds an effect, unless the statement already has one with the same words. at is the offset
// in the statement's text.
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

// perhaps adds an effect that the statement may or may not have.
func (o *outside) perhaps(outer Outer, at int, words string) {
	o.inside++
	o.found(outer, at, words, false)
	o.inside--
}

// isOwn reports whether the current token names the statement's own database.
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

// oneOf reports whether the current token is one of the names, which are in lower case.
func (c *classifier) oneOf(names ...string) bool {
	return slices.Contains(names, c.name())
}

// name returns the current name, unquoted and in lower case.
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

// ansiName reports whether the current string is a name if sql_mode has ANSI_QUOTES. The text alone
// does not tell.
func (c *classifier) ansiName() bool {
	return c.dialect == MySQL && c.kind == TokenString && c.text[c.from] == '"'
}

// called reports whether the current name is that of a function call.
func (c *classifier) called() bool {
	if c.kind != TokenWord && c.kind != TokenName && !c.ansiName() {
		return false
	}
	ahead := *c
	ahead.next()
	return ahead.kind == tOpen
}
