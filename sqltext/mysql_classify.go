package sqltext

import "bytes"

// mysql is strict about what can be in a transaction: nearly every statement except DML silently
// commits the open transaction. So a statement that is not known to be harmless is TxNever.
func (c *classifier) mysql() {
	switch c.word {
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
		c.Session = bytes.Contains(c.text, []byte(":=")) // may assign to a user variable
		return
	case "SHOW":
		c.Session = false
		return
	case "", "SELECT", "WITH", "TABLE": // "" is a query in parentheses
		c.query()
		return
	case "VALUES", "DO", "USE", "EXPLAIN", "DESCRIBE", "DESC", "HELP", "SIGNAL":
		return
	case "XA":
		c.Tx = TxOther
		return
	case "SET":
		c.mysqlSet()
		return
	}
	if _, _, ok := c.match("BEGIN NOT"); ok {
		c.never("BEGIN NOT ATOMIC")
	} else if _, _, ok := c.match("LOAD DATA|XML"); !ok && !c.controls("BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE") {
		c.commits()
	}
}

// commits classifies a statement that commits by itself, or may do so, and names it by its first
// words.
func (c *classifier) commits() {
	first := c.word
	c.Session = !listed("ALTER|ANALYZE|CHECK|CHECKSUM|DROP|GRANT|OPTIMIZE|RENAME|REPAIR|REVOKE|TRUNCATE|CREATE", first)
	why := c.said()
	c.next()
	for tokens := 0; c.kind != tEOF && tokens < 24; tokens++ { // a definer and an algorithm may come before
		if c.word == "TEMPORARY" {
			c.Session = first != "DROP"
			why += " TEMPORARY"
		} else if listed(mysqlNouns, c.word) {
			why += " " + c.word
			break
		}
		c.next()
	}
	c.never(why)
}

// mysqlNouns are what statements are about.
const mysqlNouns = "TABLE|TABLES|VIEW|INDEX|TRIGGER|FUNCTION|PROCEDURE|EVENT|DATABASE|SCHEMA|SEQUENCE|USER|ROLE|SERVER|INSTANCE|TABLESPACE|" +
	"PASSWORD|STATEMENT|REPLICA|SLAVE|PREPARE|PACKAGE|CACHE"

// mysqlSet classifies a SET. A password or a role can't be rolled back, and SET STATEMENT may
// contain any statement.
func (c *classifier) mysqlSet() {
	if _, _, ok := c.match("SET PASSWORD|ROLE|DEFAULT|STATEMENT|RESOURCE"); ok {
		c.commits()
		return
	}
	if rest, _, ok := c.match("SET SESSION|LOCAL* TRANSACTION"); ok {
		c.Mode = ModeNext
		if c.ahead().word != "TRANSACTION" {
			c.Mode = ModeSession
		}
		c.cursor = rest
		access, _ := c.modes()
		c.Mode |= access
		return
	}
	for _, a := range c.ahead().assignments() {
		switch {
		case a.user || listed(globalScopes, a.scope):
		case a.name == "autocommit":
			c.Tx = TxOther
		case listed("transaction_isolation|tx_isolation|transaction_read_only|tx_read_only", a.name):
			c.Mode = ModeSession
			if a.scope == "@@" {
				c.Mode = ModeNext
			}
			if listed("transaction_read_only|tx_read_only", a.name) {
				c.Mode |= ModeReadOnly
				if a.value.isFalse() {
					c.Mode ^= ModeReadOnly | ModeReadWrite
				}
			}
		}
	}
}

// globalScopes are the scopes of a SET that changes the whole server.
const globalScopes = "GLOBAL|PERSIST|PERSIST_ONLY"

// assignment is one of the assignments of MySQL's SET.
type assignment struct {
	user  bool   // to a user variable, such as @a
	scope string // SESSION, LOCAL or one of globalScopes; "@@" for @@name; "" for none
	name  string // in lower case, without what qualifies it
	value cursor // begins at the value
}

// assignments returns the assignments of a SET; the cursor is after that word. Parts of the SET
// that assign nothing have no name.
func (c cursor) assignments() (all []assignment) {
	for outer := c.depth; !c.ended(); c.next() {
		ats := 0
		for ; c.takePunct('@'); ats++ {
		}
		a := assignment{user: ats == 1}
		if ats == 2 {
			a.scope = "@@"
		}
		if ats != 1 && listed("SESSION|LOCAL|"+globalScopes, c.word) {
			a.scope = c.word
			c.next()
			c.takePunct('.')
		}
		a.name = c.lastName()
		c.takePunct(':')
		if !c.takePunct('=') {
			a = assignment{}
		}
		a.value = c
		all = append(all, a)
		for !c.ended() && (c.depth > outer || !c.punct(',')) {
			c.next()
		}
	}
	return all
}
