package sqltext

import "bytes"

// mysql is strict about what can be in a transaction: nearly every statement except DML silently
// commits the open transaction. So a statement that is not known to be harmless is TxNever.
func (c *classifier) mysql() {
	switch first := c.word; first {
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
		c.session = c.assigns()
	case "SHOW":
		c.session = false
	case "", "SELECT", "WITH", "TABLE": // "" is a query in parentheses
		c.query()
	case "VALUES", "DO", "USE", "EXPLAIN", "DESCRIBE", "DESC", "HELP", "SIGNAL":
	case "LOAD":
		if c.next(); c.word != "DATA" && c.word != "XML" {
			c.commits("LOAD")
		}
	case "BEGIN":
		if c.next(); c.word == "NOT" {
			c.commits("BEGIN NOT ATOMIC")
		} else {
			c.begins()
		}
	case "START":
		if c.next(); c.word == "TRANSACTION" {
			c.begins()
		} else {
			c.commits("START")
		}
	case "COMMIT":
		c.next()
		c.ends(TxCommit)
	case "ROLLBACK":
		c.next()
		c.ends(TxRollback)
	case "SAVEPOINT", "RELEASE":
		c.control(TxSavepoint)
	case "XA":
		c.tx = TxOther
	case "SET":
		c.set()
	default:
		c.commits(first)
	}
}

// set classifies a SET. A password or a role can't be rolled back, and SET STATEMENT may contain
// any statement.
func (c *classifier) set() {
	switch c.next(); c.word {
	case "PASSWORD", "ROLE", "DEFAULT", "STATEMENT", "RESOURCE":
		c.commits("SET")
		return
	}
	o := *c
	o.mysqlTransaction()
	c.mode = o.mode
	if c.setsAutocommit() {
		c.tx = TxOther
	}
}

// commits classifies a statement that commits by itself, or may do so, and names it by its first
// words.
func (c *classifier) commits(first string) {
	c.session = true
	switch first {
	case "ALTER", "ANALYZE", "CHECK", "CHECKSUM", "DROP", "GRANT", "OPTIMIZE", "RENAME", "REPAIR", "REVOKE", "TRUNCATE", "CREATE":
		c.session = false
	}
	why := first
	if c.word == first {
		c.next()
	}
	for tokens := 0; c.kind != tEOF && tokens < 24; tokens++ { // a definer and an algorithm may come before
		if c.word == "TEMPORARY" {
			c.session = first != "DROP"
			why += " TEMPORARY"
		} else if mysqlNouns[c.word] {
			why += " " + c.word
			break
		}
		c.next()
	}
	c.never(why)
}

// mysqlNouns are what statements are about.
var mysqlNouns = map[string]bool{
	"TABLE": true, "TABLES": true, "VIEW": true, "INDEX": true, "TRIGGER": true, "FUNCTION": true, "PROCEDURE": true, "EVENT": true,
	"DATABASE": true, "SCHEMA": true, "SEQUENCE": true, "USER": true, "ROLE": true, "SERVER": true, "INSTANCE": true, "TABLESPACE": true,
	"PASSWORD": true, "STATEMENT": true, "REPLICA": true, "SLAVE": true, "PREPARE": true, "PACKAGE": true, "CACHE": true,
}

// assigns reports whether the statement may assign to a user variable. It does not
// look whether the := is within a string.
func (c *classifier) assigns() bool { return bytes.Contains(c.text, []byte(":=")) }

// setsAutocommit reports whether a SET changes the session's autocommit. It must
// tell autocommit, @@autocommit, @@session.autocommit and SESSION autocommit from
// the variable @autocommit and from @@GLOBAL.autocommit.
func (c *classifier) setsAutocommit() bool {
	ats, global := 0, false
	for ; c.kind != tEOF; c.next() {
		switch {
		case c.punct('@'):
			ats++
			continue
		case c.punct('.'):
			continue
		case c.punct(','):
			global = false
		case c.word == "GLOBAL" || c.word == "PERSIST" || c.word == "PERSIST_ONLY":
			global = true
			continue
		case c.word == "SESSION" || c.word == "LOCAL":
			global = false
			continue
		case c.names("autocommit"):
			c.next()
			if ats != 1 && !global && (c.punct('=') || c.punct(':')) {
				return true
			}
		}
		ats = 0
	}
	return false
}
