package sqltext

func (c *classifier) sqlite() {
	switch first := c.word; first {
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "ALTER", "DROP", "ANALYZE", "REINDEX":
		c.session = false
	case "CREATE":
		c.next()
		c.session = c.sqliteTemporary()
	case "VACUUM":
		c.session = false
		c.never("VACUUM")
	case "DETACH":
		c.never("DETACH")
	case "PRAGMA":
		c.next()
		c.pragma()
	case "BEGIN":
		c.control(TxBegin)
	case "COMMIT", "END":
		c.next()
		c.ends(TxCommit)
	case "ROLLBACK":
		c.next()
		c.ends(TxRollback)
	case "SAVEPOINT", "RELEASE":
		c.control(TxSavepoint)
	}
}

// sqliteTemporary reports whether what is created is temporary, by the word or by
// its schema.
func (c *classifier) sqliteTemporary() bool {
	if c.word == "TEMP" || c.word == "TEMPORARY" {
		return true
	}
	c.takeAny("UNIQUE", "VIRTUAL")
	c.next()
	c.takeAny("IF", "NOT", "EXISTS")
	temp := c.names("temp")
	c.next()
	return temp && c.punct('.')
}

// sqliteName returns the name at hand, unquoted, in upper case.
func (c *classifier) sqliteName() string {
	tok := c.token()
	switch c.kind {
	case tQuoted:
		tok = unquoteName(tok)
	case tString:
		tok = tok[1 : len(tok)-1]
	}
	return keyword(tok)
}

// pragma classifies PRAGMA [schema.]name, name = value or name(value). What SQLite
// does in a transaction was tried with its shell, since its manual leaves some
// of it open.
func (c *classifier) pragma() {
	name := c.sqliteName()
	c.next()
	if c.punct('.') {
		c.next()
		name = c.sqliteName()
		c.next()
	}
	argument := c.punct('=') || c.kind == tOpen
	c.session = argument && !pragmaReads(name)
	if name == "WAL_CHECKPOINT" { // refused once the transaction has written
		c.never("PRAGMA wal_checkpoint")
	}
	if !argument {
		return
	}
	switch name {
	case "JOURNAL_MODE":
		c.never("PRAGMA journal_mode")
	case "SYNCHRONOUS":
		c.never("PRAGMA synchronous")
	case "TEMP_STORE":
		c.never("PRAGMA temp_store")
	case "FOREIGN_KEYS":
		c.tx, c.why = TxNoEffect, "PRAGMA foreign_keys"
	case "AUTO_VACUUM": // these two must come before a database's first write
		c.tx, c.why = TxNoEffect, "PRAGMA auto_vacuum"
	case "PAGE_SIZE":
		c.tx, c.why = TxNoEffect, "PRAGMA page_size"
	}
}

// pragmaReads reports whether the pragma's argument says what to look at.
func pragmaReads(name string) bool {
	switch name {
	case "TABLE_INFO", "TABLE_XINFO", "TABLE_LIST", "INDEX_INFO", "INDEX_LIST", "INDEX_XINFO", "FOREIGN_KEY_LIST",
		"FOREIGN_KEY_CHECK", "INTEGRITY_CHECK", "QUICK_CHECK", "WAL_CHECKPOINT", "INCREMENTAL_VACUUM", "OPTIMIZE":
		return true
	}
	return false
}
