package sqltext

// mysqlGrammar finds the ends of routines, triggers and events that are written without DELIMITER,
// and of MariaDB's compound statements outside routines. With another delimiter than the semicolon
// it does nothing.
//
// The keywords of compound statements are also functions (IF, REPEAT), expressions (CASE) and names
// (BEGIN, END). A block therefore opens and closes only where a statement can begin.
type mysqlGrammar struct {
	state   mysqlState
	alter   bool
	routine string // PROCEDURE, FUNCTION, TRIGGER or EVENT
	definer definerState
	depth   int    // parentheses in a routine's header
	last    string // the previous word, in a header
	body    compound
}

type mysqlState uint8

const (
	myStart     mysqlState = iota
	myLabel                // a first word that may be a label
	myOther                // nothing to watch for
	myCreate               // CREATE or ALTER, before the kind of object
	myName                 // the name is next
	myNamed                // after the name, unless a dot follows
	myHeader               // before the end of the parameters, EACH ROW, or DO
	myTraits               // characteristics, or the body
	myAs                   // LANGUAGE JAVASCRIPT AS
	myOrder                // trigger: FOLLOWS or PRECEDES, or the body
	myOrderName            // trigger: the name after that
	myBody
)

// definerState is the progress in DEFINER = user @ host.
type definerState uint8

const (
	definerNone definerState = iota
	definerWanted
	definerRead
)

func (g *mysqlGrammar) begin() { *g = mysqlGrammar{body: compound{blocks: g.body.blocks[:0]}} }

func (g *mysqlGrammar) inBody() bool { return g.state == myBody }

func (g *mysqlGrammar) open() *unfinished { return g.body.open() }

func (g *mysqlGrammar) token(l *lexer, k TokenKind, tok []byte, word string) bool {
	if k == tVersion {
		return true // its content counts as if it were outside a comment
	}
	switch g.state {
	case myStart:
		g.start(l, k, tok, word)
	case myLabel:
		g.state = myOther
		if k == TokenPunct && tok[0] == ':' && l.at(l.i) != '=' {
			g.state = myStart
		}
	case myCreate:
		g.create(l, k, tok, word)
	case myName:
		if word != "IF" && word != "NOT" && word != "EXISTS" {
			g.state = myNamed
		}
	case myNamed:
		g.state = myHeader
		if k == TokenPunct && tok[0] == '.' {
			g.state = myName
			break
		}
		g.header(l, k, tok, word)
	case myHeader:
		g.header(l, k, tok, word)
	case myTraits:
		g.traits(l, k, tok, word)
	case myAs:
		g.as(l, k, tok)
	case myOrder:
		if word == "FOLLOWS" || word == "PRECEDES" {
			g.state = myOrderName
			break
		}
		g.enter(l, k, tok, word)
	case myOrderName:
		g.state, g.body.fresh = myBody, true
	case myBody:
		g.body.token(l, k, tok, word)
	}
	return g.state != myOther && l.errMsg == ""
}

// enter begins the body with the current token.
func (g *mysqlGrammar) enter(l *lexer, k TokenKind, tok []byte, word string) {
	g.state, g.body.fresh = myBody, true
	g.body.token(l, k, tok, word)
}

func (g *mysqlGrammar) start(l *lexer, k TokenKind, tok []byte, word string) {
	if l.rules.delimiter != ";" {
		g.state = myOther
		return
	}
	switch word {
	case "CREATE", "ALTER":
		g.state, g.alter = myCreate, word == "ALTER"
	case "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR":
		g.enter(l, k, tok, word)
	case "BEGIN":
		g.state = myOther
		if l.peekWord() == "NOT" { // MariaDB's BEGIN NOT ATOMIC
			g.enter(l, k, tok, word)
		}
	default:
		g.state = myOther
		if k == TokenWord || k == TokenName {
			g.state = myLabel
		}
	}
}

// create reads the words between CREATE and the kind of object.
func (g *mysqlGrammar) create(l *lexer, k TokenKind, tok []byte, word string) {
	if g.readDefiner(k, tok) {
		return
	}
	switch word {
	case "OR", "REPLACE", "AGGREGATE":
	case "DEFINER":
		g.definer = definerWanted
	case "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT":
		g.state, g.routine = myName, word
		if g.alter && word != "EVENT" {
			g.state = myOther
		}
	case "PACKAGE":
		l.fail(l.i-len(tok), "CREATE PACKAGE is full of semicolons: write DELIMITER // on a line above it, // after it, and DELIMITER ; below")
	default:
		g.state = myOther
	}
}

// readDefiner reads the tokens of DEFINER's value, which may be keywords.
func (g *mysqlGrammar) readDefiner(k TokenKind, tok []byte) bool {
	switch {
	case g.definer == definerNone:
		return false
	case k == tOpen || k == tClose: // CURRENT_USER()
		return true
	case k == TokenPunct && tok[0] == '=':
		return true
	case k == TokenPunct && tok[0] == '@':
		g.definer = definerWanted
		return true
	case g.definer == definerWanted:
		g.definer = definerRead
		return true
	}
	g.definer = definerNone
	return false
}

// header reads up to the beginning of the body or the characteristics.
func (g *mysqlGrammar) header(l *lexer, k TokenKind, tok []byte, word string) {
	switch {
	case k == tOpen:
		g.depth++
	case k == tClose:
		g.depth--
		if g.depth == 0 && (g.routine == "PROCEDURE" || g.routine == "FUNCTION") {
			g.state = myTraits
		}
	case k != TokenWord || g.depth > 0:
	case g.routine == "TRIGGER" && word == "ROW" && g.last == "EACH":
		g.state = myOrder
	case g.routine == "EVENT" && word == "DO":
		g.state, g.body.fresh = myBody, true
	case (word == "AS" || word == "IS") && (g.routine == "PROCEDURE" || g.routine == "FUNCTION"):
		g.oracle(l, tok)
	}
	g.last = word
}

// traits reads a routine's characteristics and a function's type up to the body.
func (g *mysqlGrammar) traits(l *lexer, k TokenKind, tok []byte, word string) {
	last := g.last
	g.last = word
	switch {
	case k == tOpen:
		g.depth++
	case k == tClose:
		g.depth--
	case g.depth > 0:
	case k == TokenPunct && tok[0] == ':':
		g.state, g.body.fresh = myBody, true
	case word == "AS" || word == "IS":
		g.state, l.dollar = myAs, true
	case word == "SET" && (last == "RETURNS" || last == "CHARACTER"):
	case beginsStatement(word):
		g.enter(l, k, tok, word)
	}
}

// beginsStatement reports whether a routine's body may begin with the word. No characteristic of a
// routine begins with it.
func beginsStatement(word string) bool {
	switch word {
	case "BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR", "RETURN",
		"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "CALL", "SET", "DO", "TRUNCATE",
		"CREATE", "ALTER", "DROP", "RENAME", "SIGNAL", "RESIGNAL", "GET", "PREPARE", "EXECUTE", "DEALLOCATE",
		"START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "LOCK", "UNLOCK", "LOAD", "SHOW", "GRANT", "REVOKE",
		"ANALYZE", "OPTIMIZE", "CHECK", "REPAIR", "FLUSH", "KILL":
		return true
	}
	return false
}

// as reads what follows LANGUAGE JAVASCRIPT AS: one string, usually dollar-quoted.
func (g *mysqlGrammar) as(l *lexer, k TokenKind, tok []byte) {
	l.dollar = false
	g.state = myOther
	if k != TokenString {
		g.oracle(l, tok)
	}
}

// oracle refuses a routine in Oracle's syntax, whose declarations come before BEGIN and end in
// semicolons.
func (g *mysqlGrammar) oracle(l *lexer, tok []byte) {
	l.fail(l.i-len(tok), "this routine is written as with sql_mode=ORACLE: write DELIMITER // on a line above it, // after it, and DELIMITER ; below")
}
