package sqltext

import (
	"bytes"
	"slices"
	"strings"
)

// postgres reads a text that begins at an offset of the statement: the statement itself, or a body
// or a string in it.
func (o *outside) postgres(text []byte, at int) {
	text, unreadable, ok := o.plainQuotes(text)
	if !ok {
		o.perhaps(Databases, at+unreadable, "U& with escapes that can't be read")
	}
	c := o.tokens(text)
	first := c.word
	body := o.inside > 0
	if body {
		o.namesShared(*c, at)
	}
	runs := runsText(*c)
	start := true
	for before := ""; c.kind != tEOF; c.next() {
		if start || body {
			o.postgresStatement(*c, at, start)
		}
		o.postgresAnywhere(*c, at)
		if c.kind == TokenString && (body && before != "RAISE" || !body && (runs || hasBody(c, first))) {
			o.postgresBody(c.token(), at+c.from)
		}
		start = body && startsStatement(c)
		if c.word != "NOTICE" && c.word != "EXCEPTION" && c.word != "WARNING" && c.word != "INFO" && c.word != "DEBUG" && c.word != "LOG" {
			before = c.word // of RAISE its level comes between
		}
	}
	if !body && first == "DO" {
		o.wholeBlock(text)
	}
}

// startsStatement reports whether a statement of a block can begin after the current token.
func startsStatement(c *classifier) bool {
	switch c.word {
	case "BEGIN", "THEN", "ELSE", "LOOP", "ATOMIC":
		return true
	}
	return c.kind == tSemi
}

// hasBody reports whether the strings of a statement that begins with a word may be code.
func hasBody(c *classifier, first string) bool {
	switch first {
	case "DO":
		return true
	case "CREATE":
		o := classifier{dialect: c.dialect, text: c.text, lex: lexer{rules: c.lex.rules, class: c.lex.class, b: c.text}}
		o.next()
		o.next()
		o.takeAny("OR", "REPLACE")
		return o.word == "FUNCTION" || o.word == "PROCEDURE"
	}
	return false
}

// postgresBody searches a string. If the string has no escapes, positions in it are positions in
// the statement.
func (o *outside) postgresBody(tok []byte, at int) {
	if o.inside >= maxNested {
		return
	}
	o.inside++
	defer func() { o.inside-- }()
	switch {
	case tok[0] == '$':
		n := bytes.IndexByte(tok[1:], '$') + 2
		o.postgres(tok[n:len(tok)-n], at+n)
	case tok[0] == '\'' && bytes.IndexByte(tok[1:len(tok)-1], '\'') < 0:
		o.postgres(tok[1:len(tok)-1], at+1)
	default:
		unescaped := outside{dialect: o.dialect, own: o.own, inside: o.inside}
		unescaped.postgres([]byte(unquotePostgres(tok)), 0)
		for _, e := range unescaped.effects {
			o.found(e.Outer, at, e.Words, false)
		}
	}
}

// postgresStatement examines a statement by its first words. start says that a statement can begin
// here. In a body it is called for every token, because concatenated text has its statements
// anywhere.
func (o *outside) postgresStatement(c classifier, at int, start bool) {
	first := c.word
	at += c.from
	switch first {
	case "CREATE", "ALTER", "DROP":
		c.next()
		o.postgresDDL(c, at, first)
	case "GRANT", "REVOKE":
		c.next()
		o.postgresGrant(c, at, first)
	case "COMMENT", "SECURITY":
		for c.kind != tEOF && c.kind != tSemi && c.word != "ON" {
			c.next()
		}
		if c.take("ON") {
			o.postgresShared(c, at, first+" ON ")
		}
	case "REASSIGN":
		if c.next(); c.word == "OWNED" {
			o.found(Roles, at, "REASSIGN OWNED", false)
		}
	case "IMPORT":
		if c.next(); c.word == "FOREIGN" {
			o.found(OtherServers, at, "IMPORT FOREIGN SCHEMA", false)
		}
	case "COPY":
		if start {
			o.postgresCopy(c, at)
		}
	}
}

func (o *outside) postgresDDL(c classifier, at int, first string) {
	c.takeAny("OR", "REPLACE", "TEMP", "TEMPORARY", "LOCAL", "GLOBAL", "RECURSIVE")
	switch noun := c.word; noun {
	case "VIEW":
		if first == "CREATE" {
			o.postgresView(c, at)
		}
	case "SCHEMA":
		if first == "CREATE" {
			o.postgresSchema(c, at)
		}
	case "TABLE":
		if first == "ALTER" {
			c.next()
			o.postgresWrites(c, at)
		}
	case "ROLE", "GROUP":
		o.found(Roles, at, first+" "+noun, true)
	case "USER":
		if c.next(); c.word != "MAPPING" {
			o.found(Roles, at, first+" USER", true)
		}
	case "OWNED":
		if first == "DROP" {
			o.found(Roles, at, "DROP OWNED", false)
		}
	case "DATABASE":
		c.next()
		c.takeAny("IF", "EXISTS")
		if !o.isOwn(&c) {
			o.found(Databases, at, first+" DATABASE", true)
		}
	case "TABLESPACE":
		o.found(Tablespaces, at, first+" TABLESPACE", true)
	case "SYSTEM":
		if first == "ALTER" {
			o.found(ServerSettings, at, "ALTER SYSTEM", true)
		}
	case "SUBSCRIPTION":
		o.found(OtherServers, at, first+" SUBSCRIPTION", false)
	case "SERVER":
		if first != "DROP" {
			o.found(OtherServers, at, first+" SERVER", false)
		}
	case "FOREIGN":
		if c.next(); c.word == "TABLE" && first == "CREATE" {
			o.found(OtherServers, at, "CREATE FOREIGN TABLE", false)
		}
	case "FUNCTION", "PROCEDURE":
		o.language(c, at)
	}
}

// language records a routine in a language that can do whatever the server's operating system
// allows.
func (o *outside) language(c classifier, at int) {
	for ; c.kind != tEOF; c.next() {
		if c.word != "LANGUAGE" {
			continue
		}
		c.next()
		name := c.name()
		if c.kind == TokenString {
			name = strings.ToLower(unquotePostgres(c.token()))
		}
		if untrusted(name) {
			o.inside++ // what it does nobody can tell
			o.found(Programs, at, "LANGUAGE "+name, false)
			o.inside--
		}
		return
	}
}

func untrusted(language string) bool {
	return language == "c" || language == "plsh" ||
		strings.HasPrefix(language, "pl") && strings.HasSuffix(language, "u") // plpython3u, plperlu, pltclu
}

// postgresGrant distinguishes privileges on objects of the database from other privileges and from
// memberships.
func (o *outside) postgresGrant(c classifier, at int, first string) {
	for depth := 0; c.kind != tEOF && c.kind != tSemi; c.next() {
		switch {
		case c.kind == tOpen:
			depth++
		case c.kind == tClose:
			depth--
		case depth > 0:
		case c.word == "ON":
			c.next()
			o.postgresShared(c, at, first+" ON ")
			return
		case c.word == "TO" || c.word == "FROM":
			o.found(Roles, at, first+" of a role", true)
			return
		}
	}
}

// postgresShared records the object of a COMMENT, GRANT and so on if it is not part of a database.
func (o *outside) postgresShared(c classifier, at int, words string) {
	switch noun := c.word; noun {
	case "ROLE":
		o.found(Roles, at, words+noun, true)
	case "DATABASE":
		if c.next(); !o.isOwn(&c) {
			o.found(Databases, at, words+noun, true)
		}
	case "TABLESPACE":
		o.found(Tablespaces, at, words+noun, true)
	case "PARAMETER":
		o.found(ServerSettings, at, words+noun, true)
	}
}

// postgresCopy finds where COPY writes to, and whether it starts a program.
func (o *outside) postgresCopy(c classifier, at int) {
	table := c
	table.next()
	name := table.lastName()
	for depth := 0; c.kind != tEOF && c.kind != tSemi; c.next() {
		switch {
		case c.kind == tOpen:
			depth++
		case c.kind == tClose:
			depth--
		case depth == 0 && (c.word == "TO" || c.word == "FROM"):
			way := c.word
			if way == "FROM" && slices.Contains(sharedCatalogs, name) {
				o.found(Databases, at, "writing "+name, false)
			}
			switch c.next(); {
			case c.word == "PROGRAM":
				o.found(Programs, at, "COPY "+way+" PROGRAM", way == "TO")
			case c.kind == TokenString && way == "TO":
				o.found(Files, at, "COPY TO a file", true)
			}
			return
		}
	}
}

// sharedCatalogs are the tables that all databases of a server share and that a superuser can write
// to.
var sharedCatalogs = []string{
	"pg_auth_members", "pg_authid", "pg_database", "pg_db_role_setting", "pg_parameter_acl", "pg_replication_origin",
	"pg_shdepend", "pg_shdescription", "pg_shseclabel", "pg_subscription", "pg_tablespace", "pg_roles", "pg_user", "pg_group", "pg_shadow",
	"enabled_roles", // of information_schema
}

// postgresAnywhere examines what can be in the middle of a statement: calls, and tables that are
// written to.
func (o *outside) postgresAnywhere(c classifier, at int) {
	at += c.from
	switch c.word {
	case "UPDATE", "INTO", "TRUNCATE", "DELETE", "LOCK":
		c.next()
		o.postgresWrites(c, at)
		return
	case "LANGUAGE": // of a DO
		if o.inside == 0 && strings.EqualFold(firstWordOf(o.st.Text), "DO") {
			o.language(c, at)
		}
		return
	}
	if !c.called() {
		return
	}
	name := c.name()
	if outer, ok := postgresFunctions[name]; ok {
		o.found(outer, at, name+"()", false)
	} else if strings.HasPrefix(name, "dblink") {
		o.found(OtherServers, at, name+"()", false)
	} else if strings.HasPrefix(name, "pg_logical_") && !strings.HasPrefix(name, "pg_logical_slot_peek") {
		o.found(ServerWork, at, name+"()", false)
	}
}

// postgresWrites records shared catalogs in the current list of tables, which are written to or
// locked.
func (o *outside) postgresWrites(c classifier, at int) {
	for {
		c.takeAny("FROM", "ONLY", "TABLE", "IF", "EXISTS")
		if c.kind == tOpen { // ONLY (t)
			c.next()
		}
		name := c.lastName()
		if slices.Contains(sharedCatalogs, name) {
			o.found(Databases, at, "writing "+name, false)
		}
		for c.kind == tClose || c.punct('*') {
			c.next()
		}
		if name == "" || !c.punct(',') {
			return
		}
		c.next()
	}
}

// lastName moves past the current name, qualified or not, and returns its last part in lower case.
func (c *classifier) lastName() string {
	for {
		name := c.name()
		if name == "" {
			return ""
		}
		if c.next(); !c.punct('.') {
			return name
		}
		c.next()
	}
}

// postgresSchema finds views among the elements of CREATE SCHEMA.
func (o *outside) postgresSchema(c classifier, at int) {
	for ; c.kind != tEOF && c.kind != tSemi; c.next() {
		switch {
		case c.take("CREATE") && c.word == "SCHEMA":
			return // another statement, which is looked at by itself
		case c.word == "VIEW":
			o.postgresView(c, at)
		}
	}
}

// postgresView records shared catalogs in a view, through which they could be written to.
func (o *outside) postgresView(c classifier, at int) {
	for ; c.kind != tEOF && c.kind != tSemi && c.word != "CREATE"; c.next() {
		if name := c.name(); slices.Contains(sharedCatalogs, name) && !joinedViews[name] {
			o.perhaps(Databases, at, "a view of "+name)
		}
	}
}

// joinedViews are the shared catalogs that are joins, which can't be written to through another
// view.
var joinedViews = map[string]bool{"pg_roles": true, "pg_user": true, "pg_shadow": true}

// namesShared records a string that begins with the name of a shared catalog, as part of a
// concatenated statement.
func (o *outside) namesShared(c classifier, at int) {
	from := c.from
	if name := c.lastName(); slices.Contains(sharedCatalogs, name) && !joinedViews[name] {
		o.found(Databases, at+from, "the name "+name, false)
	}
}

// runsText reports whether a statement calls a function that executes a string as a query.
func runsText(c classifier) bool {
	for ; c.kind != tEOF; c.next() {
		if c.called() && executesText(c.name()) {
			return true
		}
	}
	return false
}

func executesText(function string) bool {
	switch function {
	case "ts_stat", "ts_rewrite", "connectby", "xpath_table":
		return true
	}
	return strings.HasPrefix(function, "query_to_xml") || strings.HasPrefix(function, "crosstab")
}

func firstWordOf(text string) string {
	n := 0
	for n < len(text) && (text[n]|0x20 >= 'a' && text[n]|0x20 <= 'z') {
		n++
	}
	return text[:n]
}

// postgresFunctions are functions of the server and of common extensions that have effects outside
// the database, which a rollback does not undo.
var postgresFunctions = map[string]Outer{
	"lo_export": Files, "pg_file_write": Files, "pg_file_rename": Files, "pg_file_unlink": Files, "pg_file_sync": Files,

	"pg_terminate_backend": ServerWork, "pg_cancel_backend": ServerWork, "pg_reload_conf": ServerWork, "pg_rotate_logfile": ServerWork,
	"pg_logfile_rotate": ServerWork, "pg_switch_wal": ServerWork, "pg_switch_xlog": ServerWork, "pg_create_restore_point": ServerWork, "pg_promote": ServerWork,
	"pg_wal_replay_pause": ServerWork, "pg_wal_replay_resume": ServerWork, "pg_log_standby_snapshot": ServerWork,
	"pg_backup_start": ServerWork, "pg_backup_stop": ServerWork, "pg_start_backup": ServerWork, "pg_stop_backup": ServerWork,
	"pg_stat_reset_shared": ServerWork, "pg_stat_reset_slru": ServerWork, "pg_stat_reset_subscription_stats": ServerWork, "pg_stat_reset_replication_slot": ServerWork, "pg_stat_reset_backend_stats": ServerWork,
	"pg_stat_statements_reset": ServerWork,

	"pg_create_physical_replication_slot": ServerWork, "pg_create_logical_replication_slot": ServerWork, "pg_drop_replication_slot": ServerWork,
	"pg_copy_physical_replication_slot": ServerWork, "pg_copy_logical_replication_slot": ServerWork, "pg_replication_slot_advance": ServerWork,
	"pg_sync_replication_slots": ServerWork, "pg_log_backend_memory_contexts": ServerWork,
	"pg_replication_origin_create": ServerWork, "pg_replication_origin_drop": ServerWork, "pg_replication_origin_advance": ServerWork,

	"http": OtherServers, "http_head": OtherServers, "http_get": OtherServers, "http_post": OtherServers, "http_put": OtherServers, "http_patch": OtherServers, "http_delete": OtherServers,
	"query_export_to_s3": OtherServers, "table_import_from_s3": OtherServers,
}

// wholeBlock marks the effects of a DO block that has no others as Whole, such as DO $$ BEGIN IF
// NOT EXISTS (…) THEN CREATE ROLE app; END IF; END $$.
func (o *outside) wholeBlock(text []byte) {
	c := o.tokens(text)
	for c.kind != tEOF && (c.kind != TokenString || c.text[c.from] != '$') {
		c.next()
	}
	if c.kind == tEOF || len(o.effects) == 0 {
		return
	}
	tok := c.token()
	n := bytes.IndexByte(tok[1:], '$') + 2
	if c.next(); c.kind != tEOF { // a language; only the usual one can be read
		return
	}
	if !o.onlyOutside(tok[n : len(tok)-n]) {
		return
	}
	for i := range o.effects {
		o.effects[i].Whole = true
	}
}

// onlyOutside reports whether a block consists of control flow and statements whose effects are all
// outside the database.
func (o *outside) onlyOutside(body []byte) bool {
	c := o.tokens(body)
	if c.word != "BEGIN" {
		return false
	}
	for start := true; c.kind != tEOF; c.next() {
		if !start {
			start = startsStatement(c)
			continue
		}
		switch c.word {
		case "BEGIN", "THEN", "ELSE":
			continue // a statement can begin behind it
		case "IF", "ELSIF", "ELSEIF", "END", "NULL", "RAISE", "EXCEPTION", "WHEN":
			if calls(*c) {
				return false
			}
		default:
			one := outside{dialect: o.dialect, own: o.own}
			one.postgresStatement(*c, 0, true)
			if len(one.effects) != 1 || !one.effects[0].Whole {
				return false
			}
		}
		start = c.kind == tSemi
	}
	return true
}

// calls reports whether the condition that begins at the current token may call a function.
func calls(c classifier) bool {
	for ; c.kind != tEOF && c.kind != tSemi && c.word != "THEN"; c.next() {
		if c.kind == tOpen {
			continue
		}
		if c.called() && !postgresBeforeParen[c.word] {
			return true
		}
	}
	return false
}

// postgresBeforeParen are words before a parenthesis that is no call.
var postgresBeforeParen = map[string]bool{
	"EXISTS": true, "NOT": true, "IF": true, "AND": true, "OR": true, "IN": true, "WHERE": true, "SELECT": true, "FROM": true, "PERFORM": true, "COUNT": true,
	"CURRENT_DATABASE": true, "ELSIF": true, "ELSEIF": true, "ANY": true, "ALL": true, "FORMAT": true, "LOWER": true, "UPPER": true,
}
