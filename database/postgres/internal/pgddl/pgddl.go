// Package pgddl reads PostgreSQL statements that can't be in a transaction, as far as that is
// needed to check later whether an interrupted one took effect.
package pgddl

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Kind says how the outcome of an interrupted statement can be checked.
type Kind int

// The kinds.
const (
	// Other statements are not known here.
	Other Kind = iota
	// Again is a statement that can be repeated whatever its outcome: VACUUM, REINDEX, CLUSTER,
	// ALTER SYSTEM.
	Again
	// CreateIndex, DropIndex, Reindex and Detach are the statements with CONCURRENTLY.
	CreateIndex
	DropIndex
	Reindex
	Detach
	// Exists is a statement that creates or drops a DATABASE, a TABLESPACE or a SUBSCRIPTION, or
	// ends a transaction that was PREPARED. The server shows whether it took effect.
	Exists
	// Publications adds publications to a subscription, or drops them.
	Publications
)

// Statement describes a statement.
type Statement struct {
	Kind Kind
	// Object is the kind of object in upper case: INDEX, TABLE, SCHEMA, DATABASE, SYSTEM,
	// TABLESPACE, SUBSCRIPTION, PREPARED.
	Object string
	// Name is the name of the object, nil if the server chooses it. For Detach it is the partition.
	Name Name
	// Table is the table of an index, or the one from which a partition is detached.
	Table Name
	// IfNotExists is set if an existing index suffices.
	IfNotExists bool

	// Of the index of CreateIndex: its access method, the number of its keys, and all the words
	// and names of the statement, as the server has them.
	Unique bool
	Method string
	Keys   int
	words  map[string]bool
}

// Concurrently reports whether the statement waits for other transactions without blocking them.
func (s *Statement) Concurrently() bool {
	return s.Kind == CreateIndex || s.Kind == DropIndex || s.Kind == Reindex || s.Kind == Detach
}

// Mentions reports whether the statement of a CreateIndex contains a name.
func (s *Statement) Mentions(name string) bool { return s.words[name] }

// Name is a qualified name. Each part is as the server stores it: without quotes, and in lower case
// if it has none.
type Name []string

// String returns the name with each part quoted.
func (n Name) String() string {
	var quoted []string
	for _, part := range n {
		quoted = append(quoted, `"`+strings.ReplaceAll(part, `"`, `""`)+`"`)
	}
	return strings.Join(quoted, ".")
}

// Parse reads one statement without its terminator. A statement that it does not understand is
// Other.
func Parse(text string) Statement {
	if !understood(text) {
		return Statement{}
	}
	return parse(sqltext.List(text, sqltext.PostgreSQL))
}

func parse(l sqltext.TokenList) Statement {
	p := &parser{list: l}
	s := p.statement()
	if p.bad {
		return Statement{}
	}
	return s
}

type parser struct {
	list sqltext.TokenList
	i    int  // the token at hand
	bad  bool // the text has something that is not understood
}

func (p *parser) is(word string) bool { return p.list.Is(p.i, word) }

// take moves past keywords if the first of them is the current token. The others must follow.
func (p *parser) take(words ...string) bool {
	if !p.is(words[0]) {
		return false
	}
	if !p.list.Is(p.i, words...) {
		p.bad = true
		return false
	}
	p.i += len(words)
	return true
}

// oneOf moves past one of several keywords and returns it.
func (p *parser) oneOf(words ...string) string {
	for _, w := range words {
		if p.take(w) {
			return w
		}
	}
	p.bad = true
	return ""
}

// name moves past a name. It does not understand names as U&"…", which may be followed by another
// escape character.
func (p *parser) name() (n Name) {
	for {
		t := p.list.At(p.i)
		if t.Name() == "" || t.Kind == sqltext.TokenName && t.Text[0] != '"' {
			p.bad = true
			return nil
		}
		n = append(n, t.Name())
		if p.i++; !p.take(".") {
			return n
		}
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
		if t := p.list.At(p.i + 1); p.is("PREPARED") && strings.HasPrefix(t.Text, "'") {
			return Statement{Kind: Exists, Object: "PREPARED", Name: Name{t.Value()}}
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
	if p.i++; !p.take("CONCURRENTLY") {
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
		s.Method = p.list.At(p.i).Name()
		p.i++
	}
	if end := p.list.Closing(p.i); !p.is("(") || !p.list.Is(end-1, ")") {
		p.bad = true
	}
	s.Keys = len(p.list.Inside(p.i).Split())
	s.words = p.list.Names()
	return s
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
	concurrently := p.is("(") && p.options()
	object := p.oneOf("INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM")
	concurrently = p.take("CONCURRENTLY") || concurrently
	if !concurrently {
		return Statement{Kind: Again}
	}
	s := Statement{Kind: Reindex, Object: object}
	if p.i < len(p.list) || object != "DATABASE" && object != "SYSTEM" {
		s.Name = p.name()
	}
	return s
}

// options moves past the options of REINDEX and reports whether CONCURRENTLY is on.
func (p *parser) options() (concurrently bool) {
	for _, option := range p.list.Inside(p.i).Split() {
		if value := option.At(1); option.At(0).Name() == "concurrently" {
			concurrently = !isOff(value)
		}
	}
	p.i = p.list.Closing(p.i)
	return concurrently
}

// isOff reports whether the value of an option turns it off.
func isOff(value sqltext.Token) bool {
	return slices.Contains([]string{"off", "false", "0"}, strings.ToLower(cmp.Or(value.Name(), value.Value(), value.Text)))
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
		p.take("*")
		if p.take("DETACH") && p.take("PARTITION") {
			if s.Name = p.name(); p.take("CONCURRENTLY") {
				s.Kind = Detach
				return s
			}
		}
	}
	return Statement{}
}
