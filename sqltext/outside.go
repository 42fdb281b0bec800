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
	o := &outside{own: own, st: st}
	text := []byte(st.Text)
	switch d {
	case PostgreSQL:
		o.postgres(text, 0)
	case SQLite:
		o.sqlite(newCursor(text, d, sqliteRules))
	case MySQL:
		o.mysql(text, 0)
	}
	return o.effects
}

// outside collects the effects of a statement.
type outside struct {
	own []string
	st  Statement

	inside int // how deep the current text is in bodies and strings

	effects []Effect
}

// maxNested limits how deep strings within strings are searched.
const maxNested = 8

// outsideRule is an effect of the statements that fit a pattern of [cursor.match]. A pattern that
// begins with "^ " fits only at the beginning of a statement. An effect on Databases requires that
// the name after the pattern is not the statement's own database.
type outsideRule struct {
	pattern string
	outer   Outer
	whole   bool
}

// byRules records the effects of a statement whose first words begin at the current token. start
// says that a statement can begin here.
func (o *outside) byRules(rules []outsideRule, c cursor, at int, start bool) {
	for _, r := range rules {
		pattern, first := strings.CutPrefix(r.pattern, "^ ")
		if first && !start {
			continue
		}
		if rest, words, ok := c.match(pattern); ok && (r.outer != Databases || !o.isOwn(rest)) {
			o.found(r.outer, at+c.from, words, r.whole)
		}
	}
}

// found adds an effect, unless the statement already has one with the same words. at is the offset
// in the statement's text.
func (o *outside) found(outer Outer, at int, words string, whole bool) {
	if !slices.ContainsFunc(o.effects, func(f Effect) bool { return f.Outer == outer && f.Words == words }) {
		o.effects = append(o.effects, Effect{outer, o.st.PositionAt(at), words, o.inside > 0, whole && o.inside == 0})
	}
}

// perhaps adds an effect that the statement may or may not have.
func (o *outside) perhaps(outer Outer, at int, words string) {
	o.inside++
	o.found(outer, at, words, false)
	o.inside--
}

// isOwn reports whether the current token names the statement's own database.
func (o *outside) isOwn(c cursor) bool {
	return c.kind != tEOF && slices.Contains(o.own, c.asToken().Name())
}
