package sqltext

import (
	"slices"
	"strings"
)

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

// postgresSet classifies a SET.
func (c *classifier) postgresSet() {
	c.next()
	local := c.take("LOCAL")
	if local {
		c.OnlyInTx = "SET LOCAL"
	} else if c.take("SESSION") && c.word == "CHARACTERISTICS" {
		access, _ := c.modes()
		c.Mode = ModeSession | access
		return
	}
	switch name := c.name(); name {
	case "transaction":
		access, _ := c.modes()
		c.Mode = ModeOwn | access
		c.OnlyInTx = "SET TRANSACTION"
	case "constraints":
		c.OnlyInTx = "SET CONSTRAINTS"
	case "standard_conforming_strings":
		c.conformingStrings(local)
	case "transaction_isolation", "transaction_read_only", "transaction_deferrable":
		c.OnlyInTx = "SET " + name
		c.Mode = ModeOwn | c.access()
	case "default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable":
		if !local {
			c.Mode = ModeSession | c.access()
		}
	}
}

// access returns the mode that a setting requests whose name is the current token.
func (c *classifier) access() Mode {
	if !strings.HasSuffix(c.name(), "_read_only") {
		return 0
	}
	c.next() // = or TO
	if c.next(); c.isFalse() || listed("no|default", c.value()) {
		return ModeReadWrite
	}
	return ModeReadOnly
}

// postgresTemporary finds ON COMMIT DROP in a CREATE TEMPORARY TABLE.
func (c *classifier) postgresTemporary() {
	for ; c.kind != tEOF; c.next() {
		if _, words, ok := c.match("ON COMMIT DROP"); ok && c.depth == 0 {
			c.OnlyInTx = words
			return
		}
	}
}

// inTransaction are PostgreSQL's functions whose effect ends with the transaction.
var inTransaction = []string{
	"pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared", "pg_export_snapshot",
}

// query classifies a query whose first token is the current one: whether it locks rows, or calls a
// function, which has no effect outside a transaction.
func (c *classifier) query() {
	c.depth = 0
	for c.next(); c.kind != tEOF && c.OnlyInTx == ""; c.next() {
		if c.depth <= 0 && (c.word == "FOR" || c.word == "LOCK") {
			c.OnlyInTx = c.locksRows()
		}
		if c.OnlyInTx == "" && c.dialect == PostgreSQL && (c.inTx || c.mentions) {
			c.OnlyInTx = c.inVain()
		}
	}
}

// locksRows returns the words of FOR UPDATE and its variants, "" for something else.
func (c *classifier) locksRows() string {
	for _, p := range []string{"FOR UPDATE|SHARE", "FOR NO KEY UPDATE|SHARE", "FOR KEY SHARE|UPDATE", "FOR NO UPDATE|SHARE", "LOCK IN SHARE MODE"} {
		if _, words, ok := c.match(p); ok {
			return "SELECT … " + words
		}
	}
	return ""
}

// inVain returns the current PostgreSQL function if its effect ends with the transaction, "" for
// any other token.
func (c *classifier) inVain() string {
	name := c.name()
	switch {
	case slices.Contains(inTransaction, name):
		return name
	case name == "set_config" && c.thirdIsTrue():
		return "set_config(…, true)"
	}
	return ""
}

// thirdIsTrue reports whether the third argument of the current call is written as true.
func (c cursor) thirdIsTrue() bool {
	commas, outer := 0, c.depth
	for c.next(); c.kind != tEOF && c.depth > outer; c.next() {
		switch {
		case c.depth > outer+1:
		case c.punct(','):
			commas++
		case commas == 2:
			return listed("true|t|on|yes|1", c.value())
		}
	}
	return false
}
