package source

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// The words of the lines that Liquibase reads.
const (
	liquibaseHeader       = "liquibase formatted"
	liquibaseChangeset    = "changeset"
	liquibaseRollback     = "rollback"
	liquibasePrecondition = "precondition"
	liquibaseProperty     = "property"
	liquibaseIgnoreLines  = "ignoreLines"
	liquibaseValidSum     = "validCheckSum"
	liquibaseComment      = "comment"
)

// liquibaseLines match the lines that Liquibase reads, by their word.
var liquibaseLines = []struct {
	word  string
	match *lazyregexp.Regexp
}{
	{liquibaseHeader, lazyregexp.New(`(?i)^--\s*liquibase\s*formatted`)},
	{liquibaseChangeset, lazyregexp.New(`(?i)^--\s*changeset`)},
	{liquibaseRollback, lazyregexp.New(`(?i)^--\s*rollback `)},
	{liquibasePrecondition, lazyregexp.New(`(?i)^--\s*precondition(s|-)`)},
	{liquibaseProperty, lazyregexp.New(`(?i)^--\s*property\s+.*:`)},
	{liquibaseIgnoreLines, lazyregexp.New(`(?i)^--\s*ignore(Lines)?:\w`)},
	{liquibaseValidSum, lazyregexp.New(`(?i)^--\s*validCheckSum:? `)},
	{liquibaseComment, lazyregexp.New(`(?i)^--\s*comment:? `)},
}

// liquibaseMark reads a comment line as one of Liquibase's. The mark's args are the whole line.
func liquibaseMark(line string) (mark, bool) {
	line = strings.TrimLeft(line, blanks)
	if !strings.HasPrefix(line, "--") || !begins([]byte(line), "lcrpiv") {
		return mark{}, false
	}
	for _, l := range liquibaseLines {
		if l.match.MatchString(line) {
			return mark{tool: Liquibase, word: l.word, args: strings.TrimRight(line, "\r\n")}, true
		}
	}
	return mark{}, false
}

// attribute is NAME:VALUE in a line.
type attribute struct {
	offset      int // in the line
	text        string
	name, value string // the value without quotes
	key         string // the name in lower case
}

// attributes finds the attributes of a line. Words that are none have no name.
func attributes(line string) (all []attribute) {
	for i := 0; i < len(line); {
		if strings.IndexByte(blanks, line[i]) >= 0 {
			i++
			continue
		}
		end := len(line)
		quoted := false
		for j := i; j < len(line); j++ {
			if line[j] == '"' {
				quoted = !quoted
			} else if !quoted && strings.IndexByte(blanks, line[j]) >= 0 {
				end = j
				break
			}
		}
		a := attribute{offset: i, text: line[i:end]}
		if name, value, ok := strings.Cut(a.text, ":"); ok {
			a.name, a.value, a.key = name, strings.Trim(value, `"`), strings.ToLower(name)
		}
		all = append(all, a)
		i = end
	}
	return all
}

// changesetLine is what the line of a changeset says.
type changesetLine struct {
	author, id string
	attributes []attribute
	ok         bool
}

// changesetStart matches the author and the id.
var changesetStart = lazyregexp.New(`(?i)^--\s*changeset\s+("[^"]+"|[^:]+):("[^"]+"|\S+)`)

func changesetHead(line string) (h changesetLine) {
	m := changesetStart.FindStringSubmatch(line)
	if m == nil {
		return h
	}
	h.author, h.id = strings.Trim(m[1], `"`), strings.Trim(m[2], `"`)
	h.ok = strings.Trim(h.id, ": ") != ""
	for _, a := range attributes(line[len(m[0]):]) {
		a.offset += len(m[0])
		h.attributes = append(h.attributes, a)
	}
	return h
}

// rollback is the text of a changeset, cut into what runs and what takes it back. Both have the
// lines and columns of the file.
type rollback struct {
	up, down string
	first    int // the line of the first rollback, from 1; 0 for none
	open     int // the line of a rollback comment that does not end
}

var (
	rollbackLine  = lazyregexp.New(`(?i)^\s*--\s*rollback (.*)`)
	rollbackBegin = lazyregexp.New(`(?i)^\s*/\*\s*liquibase\s*rollback\s*$`)
	rollbackEnd   = lazyregexp.New(`\*/\s*$`)
)

// splitRollback cuts the text of a changeset.
func splitRollback(text string) (r rollback) {
	var up, down strings.Builder
	line, begun := 0, 0
	take := func(part string) {
		if r.first == 0 {
			r.first = line
		}
		down.WriteString(part)
	}
	for full := range strings.Lines(text) {
		line++
		bare := strings.TrimRight(full, "\r\n")
		end := full[len(bare):]
		switch m := rollbackLine.FindStringSubmatch(bare); {
		case begun > 0:
			if at := rollbackEnd.FindStringIndex(bare); at != nil {
				bare, begun = bare[:at[0]], 0
			}
			take(bare)
			up.WriteString(end)
		case rollbackBegin.MatchString(bare):
			begun = line
			take("")
			up.WriteString(end)
		case m != nil:
			take(strings.Repeat(" ", len([]rune(bare))-len([]rune(m[1]))) + m[1])
			up.WriteString(end)
		default:
			up.WriteString(full)
		}
		if r.first > 0 {
			down.WriteString(end)
		}
	}
	r.up, r.down, r.open = strings.TrimRight(up.String(), blanks), strings.TrimRight(down.String(), blanks), begun
	return r
}
