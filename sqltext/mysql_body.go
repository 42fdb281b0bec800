package sqltext

// compound follows the blocks of a routine's body.
type compound struct {
	blocks  []block
	fresh   bool // a statement can begin here
	name    bool // after a dot or an @: the next word is a name
	skip    bool // the next word belongs to END
	declare bool // in a DECLARE
	until   bool // in REPEAT's UNTIL, which END follows without a semicolon
	handler handlerState
}

// block is something that END closes.
type block struct {
	word string // BEGIN, IF, CASE, LOOP, WHILE, REPEAT, FOR; "" for a CASE in an expression
	at   int
	head bool // WHILE and FOR: before their DO
}

// handlerState is the progress in DECLARE … HANDLER FOR condition, …. The handler's statement
// follows directly.
type handlerState uint8

const (
	handlerNone handlerState = iota
	handlerFor               // FOR is next
	handlerCondition
	handlerNext // a comma, or the statement
)

func (c *compound) open() *unfinished {
	for i := len(c.blocks) - 1; i >= 0; i-- {
		if b := c.blocks[i]; b.word != "" {
			return &unfinished{b.at, "the " + b.word + " that begins here is not closed: " + b.end() + " is missing"}
		}
	}
	return nil
}

// end returns the words that close the block.
func (b block) end() string {
	if b.word == "BEGIN" {
		return "its END"
	}
	return "its END " + b.word
}

func (c *compound) top() *block {
	if len(c.blocks) == 0 {
		return &block{}
	}
	return &c.blocks[len(c.blocks)-1]
}

func (c *compound) push(word string, at int, head bool) {
	c.blocks = append(c.blocks, block{word, at, head})
}

func (c *compound) pop() { c.blocks = c.blocks[:max(len(c.blocks)-1, 0)] }

func (c *compound) token(l *lexer, k TokenKind, tok []byte, word string) {
	if c.handler != handlerNone && c.handle(k, tok, word) {
		return
	}
	fresh, name, skip := c.fresh, c.name, c.skip
	c.fresh, c.name, c.skip = false, false, false
	switch {
	case k == tSemi:
		c.semicolon()
	case k == TokenPunct:
		c.name = tok[0] == '.' || tok[0] == '@'
		// Only a label, at the beginning of a statement, has a colon after it; := assigns.
		c.fresh = tok[0] == ':' && l.at(l.i) != '='
	case word != "" && !name && !skip:
		if fresh {
			c.begins(l, word, l.i-len(tok))
		} else {
			c.word(l, word, l.i-len(tok))
		}
	}
}

// semicolon ends a statement of the body.
func (c *compound) semicolon() {
	for len(c.blocks) > 0 && c.top().word == "" {
		c.pop()
	}
	c.fresh, c.declare, c.until, c.handler = true, false, false, handlerNone
}

// begins handles a word that begins a statement.
func (c *compound) begins(l *lexer, word string, at int) {
	switch word {
	case "BEGIN", "LOOP", "REPEAT":
		c.push(word, at, false)
		c.fresh = true
	case "NOT", "ATOMIC": // of BEGIN NOT ATOMIC
		c.fresh = true
	case "IF", "CASE":
		c.push(word, at, false)
	case "WHILE", "FOR":
		c.push(word, at, true)
	case "DECLARE":
		c.declare = true
	case "UNTIL":
		c.until = true
	case "ELSE":
		c.fresh = true
	case "END":
		c.end(l, at)
	}
}

// word handles a word within a statement.
func (c *compound) word(l *lexer, word string, at int) {
	top := c.top()
	switch word {
	case "CASE":
		c.push("", at, false)
	case "END":
		switch {
		case top.word == "":
			c.pop()
		case c.until && l.peekWord() == "REPEAT":
			c.until = false
			c.end(l, at)
		}
	case "THEN", "ELSE":
		c.fresh = top.word == "IF" || top.word == "CASE"
	case "DO":
		if top.head {
			top.head = false
			c.fresh = true
		}
	case "HANDLER":
		if c.declare {
			c.handler = handlerFor
		}
	}
}

// end closes a block. The kind of block follows END, except for BEGIN.
func (c *compound) end(l *lexer, at int) {
	what := "BEGIN"
	switch w := l.peekWord(); w {
	case "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR":
		what = w
		c.skip = true
	}
	top := c.top()
	if top.word != what {
		b := block{word: what}
		msg := "this " + b.end()[len("its "):] + " closes nothing"
		if top.word != "" {
			msg = "this END does not close the " + top.word + " that is open here: " + top.end() + " is missing"
		}
		l.fail(at, msg)
		return
	}
	c.pop()
}

// handle handles a token of a handler's conditions. It returns false if the token begins the
// handler's statement, or ends all.
func (c *compound) handle(k TokenKind, tok []byte, word string) bool {
	switch {
	case k == tSemi:
		return false
	case c.handler == handlerFor:
		if word == "FOR" {
			c.handler = handlerCondition
		}
	case c.handler == handlerCondition:
		if word != "SQLSTATE" && word != "VALUE" && word != "NOT" {
			c.handler = handlerNext
		}
	case k == TokenPunct && tok[0] == ',':
		c.handler = handlerCondition
	default:
		c.handler, c.fresh = handlerNone, true
		return false
	}
	return true
}

// peekWord returns the next token if it is a word, in upper case, "" otherwise. It does not move.
func (l *lexer) peekWord() string {
	i, version := l.i, l.version
	k, from, to := l.next()
	word := ""
	if k == TokenWord {
		word = known(l.b[from:to])
	}
	l.i, l.version, l.errMsg = i, version, ""
	return word
}
