package sqltext

import "strings"

// Reads reports whether the statement has the form of a query or of a question about the schema. A
// query may still change data, through a function that it calls or a part that writes. A read-only
// transaction prevents most of that.
func (st Statement) Reads(d Dialect) bool {
	if st.Kind != SQL {
		return false
	}
	c := (&outside{dialect: d}).tokens([]byte(st.Text))
	for c.kind == tOpen {
		c.next()
	}
	switch c.word {
	case "SELECT", "WITH", "VALUES", "EXPLAIN":
		return true
	case "TABLE", "SHOW":
		return d != SQLite
	case "DESCRIBE", "DESC", "HELP":
		return d == MySQL
	case "PRAGMA":
		return d == SQLite && c.pragmaAsks()
	}
	return false
}

// Unheld returns the first call of a PostgreSQL function that changes data or executes a text
// although the transaction is read-only. It does not return what [Statement.Outside] reports.
func (st Statement) Unheld(d Dialect) (name string, pos Position, ok bool) {
	if d != PostgreSQL || st.Kind != SQL {
		return "", st.Pos, false
	}
	o := &outside{dialect: d, st: st}
	text, _, _ := o.plainQuotes([]byte(st.Text))
	for c := o.tokens(text); c.kind != tEOF; c.next() {
		if name := c.name(); c.called() && unheld(name) {
			o.found(ServerWork, c.from, name, false)
			return name, o.effects[0].Pos, true
		}
	}
	return "", st.Pos, false
}

func unheld(function string) bool {
	switch function {
	case "lo_get":
		return false
	case "lowrite", "ts_stat", "gin_clean_pending_list", "pg_truncate_visibility_map", "pg_nextoid":
		return true
	}
	for _, family := range []string{"lo_", "pg_stat_reset", "brin_summarize_", "brin_desummarize_", "heap_force_"} {
		if strings.HasPrefix(function, family) {
			return true
		}
	}
	if strings.HasPrefix(function, "pg_stat_") && strings.HasSuffix(function, "_reset") {
		return true
	}
	for _, source := range []string{"query", "cursor", "table", "schema", "database"} { // table_to_xmlschema, query_to_xml_and_xmlschema, …
		if strings.HasPrefix(function, source+"_to_xml") {
			return true
		}
	}
	return false
}

// pragmaAsks reports whether a pragma changes nothing: it has no argument, or one that selects what
// to show.
func (c *classifier) pragmaAsks() bool {
	c.next()
	name := c.sqliteName()
	if c.next(); c.punct('.') {
		c.next()
		name = c.sqliteName()
		c.next()
	}
	switch name {
	case "OPTIMIZE", "WAL_CHECKPOINT", "INCREMENTAL_VACUUM", "SHRINK_MEMORY":
		return false
	}
	return c.kind == tEOF || c.kind == tOpen && pragmaReads(name)
}
