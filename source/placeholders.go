package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/migration"
)

// PlaceholderError reports a ${name} in a script of a Flyway folder for which
// [Options].Placeholders has no value. Its place is that of the *[Error] that wraps it.
type PlaceholderError struct{ Name string }

func (e *PlaceholderError) Error() string {
	return fmt.Sprintf("the placeholder ${%s} has no value", e.Name)
}

// filled returns a script with the values of its placeholders. raw says that it has none. The
// checksum is that of the text in the file, unless sum is true.
func (f *folder) filled(s *migration.Script, raw, sum bool) *migration.Script {
	if raw || s == nil {
		return s
	}
	text, err := readAll(s)
	if long := (*Error)(nil); errors.As(err, &long) {
		f.add(long.File, "%s, if it can have placeholders", long.Msg)
		return s
	}
	if err != nil {
		f.wrap(s.File, err)
		return s
	}
	if !strings.Contains(text, placeholderStart) {
		return s
	}
	e := migration.Text(s.File, f.fill(s.File, text))
	e.Line, e.Directives, e.Problem, e.Replaces = s.Line, s.Directives, s.Problem, s.Replaces
	if !sum {
		e.Checksum = s.Checksum
	}
	return e
}

const placeholderStart = "${"

// fill replaces placeholders, and reports those without a value, each once.
func (f *folder) fill(file, text string) string {
	var out strings.Builder
	var missing []string
	rest := text
	for {
		before, after, found := strings.Cut(rest, placeholderStart)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		at := len(text) - len(after) - len(placeholderStart)
		name, behind, closed := strings.Cut(after, "}")
		if !closed {
			e := problemAt(file, text, at)
			e.Msg = "a placeholder begins here and does not end; if it is text, say so (Options.NoPlaceholders)"
			f.problems.all = append(f.problems.all, e)
			return text
		}
		value, ok := f.placeholder(name)
		if !ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
			f.noValue(file, text, at, name)
		}
		out.WriteString(value)
		rest = behind
	}
}

// noValue reports a placeholder without a value.
func (f *folder) noValue(file, text string, at int, name string) {
	const limit = 100
	short := strings.ToValidUTF8(name[:min(len(name), limit)], "")
	if len(name) > limit || strings.ContainsAny(name, "\r\n") {
		short = strings.TrimRight(strings.SplitN(short, "\n", 2)[0], "\r") + "…"
	}
	e := problemAt(file, text, at)
	e.Err = &PlaceholderError{Name: short}
	e.Msg = e.Err.Error()
	if strings.HasPrefix(strings.ToLower(name), "flyway:") {
		e.Msg += ", because only Flyway sets it"
	}
	e.Msg += "; give it one (Options.Placeholders), or say that ${…} is text (Options.NoPlaceholders)"
	f.problems.all = append(f.problems.all, e)
}

// problemAt is a problem at an offset of a text.
func problemAt(file, text string, at int) *Error {
	line := strings.Count(text[:at], "\n")
	column := utf8.RuneCountInString(text[strings.LastIndexByte(text[:at], '\n')+1 : at])
	return &Error{File: file, Line: line + 1, Column: column + 1}
}

// placeholder returns the value of a placeholder. Its name is not case-sensitive.
func (f *folder) placeholder(name string) (string, bool) {
	if value, ok := f.opts.Placeholders[name]; ok {
		return value, true
	}
	for known, value := range f.opts.Placeholders {
		if strings.EqualFold(known, name) {
			return value, true
		}
	}
	return "", false
}
