package source

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Some tools keep settings of a migration in a file beside it: lines KEY = VALUE, in TOML (Diesel,
// Prisma) or as Java properties (Flyway). The few settings that matter here are words, so the few
// rules that both have in common are enough. Whatever has another form is an error.

// setting is one line of a file with settings.
type setting struct {
	place
	key, value string // without quotes
}

// settings reads a file beside a script. A line that is neither a comment nor KEY = VALUE is an
// error.
func (f *folder) settings(name string) (all []setting, wrong *Error) {
	text, err := readText(f.fsys, name, maxSide)
	if err != nil {
		return nil, &Error{File: f.path(name), Msg: "can't be read: " + cause(err), Err: err}
	}
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	if !utf8.Valid(text) {
		return nil, &Error{File: f.path(name), Msg: "can't be read: it is not UTF-8"}
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		ink := strings.TrimSpace(line)
		if ink == "" || ink[0] == '#' || ink[0] == '!' {
			continue
		}
		at := place{n, 1 + strings.Index(line, ink)}
		key, value, ok := strings.Cut(ink, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return nil, &Error{File: f.path(name), Line: at.line, Column: at.column, Msg: "is not a setting, which looks like NAME = VALUE"}
		}
		all = append(all, setting{at, key, settingValue(value)})
	}
	return all, nil
}

// settingValue is a value without its quotes and the comment behind it.
func settingValue(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 0 && (text[0] == '"' || text[0] == '\'') {
		if end := strings.IndexByte(text[1:], text[0]); end >= 0 {
			return text[1 : 1+end]
		}
	}
	text, _, _ = strings.Cut(text, "#")
	return strings.TrimSpace(text)
}

// quoted returns a text of a file as part of a message.
func quoted(text string) string {
	const limit = 80
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return strconv.Quote(text)
}
