package pgddl

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// BlocksNobody reports whether a statement certainly blocks neither reads nor writes while it waits
// for its locks: on tables they are SHARE UPDATE EXCLUSIVE or weaker. For REFRESH MATERIALIZED VIEW
// CONCURRENTLY it is EXCLUSIVE, but nobody else writes to a materialized view.
func BlocksNobody(text string) bool {
	if !understood(text) {
		return false
	}
	p := &parser{list: sqltext.List(text, sqltext.PostgreSQL)}
	if s := parse(p.list); s.Concurrently() {
		return true
	}
	switch {
	case p.take("VACUUM"):
		return !p.full() && !p.bad
	case p.is("ANALYZE"), p.is("ANALYSE"), p.is("COMMENT"):
		return true
	case p.list.Is(0, "CREATE", "STATISTICS"):
		return true
	case p.list.Is(0, "REFRESH", "MATERIALIZED", "VIEW", "CONCURRENTLY"):
		return true
	case p.list.Is(0, "ALTER", "TABLE"):
		p.i = 2
		return p.weakAlter()
	}
	return false
}

// understood reports whether a text may be a statement that this package reads. For nearly all
// others its first words rule that out, so they are not read as a whole.
func understood(text string) bool {
	n := letters(text)
	if n == 0 { // a comment may come first
		return !strings.HasPrefix(text, "(")
	}
	verb := sqltext.Statement{Text: text[:n]}.Verb()
	objects, next := nextWords[verb]
	if !next {
		return slices.Contains(verbs, verb)
	}
	const space = " \t\r\n"
	rest := strings.TrimLeft(text[n:], space)
	n = letters(rest)
	if n == 0 || n == len(rest) || strings.IndexByte(space, rest[n]) < 0 {
		return true // the rest decides
	}
	return slices.ContainsFunc(objects, func(object string) bool { return strings.EqualFold(object, rest[:n]) })
}

// letters returns how many letters a text begins with, 0 if the word that they begin has other
// characters, too.
func letters(text string) int {
	n := 0
	for n < len(text) && text[n]|0x20 >= 'a' && text[n]|0x20 <= 'z' {
		n++
	}
	if n < len(text) && (text[n] == '_' || text[n] == '$' || text[n] >= 0x80 || text[n] >= '0' && text[n] <= '9') {
		return 0
	}
	return n
}

// verbs begin the statements that are read, with those whose next word decides.
var (
	verbs     = []string{"DROP", "REINDEX", "COMMIT", "ROLLBACK", "VACUUM", "CLUSTER", "ANALYZE", "ANALYSE", "DISCARD", "COMMENT", "REFRESH"}
	nextWords = map[string][]string{
		"CREATE": {"UNIQUE", "INDEX", "DATABASE", "TABLESPACE", "SUBSCRIPTION", "STATISTICS"},
		"ALTER":  {"SYSTEM", "DATABASE", "SUBSCRIPTION", "TABLE"},
	}
)

// RewritesOutside reports whether a statement that may not be in a transaction holds a lock that
// blocks reads or writes while it works: VACUUM FULL, CLUSTER, REINDEX.
func RewritesOutside(text string) bool {
	p := &parser{list: sqltext.List(text, sqltext.PostgreSQL)}
	switch {
	case p.take("VACUUM"):
		return p.full()
	case p.is("CLUSTER"):
		return true
	case p.is("REINDEX"):
		s := Parse(text)
		return !s.Concurrently()
	}
	return false
}

// full reports whether the options of VACUUM, before which p is, include FULL.
func (p *parser) full() bool {
	if p.is("FULL") {
		return true
	}
	if !p.is("(") {
		return false
	}
	for _, option := range p.list.Inside(p.i).Split() {
		if option.At(0).Name() == "full" && !isOff(option.At(1)) {
			return true
		}
	}
	return false
}

// weakAlter reports whether all actions of an ALTER TABLE take SHARE UPDATE EXCLUSIVE.
func (p *parser) weakAlter() bool {
	p.take("IF", "EXISTS")
	p.take("ONLY")
	p.name()
	p.take("*")
	if p.bad || p.i >= len(p.list) {
		return false
	}
	for _, action := range p.list[p.i:].Split() {
		if !weakAction(action) {
			return false
		}
	}
	return true
}

func weakAction(l sqltext.TokenList) bool {
	switch {
	case l.Is(0, "VALIDATE", "CONSTRAINT"), l.Is(0, "CLUSTER", "ON"), l.Is(0, "SET", "WITHOUT", "CLUSTER"):
		return true
	case l.Is(0, "SET", "("), l.Is(0, "RESET", "("):
		return weakParameters(l.Inside(1))
	case l.Is(0, "ALTER"):
		i := l.Skip(1, "COLUMN") + 1 // after the column, a name or a number
		return l.Is(i, "SET", "STATISTICS") || l.Is(i, "SET", "(") || l.Is(i, "RESET", "(")
	}
	return false
}

// weakParameters reports whether all storage parameters in a list can be changed under SHARE UPDATE
// EXCLUSIVE.
func weakParameters(l sqltext.TokenList) bool {
	for _, parameter := range l.Split() {
		name := parameter.At(0).Name()
		if name == "toast" && parameter.Is(1, ".") {
			name = parameter.At(2).Name()
		}
		known := []string{"fillfactor", "toast_tuple_target", "parallel_workers", "vacuum_index_cleanup", "vacuum_truncate", "vacuum_max_eager_freeze_failure_rate", "log_autovacuum_min_duration"}
		if !slices.Contains(known, name) && !strings.HasPrefix(name, "autovacuum_") {
			return false
		}
	}
	return true
}
