package source

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/internal/spelling"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A comment that is almost a directive or a marker would be ignored silently, and the script would
// not do what its author intended. So it is an error with the probable spelling. The whole comment
// must be similar: a comment that only mentions Whimbrel or another tool is a comment.

// misspelling is a comment that is nearly a directive or a marker.
type misspelling struct {
	place
	tool  Format // of a marker
	meant string // the comment that was probably meant
}

// maxMisspelt is the maximum number of misspelt comments that are kept of a part.
const maxMisspelt = 20

// noteMisspelt keeps a line comment that is nearly a directive.
func (r *reading) noteMisspelt(text []byte, at place) {
	if !begins(text, "wh") || len(r.misspelt) >= maxMisspelt {
		return
	}
	if meant := nearDirective(string(text)); meant != "" {
		r.misspelt = append(r.misspelt, misspelling{place: at, meant: meant})
	}
}

// decoration is what people put before the words of a comment.
const decoration = "-#*+@!/ \t"

// begins reports whether a comment begins with one of the letters, in any case. This check rules
// out most comments.
func begins(text []byte, letters string) bool {
	text = bytes.TrimLeft(text, decoration)
	return len(text) > 0 && strings.IndexByte(letters, text[0]|0x20) >= 0
}

// nearDirective returns the directive that a comment was probably to be, "" for a comment.
func nearDirective(text string) string {
	word, rest := letters(strings.TrimLeft(text, decoration))
	const name = "whimbrel"
	if len(word) < len(name)-2 || len(word) > len(name)+2 || spelling.Distance(word, name) > 2 {
		return ""
	}
	meant := migration.Respell(strings.Trim(rest, " \t:;=.,-_/|>*"))
	if meant == "" {
		return ""
	}
	return "-- whimbrel: " + meant
}

// letters cuts the letters off the beginning of a text, in lower case.
func letters(text string) (word, rest string) {
	i := strings.IndexFunc(text, func(r rune) bool { return !('a' <= r|0x20 && r|0x20 <= 'z') })
	if i < 0 {
		i = len(text)
	}
	return strings.ToLower(text[:i]), text[i:]
}

// noteMisspelt keeps a comment line that is nearly a marker of a tool whose markers are heeded.
func (s *skim) noteMisspelt(line []byte) {
	if !begins(line, "gmtcr") || len(s.misspelt) >= maxMisspelt {
		return
	}
	tool, meant := nearMark(string(line), s.formats)
	if meant == "" || !s.formats(tool) {
		return
	}
	at := place{s.line, 1 + bytes.IndexByte(line, '-')}
	s.misspelt = append(s.misspelt, misspelling{place: at, tool: tool, meant: meant})
}

// nearMark returns the marker that a comment line was probably to be, of a tool whose markers are
// heeded if several have similar ones.
func nearMark(line string, heeds func(Format) bool) (tool Format, meant string) {
	text := strings.ToLower(strings.TrimSpace(line))
	if marker := near(onlyLetters(text), ternMarkers, 2); marker != "" {
		return Tern, marker
	}
	word, rest := letters(strings.TrimLeft(text, "-+@# \t"))
	switch {
	case len(word) >= 4 && spelling.Distance(word, "goose") <= 1:
		return Goose, nearGoose(rest)
	case len(word) >= 6 && spelling.Distance(word, "migrate") <= 1 && strings.Contains(text, "+") && heeds(SQLMigrate):
		return SQLMigrate, nearSQLMigrate(rest)
	case heeds(Liquibase) && spelling.Distance(word, liquibaseChangeset) <= 2 && changesetLike.MatchString(rest):
		return Liquibase, "--changeset author:id"
	case heeds(Liquibase) && word == liquibaseRollback && strings.HasPrefix(rest, ":"):
		return Liquibase, "--rollback SQL"
	case len(word) >= 6 && spelling.Distance(word, "migrate") <= 1:
		return Dbmate, nearDbmate(rest)
	}
	return Auto, ""
}

// changesetLike matches what follows the word of a line that was to begin a changeset.
var changesetLike = lazyregexp.New(`^\s+[^\s:]+:\S`)

// ternMarkers are tern's markers by their letters.
var ternMarkers = map[string]string{"createabovedropbelow": ternSeparator, "terndisabletx": ternDisableTx}

// gooseMarkers are goose's markers by their letters.
var gooseMarkers = map[string]string{
	"up": "Up", "down": "Down", "statementbegin": "StatementBegin", "statementend": "StatementEnd",
	"notransaction": "NO TRANSACTION", "envsubon": "ENVSUB ON", "envsuboff": "ENVSUB OFF",
}

// nearGoose returns goose's marker whose word is nearly the given one.
func nearGoose(word string) string {
	if marker := near(onlyLetters(word), gooseMarkers, 1); marker != "" {
		return "-- +goose " + marker
	}
	return ""
}

// nearDbmate returns dbmate's marker whose word, and options, are nearly the given ones.
func nearDbmate(rest string) string {
	fields := strings.Fields(strings.Trim(rest, " \t:;=.-_"))
	if len(fields) == 0 || slices.ContainsFunc(fields[1:], func(f string) bool { return !strings.HasPrefix(f, "transaction") }) {
		return ""
	}
	if direction := near(fields[0], map[string]string{"up": wordUp, "down": wordDown, "rollback": wordDown}, 1); direction != "" {
		return "-- migrate:" + direction
	}
	return ""
}

// onlyLetters leaves out whatever is no letter.
func onlyLetters(text string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r
		}
		return -1
	}, text)
}

// near returns the value of the known word that equals the word or differs from it by at most far
// letters, "" for none. A known word of two letters must not have another letter in place of one.
func near(word string, words map[string]string, far int) string {
	best, found := far+1, ""
	for _, known := range slices.Sorted(maps.Keys(words)) {
		value := words[known]
		if len(word) > len(known)+far || len(known) > len(word)+far {
			continue
		}
		if len(known) <= 2 && len(word) <= len(known) && word != known {
			continue
		}
		if d := spelling.Distance(word, known); d < best {
			best, found = d, value
		}
	}
	return found
}

// misspellings reports the comments of a script that are almost directives.
func (f *folder) misspellings(file *file, all []misspelling) {
	for _, m := range all {
		f.at(file.path, m.line, m.column, "this comment looks like a directive but is not one; if you mean it, write: %s", m.meant)
	}
}

// misspeltMarks reports the lines of a file that are almost markers of the folder's tool.
func (f *folder) misspeltMarks(file *file) {
	if file.skimmed == nil {
		return
	}
	for _, m := range file.misspelt {
		if m.tool == f.format {
			f.at(file.path, m.line, m.column, "this line looks like a marker of %s, but is not one; if you mean it, write: %s", m.tool, m.meant)
		}
	}
}

// otherwiseNamed warns of a first line that requests no transaction in the words of another tool,
// or almost in those of the folder's tool.
func (f *folder) otherwiseNamed(file *file) {
	if file.skimmed == nil {
		return
	}
	line := strings.TrimSpace(file.firstLine)
	switch {
	case (f.format == Native || f.format == GolangMigrate) && strings.EqualFold(line, "-- no-transaction"):
		f.warn(file.path, 1, 1, "this directive of sqlx has no effect here; to run the script without a transaction, write: -- whimbrel: no-transaction")
	case f.format == Hasura && file.firstLine != hasuraNoTx && onlyLetters(strings.ToLower(line)) == "hasuranotransaction":
		f.warn(file.path, 1, 1, "Hasura takes this for a comment: it has to be exactly %q", hasuraNoTx)
	}
}
