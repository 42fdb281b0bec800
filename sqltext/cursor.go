package sqltext

import (
	"cmp"
	"strings"
)

// cursor reads a text token by token. A copy of it reads ahead.
type cursor struct {
	dialect  Dialect
	text     []byte
	lex      lexer
	kind     TokenKind
	from, to int
	word     string // the current keyword; otherWord for another word, "" if the token is no word
	depth    int    // parentheses that are open
}

// newCursor returns a cursor at the first token of a text.
func newCursor(text []byte, d Dialect, r *rules) cursor {
	c := cursor{dialect: d, text: text, lex: lexer{rules: r, class: &r.fine, b: text}}
	c.next()
	return c
}

// next moves to the next token.
func (c *cursor) next() {
	c.kind, c.from, c.to = c.lex.next()
	for c.kind == tVersion {
		c.kind, c.from, c.to = c.lex.next()
	}
	c.word = ""
	switch c.kind {
	case TokenWord:
		c.word = known(c.token())
	case TokenBroken:
		c.kind = tEOF
	case tOpen:
		c.depth++
	case tClose:
		c.depth--
	}
}

// ahead returns a cursor at the next token.
func (c cursor) ahead() cursor {
	c.next()
	return c
}

// ended reports whether no token of the current statement is left.
func (c *cursor) ended() bool { return c.kind == tEOF || c.kind == tSemi }

func (c *cursor) token() []byte { return c.text[c.from:c.to] }

func (c *cursor) asToken() Token { return Token{c.kind, string(c.token()), c.from, c.dialect} }

func (c *cursor) punct(b byte) bool { return c.kind == TokenPunct && c.text[c.from] == b }

// name returns the current name, unquoted and in lower case, "" if the token is none.
func (c *cursor) name() string {
	if c.kind != TokenWord && c.kind != TokenName && !c.ansiName() {
		return ""
	}
	return strings.ToLower(c.asToken().Name())
}

// ansiName reports whether the current string is a name if sql_mode has ANSI_QUOTES. The text alone
// does not tell.
func (c *cursor) ansiName() bool {
	return c.dialect == MySQL && c.kind == TokenString && c.text[c.from] == '"'
}

// value returns the current constant, name or number, unquoted and in lower case.
func (c *cursor) value() string {
	t := c.asToken()
	return strings.ToLower(cmp.Or(t.Value(), t.Name(), t.Text))
}

// isFalse reports whether the current token is a way to write false.
func (c *cursor) isFalse() bool { return listed("0|false|off", c.value()) }

// called reports whether the current name is that of a function call.
func (c *cursor) called() bool {
	return (c.kind == TokenWord || c.kind == TokenName || c.ansiName()) && c.ahead().kind == tOpen
}

// said returns the current word for messages: in upper case.
func (c *cursor) said() string {
	if c.kind != TokenWord {
		return ""
	}
	return keyword(c.token())
}

// take moves past the keyword w if it is the current one.
func (c *cursor) take(w string) bool {
	if c.word != w {
		return false
	}
	c.next()
	return true
}

// takeAny moves past all current keywords that are listed.
func (c *cursor) takeAny(words string) {
	for listed(words, c.word) {
		c.next()
	}
}

// takePunct moves past a character if it is the current one.
func (c *cursor) takePunct(b byte) bool {
	if !c.punct(b) {
		return false
	}
	c.next()
	return true
}

// takeName moves past a name, qualified or not, and returns its bounds.
func (c *cursor) takeName() (from, to int) {
	for from = c.from; ; {
		to = c.to
		if c.next(); !c.takePunct('.') {
			return from, to
		}
	}
}

// lastName moves past the current name, qualified or not, and returns its last part in lower case.
func (c *cursor) lastName() string {
	for {
		name := c.name()
		if name == "" {
			return ""
		}
		if c.next(); !c.takePunct('.') {
			return name
		}
	}
}

// takeParens moves past a list in parentheses if there is one.
func (c *cursor) takeParens() {
	if c.kind != tOpen {
		return
	}
	for outer := c.depth - 1; c.kind != tEOF && c.depth > outer; {
		c.next()
	}
	c.next()
}

// takeModifiers moves past the words between CREATE and the kind of object.
func (c *cursor) takeModifiers() {
	for {
		switch c.word {
		case "OR", "REPLACE", "TEMP", "TEMPORARY", "LOCAL", "GLOBAL", "RECURSIVE", "UNIQUE", "FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE", "IGNORE", "AGGREGATE", "UNDO":
			c.next()
			continue
		case "SQL": // SECURITY DEFINER
			c.next()
			c.next()
		case "ALGORITHM", "DEFINER":
			c.next()
			c.next() // =
		default:
			return
		}
		c.next()
		c.takeParens() // of CURRENT_USER()
		if c.takePunct('@') {
			c.takeName()
		}
	}
}

// option returns the value of a boolean in the list of options that follows: (name), (name value)
// or (name = value). preset is its default.
func (c cursor) option(name string, preset bool) bool {
	inside := c.depth + 1
	if c.kind == tOpen {
		inside--
	}
	for ; c.kind != tEOF; c.next() {
		if c.depth == inside && c.name() == name {
			c.next()
			c.takePunct('=')
			return !c.isFalse()
		}
	}
	return preset
}

// listed reports whether a word is one of several, which "|" separates.
func listed(words, word string) bool {
	n := len(word)
	if n == 0 {
		return false
	}
	for n <= len(words) {
		if words[:n] == word && (n == len(words) || words[n] == '|') {
			return true
		}
		i := strings.IndexByte(words, '|') + 1
		if i == 0 {
			return false
		}
		words = words[i:]
	}
	return false
}

// match reports whether the tokens from the current one on fit a pattern. It returns a cursor
// after them, and the words of the pattern for messages. The parts of a pattern are:
//
//	WORD, A|B    a keyword, one of several
//	-WORD        a keyword that messages omit
//	WORD*        any number of keywords, which messages omit
//	!WORD        another token than this keyword
//	…WORD        all tokens of the statement before this keyword
//	_            any token
//	~            the words between CREATE and the kind of object
//	()           a list in parentheses, if there is one
//	name         a name, qualified or not
//	name=true    an option that follows and that is on; its default is after the =
//	$            the end
//	'a'b         words that only messages have
func (c cursor) match(pattern string) (rest cursor, words string, ok bool) {
	// Reject most patterns fast. One that begins with … may fit from any word on.
	if first, _, _ := strings.Cut(pattern, " "); !strings.Contains(first, c.word) && !strings.HasPrefix(first, "…") {
		return c, "", false
	}
	said := make([]string, 0, 8)
	for part := range strings.SplitSeq(pattern, " ") {
		ok = true
		option, preset, isOption := strings.Cut(part, "=")
		keywords := strings.TrimLeft(part, "-!…")
		switch {
		case isOption:
			ok = c.option(option, preset == "true")
		case part == "~":
			c.takeModifiers()
		case part == "()":
			c.takeParens()
		case part == "name":
			c.takeName()
			c.takePunct('*')
		case part == "$":
			ok = c.kind == tEOF
		case part[0] == '\'':
			said = append(said, strings.ReplaceAll(part[1:], "'", " "))
		case part[0] == '!':
			ok = !listed(keywords, c.word)
		case strings.HasSuffix(part, "*"):
			c.takeAny(strings.TrimSuffix(part, "*"))
		case strings.HasPrefix(part, "…"):
			for !c.ended() && !listed(keywords, c.word) {
				c.next()
			}
			ok = !c.ended()
		case part == "_" || listed(keywords, c.word):
			if part[0] != '-' {
				said = append(said, c.said())
			}
			c.next()
		default:
			ok = false
		}
		if !ok {
			return c, "", false
		}
	}
	return c, strings.Join(said, " "), true
}
