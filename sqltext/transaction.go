package sqltext

// Mode is a set of flags that describe the kind of transaction that a statement requests. 0 means
// an ordinary transaction, or no request.
type Mode uint8

const (
	// ModeOwn is for the transaction that the statement begins or is in: BEGIN ISOLATION LEVEL
	// SERIALIZABLE, PostgreSQL's SET TRANSACTION.
	ModeOwn Mode = 1 << iota
	// ModeNext is for the next transaction only: MySQL's SET TRANSACTION.
	ModeNext
	// ModeSession is for all later transactions of the session: SET SESSION CHARACTERISTICS.
	ModeSession
	// ModeReadOnly and ModeReadWrite say whether such a transaction can write.
	ModeReadOnly
	ModeReadWrite
)

// modes reads the modes of a BEGIN or a SET TRANSACTION from the current token on. unusual reports
// that a mode differs from Whimbrel's own transactions.
func (c *classifier) modes() (access Mode, unusual bool) {
	for not := false; c.kind != tEOF; c.next() {
		switch c.word {
		case "SERIALIZABLE", "REPEATABLE", "UNCOMMITTED", "SNAPSHOT":
			unusual = true
		case "DEFERRABLE":
			unusual = unusual || !not
		case "ONLY":
			access, unusual = ModeReadOnly, true
		case "WRITE":
			access = ModeReadWrite
		}
		not = c.word == "NOT"
	}
	return access, unusual
}

// begins classifies a BEGIN or START TRANSACTION.
func (c *classifier) begins() {
	c.control(TxBegin)
	c.next()
	if access, unusual := c.modes(); unusual {
		c.mode = ModeOwn | access
	}
}

// only marks a statement that is refused, or has no effect, outside a transaction.
func (c *classifier) only(what string) { c.onlyInTx = what }

// postgresSet classifies what follows SET.
func (c *classifier) postgresSet() {
	c.next()
	local := c.take("LOCAL")
	if local {
		c.only("SET LOCAL")
	} else if c.take("SESSION") && c.word == "CHARACTERISTICS" {
		access, _ := c.modes()
		c.mode = ModeSession | access
		return
	}
	switch c.word {
	case "TRANSACTION":
		access, _ := c.modes()
		c.mode = ModeOwn | access
		c.only("SET TRANSACTION")
		return
	case "CONSTRAINTS":
		c.only("SET CONSTRAINTS")
		return
	}
	if c.names("standard_conforming_strings") {
		c.conformingStrings(local)
		return
	}
	c.postgresSetting(local)
}

// postgresSetting checks whether the current setting is about transactions.
func (c *classifier) postgresSetting(local bool) {
	name := ""
	for _, n := range transactionSettings {
		if c.names(n) {
			name = n
		}
	}
	if name == "" {
		return
	}
	c.mode = ModeSession
	if name[0] == 't' {
		c.mode = ModeOwn
		c.only("SET " + name)
	} else if local {
		c.mode = 0
		return
	}
	if name == "transaction_read_only" || name == "default_transaction_read_only" {
		c.next() // = or TO
		c.next()
		access := ModeReadOnly
		if c.isFalse() || foldEqual(c.token(), "no") || c.word == "DEFAULT" {
			access = ModeReadWrite
		}
		c.mode |= access
	}
}

// transactionSettings are PostgreSQL's settings that make a transaction differ from Whimbrel's.
var transactionSettings = []string{
	"transaction_isolation", "transaction_read_only", "transaction_deferrable",
	"default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable",
}

// postgresDeclare classifies DECLARE name … CURSOR … [WITH HOLD] FOR query.
func (c *classifier) postgresDeclare() {
	for c.next(); c.kind != tEOF && c.word != "FOR"; c.next() {
		if c.word == "WITH" {
			if c.next(); c.word == "HOLD" {
				return
			}
		}
	}
	c.only("DECLARE CURSOR without WITH HOLD")
}

// postgresTemporary finds ON COMMIT DROP in a CREATE TEMPORARY TABLE.
func (c *classifier) postgresTemporary() {
	for depth := 0; c.kind != tEOF; {
		switch c.kind {
		case tOpen:
			depth++
		case tClose:
			depth--
		}
		if depth == 0 && c.take("ON") {
			if c.take("COMMIT") && c.word == "DROP" {
				c.only("ON COMMIT DROP")
				return
			}
			continue
		}
		c.next()
	}
}

// inTransaction are PostgreSQL's functions whose effect ends with the transaction.
var inTransaction = []string{
	"pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared", "pg_export_snapshot",
}

// query classifies a query whose first word is the current token: whether it locks rows, or calls a
// function, which has no effect outside a transaction.
func (c *classifier) query() {
	c.next()
	for depth := 0; c.kind != tEOF; {
		switch {
		case c.kind == tOpen:
			depth++
		case c.kind == tClose:
			depth--
		case c.kind == TokenWord && depth <= 0 && (c.word == "FOR" || c.word == "LOCK"):
			if what := c.locksRows(); what != "" {
				c.only("SELECT … " + what)
				return
			}
			continue
		case c.kind == TokenWord && (c.inTx || c.mentions) && c.inVain():
			return
		}
		c.next()
	}
}

// locksRows moves past FOR UPDATE and its variants and returns its words, "" for something else.
func (c *classifier) locksRows() (what string) {
	if c.take("LOCK") {
		if c.take("IN") && c.take("SHARE") && c.take("MODE") {
			return "LOCK IN SHARE MODE"
		}
		return ""
	}
	c.take("FOR")
	what = "FOR"
	for _, word := range []string{"NO", "KEY"} {
		if c.take(word) {
			what += " " + word
		}
	}
	if c.word == "UPDATE" || c.word == "SHARE" {
		return what + " " + c.word
	}
	return ""
}

// inVain reports whether the current word is a PostgreSQL function whose effect ends with the
// transaction.
func (c *classifier) inVain() bool {
	if c.dialect != PostgreSQL {
		return false
	}
	for _, f := range inTransaction {
		if c.names(f) {
			c.only(f)
		}
	}
	if c.names("set_config") && c.thirdIsTrue() {
		c.only("set_config(…, true)")
	}
	return c.onlyInTx != ""
}

// thirdIsTrue reports whether the third argument of the current call is written as true. It does
// not move.
func (c *classifier) thirdIsTrue() bool {
	o := *c
	o.next()
	for depth, commas := 0, 0; o.kind != tEOF; o.next() {
		switch {
		case o.kind == tOpen:
			depth++
		case o.kind == tClose:
			if depth--; depth <= 0 {
				return false
			}
		case o.punct(',') && depth == 1:
			commas++
		case commas == 2 && depth == 1:
			tok := o.token()
			if o.kind == TokenString {
				tok = []byte(unquotePostgres(tok))
			}
			return foldEqual(tok, "true") || foldEqual(tok, "t") || foldEqual(tok, "on") || foldEqual(tok, "yes") || string(tok) == "1"
		}
	}
	return false
}

// mysqlTransaction classifies SET [scope] TRANSACTION … and the variables with the same effect. The
// current token is the one after SET.
func (c *classifier) mysqlTransaction() {
	mode := ModeNext
	switch {
	case c.take("SESSION"), c.take("LOCAL"):
		mode = ModeSession
	case c.word == "GLOBAL", c.word == "PERSIST":
		return
	}
	if c.word == "TRANSACTION" {
		access, _ := c.modes()
		c.mode = mode | access
		return
	}
	ats := 0
	for ; c.punct('@'); c.next() {
		ats++
	}
	if ats == 0 {
		mode = ModeSession
	}
	if ats == 2 {
		switch c.word {
		case "SESSION", "LOCAL":
			mode = ModeSession
			if c.next(); c.punct('.') {
				c.next()
			}
		case "GLOBAL", "PERSIST":
			return
		}
	}
	for _, name := range []string{"transaction_isolation", "tx_isolation", "transaction_read_only", "tx_read_only"} {
		if ats == 1 || !c.names(name) {
			continue
		}
		c.mode = mode
		if name == "transaction_read_only" || name == "tx_read_only" {
			c.next() // =
			c.next()
			access := ModeReadOnly
			if c.isFalse() {
				access = ModeReadWrite
			}
			c.mode |= access
		}
	}
}
