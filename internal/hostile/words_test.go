package hostile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// token is a word, a quoted name, an operator, or another part of a statement.
type token struct {
	// 'w' word, lower-cased; 'q' quoted name; 'o' operator; 's' string or number; 'p' punctuation
	// or parameter
	kind byte
	text string
}

// tokens splits one of Whimbrel's own statements, which contain neither dollar quotes nor nested
// comments.
func tokens(sql string) (all []token) {
	const operators = "+-*/<>=~!@#%^&|`?"
	word := func(c byte) bool {
		return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
	}
	for i := 0; i < len(sql); {
		j := i + 1
		span := func(in func(byte) bool) {
			for j < len(sql) && in(sql[j]) {
				j++
			}
		}
		quoted := func(quote byte) {
			for j < len(sql) && (sql[j] != quote || j+1 < len(sql) && sql[j+1] == quote) {
				if sql[j] == quote {
					j++
				}
				j++
			}
			j++
		}
		kind := byte('p')
		switch c := sql[i]; {
		case strings.IndexByte(" \t\n", c) >= 0:
			i++
			continue
		case strings.HasPrefix(sql[i:], "--"):
			span(func(c byte) bool { return c != '\n' })
			i = j
			continue
		case c == '\'':
			kind = 's'
			quoted('\'')
		case c == '"':
			kind = 'q'
			quoted('"')
		case c >= '0' && c <= '9':
			kind = 's'
			span(func(c byte) bool { return word(c) || c == '.' })
		case word(c):
			kind = 'w'
			span(word)
		case c == '$':
			span(word)
		case strings.HasPrefix(sql[i:], "::"):
			j++
		case strings.IndexByte(operators, c) >= 0:
			kind = 'o'
			span(func(c byte) bool { return strings.IndexByte(operators, c) >= 0 })
		}
		text := sql[i:min(j, len(sql))]
		switch kind {
		case 'w':
			text = strings.ToLower(text)
		case 'q':
			text = strings.ReplaceAll(strings.Trim(text, `"`), `""`, `"`)
		}
		all = append(all, token{kind, text})
		i = j
	}
	return all
}

// namesIn returns the names and operators in statements, including those behind SQL keywords.
func namesIn(statements []string) (words, operators []string) {
	seen, ops := map[string]bool{}, map[string]bool{}
	// behind IN, CASE, NULLIF, BETWEEN, LIKE, …
	for _, o := range []string{"=", "<>", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*"} {
		ops[o] = true
	}
	for _, s := range statements {
		for _, tok := range tokens(s) {
			switch tok.kind {
			case 'w', 'q':
				seen[tok.text] = true
			case 'o':
				if tok.text == "!=" {
					tok.text = "<>"
				}
				ops[tok.text] = true
			}
		}
	}
	for short, name := range map[string]string{"bigint": "int8", "int": "int4", "integer": "int4", "boolean": "bool", "smallint": "int2", "extract": "date_part"} {
		if seen[short] {
			seen[name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(ops))
}

var (
	// grammar holds the types that the server doesn't look up.
	grammar = words("int integer bigint smallint boolean real numeric varchar bit character timestamp time interval")
	// syntax holds the words that can precede a parenthesis and aren't functions.
	syntax = words("coalesce exists extract all any array and or as not values from select over filter case when then else where with key on returning do set in index")
	// compares holds the keywords that look up operators implicitly.
	compares = words("in like ilike similar between nullif distinct using")
	// own holds the tables that have no schema until it is known.
	own = words("whimbrel_history whimbrel_settings whimbrel_journal whimbrel_metadata whimbrel_backfills whimbrel_lanes")
)

func words(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}

// looksUp returns what a statement makes the server look up in the search path, or "".
func looksUp(sql string) string {
	all := tokens(sql)
	at := func(i int) token {
		if i < 0 || i >= len(all) {
			return token{}
		}
		return all[i]
	}
	name := func(i int) bool { return at(i).kind == 'w' || at(i).kind == 'q' }
	qualified := func(i int) bool { return at(i-1).text == "." && name(i-2) }
	switch at(0).text {
	case "set", "reset", "begin", "commit", "rollback", "savepoint", "close", "deallocate", "listen", "unlisten", "discard":
		if !slices.ContainsFunc(all, func(t token) bool { return t.text == "(" }) {
			return "" // it controls the transaction or session
		}
	}
	parts := map[string]bool{} // of WITH: the server finds them before any relation
	for i := 1; i < len(all) && at(0).text == "with"; i++ {
		query := at(i+2).text == "(" || at(i+2).text == "materialized"
		if at(i+1).text == "as" && query && (at(i-1).text == "with" || at(i-1).text == "recursive" || at(i-1).text == ",") {
			parts[at(i).text] = true
		}
	}
	assigns := func(i int) bool { // column = value in UPDATE … SET
		return at(i).text == "=" && name(i-1) && (at(i-2).text == "set" || at(i-2).text == ",") && afterSet(all[:i])
	}
	creates := at(0).text == "create" || at(0).text == "insert"
	utility := words("drop comment lock create")[at(0).text]
	for i, tok := range all {
		next, before := at(i+1), at(i-1)
		switch {
		case tok.kind == 'o' && !assigns(i) && !(tok.text == "*" && (before.text == "(" || before.text == ".")) && !(before.text == "." && at(i-2).text == "pg_catalog") &&
			!(tok.text == "-" && before.text == "default"):
			return "the operator " + tok.text
		case tok.kind == 'w' && compares[tok.text] && !qualified(i) && !utility:
			return "the operator of " + tok.text
		case tok.text == "case" && tok.kind == 'w' && next.text != "when":
			return "the operator of CASE"
		case (tok.text == "any" || tok.text == "all") && next.text == "(" && at(i-1).text != ")":
			return "the operator of " + tok.text
		case tok.text == "collate" && !(at(i+2).text == "."):
			return "a collation"
		case before.text == "::" && !grammar[tok.text] && at(i+1).text != ".":
			return "the type " + tok.text
		case next.text == "(" && name(i) && !(tok.kind == 'w' && syntax[tok.text]) && !(qualified(i) && (at(i-2).text == "pg_catalog" || utility || creates)) &&
			!(creates && tok.kind == 'q') && !(qualified(i) && at(i-3).text == "into") && tok.text != "operator" && before.text != "as":
			return "the function " + tok.text
		case (before.text == "from" || before.text == "join" || before.text == "into") && name(i) && next.text != "." && !own[tok.text] && !parts[tok.text] && !grammarFrom(all, i-1):
			return "the relation " + tok.text
		case at(0).text == "create" && name(i) && (tok.text == "text" || tok.text == "timestamptz") && before.kind == 'w' && !qualified(i):
			return "the type " + tok.text
		}
	}
	return ""
}

// afterSet reports whether the assignments of an UPDATE are the part of a statement that follows
// these tokens.
func afterSet(all []token) bool {
	depth := 0
	for _, tok := range slices.Backward(all) {
		switch tok.text {
		case ")":
			depth++
		case "(":
			depth--
		case "set", "select", "from", "where", "returning", "values":
			if depth == 0 {
				return tok.text == "set"
			}
		}
		if depth < 0 {
			return false
		}
	}
	return false
}

// grammarFrom reports whether a FROM belongs to EXTRACT (… FROM …).
func grammarFrom(all []token, i int) bool { return i >= 3 && all[i-3].text == "extract" }

func (t token) String() string { return fmt.Sprintf("%c:%s", t.kind, t.text) }
