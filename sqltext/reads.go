package sqltext

import "strings"

// Reads reports whether the statement has the form of a query or of a question about the schema. A
// query may still change data, through a function that it calls or a part that writes. A read-only
// transaction prevents most of that.
func (st Statement) Reads(d Dialect) bool {
	if st.Kind != SQL {
		return false
	}
	c := newCursor([]byte(st.Text), d, rulesOf(d))
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
	text, _, _ := plainQuotes([]byte(st.Text))
	for c := newCursor(text, d, postgresRules); c.kind != tEOF; c.next() {
		if name := c.name(); c.called() && unheld(name) {
			return name, st.PositionAt(c.from), true
		}
	}
	return "", st.Pos, false
}

func unheld(function string) bool {
	if listed("lowrite|ts_stat|gin_clean_pending_list|pg_truncate_visibility_map|pg_nextoid", function) {
		return true
	}
	for _, family := range []string{"lo_", "pg_stat_reset", "brin_summarize_", "brin_desummarize_", "heap_force_"} {
		if strings.HasPrefix(function, family) {
			return function != "lo_get"
		}
	}
	if strings.HasPrefix(function, "pg_stat_") && strings.HasSuffix(function, "_reset") {
		return true
	}
	// table_to_xmlschema, query_to_xml_and_xmlschema, …
	source, _, ok := strings.Cut(function, "_to_xml")
	return ok && listed("query|cursor|table|schema|database", source)
}

// pragmaAsks reports whether a pragma changes nothing: it has no argument, or one that selects what
// to show.
func (c *cursor) pragmaAsks() bool {
	c.next()
	name := c.pragmaName()
	return !listed("optimize|wal_checkpoint|incremental_vacuum|shrink_memory", name) &&
		(c.kind == tEOF || c.kind == tOpen && listed(pragmasThatRead, name))
}
