package sqltext

import "bytes"

// plainInsert reports whether an INSERT, with which the text begins, is certainly one that changes
// no existing row. Most statements of a long script are.
func plainInsert(text []byte) bool {
	const into = "into"
	rest := bytes.TrimLeft(text[len("INSERT"):], " \t\r\n")
	return len(rest) > len(into) && foldEqual(rest[:len(into)], into) && !bytesContainFold(rest, "conflict")
}

func (c *classifier) sqlite() {
	switch c.word {
	case "VACUUM", "DETACH":
		c.Session = c.word == "DETACH"
		c.never(c.word)
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "DROP":
		c.Session = false
		c.sqliteKeys()
	case "ALTER", "ANALYZE", "REINDEX":
		c.Session = false
	case "WITH":
		for ; c.kind != tEOF && (c.depth > 0 || !listed("INSERT|UPDATE|DELETE|REPLACE|SELECT|VALUES", c.word)); c.next() {
		}
		c.sqliteKeys()
	case "CREATE":
		c.Session = c.sqliteTemporary()
	case "PRAGMA":
		c.next()
		c.pragma()
	default:
		c.controls("BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE")
	}
}

// sqliteKeys sets how a statement that changes rows depends on foreign keys. Its first word is the
// current token.
func (c *classifier) sqliteKeys() {
	switch c.word {
	case "DROP":
		if c.ahead().word == "TABLE" { // which deletes its rows first
			c.ForeignKeys = KeysFollowed
		}
	case "UPDATE", "DELETE", "REPLACE":
		c.ForeignKeys = KeysFollowed
	case "INSERT":
		c.ForeignKeys = KeysChecked
		or := c.ahead()
		if or.take("OR") && or.word == "REPLACE" || bytesContainFold(c.text, "conflict") { // it may change the existing row
			c.ForeignKeys = KeysFollowed
		}
	}
}

// sqliteTemporary reports whether a CREATE creates something temporary, by a word or by its schema.
func (c *classifier) sqliteTemporary() bool {
	if listed("TEMP|TEMPORARY", c.ahead().word) {
		return true
	}
	rest := c.ahead()
	rest.takeAny("UNIQUE|VIRTUAL")
	rest.next() // the kind of object
	rest.takeAny("IF|NOT|EXISTS")
	schema := rest
	if rest.next(); !rest.punct('.') {
		return false
	}
	if schema.kind == TokenWord {
		return foldEqual(schema.token(), "temp")
	}
	return schema.name() == "temp"
}

// pragmaName moves past the name of a pragma, which may be qualified, and returns it in lower case.
func (c *cursor) pragmaName() string {
	name := c.value()
	if c.next(); c.takePunct('.') {
		name = c.value()
		c.next()
	}
	return name
}

// pragma classifies PRAGMA [schema.]name, name = value or name(value). The effects in a transaction
// were tried with SQLite's shell, because its manual leaves some of them open.
func (c *classifier) pragma() {
	name := c.pragmaName()
	argument := c.punct('=') || c.kind == tOpen
	c.Session = argument && !listed(pragmasThatRead, name)
	if name == "wal_checkpoint" { // refused once the transaction has written
		c.never("PRAGMA " + name)
	}
	if !argument {
		return
	}
	c.next()
	switch name {
	case "journal_mode", "synchronous", "temp_store":
		c.never("PRAGMA " + name)
	case "foreign_keys":
		if c.ForeignKeys = KeysOff; c.sqliteTrue() {
			c.ForeignKeys = KeysOn
		}
		fallthrough
	case "auto_vacuum", "page_size": // these two must come before a database's first write
		c.Tx, c.Why = TxNoEffect, "PRAGMA "+name
	case "defer_foreign_keys":
		if c.sqliteTrue() {
			c.OnlyInTx = "PRAGMA " + name
		} else {
			c.ForeignKeys = KeysForgotten
		}
	}
}

// sqliteTrue reports whether a PRAGMA takes the current value, which may have a sign before it, for
// true.
func (c *classifier) sqliteTrue() bool {
	c.takePunct('+')
	value, n := c.value(), 0
	for _, d := range []byte(value) {
		if d < '0' || d > '9' {
			break
		}
		n = (n*10 + int(d-'0')) & 0xff
	}
	return n != 0 || listed("on|yes|true", value)
}

// pragmasThatRead are those whose argument selects what to show.
const pragmasThatRead = "table_info|table_xinfo|table_list|index_info|index_list|index_xinfo|foreign_key_list|foreign_key_check|" +
	"integrity_check|quick_check|wal_checkpoint|incremental_vacuum|optimize"
