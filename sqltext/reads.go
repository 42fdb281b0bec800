package sqltext

// Reads reports whether a statement is of a form that is there to read: a query, or a question about what there is. A query may
// still change something, by a function that it calls or a part that writes; a read-only transaction forbids what it can.
func Reads(st Statement, d Dialect) bool {
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

// pragmaAsks reports whether a pragma changes nothing: it has no argument, or one that says what to look at.
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
