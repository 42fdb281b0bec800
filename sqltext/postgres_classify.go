package sqltext

func (c *classifier) postgres() {
	switch first := c.word; first {
	case "INSERT", "UPDATE", "DELETE", "MERGE":
		c.session = false
		if c.inTx || c.mentions {
			c.query()
		}
	case "TRUNCATE", "COPY", "COMMENT", "GRANT", "REVOKE", "ANALYZE", "ANALYSE",
		"REFRESH", "SECURITY", "REASSIGN", "IMPORT", "NOTIFY", "CHECKPOINT", "SHOW":
		c.session = false
	case "LOCK":
		c.session = false
		c.only("LOCK TABLE")
	case "SELECT", "WITH", "VALUES", "TABLE", "": // "" is a query in parentheses
		c.query()
	case "SET":
		c.postgresSet()
	case "DECLARE":
		c.postgresDeclare()
	case "CREATE":
		c.next()
		c.postgresCreate()
	case "ALTER":
		c.session = false
		c.next()
		c.postgresAlter()
	case "DROP":
		c.session = false
		c.next()
		c.postgresDrop()
	case "VACUUM":
		c.session = false
		c.never("VACUUM")
	case "CLUSTER":
		c.session = false
		c.next()
		c.postgresCluster()
	case "REINDEX":
		c.session = false
		c.next()
		c.postgresReindex()
	case "RESET":
		if c.next(); c.word == "ALL" || c.names("standard_conforming_strings") {
			c.conforming = conformingOn
		}
	case "DISCARD":
		c.next()
		if c.word == "ALL" {
			c.never("DISCARD ALL")
			c.conforming = conformingOn
		}
	default:
		c.postgresControl(first)
	}
}

func (c *classifier) postgresControl(first string) {
	switch first {
	case "BEGIN":
		c.begins()
	case "START":
		if c.next(); c.word == "TRANSACTION" {
			c.begins()
		}
	case "COMMIT", "END", "ROLLBACK", "ABORT":
		c.next()
		if c.word == "PREPARED" {
			c.session = false
			c.never(first + " PREPARED")
			return
		}
		if first == "COMMIT" || first == "END" {
			c.ends(TxCommit)
		} else {
			c.ends(TxRollback)
		}
	case "SAVEPOINT", "RELEASE":
		c.control(TxSavepoint)
	case "PREPARE":
		if c.next(); c.word == "TRANSACTION" {
			// A prepared statement may be called "transaction", too.
			if c.next(); c.kind == TokenString {
				c.control(TxOther)
			}
		}
	}
}

func (c *classifier) postgresCreate() {
	c.takeAny("OR", "REPLACE", "GLOBAL", "LOCAL")
	if c.session = c.word == "TEMP" || c.word == "TEMPORARY"; c.session {
		c.postgresTemporary()
		return
	}
	switch c.word {
	case "UNIQUE", "INDEX":
		c.take("UNIQUE")
		if c.take("INDEX") && c.word == "CONCURRENTLY" {
			c.never("CREATE INDEX CONCURRENTLY")
		}
	case "TYPE":
		c.next()
		c.newEnum()
	case "DATABASE", "TABLESPACE":
		c.never("CREATE " + c.word)
	case "SUBSCRIPTION":
		if c.option("create_slot", true) && c.option("connect", true) {
			c.never("CREATE SUBSCRIPTION with a replication slot")
		}
	}
}

func (c *classifier) postgresDrop() {
	switch c.word {
	case "INDEX":
		if c.next(); c.word == "CONCURRENTLY" {
			c.never("DROP INDEX CONCURRENTLY")
		}
	case "DATABASE", "TABLESPACE", "SUBSCRIPTION":
		c.never("DROP " + c.word)
	}
}

func (c *classifier) postgresAlter() {
	switch c.word {
	case "SYSTEM":
		c.never("ALTER SYSTEM")
	case "DATABASE":
		c.next()
		c.takeName()
		if c.take("SET") && c.word == "TABLESPACE" {
			c.never("ALTER DATABASE SET TABLESPACE")
		}
	case "TABLE":
		c.next()
		c.takeAny("IF", "EXISTS", "ONLY")
		c.takeName()
		if c.punct('*') {
			c.next()
		}
		if c.take("DETACH") && c.take("PARTITION") {
			if c.takeName(); c.word == "CONCURRENTLY" {
				c.never("DETACH PARTITION CONCURRENTLY")
			}
		}
	case "TYPE":
		c.next()
		c.enum()
	case "SUBSCRIPTION":
		c.next()
		c.takeName()
		c.postgresAlterSubscription()
	}
}

func (c *classifier) postgresAlterSubscription() {
	switch c.word {
	case "REFRESH":
		c.never("ALTER SUBSCRIPTION REFRESH")
	case "ADD", "DROP", "SET":
		set := c.word == "SET"
		if c.next(); c.word == "PUBLICATION" {
			if c.option("refresh", true) {
				c.never("ALTER SUBSCRIPTION with refresh")
			}
			return
		}
		for set && c.kind != tEOF {
			if foldEqual(c.token(), "failover") || foldEqual(c.token(), "two_phase") {
				c.never("ALTER SUBSCRIPTION SET " + string(c.token()))
				return
			}
			c.next()
		}
	}
}

// postgresCluster: CLUSTER without a table goes through all tables that were
// clustered before, each in a transaction of its own.
func (c *classifier) postgresCluster() {
	if c.kind == tOpen {
		c.skipParens()
	}
	c.take("VERBOSE")
	if c.kind == tEOF {
		c.never("CLUSTER without a table")
	}
}

func (c *classifier) postgresReindex() {
	concurrently := false
	if c.kind == tOpen {
		concurrently = c.option("concurrently", false)
		c.skipParens()
	}
	what := c.word
	c.next()
	switch {
	case concurrently || c.word == "CONCURRENTLY":
		c.never("REINDEX CONCURRENTLY")
	case what == "SCHEMA" || what == "DATABASE" || what == "SYSTEM":
		c.never("REINDEX " + what)
	}
}

// option returns the value of a boolean in the list of options that follows:
// (name), (name value) or (name = value). preset is what it is if it is not
// there. It does not move.
func (c *classifier) option(name string, preset bool) bool {
	o := *c
	for depth := 0; o.kind != tEOF; o.next() {
		switch {
		case o.kind == tOpen:
			depth++
		case o.kind == tClose:
			depth--
		case depth == 1 && o.kind != TokenString && optionName(o.token(), name):
			o.next()
			if o.punct('=') {
				o.next()
			}
			return !o.isFalse()
		}
	}
	return preset
}

func optionName(tok []byte, name string) bool {
	if tok[0] == '"' {
		tok = unquoteName(tok)
	}
	return foldEqual(tok, name)
}

// isFalse reports whether the current token is a way to write false.
func (c *classifier) isFalse() bool {
	tok := c.token()
	if c.kind == TokenString {
		tok = []byte(unquotePostgres(tok))
	}
	return len(tok) == 1 && tok[0] == '0' || foldEqual(tok, "false") || foldEqual(tok, "off")
}

// enum reads ALTER TYPE name ADD VALUE [IF NOT EXISTS] 'value' and RENAME VALUE 'value' TO 'value'.
func (c *classifier) enum() {
	from, to := c.takeName()
	rename := c.take("RENAME")
	if !rename && !c.take("ADD") || !c.take("VALUE") {
		return
	}
	c.takeAny("IF", "NOT", "EXISTS")
	was := ""
	if rename && c.kind == TokenString {
		was = unquotePostgres(c.token())
		c.next()
		c.take("TO")
	}
	if c.kind == TokenString {
		c.enumType = string(c.text[from:to])
		c.enumValue, c.enumWas = unquotePostgres(c.token()), was
	}
}

// newEnum reads CREATE TYPE name AS ENUM.
func (c *classifier) newEnum() {
	from, to := c.takeName()
	if c.take("AS") && c.word == "ENUM" {
		c.enumType = string(c.text[from:to])
	}
}
