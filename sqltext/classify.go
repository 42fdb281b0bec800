package sqltext

// classifier determines what a statement is from its first words.
type classifier struct {
	cursor
	*Statement      // what it determines
	mentions   bool // the statement mentions what changes the session
	inTx       bool // and what has an effect only for the rest of its transaction
	conforming conformingChange
}

// classify begins at the statement's first word.
func (c *classifier) classify() {
	c.Session = true
	switch c.dialect {
	case PostgreSQL:
		c.postgres()
	case SQLite:
		c.sqlite()
	case MySQL:
		c.mysql()
	}
	c.Session = c.Session || c.mentions
}

func (c *classifier) never(why string) { c.Tx, c.Why = TxNever, why }

// neverOf sets TxNever if the statement fits one of the patterns.
func (c *classifier) neverOf(patterns ...string) bool {
	for _, p := range patterns {
		if _, words, ok := c.match(p); ok {
			c.never(words)
			return true
		}
	}
	return false
}

// control marks transaction control, which by itself does not change the session.
func (c *classifier) control(t Tx) { c.Tx, c.Session = t, false }

// controls classifies transaction control that begins with one of the verbs, and reports whether
// the statement is that.
func (c *classifier) controls(verbs string) bool {
	first := c.word
	switch first {
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE":
	default:
		return false
	}
	if !listed(verbs, first) {
		return false
	}
	switch first {
	case "SAVEPOINT", "RELEASE":
		c.control(TxSavepoint)
		return true
	case "START":
		if c.ahead().word != "TRANSACTION" {
			return false
		}
		fallthrough
	case "BEGIN":
		c.control(TxBegin)
		if access, unusual := c.modes(); unusual {
			c.Mode = ModeOwn | access
		}
		return true
	}
	tx, chain := TxCommit, TxCommitChain
	if first == "ROLLBACK" || first == "ABORT" {
		tx, chain = TxRollback, TxRollbackChain
	}
	c.control(tx)
	c.next()
	c.takeAny("WORK|TRANSACTION|TRAN")
	switch c.word {
	case "TO":
		c.Tx = TxSavepoint
	case "AND":
		if c.next(); c.word != "NO" {
			c.Tx = chain
			return true
		}
		c.next()
		c.next()
	}
	if c.dialect == MySQL && c.word == "RELEASE" {
		c.Tx = TxOther // disconnects
	}
	return true
}
