package metayaml

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// Write returns the YAML form of a document. It is deterministic, and Read returns the same
// document for it.
func Write(d *metadata.Document) string {
	var w writer
	entries := d.Entries()
	for len(entries) > 0 {
		kind := group(entries[0].Name.Kind)
		n := slices.IndexFunc(entries, func(e metadata.Entry) bool { return group(e.Name.Kind) != kind })
		if n < 0 {
			n = len(entries)
		}
		w.group(kind, entries[:n])
		entries = entries[n:]
	}
	if w.Len() == 0 {
		return "{}\n"
	}
	return w.String()
}

// group returns the kind under whose key a kind is written.
func group(k metadata.Kind) metadata.Kind {
	for _, g := range groups {
		if k == g.Columns() {
			return g
		}
	}
	return k
}

type writer struct{ strings.Builder }

// line writes an indented line.
func (w *writer) line(depth int, parts ...string) {
	w.WriteString(strings.Repeat("  ", depth))
	for _, p := range parts {
		w.WriteString(p)
	}
	w.WriteByte('\n')
}

func (w *writer) group(kind metadata.Kind, entries []metadata.Entry) {
	w.line(0, groupKey(kind), ":")
	var open metadata.Name // the object whose name was written last
	inColumns := false
	for _, e := range entries {
		object := e.Name
		object.Kind, object.Column = kind, ""
		if object != open {
			w.line(1, scalar(object.String()), ":")
			open, inColumns = object, false
		}
		if e.Name.Column == "" {
			w.facts(2, &e.Facts)
			continue
		}
		if !inColumns {
			w.line(2, "columns:")
			inColumns = true
		}
		w.line(3, scalar(e.Name.Column), ":")
		w.facts(4, &e.Facts)
	}
}

func (w *writer) facts(depth int, f *metadata.Facts) {
	if f.Description != "" {
		w.field(depth, "description", f.Description)
	}
	if f.Owner != "" {
		w.field(depth, "owner", f.Owner)
	}
	if len(f.Tags) > 0 {
		w.line(depth, "tags:")
		for _, t := range f.Tags {
			w.line(depth+1, "- ", scalar(t))
		}
	}
	if len(f.Links) > 0 {
		w.line(depth, "links:")
		for _, l := range f.Links {
			if l.Name == "" {
				w.line(depth+1, "- ", scalar(l.URL))
			} else {
				w.line(depth+1, scalar(l.Name), ": ", scalar(l.URL))
			}
		}
	}
	if len(f.Keys) > 0 {
		w.line(depth, "keys:")
		w.mapping(depth+1, f.Keys)
	}
}

func (w *writer) mapping(depth int, m map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		w.field(depth, scalar(key), m[key])
	}
}

// field writes a key and its value; the key is already formatted.
func (w *writer) field(depth int, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 {
			w.line(depth, key, ":")
			w.mapping(depth+1, v)
			return
		}
	case []any:
		if len(v) > 0 {
			w.line(depth, key, ":")
			for _, item := range v {
				w.line(depth+1, "- ", single(item)) // a list or mapping as JSON, which is valid YAML
			}
			return
		}
	case string:
		if mark := block(v); mark != "" {
			w.line(depth, key, ": ", mark)
			w.block(depth+1, v)
			return
		}
	}
	w.line(depth, key, ": ", single(v))
}

// single formats a value on one line.
func single(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return scalar(v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = flow(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		var items []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			items = append(items, quoted(key)+": "+flow(v[key]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return quoted(fmt.Sprint(v))
}

// flow formats a value within brackets, where strings need quotes.
func flow(v any) string {
	if s, ok := v.(string); ok {
		return quoted(s)
	}
	return single(v)
}

// plainForm matches most strings that need no quotes.
var plainForm = lazyregexp.New(`^[\pL_/][\pL\pN _./@+()%=~'"!?;$^-]*([,:][\pL\pN _./@+()%=~'"!?;$^-]+)*[.!?]?$`)

// isPlain reports whether a string needs no quotes: YAML would read some words as another type, a
// colon before a space as the end of a key, and drop spaces at the end.
func isPlain(s string) bool {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return false
	}
	keyLike := strings.Contains(s, ": ") || strings.HasSuffix(s, ":")
	return plainForm.MatchString(s) && !keyLike && !strings.HasSuffix(s, " ") && !strings.Contains(s, "  ")
}

// scalar formats a string on one line.
func scalar(s string) string {
	if isPlain(s) {
		return s
	}
	return quoted(s)
}

// quoted formats a string in double quotes. Go's escapes are escapes of YAML, too.
func quoted(s string) string { return strconv.Quote(s) }

// block returns the indicator for a multi-line string that can be written as a block, or "".
func block(s string) string {
	body, ends := strings.CutSuffix(s, "\n")
	if !strings.Contains(body, "\n") || strings.HasSuffix(body, "\n") || !utf8.ValidString(s) {
		return ""
	}
	for i, line := range strings.Split(body, "\n") {
		if strings.TrimRight(line, " \t") != line || strings.ContainsFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }) {
			return ""
		}
		if i == 0 && (line == "" || line[0] == ' ') {
			return ""
		}
	}
	if ends {
		return "|"
	}
	return "|-"
}

func (w *writer) block(depth int, s string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		if line == "" {
			w.WriteByte('\n')
			continue
		}
		w.line(depth, line)
	}
}
