package schemafile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The lines that Parse reads begin with mark. The first one names the dialect. Those at the end
// list the migrations.
const (
	mark       = "-- whimbrel: "
	schemaOf   = "schema of "
	setWord    = "set "
	repeatable = "repeatable "
)

const head = `-- This file is the schema of a database without its rows. Whimbrel writes it after each migration
-- and can create an empty database from it. After a merge conflict, apply all migrations to a
-- database again: that writes the file anew.
`

const included = `
-- The schema includes these migrations: version, checksum of the up script, name.
`

// Text returns the content of the file. It is the same for all databases with the same schema and
// the same applied migrations.
func (f *File) Text() string {
	var b strings.Builder
	b.WriteString(head + mark + schemaOf + f.Dialect + "\n\n")
	b.WriteString(f.SQL)
	b.WriteString(included)
	for _, s := range f.Sets {
		b.WriteString(mark + setWord + quoted(s.Name) + "\n")
		for _, m := range s.Migrations {
			fmt.Fprintf(&b, "%s%d %s %s\n", mark, m.Version, m.Checksum, quoted(m.Name))
		}
		for _, r := range s.Repeatables {
			fmt.Fprintf(&b, "%s%s%s %s\n", mark, repeatable, r.Checksum, quoted(r.Name))
		}
	}
	return b.String()
}

// quoted returns a name in quotes if it would otherwise not be read as it is.
func quoted(name string) string {
	plain := name != "" && name == strings.TrimSpace(name) && name[0] != '"'
	for _, r := range name {
		plain = plain && unicode.IsPrint(r)
	}
	if plain {
		return name
	}
	return strconv.QuoteToASCII(name)
}

func unquoted(text string) (string, bool) {
	if !strings.HasPrefix(text, `"`) {
		return text, text != ""
	}
	name, err := strconv.Unquote(text)
	return name, err == nil
}

// FormatError reports a text that is not a schema file, or an invalid one.
type FormatError struct {
	Pos sqltext.Position
	Msg string
	// Conflict reports the marks that git leaves where two branches can't be merged.
	Conflict bool
}

func (e *FormatError) Error() string { return e.Pos.String() + ": " + e.Msg }

// Parse reads a text that Write has written. name is used in messages. It returns a *FormatError
// if the text is not such a text.
func Parse(name, text string) (*File, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	p := &parser{name: name, lines: strings.Split(text, "\n"), file: &File{Name: name, text: text}}
	for i, line := range p.lines {
		p.lines[i] = strings.TrimSuffix(line, "\r")
	}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.file, nil
}

type parser struct {
	name  string
	lines []string
	file  *File
}

// fail returns an error in a line, which counts from 0.
func (p *parser) fail(line int, format string, args ...any) *FormatError {
	return &FormatError{Pos: sqltext.Position{File: p.name, Line: line + 1, Column: 1}, Msg: fmt.Sprintf(format, args...)}
}

func (p *parser) parse() error {
	if i := p.conflict(); i >= 0 {
		err := p.fail(i, "the file has an unresolved merge conflict")
		err.Conflict = true
		return err
	}
	first := slices.IndexFunc(p.lines, func(line string) bool {
		return line != "" && (!strings.HasPrefix(line, "--") || strings.HasPrefix(line, mark))
	})
	dialect, ok := "", false
	if first >= 0 {
		dialect, ok = strings.CutPrefix(p.lines[first], mark+schemaOf)
	}
	if !ok {
		return p.fail(0, "this is not a schema file: the line %q is missing at its beginning", mark+schemaOf+"…")
	}
	p.file.Dialect = dialect
	from := p.end()
	if from < 0 {
		return p.fail(len(p.lines)-1, "the file does not end with the migrations that it includes")
	}
	p.file.SQL = strings.Join(p.lines[first+1:from], "\n")
	return p.sets(from)
}

// conflict returns the line at which a merge conflict begins, or -1.
func (p *parser) conflict() int {
	begin, middle := -1, false
	for i, line := range p.lines {
		switch {
		case strings.HasPrefix(line, "<<<<<<< "):
			begin, middle = i, false
		case line == "=======":
			middle = true
		case strings.HasPrefix(line, ">>>>>>> ") && begin >= 0 && middle:
			return begin
		}
	}
	return -1
}

// end returns the first line of the list of migrations, or -1. Only comments may follow it, so no
// text inside a statement is taken for it.
func (p *parser) end() int {
	first := -1
	for i, line := range slices.Backward(p.lines) {
		switch {
		case strings.HasPrefix(line, mark+setWord):
			first = i
		case line != "" && !strings.HasPrefix(line, "--"):
			return first
		}
	}
	return first
}

// sets reads the list of migrations.
func (p *parser) sets(from int) error {
	var set *Set
	for i, line := range p.lines[from:] {
		i += from
		text, ok := strings.CutPrefix(line, mark)
		switch {
		case line == "":
			continue
		case !ok:
			return p.fail(i, "invalid line in the list of migrations; each begins with %q", mark)
		}
		if name, ok := strings.CutPrefix(text, setWord); ok {
			name, ok = unquoted(name)
			if !ok || slices.ContainsFunc(p.file.Sets, func(s Set) bool { return s.Name == name }) {
				return p.fail(i, "invalid set name %s, or a set that is listed twice", text)
			}
			p.file.Sets = append(p.file.Sets, Set{Name: name})
			set = &p.file.Sets[len(p.file.Sets)-1]
			continue
		}
		if err := p.included(set, i, text); err != nil {
			return err
		}
	}
	for _, s := range p.file.Sets {
		order.By(s.Migrations, func(a, b Included) int { return cmp.Compare(a.Version, b.Version) })
		order.By(s.Repeatables, func(a, b Included) int { return cmp.Compare(a.Name, b.Name) })
	}
	order.By(p.file.Sets, func(a, b Set) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// included reads the line of a migration or a repeatable script.
func (p *parser) included(set *Set, line int, text string) error {
	const want = "a version, the checksum of the up script, and a name"
	m := Included{Version: database.NilVersion}
	rest, isRepeatable := strings.CutPrefix(text, repeatable)
	if !isRepeatable {
		var version string
		var err error
		version, rest, _ = strings.Cut(text, " ")
		if m.Version, err = strconv.ParseInt(version, 10, 64); err != nil || m.Version < 0 {
			return p.fail(line, "invalid line in the list of migrations; it needs %s", want)
		}
	}
	sum, name, _ := strings.Cut(rest, " ")
	var err error
	if m.Checksum, err = migration.ParseChecksum(sum); err != nil {
		return p.fail(line, "%v", err)
	}
	ok := true
	if m.Name = name; name != "" {
		m.Name, ok = unquoted(name)
	}
	list := &set.Migrations
	same := func(o Included) bool { return o.Version == m.Version }
	if isRepeatable {
		list = &set.Repeatables
		same = func(o Included) bool { return o.Name == m.Name }
	}
	switch i := slices.IndexFunc(*list, same); {
	case !ok || isRepeatable && m.Name == "":
		return p.fail(line, "invalid name %s in the list of migrations; it needs %s", name, want)
	case i >= 0 && (*list)[i] == m: // a merge that kept a line of both sides
	case i >= 0 && isRepeatable:
		return p.fail(line, "the repeatable script %q is listed twice, with different checksums", m.Name)
	case i >= 0:
		return p.fail(line, "version %d is listed twice, as %q and as %q", m.Version, (*list)[i].Name, m.Name)
	default:
		*list = append(*list, m)
	}
	return nil
}
