package database

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Explain returns the Outcome of a statement that changes the schema, from the schemas before and
// after it. Without a difference, the statement has not happened. If an object that the statement
// names differs, or a part of that object such as a column or an index, it has happened. Otherwise
// another process has changed the schema, and the outcome is unclear.
func Explain(st sqltext.Statement, before, after *catalog.Snapshot) *Outcome {
	o := &Outcome{Verdict: NotHappened, Why: "the schema has not changed", Changes: catalog.Compare(before, after)}
	if len(o.Changes) == 0 {
		return o
	}
	o.Verdict, o.Why = Unclear, "the schema has changed since, but in nothing that the statement names"
	for _, ch := range o.Changes {
		if names(st.Text, ch, before) || names(st.Text, ch, after) {
			o.Verdict, o.Why = Happened, "the schema has changed in what the statement names: "+ch.String()
			break
		}
	}
	return o
}

// names reports whether a text contains the name of a changed object, or of the object to which it
// belongs.
func names(text string, ch catalog.Change, in *catalog.Snapshot) bool {
	o := in.Find(string(ch.Kind) + " " + ch.Name)
	return o != nil && (hasWord(text, o.Name) || hasWord(text, o.Of))
}

// hasWord reports whether a text contains a word, ignoring case.
func hasWord(text, word string) bool {
	text, word = strings.ToLower(text), strings.ToLower(word)
	for from := 0; word != ""; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(word):])
		if !inWord(before) && !inWord(after) {
			return true
		}
		from = i + 1
	}
	return false
}

func inWord(r rune) bool {
	return r == '_' || r == '$' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}
