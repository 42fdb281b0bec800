package sqltext

import "bytes"

func (c *classifier) mysql() {
	switch first := c.word; first {
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
		c.session = c.assigns()
	case "ALTER", "ANALYZE", "CHECK", "CHECKSUM", "DROP", "GRANT", "OPTIMIZE", "RENAME", "REPAIR", "REVOKE",
		"TRUNCATE", "SHOW":
		c.session = false
	case "CREATE":
		c.next()
		c.takeAny("OR", "REPLACE")
		c.session = c.word == "TEMPORARY"
	case "BEGIN":
		if c.next(); c.word != "NOT" {
			c.control(TxBegin)
		}
	case "START":
		if c.next(); c.word == "TRANSACTION" {
			c.control(TxBegin)
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
	case "LOCK", "UNLOCK":
		if c.next(); c.word == "TABLES" || c.word == "TABLE" {
			c.tx = TxOther
		}
	case "SET":
		c.next()
		if c.setsAutocommit() {
			c.tx = TxOther
		}
	}
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
