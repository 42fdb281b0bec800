package sqltext

func (c *classifier) sqlite() {
	switch first := c.word; first {
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "DROP":
		c.session = false
		c.sqliteKeys()
	case "ALTER", "ANALYZE", "REINDEX":
		c.session = false
	case "WITH":
		c.sqliteKeys()
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

// sqliteKeys sets how a statement that changes rows depends on foreign keys. Its first word is the
// current token.
func (c *classifier) sqliteKeys() {
	if c.take("WITH") {
		for depth := 0; c.kind != tEOF && (depth > 0 || !c.changesRows()); c.next() {
			switch {
			case c.kind == tOpen:
				depth++
			case c.kind == tClose:
				depth--
			case depth == 0 && (c.word == "SELECT" || c.word == "VALUES"):
				return
			}
		}
	}
	switch c.word {
	case "DROP":
		if c.next(); c.word == "TABLE" { // which deletes its rows first
			c.keys = KeysFollowed
		}
	case "UPDATE", "DELETE", "REPLACE":
		c.keys = KeysFollowed
	case "INSERT":
		c.keys = KeysChecked
		c.next()
		if c.take("OR") && c.word == "REPLACE" || containsFold(c.text, "conflict") { // it may change the row that is there
			c.keys = KeysFollowed
		}
	}
}

// containsFold reports whether a text has a word of lower-case letters, in any case.
func containsFold[T string | []byte](text T, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]|0x20 == word[0] && foldEqual(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

func (c *classifier) changesRows() bool {
	switch c.word {
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
		return true
	}
	return false
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

// sqliteName returns the current name, unquoted, in upper case.
func (c *classifier) sqliteName() string {
	tok := c.token()
	switch c.kind {
	case TokenName:
		tok = unquoteName(tok)
	case TokenString:
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
		c.next()
		if c.keys = KeysOff; c.sqliteTrue() {
			c.keys = KeysOn
		}
	case "DEFER_FOREIGN_KEYS":
		if c.next(); c.sqliteTrue() {
			c.only("PRAGMA defer_foreign_keys")
		} else {
			c.keys = KeysForgotten
		}
	case "AUTO_VACUUM": // these two must come before a database's first write
		c.tx, c.why = TxNoEffect, "PRAGMA auto_vacuum"
	case "PAGE_SIZE":
		c.tx, c.why = TxNoEffect, "PRAGMA page_size"
	}
}

// sqliteTrue reports whether a PRAGMA takes the current value, which may have a sign before it, for
// true.
func (c *classifier) sqliteTrue() bool {
	if c.punct('+') {
		c.next()
	}
	switch value := c.sqliteName(); value {
	case "ON", "YES", "TRUE":
		return true
	default:
		n := 0
		for _, d := range []byte(value) {
			if d < '0' || d > '9' {
				break
			}
			n = (n*10 + int(d-'0')) & 0xff
		}
		return n != 0
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
