package sqltext

// classifier determines what a statement is from its first words.
type classifier struct {
	dialect  Dialect
	rules    *rules
	text     []byte
	mentions bool // the statement mentions what changes the session
	inTx     bool // and what has an effect only for the rest of its transaction

	tx                  Tx
	why, onlyInTx       string
	mode                Mode
	session             bool
	enumType, enumValue string
	enumWas             string
	conforming          conformingChange
	keys                ForeignKeys

	lex      lexer
	kind     TokenKind
	from, to int
	word     string // the keyword at hand; "" for anything but a word
}

// classify starts at the statement's first word, which ends at firstEnd.
func (c *classifier) classify(firstEnd int) {
	c.lex = lexer{rules: c.rules, b: c.text, i: firstEnd}
	c.lex.class = &c.lex.rules.fine
	c.session = true
	switch c.dialect {
	case PostgreSQL:
		c.postgres()
	case SQLite:
		c.sqlite()
	case MySQL:
		c.mysql()
	}
	c.session = c.session || c.mentions
}

// next moves to the next token.
func (c *classifier) next() {
	c.kind, c.from, c.to = c.lex.next()
	for c.kind == tVersion {
		c.kind, c.from, c.to = c.lex.next()
	}
	c.word = ""
	if c.kind == TokenWord {
		c.word = keyword(c.text[c.from:c.to])
	}
	if c.kind == TokenBroken {
		c.kind = tEOF
	}
}

func (c *classifier) token() []byte { return c.text[c.from:c.to] }

func (c *classifier) punct(b byte) bool { return c.kind == TokenPunct && c.text[c.from] == b }

// take moves past the keyword w if it is the current one.
func (c *classifier) take(w string) bool {
	if c.word != w {
		return false
	}
	c.next()
	return true
}

// takeAny moves past all current keywords of the list.
func (c *classifier) takeAny(words ...string) {
	for i := 0; i < len(words); i++ {
		if c.take(words[i]) {
			i = -1
		}
	}
}

// takeName moves behind a name, qualified or not, and returns its last part's
// bounds and where it began.
func (c *classifier) takeName() (from, to int) {
	from = c.from
	for {
		to = c.to
		c.next()
		if !c.punct('.') {
			return from, to
		}
		c.next()
	}
}

// skipParens moves past the current parenthesised group.
func (c *classifier) skipParens() {
	for depth := 0; c.kind != tEOF; {
		switch c.kind {
		case tOpen:
			depth++
		case tClose:
			depth--
		}
		c.next()
		if depth <= 0 {
			return
		}
	}
}

func (c *classifier) never(why string) { c.tx, c.why = TxNever, why }

// control marks transaction control, which by itself does not change the session.
func (c *classifier) control(t Tx) { c.tx, c.session = t, false }

// ends classifies what follows COMMIT, END, ROLLBACK or ABORT.
func (c *classifier) ends(t Tx) {
	c.control(t)
	c.takeAny("WORK", "TRANSACTION", "TRAN")
	switch c.word {
	case "TO":
		c.tx = TxSavepoint
	case "AND":
		c.next()
		if !c.take("NO") {
			c.tx = TxCommitChain
			if t == TxRollback {
				c.tx = TxRollbackChain
			}
			return
		}
		c.next()
	}
	if c.dialect == MySQL && c.word == "RELEASE" {
		c.tx = TxOther // disconnects
	}
}

// names reports whether the current token is the identifier, in any case and quoting.
func (c *classifier) names(name string) bool {
	switch c.kind {
	case TokenWord:
		return foldEqual(c.token(), name)
	case TokenName:
		return foldEqual(unquoteName(c.token()), name)
	}
	return false
}
