package sqltext

// oldRules are PostgreSQL's rules while standard_conforming_strings is off: a backslash is an
// escape in every string.
var oldRules = func() *rules {
	r := *postgresRules
	r.backslash = true
	return &r
}()

// conforming tracks PostgreSQL's standard_conforming_strings through a script. The setting changes
// how later strings are read. If it is off, at is where the script turned it off.
type conforming struct {
	off  bool
	at   Position
	open bool // the script has a transaction open
	// ROLLBACK restores before, COMMIT sets lasting.
	before, lasting bool
}

// see follows a statement, which makes a change to the setting.
func (c *conforming) see(st *Statement, change conformingChange) {
	if change != conformingSame {
		c.off = change == conformingOff || change == conformingOffLocal
		if c.off {
			c.at = st.Pos
		}
		if change == conformingOff || change == conformingOn {
			c.lasting = c.off
		}
	}
	switch st.Tx {
	case TxBegin:
		if !c.open {
			c.open, c.before, c.lasting = true, c.off, c.off
		}
	case TxCommit, TxCommitChain:
		if c.open {
			c.off = c.lasting
		}
		c.before, c.open = c.off, st.Tx == TxCommitChain
	case TxRollback, TxRollbackChain:
		if c.open {
			c.off, c.lasting = c.before, c.before
		}
		c.open = st.Tx == TxRollbackChain
	}
}

// rules returns the rules for the next statement.
func (c *conforming) rules() *rules {
	if c.off {
		return oldRules
	}
	return postgresRules
}

// conformingChange is the effect of a statement on standard_conforming_strings.
type conformingChange uint8

const (
	conformingSame conformingChange = iota
	conformingOff
	conformingOn
	conformingOffLocal // to the end of the transaction
	conformingOnLocal
)

// conformingStrings reads SET standard_conforming_strings, whose name is the current token. All
// values except off, including DEFAULT, mean on: Whimbrel does not work on a server whose default
// is off.
func (c *classifier) conformingStrings(local bool) {
	c.next()
	if !c.take("TO") {
		c.takePunct('=')
	}
	c.conforming = conformingOn
	if c.isFalse() || c.value() == "no" {
		c.conforming = conformingOff
	}
	if local {
		c.conforming += conformingOnLocal - conformingOn
	}
}
