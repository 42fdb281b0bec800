package sqltext

import "strings"

// mysqlOutside are the statements with effects outside the database.
var mysqlOutside = []outsideRule{
	{"CREATE|ALTER|DROP|RENAME ~ USER|ROLE", Roles, true},
	{"CREATE|ALTER|DROP|RENAME ~ DATABASE|SCHEMA IF|NOT|EXISTS* !DEFAULT|CHARACTER|CHARSET|COLLATE|ENCRYPTION|READ|COMMENT", Databases, true},
	{"CREATE|ALTER|DROP|RENAME ~ SERVER", OtherServers, false},
	{"CREATE|ALTER|DROP|RENAME ~ TABLESPACE|LOGFILE", Tablespaces, true},
	{"CREATE|ALTER|DROP|RENAME ~ INSTANCE|RESOURCE", ServerWork, true},
	{"CREATE ~ FUNCTION …SONAME _", Programs, false},
	{"GRANT|REVOKE", Roles, true},
	{"SET PASSWORD", Roles, true},
	{"SET DEFAULT ROLE", Roles, true},
	{"USE !INDEX|KEY", Databases, false},
	{"KILL|PURGE", ServerWork, true},
	{"^ FLUSH|RESET|SHUTDOWN|RESTART|CHANGE|STOP|CLONE|BINLOG", ServerWork, true},
	{"^ START !TRANSACTION _", ServerWork, true},
	{"^ LOCK|BACKUP|CACHE INSTANCE|STAGE|INDEX", ServerWork, true},
	{"^ INSTALL|UNINSTALL _", Programs, true},
}

// mysql reads a text that begins at an offset of the statement: the statement itself, or a string
// that it executes.
func (o *outside) mysql(text []byte, at int) {
	c := newCursor(text, MySQL, mysqlRules)
	m := mysqlReader{outside: o, cursor: c, at: at, names: namesAlone(c), top: o.inside == 0}
	m.strings = m.top && runsStrings(c)
	_, _, m.routine = c.match("CREATE|ALTER ~ PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE")
	start := true
	for m.kind != tEOF {
		if start || m.body {
			m.statement(m.cursor, start)
		}
		opens := m.top && !m.body && m.opensBody()
		m.anywhere()
		if opens {
			m.body = true
			o.inside++
		}
		start = m.body && m.startsStatement() || start && m.word == "FOR"
		m.before, m.previous = m.previous, mysqlToken{m.kind, m.word, m.punct('@'), m.punct(']')}
		m.next()
	}
	if m.top && m.body {
		o.inside--
	}
}

// mysqlReader is the state of reading a MySQL text.
type mysqlReader struct {
	*outside
	cursor
	at      int
	names   map[string]bool // those that the text has somewhere without a name before or after them
	top     bool            // the text is the statement itself
	routine bool            // it creates or alters a routine, a trigger or an event
	body    bool            // the current token belongs to a routine or a block
	strings bool            // its strings may be executed
	opened  []string        // the words before the parentheses that are open

	previous, before mysqlToken
}

type mysqlToken struct {
	kind        TokenKind
	word        string
	at, bracket bool
}

// startsStatement reports whether a statement of a block can begin after the current token.
func (m *mysqlReader) startsStatement() bool {
	return listed("BEGIN|THEN|ELSE|LOOP|DO|REPEAT|ROW", m.word) || m.kind == tSemi || m.punct(':')
}

// opensBody reports whether a body begins after the current token, which is the name of a routine
// or begins a block.
func (m *mysqlReader) opensBody() bool {
	switch m.previous.word {
	case "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE", "EXISTS":
		return m.routine && m.word != "IF" && m.word != "BODY"
	case "IF", "BODY":
		return m.routine && m.word != "NOT"
	}
	// MariaDB's blocks outside of routines
	return m.previous.kind == tEOF && listed("BEGIN|IF|CASE|LOOP|WHILE|REPEAT|FOR", m.word)
}

// runsStrings reports whether a statement may execute its strings: it prepares them, or stores them
// in a variable for that.
func runsStrings(c cursor) bool {
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
			if next := c.ahead(); c.word == "INTO" && next.punct('@') {
				return true
			}
		}
	}
	return false
}

// statement examines a statement by its first words. In a body it is called for every token; start
// says that a statement can begin here.
func (m *mysqlReader) statement(c cursor, start bool) {
	if c.word == "" {
		return
	}
	m.byRules(mysqlOutside, c, m.at, start)
	if c.word == "SET" {
		m.set(c)
	} else if rest, _, ok := c.match("CREATE|ALTER|RENAME ~ TABLE"); ok {
		m.table(rest)
	}
}

// table finds where the rows of a table are stored.
func (m *mysqlReader) table(c cursor) {
	for ; !c.ended(); c.next() {
		at := m.at + c.from
		if _, words, ok := c.match("DATA|INDEX DIRECTORY"); ok {
			m.found(Files, at, words, false)
		}
		if listed("ENGINE|TYPE", c.word) {
			c.next()
			c.takePunct('=')
			if engine := strings.ToUpper(c.value()); listed("FEDERATED|FEDERATEDX|SPIDER|CONNECT|S3|OQGRAPH", engine) {
				m.found(OtherServers, at, "ENGINE = "+engine, false)
			}
		}
	}
}

// set finds out whose settings are changed.
func (m *mysqlReader) set(c cursor) {
	if rest, _, ok := c.match("SET STATEMENT …FOR FOR"); ok { // MariaDB: SET STATEMENT … FOR statement
		m.statement(rest, true)
		return
	}
	all := c.ahead().assignments()
	for _, a := range all {
		switch {
		case a.user:
		case listed(globalScopes, a.scope):
			m.found(ServerSettings, m.at+c.from, "SET "+a.scope, len(all) == 1)
		case listed("sql_log_bin|gtid_next|pseudo_slave_mode", a.name):
			m.found(ServerWork, m.at+c.from, "SET "+a.name, len(all) == 1)
		}
	}
}

// anywhere examines what can be in the middle of a statement: names qualified with another
// database, calls, files, strings that are executed. It may move to the end of a name.
func (m *mysqlReader) anywhere() {
	at := m.at + m.from
	switch {
	case m.kind == tOpen:
		m.opened = append(m.opened, m.previous.word)
	case m.kind == tClose:
		m.opened = m.opened[:max(len(m.opened)-1, 0)]
	case m.word == "INTO":
		if _, words, ok := m.match("INTO OUTFILE|DUMPFILE"); ok {
			m.found(Files, at, words, true)
		}
	case m.punct('.'):
		if next := m.ahead(); m.previous.bracket || next.punct('[') { // a quoted name, as in MariaDB with sql_mode MSSQL
			m.perhaps(Databases, at, "a qualified name in brackets")
		}
	case m.kind == TokenString:
		if m.ansiName() {
			from := m.from
			if m.qualified(); m.from != from {
				return // a qualified name
			}
		}
		if m.strings || m.body && m.previous.word != "COMMENT" && m.before.word != "MESSAGE_TEXT" {
			m.executed(at)
		}
	case m.kind == TokenWord || m.kind == TokenName:
		m.qualified()
	}
}

// executed searches a string that may be executed.
func (m *mysqlReader) executed(at int) {
	if m.inside >= maxNested {
		return
	}
	inner := []byte(m.asToken().Value())
	if first := newCursor(inner, MySQL, mysqlRules); !listed(mysqlVerbs, first.word) {
		return // a text that is no statement may have dots in it
	}
	one := outside{own: m.own, inside: m.inside + 1}
	one.mysql(inner, 0)
	for _, e := range one.effects {
		m.perhaps(e.Outer, at, e.Words)
	}
}

const mysqlVerbs = "SELECT|INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP|RENAME|TRUNCATE|CALL|USE|WITH|SET|LOCK|GRANT|REVOKE|FLUSH|KILL|" +
	"PURGE|RESET|INSTALL|UNINSTALL|LOAD|SHUTDOWN|CHANGE|START|STOP|BEGIN"

// qualified records a call of a function that starts a program, and a name that is qualified with
// another database. It moves to the last part of the name. In a name with one dot, the qualifier
// may be a table or its alias instead: then the statement mentions it elsewhere without a
// qualifier.
func (m *mysqlReader) qualified() {
	at, host, name := m.at+m.from, m.previous.at, m.name()
	if listed("sys_exec|sys_eval|lib_mysqludf_sys_info", name) && m.called() {
		m.found(Programs, at, name+"()", false)
	}
	parts := []cursor{m.cursor}
	ahead := m.ahead()
	for ahead.takePunct('.') {
		if ahead.name() == "" {
			break // as in t.*
		}
		parts = append(parts, ahead)
		ahead.next()
	}
	if len(parts) == 1 {
		return
	}
	first, last := parts[0], parts[len(parts)-1]
	inTable, writes := m.tablePosition()
	m.cursor = last
	switch {
	case host || m.isOwn(first):
		return
	case listed("information_schema|performance_schema|mysql|sys", name):
		if !writes {
			return // which is the server's own, and is read
		}
	case listed("nextval|currval|lastval", last.name()), name == "new", name == "old":
		return
	case len(parts) > 2, inTable, ahead.kind == tOpen:
	case m.names[name]:
		return
	}
	m.found(Databases, at, "the name "+string(first.token())+"."+string(parts[1].token()), false)
}

// tablePosition reports whether a name at this place is that of a table or another object, not of a
// column, and whether the statement writes to it.
func (m *mysqlReader) tablePosition() (object, writes bool) {
	before := m.before.word
	switch m.previous.word {
	case "INTO", "TABLE", "TABLES", "TRUNCATE", "CALL", "INSERT", "REPLACE":
		return true, true
	case "UPDATE", "LOW_PRIORITY", "IGNORE":
		return before != "KEY", before != "KEY"
	case "FROM":
		if n := len(m.opened); n > 0 && listed("EXTRACT|TRIM|SUBSTRING|SUBSTR|MID", m.opened[n-1]) {
			return false, false
		}
		return true, listed("DELETE|QUICK|IGNORE", before)
	case "JOIN", "STRAIGHT_JOIN", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "SEQUENCE", "REFERENCES", "EXISTS", "RENAME":
		return true, false
	}
	return false, false
}

// namesAlone returns the names that appear somewhere in a text without another name before or after
// them.
func namesAlone(c cursor) map[string]bool {
	names := map[string]bool{}
	for dot := false; c.kind != tEOF; dot = c.takePunct('.') {
		name := c.name()
		if c.next(); name != "" && (dot || !c.punct('.')) {
			names[name] = true // also the last part of a longer one, as in FROM shop.users … users.id
		}
	}
	return names
}
