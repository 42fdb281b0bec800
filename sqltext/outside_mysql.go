package sqltext

import (
	"slices"
	"strings"
)

// mysql reads a text that begins at an offset of the statement: the statement itself, or a string
// that it executes.
func (o *outside) mysql(text []byte, at int) {
	c := o.tokens(text)
	m := mysqlOutside{outside: o, at: at, names: namesAlone(*c), top: o.inside == 0}
	m.strings = o.inside == 0 && runsStrings(*c)
	if c.word == "CREATE" || c.word == "ALTER" {
		ahead := *c
		ahead.next()
		skipDefiner(&ahead)
		m.routine = routines[ahead.word]
	}
	start := true
	for c.kind != tEOF {
		if start || m.body {
			m.statement(*c, start)
		}
		opens := m.top && !m.body && m.opensBody(c)
		m.anywhere(c)
		if opens {
			m.body = true
			o.inside++
		}
		start = m.body && startsMySQL(c) || start && c.word == "FOR"
		m.before, m.previous = m.previous, mysqlToken{c.kind, c.word, c.punct('@'), c.punct(']')}
		c.next()
	}
	if m.top && m.body {
		o.inside--
	}
}

// mysqlOutside is the state of reading a MySQL text.
type mysqlOutside struct {
	*outside
	at      int
	names   map[string]bool // those that the text has somewhere without a name before or behind them
	top     bool            // the text is the statement itself
	routine bool            // it creates or alters a routine, a trigger or an event
	body    bool            // the tokens at hand are those of a routine or a block
	strings bool            // its strings may be executed
	opened  []string        // the words before the parentheses that are open

	previous, before mysqlToken
}

// routines are what has a body.
var routines = map[string]bool{"PROCEDURE": true, "FUNCTION": true, "TRIGGER": true, "EVENT": true, "PACKAGE": true}

type mysqlToken struct {
	kind        TokenKind
	word        string
	at, bracket bool
}

// startsMySQL reports whether a statement of a block can begin after the current token.
func startsMySQL(c *classifier) bool {
	switch c.word {
	case "BEGIN", "THEN", "ELSE", "LOOP", "DO", "REPEAT", "ROW":
		return true
	}
	return c.kind == tSemi || c.punct(':')
}

// opensBody reports whether a body begins after the current token, which is the name of a routine
// or begins a block.
func (m *mysqlOutside) opensBody(c *classifier) bool {
	switch m.previous.word {
	case "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE", "EXISTS":
		return m.routine && c.word != "IF" && c.word != "BODY"
	case "IF", "BODY":
		return m.routine && c.word != "NOT"
	}
	switch c.word {
	case "BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR":
		return m.previous.kind == tEOF // as MariaDB's blocks outside of routines
	}
	return false
}

// runsStrings reports whether a statement may execute its strings: it prepares them, or stores them
// in a variable for that.
func runsStrings(c classifier) bool {
	switch c.word {
	case "PREPARE", "EXECUTE":
		return true
	case "SET":
		for ; c.kind != tEOF; c.next() {
			if c.punct('@') {
				return true
			}
		}
	case "SELECT", "WITH":
		for ; c.kind != tEOF; c.next() {
			if c.word != "INTO" {
				continue
			}
			if c.next(); c.punct('@') {
				return true
			}
		}
	}
	return false
}

// statement examines a statement by its first words. In a body it is called for every token; start
// says that a statement can begin here.
func (m *mysqlOutside) statement(c classifier, start bool) {
	at, first := m.at+c.from, c.word
	switch first {
	case "CREATE", "ALTER", "DROP", "RENAME":
		c.next()
		m.ddl(c, at, first)
	case "GRANT", "REVOKE":
		m.found(Roles, at, first, true)
	case "SET":
		c.next()
		m.set(c, at)
	case "USE":
		if c.next(); c.word != "INDEX" && c.word != "KEY" && !m.isOwn(&c) {
			m.found(Databases, at, "USE", false)
		}
	case "KILL", "PURGE":
		m.found(ServerWork, at, first, true)
	}
	if !start {
		return
	}
	switch first {
	case "FLUSH", "RESET", "SHUTDOWN", "RESTART", "CHANGE", "STOP", "CLONE", "BINLOG":
		m.found(ServerWork, at, first, true)
	case "START":
		if c.next(); c.word != "TRANSACTION" {
			m.found(ServerWork, at, "START "+c.word, true)
		}
	case "LOCK", "BACKUP", "CACHE":
		if c.next(); c.word == "INSTANCE" || c.word == "STAGE" || c.word == "INDEX" {
			m.found(ServerWork, at, first+" "+c.word, true)
		}
	case "INSTALL", "UNINSTALL":
		c.next()
		m.found(Programs, at, first+" "+c.word, true)
	}
}

func (m *mysqlOutside) ddl(c classifier, at int, first string) {
	skipDefiner(&c)
	switch noun := c.word; noun {
	case "USER", "ROLE":
		m.found(Roles, at, first+" "+noun, true)
	case "DATABASE", "SCHEMA":
		c.next()
		c.takeAny("IF", "NOT", "EXISTS")
		if !mysqlDefaults[c.word] && c.kind != tEOF && !m.isOwn(&c) {
			m.found(Databases, at, first+" "+noun, true)
		}
	case "SERVER":
		m.found(OtherServers, at, first+" SERVER", false)
	case "TABLESPACE", "LOGFILE":
		m.found(Tablespaces, at, first+" "+noun, true)
	case "INSTANCE", "RESOURCE":
		m.found(ServerWork, at, first+" "+noun, true)
	case "TABLE":
		if first != "DROP" {
			m.table(c)
		}
	case "FUNCTION":
		for ; c.kind != tEOF && c.kind != tSemi; c.next() {
			if c.word == "SONAME" {
				m.found(Programs, at, "CREATE FUNCTION SONAME", false)
			}
		}
	}
}

// skipDefiner moves past the words between CREATE and the kind of object.
func skipDefiner(c *classifier) {
	for {
		switch c.word {
		case "OR", "REPLACE", "TEMPORARY", "UNIQUE", "FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE", "IGNORE", "AGGREGATE", "UNDO":
			c.next()
		case "SQL":
			c.next()
			c.next()
			c.next()
		case "ALGORITHM", "DEFINER":
			c.next()
			c.next() // =
			c.next()
			if c.kind == tOpen { // CURRENT_USER()
				c.skipParens()
			}
			if c.punct('@') {
				c.next()
				c.takeName()
			}
		default:
			return
		}
	}
}

// mysqlDefaults are the words that can follow ALTER DATABASE without a name, which means the
// session's database.
var mysqlDefaults = map[string]bool{"DEFAULT": true, "CHARACTER": true, "CHARSET": true, "COLLATE": true, "ENCRYPTION": true, "READ": true, "COMMENT": true}

// table finds where the rows of a table are stored.
func (m *mysqlOutside) table(c classifier) {
	for ; c.kind != tEOF && c.kind != tSemi; c.next() {
		at := m.at + c.from
		switch c.word {
		case "ENGINE", "TYPE":
			c.next()
			if c.punct('=') {
				c.next()
			}
			engine := strings.ToUpper(c.name())
			if c.kind == TokenString {
				engine = strings.ToUpper(unquoteMySQL(string(c.token())))
			}
			switch engine {
			case "FEDERATED", "FEDERATEDX", "SPIDER", "CONNECT", "S3", "OQGRAPH":
				m.found(OtherServers, at, "ENGINE = "+engine, false)
			}
		case "DATA", "INDEX":
			word := c.word
			ahead := c
			if ahead.next(); ahead.word == "DIRECTORY" {
				m.found(Files, at, word+" DIRECTORY", false)
			}
		}
	}
}

// set finds out whose settings are changed. A SET can have several assignments.
func (m *mysqlOutside) set(c classifier, at int) {
	switch c.word {
	case "PASSWORD":
		m.found(Roles, at, "SET PASSWORD", true)
		return
	case "DEFAULT":
		if c.next(); c.word == "ROLE" {
			m.found(Roles, at, "SET DEFAULT ROLE", true)
		}
		return
	case "STATEMENT": // MariaDB: SET STATEMENT … FOR statement
		for ; c.kind != tEOF; c.next() {
			if c.take("FOR") {
				m.statement(c, true)
				return
			}
		}
		return
	}
	several := severalAssignments(c)
	ats := 0
	for ; c.kind != tEOF && c.kind != tSemi; c.next() {
		switch {
		case c.punct('@'):
			ats++
			continue
		case c.word == "GLOBAL" || c.word == "PERSIST" || c.word == "PERSIST_ONLY":
			if (ats == 2 || ats == 0) && assigned(c, ats == 2) {
				m.found(ServerSettings, at, "SET "+c.word, !several)
			}
		case c.oneOf("sql_log_bin", "gtid_next", "pseudo_slave_mode") && assigned(c, false):
			m.found(ServerWork, at, "SET "+c.name(), !several)
		}
		ats = 0
	}
}

// severalAssignments reports whether a SET assigns to more than one variable.
func severalAssignments(c classifier) bool {
	for depth := 0; c.kind != tEOF && c.kind != tSemi; c.next() {
		switch {
		case c.kind == tOpen:
			depth++
		case c.kind == tClose:
			depth--
		case depth == 0 && c.punct(','):
			return true
		}
	}
	return false
}

// assigned reports whether the current variable, or the one that follows the current scope, is
// assigned a value.
func assigned(c classifier, dotted bool) bool {
	scope := c.word == "GLOBAL" || c.word == "PERSIST" || c.word == "PERSIST_ONLY"
	c.next()
	if scope {
		if dotted != c.punct('.') {
			return false
		}
		if dotted {
			c.next()
		}
		c.takeName() // of a key cache, with a dot in it
	}
	return c.punct('=') || c.punct(':')
}

// anywhere examines what can be in the middle of a statement: names qualified with another
// database, calls, files, strings that are executed. It may move to the end of a name.
func (m *mysqlOutside) anywhere(c *classifier) {
	at := m.at + c.from
	switch {
	case c.kind == tOpen:
		m.opened = append(m.opened, m.previous.word)
	case c.kind == tClose:
		m.opened = m.opened[:max(len(m.opened)-1, 0)]
	case c.word == "INTO":
		if ahead := *c; true {
			if ahead.next(); ahead.word == "OUTFILE" || ahead.word == "DUMPFILE" {
				m.found(Files, at, "INTO "+ahead.word, true)
			}
		}
	case c.punct('.'):
		ahead := *c
		if ahead.next(); m.previous.bracket || ahead.punct('[') { // a quoted name, as MariaDB has them where sql_mode is MSSQL
			m.perhaps(Databases, at, "a qualified name in brackets")
		}
	case c.kind == TokenString:
		if c.ansiName() {
			from := c.from
			if m.name(c); c.from != from {
				return // a qualified name
			}
		}
		if m.strings || m.body && m.previous.word != "COMMENT" && m.before.word != "MESSAGE_TEXT" {
			m.text(c, at)
		}
	case c.kind == TokenWord || c.kind == TokenName:
		m.name(c)
	}
}

// name examines a word that may be a name.
func (m *mysqlOutside) name(c *classifier) {
	if c.called() && c.oneOf("sys_exec", "sys_eval", "lib_mysqludf_sys_info") {
		m.found(Programs, m.at+c.from, c.name()+"()", false)
	}
	m.qualified(c)
}

// text searches a string that may be executed.
func (m *mysqlOutside) text(c *classifier, at int) {
	tok := c.token()
	if m.inside >= maxNested || len(tok) < 2 {
		return
	}
	inner := []byte(unquoteMySQL(string(tok)))
	head := m.tokens(inner)
	if !mysqlVerbs[head.word] {
		return // a text that is no statement may have dots in it
	}
	one := outside{dialect: m.dialect, own: m.own, inside: m.inside + 1}
	one.mysql(inner, 0)
	m.inside++
	for _, e := range one.effects {
		m.found(e.Outer, at, e.Words, false)
	}
	m.inside--
}

var mysqlVerbs = map[string]bool{
	"SELECT": true, "INSERT": true, "UPDATE": true, "DELETE": true, "REPLACE": true, "CREATE": true, "ALTER": true, "DROP": true, "RENAME": true,
	"TRUNCATE": true, "CALL": true, "USE": true, "WITH": true, "SET": true, "LOCK": true, "GRANT": true, "REVOKE": true, "FLUSH": true, "KILL": true,
	"PURGE": true, "RESET": true, "INSTALL": true, "UNINSTALL": true, "LOAD": true, "SHUTDOWN": true, "CHANGE": true, "START": true, "STOP": true, "BEGIN": true,
}

// unquoteMySQL returns the value of a string.
func unquoteMySQL(tok string) string {
	var b strings.Builder
	inner := tok[1 : len(tok)-1]
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		switch {
		case c == tok[0]:
			i++ // it is doubled
		case c == '\\' && i+1 < len(inner):
			i++
			c = inner[i]
			if at := strings.IndexByte("0nrtbZ", c); at >= 0 {
				c = "\x00\n\r\t\b\x1a"[at]
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// qualified records a name that is qualified with another database, and moves to the last part of
// the name. In a name with one dot, the qualifier may be a table or its alias instead: then the
// statement mentions it elsewhere without a qualifier.
func (m *mysqlOutside) qualified(c *classifier) {
	host := m.previous.at
	ahead := *c
	var parts []classifier
	for {
		parts = append(parts, ahead)
		if ahead.next(); !ahead.punct('.') {
			break
		}
		if ahead.next(); ahead.kind != TokenWord && ahead.kind != TokenName && !ahead.ansiName() {
			break // as in t.*
		}
	}
	if len(parts) == 1 {
		return
	}
	first, last := parts[0], parts[len(parts)-1]
	at := m.at + c.from
	inTable, writes := m.tablePosition()
	*c = last
	name := first.name()
	switch {
	case host || m.isOwn(&first):
		return
	case slices.Contains([]string{"information_schema", "performance_schema", "mysql", "sys"}, name):
		if !writes {
			return // which is the server's own, and is read
		}
	case last.oneOf("nextval", "currval", "lastval"), name == "new", name == "old":
		return
	case len(parts) > 2, inTable, ahead.kind == tOpen:
	case m.names[name]:
		return
	}
	m.found(Databases, at, "the name "+string(first.token())+"."+string(parts[1].token()), false)
}

// tablePosition reports whether a name at this place is that of a table or another object, not of a
// column, and whether the statement writes to it.
func (m *mysqlOutside) tablePosition() (object, writes bool) {
	before := m.before.word
	switch m.previous.word {
	case "INTO", "TABLE", "TABLES", "TRUNCATE", "CALL", "INSERT", "REPLACE":
		return true, true
	case "UPDATE", "LOW_PRIORITY", "IGNORE":
		return before != "KEY", before != "KEY"
	case "FROM":
		if n := len(m.opened); n > 0 && slices.Contains([]string{"EXTRACT", "TRIM", "SUBSTRING", "SUBSTR", "MID"}, m.opened[n-1]) {
			return false, false
		}
		return true, before == "DELETE" || before == "QUICK" || before == "IGNORE"
	case "JOIN", "STRAIGHT_JOIN", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "SEQUENCE", "REFERENCES", "EXISTS", "RENAME":
		return true, false
	}
	return false, false
}

// namesAlone returns the names that appear somewhere in a text without another name before or after
// them.
func namesAlone(c classifier) map[string]bool {
	names := map[string]bool{}
	dot := false // before the token at hand
	for c.kind != tEOF {
		name := c.name()
		c.next()
		if name != "" && (dot || !c.punct('.')) {
			names[name] = true // also the last part of a longer one, as in FROM shop.users … users.id
		}
		dot = c.punct('.')
		if dot {
			c.next()
		}
	}
	return names
}
