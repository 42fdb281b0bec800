// Package pgddl reads what a PostgreSQL statement that can't be in a transaction is about, as
// far as one must know that to see, later, what became of it.
package pgddl

import "strings"

// Kind is what can be told of a statement that was interrupted, and how.
type Kind int

// The kinds.
const (
	// Other statements are those that are not known here.
	Other Kind = iota
	// Again is a statement that may be executed again, whatever became of it: VACUUM, REINDEX, CLUSTER, ALTER SYSTEM.
	Again
	// CreateIndex, DropIndex, Reindex and Detach are the statements that say CONCURRENTLY.
	CreateIndex
	DropIndex
	Reindex
	Detach
	// Exists is a statement which makes or drops what the server has or hasn't: a DATABASE, a TABLESPACE, a
	// SUBSCRIPTION; or ends a transaction that was PREPARED.
	Exists
	// Publications adds publications to a subscription, or drops them.
	Publications
)

// Statement is what a statement is about.
type Statement struct {
	Kind Kind
	// Object is the kind of object in upper case: INDEX, TABLE, SCHEMA, DATABASE, SYSTEM, TABLESPACE, SUBSCRIPTION, PREPARED.
	Object string
	// Name is that of the object; nil if the server chooses it. A partition's, of Detach.
	Name Name
	// Table is the table of an index, or the one that a partition is detached from.
	Table Name
	// IfNotExists is set where an index that is there already is good enough.
	IfNotExists bool

	// Of the index of CreateIndex: its access method, the number of its keys, and all the words
	// and names of the statement, as the server has them.
	Unique bool
	Method string
	Keys   int
	words  map[string]bool
}

// Concurrently reports whether the statement waits for other transactions, in nobody's way.
func (s *Statement) Concurrently() bool {
	return s.Kind == CreateIndex || s.Kind == DropIndex || s.Kind == Reindex || s.Kind == Detach
}

// Mentions reports whether a name stands in the statement of a CreateIndex.
func (s *Statement) Mentions(name string) bool { return s.words[name] }

// Name is a name with its qualifiers, each as the server has it: without quotes, and in lower
// case where it has none.
type Name []string

// String returns the name, quoted.
func (n Name) String() string {
	var quoted []string
	for _, part := range n {
		quoted = append(quoted, `"`+strings.ReplaceAll(part, `"`, `""`)+`"`)
	}
	return strings.Join(quoted, ".")
}

// Parse reads one statement, without its terminator. What it does not understand is Other.
func Parse(text string) Statement {
	p := &parser{lexer: lexer{text: text}}
	p.next()
	s := p.statement()
	if p.bad {
		return Statement{}
	}
	return s
}

type parser struct {
	lexer
	tok token
	bad bool // the text has something that is not understood
}

func (p *parser) next() { p.tok = p.lexer.next() }

// is reports whether the token at hand is a keyword.
func (p *parser) is(keyword string) bool {
	return p.tok.kind == word && strings.EqualFold(p.tok.text, keyword)
}

// take moves behind keywords, if the first of them is at hand; the others must follow.
func (p *parser) take(words ...string) bool {
	for i, w := range words {
		if !p.is(w) {
			p.bad = p.bad || i > 0
			return false
		}
		p.next()
	}
	return true
}

// oneOf moves behind one of several keywords, and returns it.
func (p *parser) oneOf(words ...string) string {
	for _, w := range words {
		if p.take(w) {
			return w
		}
	}
	p.bad = true
	return ""
}

func (p *parser) punct(c string) bool { return p.tok.kind == punct && p.tok.text == c }

// name moves behind a name.
func (p *parser) name() (n Name) {
	for {
		if p.tok.kind != word && p.tok.kind != quoted {
			p.bad = true
			return nil
		}
		n = append(n, p.tok.text)
		if p.next(); !p.punct(".") {
			return n
		}
		p.next()
	}
}

func (p *parser) statement() Statement {
	switch {
	case p.take("CREATE"):
		return p.create()
	case p.take("DROP"):
		return p.drop()
	case p.take("REINDEX"):
		return p.reindex()
	case p.take("ALTER"):
		return p.alter()
	case p.take("COMMIT"), p.take("ROLLBACK"):
		if p.take("PREPARED") && p.tok.kind == text {
			return Statement{Kind: Exists, Object: "PREPARED", Name: Name{p.tok.text}}
		}
	case p.is("VACUUM"), p.is("CLUSTER"), p.is("ANALYZE"), p.is("DISCARD"):
		return Statement{Kind: Again}
	}
	return Statement{}
}

func (p *parser) create() Statement {
	unique := p.take("UNIQUE")
	if !p.is("INDEX") {
		return Statement{Kind: Exists, Object: p.oneOf("DATABASE", "TABLESPACE", "SUBSCRIPTION"), Name: p.name()}
	}
	if p.next(); !p.take("CONCURRENTLY") {
		return Statement{}
	}
	s := Statement{Kind: CreateIndex, Object: "INDEX", Unique: unique, IfNotExists: p.take("IF", "NOT", "EXISTS"), Method: "btree"}
	if !p.is("ON") {
		s.Name = p.name()
	}
	if !p.take("ON") {
		p.bad = true
	}
	p.take("ONLY")
	s.Table = p.name()
	if p.take("USING") {
		s.Method = p.tok.text
		p.next()
	}
	s.Keys = p.keys()
	s.words = allWords(p.lexer.text)
	return s
}

// keys counts the elements of a list in parentheses.
func (p *parser) keys() int {
	n := 1
	for depth := 0; p.tok.kind != end; p.next() {
		switch {
		case p.punct("("), p.punct("["):
			depth++
		case p.punct(")"), p.punct("]"):
			if depth--; depth == 0 {
				return n
			}
		case p.punct(",") && depth == 1:
			n++
		}
	}
	p.bad = true
	return n
}

func allWords(text string) map[string]bool {
	all := map[string]bool{}
	l := lexer{text: text}
	for t := l.next(); t.kind != end; t = l.next() {
		if t.kind == word || t.kind == quoted {
			all[t.text] = true
		}
	}
	return all
}

func (p *parser) drop() Statement {
	object := p.oneOf("INDEX", "DATABASE", "TABLESPACE", "SUBSCRIPTION")
	kind := Exists
	if object == "INDEX" {
		if kind = DropIndex; !p.take("CONCURRENTLY") {
			return Statement{}
		}
	}
	p.take("IF", "EXISTS")
	return Statement{Kind: kind, Object: object, Name: p.name()}
}

func (p *parser) reindex() Statement {
	concurrently := p.punct("(") && p.options()
	object := p.oneOf("INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM")
	concurrently = p.take("CONCURRENTLY") || concurrently
	if !concurrently {
		return Statement{Kind: Again}
	}
	s := Statement{Kind: Reindex, Object: object}
	if p.tok.kind != end || object != "DATABASE" && object != "SYSTEM" {
		s.Name = p.name()
	}
	return s
}

// options moves behind the options of REINDEX, and reports whether CONCURRENTLY is on.
func (p *parser) options() (concurrently bool) {
	for p.next(); !p.punct(")") && p.tok.kind != end; p.next() {
		if p.tok.text == "concurrently" && (p.tok.kind == word || p.tok.kind == quoted) {
			p.next()
			switch strings.ToLower(p.tok.text) {
			case "off", "false", "0":
				concurrently = false
			default:
				concurrently = true
			}
			if p.punct(")") {
				break
			}
		}
	}
	p.next()
	return concurrently
}

func (p *parser) alter() Statement {
	switch {
	case p.is("SYSTEM"), p.is("DATABASE"):
		return Statement{Kind: Again}
	case p.take("SUBSCRIPTION"):
		s := Statement{Kind: Again, Object: "SUBSCRIPTION", Name: p.name()}
		if p.is("ADD") || p.is("DROP") {
			s.Kind = Publications
		}
		return s
	case p.take("TABLE"):
		p.take("IF", "EXISTS")
		p.take("ONLY")
		s := Statement{Object: "TABLE", Table: p.name()}
		if p.punct("*") {
			p.next()
		}
		if p.take("DETACH") && p.take("PARTITION") {
			if s.Name = p.name(); p.take("CONCURRENTLY") {
				s.Kind = Detach
				return s
			}
		}
	}
	return Statement{}
}
