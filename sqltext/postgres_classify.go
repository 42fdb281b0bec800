package sqltext

// postgresNever sets TxNever if the statement can't be in a transaction. It compares the statement
// only with patterns that its first words may fit.
func (c *classifier) postgresNever() bool {
	switch c.word {
	case "CREATE":
		kind := c.ahead()
		kind.takeModifiers()
		return c.postgresNeverCreate(kind.word)
	case "ALTER":
		return c.postgresNeverAlter(c.ahead().word)
	case "DROP":
		switch c.ahead().word {
		case "INDEX":
			return c.neverOf("DROP INDEX CONCURRENTLY")
		case "DATABASE", "TABLESPACE", "SUBSCRIPTION":
			return c.neverOf("DROP DATABASE|TABLESPACE|SUBSCRIPTION")
		}
	case "VACUUM":
		return c.neverOf("VACUUM")
	case "REINDEX":
		return c.neverOf(
			"REINDEX concurrently=false 'CONCURRENTLY",
			"REINDEX () -INDEX|TABLE|SCHEMA|DATABASE|SYSTEM CONCURRENTLY",
			"REINDEX () SCHEMA|DATABASE|SYSTEM",
		)
	case "CLUSTER":
		return c.neverOf("CLUSTER () VERBOSE* $ 'without'a'table")
	case "DISCARD":
		return c.neverOf("DISCARD ALL")
	case "COMMIT", "END", "ROLLBACK", "ABORT":
		return c.neverOf("COMMIT|END|ROLLBACK|ABORT PREPARED")
	}
	return false
}

func (c *classifier) postgresNeverCreate(kind string) bool {
	switch kind {
	case "INDEX":
		return c.neverOf("CREATE ~ INDEX CONCURRENTLY")
	case "DATABASE", "TABLESPACE":
		return c.neverOf("CREATE ~ DATABASE|TABLESPACE")
	case "SUBSCRIPTION":
		return c.neverOf("CREATE ~ SUBSCRIPTION create_slot=true connect=true 'with'a'replication'slot")
	}
	return false
}

func (c *classifier) postgresNeverAlter(kind string) bool {
	switch kind {
	case "SYSTEM":
		return c.neverOf("ALTER SYSTEM")
	case "DATABASE":
		return c.neverOf("ALTER DATABASE name SET TABLESPACE")
	case "TABLE":
		return c.neverOf("-ALTER -TABLE IF|EXISTS|ONLY* name DETACH PARTITION name CONCURRENTLY")
	case "SUBSCRIPTION":
		return c.neverOf(
			"ALTER SUBSCRIPTION name REFRESH",
			"ALTER SUBSCRIPTION name -ADD|DROP|SET -PUBLICATION refresh=true 'with'refresh",
			"ALTER SUBSCRIPTION name SET !PUBLICATION …FAILOVER|TWO_PHASE _",
		)
	}
	return false
}

func (c *classifier) postgres() {
	switch c.word {
	case "INSERT", "UPDATE", "DELETE", "MERGE":
		c.Session = false
		if c.inTx || c.mentions {
			c.query()
		}
		return
	case "SELECT", "WITH", "VALUES", "TABLE", "": // "" is a query in parentheses
		c.query()
		return
	}
	if c.postgresNever() {
		c.Session = c.word == "DISCARD"
	} else if c.controls("BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE") {
		return
	}
	switch c.word {
	case "TRUNCATE", "COPY", "COMMENT", "GRANT", "REVOKE", "ANALYZE", "ANALYSE",
		"REFRESH", "SECURITY", "REASSIGN", "IMPORT", "NOTIFY", "CHECKPOINT", "SHOW", "DROP", "CLUSTER", "REINDEX":
		c.Session = false
	case "LOCK":
		c.Session = false
		c.OnlyInTx = "LOCK TABLE"
	case "SET":
		c.postgresSet()
	case "DECLARE":
		if _, _, hold := c.match("DECLARE …WITH|FOR WITH HOLD"); !hold {
			c.OnlyInTx = "DECLARE CURSOR without WITH HOLD"
		}
	case "CREATE":
		kind := c.ahead()
		kind.takeAny("OR|REPLACE|GLOBAL|LOCAL")
		c.Session = listed("TEMP|TEMPORARY", kind.word)
		if c.Session {
			c.postgresTemporary()
		} else if kind.word == "TYPE" {
			c.newEnum()
		}
	case "ALTER":
		c.Session = false
		if c.ahead().word == "TYPE" {
			c.enum()
		}
	case "RESET", "DISCARD":
		if c.next(); c.word == "ALL" || c.name() == "standard_conforming_strings" {
			c.conforming = conformingOn
		}
	case "PREPARE":
		// A prepared statement may be called "transaction", too.
		if rest, _, ok := c.match("PREPARE TRANSACTION"); ok && rest.kind == TokenString {
			c.control(TxOther)
		}
	}
}

// enum reads ALTER TYPE name ADD VALUE [IF NOT EXISTS] 'value' and RENAME VALUE 'value' TO 'value'.
func (c *classifier) enum() {
	rest, words, ok := c.match("-ALTER -TYPE name ADD|RENAME VALUE IF|NOT|EXISTS*")
	if !ok {
		return
	}
	was := ""
	if words == "RENAME VALUE" && rest.kind == TokenString {
		was = rest.asToken().Value()
		rest.next()
		rest.take("TO")
	}
	if rest.kind == TokenString {
		c.EnumType, c.EnumValue, c.EnumWas = c.typeName(), rest.asToken().Value(), was
	}
}

// newEnum reads CREATE TYPE name AS ENUM.
func (c *classifier) newEnum() {
	if _, _, ok := c.match("CREATE TYPE name AS ENUM"); ok {
		c.EnumType = c.typeName()
	}
}

// typeName returns the name in CREATE TYPE or ALTER TYPE as written.
func (c *classifier) typeName() string {
	name := c.ahead().ahead()
	from, to := name.takeName()
	return string(c.text[from:to])
}
