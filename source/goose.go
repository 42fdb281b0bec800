package source

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// goose: VERSION_name.sql with the sections "-- +goose Up" and "-- +goose Down", in either order.
// Without a Down section the migration is irreversible.
//
//   - Lines that begin with "-- +goose" are markers even inside a literal or a comment, as in
//     goose, but in any case and with spaces around them. An unknown marker is an error.
//   - NO TRANSACTION applies to both sections, wherever it is.
//   - StatementBegin and StatementEnd must come in pairs. They are not needed: Whimbrel knows where
//     a statement ends.
//   - ENVSUB ON and OFF: see Options.Expand. The checksum is that of the text before expansion. A
//     variable that is not set and has no default is an error.
//   - A migration written in Go is an error that names it, unless Options.Funcs has its version.
//   - Files that don't begin with a number are skipped, as in goose.

// The words of goose's marker lines, besides up and down.
const (
	gooseBegin     = "statementbegin"
	gooseEnd       = "statementend"
	gooseNoTx      = "no transaction"
	gooseExpand    = "envsub on"
	gooseExpandEnd = "envsub off"
)

// gooseMark reads a comment, without its dashes, as a marker line.
func gooseMark(text string) (mark, bool) {
	const word = "+goose"
	if len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return mark{}, false
	}
	rest := text[len(word):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return mark{}, false
	}
	return mark{tool: Goose, word: strings.ToLower(strings.Join(strings.Fields(rest), " "))}, true
}

func gooseFiles(_ *folder, version, name string) []File {
	return []File{{Name: version + "_" + name + ".sql", Content: "-- +goose Up\n" + unfinished + "\n-- +goose Down\n\n"}}
}

func (f *folder) goose() []migration.Migration {
	f.gooseFuncs()
	var all []migration.Migration
	for _, s := range f.singles("names look like 00001_add_users.sql", underscored) {
		if s.version < 1 {
			f.add(s.file.path, "has version 0; goose counts from 1")
			continue
		}
		noTx, expand := f.gooseMarks(s.file)
		up, down := f.upAndDown(s.file)
		if up == nil {
			f.add(s.file.path, `has no line "-- +goose Up"; write it above the statements`)
			continue
		}
		m := f.sections(s, up, down)
		for _, script := range []*migration.Script{m.Up, m.Down} {
			if script != nil {
				script.NoTransaction = script.NoTransaction || noTx
			}
		}
		if expand {
			m.Up = f.gooseExpanded(s.file, up, m.Up)
			m.Down = f.gooseExpanded(s.file, down, m.Down)
		}
		all = append(all, m)
	}
	return all
}

// gooseMarks checks the marker lines of a file, other than Up and Down.
func (f *folder) gooseMarks(file *file) (noTx, expand bool) {
	for i := range file.marks {
		m := &file.marks[i]
		if m.tool != Goose {
			continue
		}
		switch m.word {
		case wordUp, wordDown, gooseBegin, gooseEnd, gooseExpandEnd:
		case gooseNoTx:
			noTx = true
		case gooseExpand:
			expand = true
			if f.opts.Expand == nil {
				f.at(file.path, m.line, m.column, `"-- +goose ENVSUB ON" needs values from the environment, which Whimbrel does not read; give them with Options.Expand, or write them into the file`)
			}
		default:
			f.at(file.path, m.line, m.column, `unknown marker "-- +goose %s"; valid markers: Up, Down, StatementBegin, StatementEnd, NO TRANSACTION, ENVSUB ON, ENVSUB OFF%s`, m.word, didYouMean(nearGoose(m.word)))
		}
	}
	f.statementMarks(file, Goose, "-- +goose")
	return noTx, expand
}

// didYouMean suggests a marker, unless it is "".
func didYouMean(meant string) string {
	if meant == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", meant)
}

// statementMarks reports a StatementBegin without its StatementEnd, or the reverse. prefix is how
// the tool's markers begin.
func (f *folder) statementMarks(file *file, tool Format, prefix string) {
	var open *mark // a StatementBegin
	for i := range file.marks {
		m := &file.marks[i]
		if m.tool != tool {
			continue
		}
		if open != nil && (m.section() || m.word == gooseBegin) {
			f.at(file.path, open.line, open.column, `"%s StatementBegin" without its StatementEnd before line %d`, prefix, m.line)
			open = nil
		}
		switch m.word {
		case gooseBegin:
			open = m
			if m.part == 0 {
				f.at(file.path, m.line, m.column, `"%s StatementBegin" is before "%s Up"`, prefix, prefix)
				open = nil
			}
		case gooseEnd:
			if open == nil && m.part > 0 {
				f.at(file.path, m.line, m.column, `"%s StatementEnd" without its StatementBegin`, prefix)
			}
			open = nil
		}
	}
	if open != nil {
		f.at(file.path, open.line, open.column, `"%s StatementBegin" without its StatementEnd`, prefix)
	}
}

// gooseFuncs reports the migrations that are Go code.
func (f *folder) gooseFuncs() {
	given := map[int64]bool{}
	for _, m := range f.opts.Funcs {
		given[m.Version] = true
	}
	for _, e := range f.entries {
		name := e.Name()
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || !startsWithDigit(name) {
			continue
		}
		n, rest, err := cutVersion(name)
		if err == nil && strings.HasPrefix(rest, "_") && !given[n.version] {
			f.add(f.path(name), "is a migration written in Go, which can't be read from a file; give version %d as a function (Options.Funcs)", n.version)
		}
	}
}

// gooseExpanded returns the script with the variables of its ENVSUB stretches
// expanded. The checksum stays that of the text in the file.
func (f *folder) gooseExpanded(file *file, p *part, s *migration.Script) *migration.Script {
	if s == nil || f.opts.Expand == nil {
		return s
	}
	text, err := readAll(s)
	if long := (*Error)(nil); errors.As(err, &long) {
		f.add(long.File, "%s", long.Msg)
		return s
	}
	if err != nil {
		f.wrap(file.path, err)
		return s
	}
	on := false
	for _, m := range file.marks { // the setting at the beginning of the section
		if m.line < p.line && (m.word == gooseExpand || m.word == gooseExpandEnd) {
			on = m.word == gooseExpand
		}
	}
	x := expander{value: f.opts.Expand}
	line := p.line
	for part := range strings.SplitAfterSeq(text, "\n") {
		if m, ok := markOf(strings.TrimRight(part, "\r\n")); ok && m.tool == Goose {
			on = m.word == gooseExpand || on && m.word != gooseExpandEnd
		}
		if !on {
			x.out.WriteString(part)
		} else if err := x.expand(part); err != nil {
			f.at(file.path, line, 1, "%v", err)
		}
		line++
	}
	e := migration.Text(s.File, x.out.String())
	e.Line, e.Directives, e.Checksum = s.Line, s.Directives, s.Checksum
	return e
}

// expander replaces $NAME, ${NAME}, ${NAME:-default} (unset or empty),
// ${NAME-default} (unset) and ${NAME?message} (an error if unset). A dollar that
// begins none of these, as in $$ and $1, is left as it is.
type expander struct {
	value func(string) (string, bool)
	out   strings.Builder
}

func (x *expander) expand(text string) error {
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			x.out.WriteString(text)
			return nil
		}
		x.out.WriteString(text[:i])
		text = text[i+1:]
		braced := text[0] == '{'
		rest := strings.TrimPrefix(text, "{")
		name := rest[:identEnd(rest)]
		switch {
		case text[0] == '$' || name == "":
			x.out.WriteByte('$')
			if text[0] == '$' {
				x.out.WriteByte('$')
				text = text[1:]
			}
			continue
		case !braced:
			if strings.HasPrefix(rest[len(name):], "$") { // $name$ is a dollar quote
				x.out.WriteString("$" + name + "$")
				text = rest[len(name)+1:]
				continue
			}
			if err := x.put(name, ""); err != nil {
				return err
			}
			text = rest[len(name):]
		default:
			end := braceEnd(rest)
			if end < 0 {
				return fmt.Errorf("${%s has no closing brace on its line", name)
			}
			if err := x.put(name, rest[len(name):end]); err != nil {
				return err
			}
			text = rest[end+1:]
		}
	}
}

// put writes a variable's value; op is what follows its name.
func (x *expander) put(name, op string) error {
	v, set := x.value(name)
	switch {
	case op == "" && !set:
		return fmt.Errorf("the variable %s is not set, and has no default", name)
	case strings.HasPrefix(op, ":-") && v == "":
		return x.expand(op[len(":-"):])
	case strings.HasPrefix(op, "-") && !set:
		return x.expand(op[len("-"):])
	case strings.HasPrefix(op, "?") && !set:
		return fmt.Errorf("the variable %s is not set: %s", name, op[len("?"):])
	case op != "" && !strings.HasPrefix(op, ":-") && op[0] != '-' && op[0] != '?':
		return fmt.Errorf("${%s%s} can't be expanded; there are ${%s}, ${%s:-default}, ${%s-default} and ${%s?message}", name, op, name, name, name, name)
	}
	x.out.WriteString(v)
	return nil
}

func identEnd(s string) int {
	for i := range len(s) {
		if c := s[i]; !isWord(c) || c >= 0x80 || i == 0 && isDigit(c) {
			return i
		}
	}
	return len(s)
}

// braceEnd finds the brace that closes the one before s.
func braceEnd(s string) int {
	depth := 1
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
