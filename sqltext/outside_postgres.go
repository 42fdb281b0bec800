package sqltext

import (
	"bytes"
	"slices"
	"strings"
)

// postgresOutside are the statements with effects outside the database.
var postgresOutside = []outsideRule{
	{"CREATE|ALTER|DROP ~ ROLE|GROUP", Roles, true},
	{"CREATE|ALTER|DROP ~ USER !MAPPING", Roles, true},
	{"CREATE|ALTER|DROP ~ DATABASE IF|EXISTS*", Databases, true},
	{"CREATE|ALTER|DROP ~ TABLESPACE", Tablespaces, true},
	{"CREATE|ALTER|DROP ~ SUBSCRIPTION", OtherServers, false},
	{"CREATE|ALTER ~ SERVER", OtherServers, false},
	{"CREATE ~ FOREIGN TABLE", OtherServers, false},
	{"ALTER SYSTEM", ServerSettings, true},
	{"DROP|REASSIGN OWNED", Roles, false},
	{"IMPORT FOREIGN 'SCHEMA", OtherServers, false},
	{"GRANT|REVOKE …ON|TO|FROM -TO|FROM 'of'a'role", Roles, true},
	{"GRANT|REVOKE|COMMENT|SECURITY …ON|TO|FROM ON ROLE", Roles, true},
	{"GRANT|REVOKE|COMMENT|SECURITY …ON|TO|FROM ON DATABASE", Databases, true},
	{"GRANT|REVOKE|COMMENT|SECURITY …ON|TO|FROM ON TABLESPACE", Tablespaces, true},
	{"GRANT|REVOKE|COMMENT|SECURITY …ON|TO|FROM ON PARAMETER", ServerSettings, true},
}

// postgresReaders examine the statements that fit a pattern further.
var postgresReaders = []struct {
	pattern string
	read    func(o *outside, c cursor, at int)
}{
	{"CREATE ~ VIEW", (*outside).postgresView},
	{"CREATE ~ SCHEMA", (*outside).postgresSchema},
	{"ALTER ~ TABLE", (*outside).postgresWrites},
	{"CREATE|ALTER|DROP ~ FUNCTION|PROCEDURE", (*outside).language},
}

// postgres reads a text that begins at an offset of the statement: the statement itself, or a body
// or a string in it.
func (o *outside) postgres(text []byte, at int) {
	text, unreadable, ok := plainQuotes(text)
	if !ok {
		o.perhaps(Databases, at+unreadable, "U& with escapes that can't be read")
	}
	c := newCursor(text, PostgreSQL, postgresRules)
	body, do := o.inside > 0, c.word == "DO"
	code := body // its strings may be code
	if body {
		o.namesShared(c, at)
	} else {
		_, _, routine := c.match("CREATE ~ FUNCTION|PROCEDURE")
		code = do || routine || runsText(c)
	}
	start := true
	for before := ""; c.kind != tEOF; c.next() {
		if start || body {
			o.postgresStatement(c, at, start)
		}
		o.postgresAnywhere(c, at, !body && do)
		if c.kind == TokenString && code && (!body || before != "RAISE") {
			o.postgresBody(c.token(), at+c.from)
		}
		start = body && startsStatement(c)
		if !listed("NOTICE|EXCEPTION|WARNING|INFO|DEBUG|LOG", c.word) {
			before = c.word // RAISE has its level between
		}
	}
	if !body && do {
		o.wholeBlock(text)
	}
}

// startsStatement reports whether a statement of a block can begin after the current token.
func startsStatement(c cursor) bool {
	return c.kind == tSemi || listed("BEGIN|THEN|ELSE|LOOP|ATOMIC", c.word)
}

// postgresBody searches a string. If the string has no escapes, positions in it are positions in
// the statement.
func (o *outside) postgresBody(tok []byte, at int) {
	if o.inside >= maxNested {
		return
	}
	o.inside++
	defer func() { o.inside-- }()
	in := Token{Kind: TokenString, Text: string(tok)}.inner()
	inner := tok[in.From:in.To]
	if tok[0] == '$' || tok[0] == '\'' && bytes.IndexByte(inner, '\'') < 0 {
		o.postgres(inner, at+in.From)
		return
	}
	unescaped := outside{own: o.own, inside: o.inside}
	unescaped.postgres([]byte(unquotePostgres(tok)), 0)
	for _, e := range unescaped.effects {
		o.found(e.Outer, at, e.Words, false)
	}
}

// postgresStatement examines a statement by its first words. start says that a statement can begin
// here. In a body it is called for every token, because concatenated text has its statements
// anywhere.
func (o *outside) postgresStatement(c cursor, at int, start bool) {
	if c.word == "" {
		return
	}
	o.byRules(postgresOutside, c, at, start)
	for _, r := range postgresReaders {
		if rest, _, ok := c.match(r.pattern); ok {
			r.read(o, rest, at+c.from)
		}
	}
	if start && c.word == "COPY" {
		o.postgresCopy(c, at+c.from)
	}
}

// language records a routine in a language that can do whatever the server's operating system
// allows.
func (o *outside) language(c cursor, at int) {
	rest, _, ok := c.match("…LANGUAGE LANGUAGE")
	name := rest.value()
	if ok && (name == "c" || name == "plsh" || strings.HasPrefix(name, "pl") && strings.HasSuffix(name, "u")) { // plpython3u, plperlu, pltclu
		o.perhaps(Programs, at, "LANGUAGE "+name) // the text does not tell what it does
	}
}

// postgresCopy finds where COPY writes to, and whether it starts a program.
func (o *outside) postgresCopy(c cursor, at int) {
	outer := c.depth
	table := c.ahead()
	name := table.lastName()
	for !c.ended() && (c.depth > outer || !listed("TO|FROM", c.word)) {
		c.next()
	}
	way, to := c.word, c.ahead()
	if way == "FROM" && slices.Contains(sharedCatalogs, name) {
		o.found(Databases, at, "writing "+name, false)
	}
	switch {
	case c.ended():
	case to.word == "PROGRAM":
		o.found(Programs, at, "COPY "+way+" PROGRAM", way == "TO")
	case to.kind == TokenString && way == "TO":
		o.found(Files, at, "COPY TO a file", true)
	}
}

// sharedCatalogs are the tables that all databases of a server share and that a superuser can write
// to.
var sharedCatalogs = []string{
	"pg_auth_members", "pg_authid", "pg_database", "pg_db_role_setting", "pg_parameter_acl", "pg_replication_origin",
	"pg_shdepend", "pg_shdescription", "pg_shseclabel", "pg_subscription", "pg_tablespace", "pg_roles", "pg_user", "pg_group", "pg_shadow",
	"enabled_roles", // of information_schema
}

// viewable reports whether a name is that of a shared catalog that can be written to through a
// view. The others are joins.
func viewable(name string) bool {
	return slices.Contains(sharedCatalogs, name) && !listed("pg_roles|pg_user|pg_shadow", name)
}

// postgresAnywhere examines what can be in the middle of a statement: calls, and tables that are
// written to. do says that the statement is a DO.
func (o *outside) postgresAnywhere(c cursor, at int, do bool) {
	at += c.from
	switch c.word {
	case "UPDATE", "INTO", "TRUNCATE", "DELETE", "LOCK":
		o.postgresWrites(c.ahead(), at)
		return
	case "LANGUAGE":
		if do {
			o.language(c, at)
		}
		return
	}
	if !c.called() {
		return
	}
	name := c.name()
	for _, f := range postgresFunctions {
		if listed(f.names, name) {
			o.found(f.outer, at, name+"()", false)
		}
	}
	if strings.HasPrefix(name, "dblink") {
		o.found(OtherServers, at, name+"()", false)
	} else if strings.HasPrefix(name, "pg_logical_") && !strings.HasPrefix(name, "pg_logical_slot_peek") {
		o.found(ServerWork, at, name+"()", false)
	}
}

// postgresWrites records shared catalogs in the current list of tables, which are written to or
// locked.
func (o *outside) postgresWrites(c cursor, at int) {
	for {
		c.takeAny("FROM|ONLY|TABLE|IF|EXISTS")
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
		if name == "" || !c.takePunct(',') {
			return
		}
	}
}

// postgresSchema finds views among the elements of CREATE SCHEMA.
func (o *outside) postgresSchema(c cursor, at int) {
	for ; !c.ended(); c.next() {
		switch {
		case c.take("CREATE") && c.word == "SCHEMA":
			return // another statement, which is read by itself
		case c.word == "VIEW":
			o.postgresView(c, at)
		}
	}
}

// postgresView records shared catalogs in a view, through which they could be written to.
func (o *outside) postgresView(c cursor, at int) {
	for ; !c.ended() && c.word != "CREATE"; c.next() {
		if name := c.name(); viewable(name) {
			o.perhaps(Databases, at, "a view of "+name)
		}
	}
}

// namesShared records a string that begins with the name of a shared catalog, as part of a
// concatenated statement.
func (o *outside) namesShared(c cursor, at int) {
	at += c.from
	if name := c.lastName(); viewable(name) {
		o.found(Databases, at, "the name "+name, false)
	}
}

// runsText reports whether a statement calls a function that executes a string as a query.
func runsText(c cursor) bool {
	for ; c.kind != tEOF; c.next() {
		if !c.called() {
			continue
		}
		name := c.name()
		if listed("ts_stat|ts_rewrite|connectby|xpath_table", name) || strings.HasPrefix(name, "query_to_xml") || strings.HasPrefix(name, "crosstab") {
			return true
		}
	}
	return false
}

// postgresFunctions are functions of the server and of common extensions that have effects outside
// the database, which a rollback does not undo.
var postgresFunctions = []struct {
	outer Outer
	names string
}{
	{Files, "lo_export|pg_file_write|pg_file_rename|pg_file_unlink|pg_file_sync"},
	{ServerWork, "pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile|pg_logfile_rotate|pg_switch_wal|pg_switch_xlog"},
	{ServerWork, "pg_create_restore_point|pg_promote|pg_wal_replay_pause|pg_wal_replay_resume|pg_log_standby_snapshot"},
	{ServerWork, "pg_backup_start|pg_backup_stop|pg_start_backup|pg_stop_backup|pg_log_backend_memory_contexts|pg_stat_statements_reset"},
	{ServerWork, "pg_stat_reset_shared|pg_stat_reset_slru|pg_stat_reset_subscription_stats|pg_stat_reset_replication_slot|pg_stat_reset_backend_stats"},
	{ServerWork, "pg_create_physical_replication_slot|pg_create_logical_replication_slot|pg_drop_replication_slot|pg_replication_slot_advance"},
	{ServerWork, "pg_copy_physical_replication_slot|pg_copy_logical_replication_slot|pg_sync_replication_slots"},
	{ServerWork, "pg_replication_origin_create|pg_replication_origin_drop|pg_replication_origin_advance"},
	{OtherServers, "http|http_head|http_get|http_post|http_put|http_patch|http_delete|query_export_to_s3|table_import_from_s3"},
}

// wholeBlock marks the effects of a DO block that has no others as Whole, such as DO $$ BEGIN IF
// NOT EXISTS (…) THEN CREATE ROLE app; END IF; END $$.
func (o *outside) wholeBlock(text []byte) {
	c := newCursor(text, PostgreSQL, postgresRules)
	for c.kind != tEOF && (c.kind != TokenString || c.text[c.from] != '$') {
		c.next()
	}
	if c.kind == tEOF || c.ahead().kind != tEOF { // a language; only the default one can be read
		return
	}
	if in := c.asToken().inner(); !o.onlyOutside(text[in.From:in.To]) {
		return
	}
	for i := range o.effects {
		o.effects[i].Whole = true
	}
}

// onlyOutside reports whether a block consists of control flow and statements whose effects are all
// outside the database.
func (o *outside) onlyOutside(body []byte) bool {
	c := newCursor(body, PostgreSQL, postgresRules)
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
			continue // a statement can begin after it
		case "IF", "ELSIF", "ELSEIF", "END", "NULL", "RAISE", "EXCEPTION", "WHEN":
			if calls(c) {
				return false
			}
		default:
			one := outside{own: o.own}
			one.postgresStatement(c, 0, true)
			if len(one.effects) != 1 || !one.effects[0].Whole {
				return false
			}
		}
		start = c.kind == tSemi
	}
	return true
}

// calls reports whether the condition that begins at the current token may call a function.
func calls(c cursor) bool {
	for ; !c.ended() && c.word != "THEN"; c.next() {
		if c.called() && !listed(postgresBeforeParen, c.word) {
			return true
		}
	}
	return false
}

// postgresBeforeParen are words before a parenthesis that is no call.
const postgresBeforeParen = "EXISTS|NOT|IF|AND|OR|IN|WHERE|SELECT|FROM|PERFORM|COUNT|CURRENT_DATABASE|ELSIF|ELSEIF|ANY|ALL|FORMAT|LOWER|UPPER"
