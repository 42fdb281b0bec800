package source

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// tern: VERSION_name.sql, up above the line "---- create above / drop below ----" and down below
// it. Without that line, or with nothing below it, the migration is irreversible.
//
//   - "---- tern: disable-tx ----" applies to its section.
//   - tern renders its files as Go templates, Whimbrel doesn't: "{{" outside literals and comments
//     is an error. In a literal it is data.
//   - Whimbrel reads neither tern.conf nor sub-folders, where tern keeps templates.
//   - Gaps between versions are allowed, although tern refuses them.
//   - Files that don't begin with a number are skipped, as in tern.

const (
	ternSeparator = "---- create above / drop below ----"
	ternDisableTx = "---- tern: disable-tx ----"
	ternNoTx      = "disable-tx"
	ternConf      = "tern.conf"
)

// ternMark reads a comment line as a marker line.
func ternMark(line string) (mark, bool) {
	switch strings.ToLower(line) {
	case ternSeparator:
		return mark{tool: Tern, word: wordDown}, true
	case ternDisableTx:
		return mark{tool: Tern, word: ternNoTx}, true
	}
	return mark{}, false
}

func ternShows(_ *folder, e *listed) string {
	if e.Name() == ternConf && !e.IsDir() {
		return "tern's configuration"
	}
	return ""
}

func ternFiles(_ *folder, version, name string) []File {
	return []File{{Name: version + "_" + name + ".sql", Content: upText(name) + ternSeparator + "\n\n"}}
}

func (f *folder) tern() []migration.Migration {
	var all []migration.Migration
	for _, s := range f.singles("names look like 001_add_users.sql", underscored) {
		up := &s.file.parts[0]
		var down *part
		if len(s.file.parts) > 1 && s.file.parts[1].end > s.file.parts[1].start {
			down = &s.file.parts[1]
		}
		if len(s.file.parts) > 2 {
			m := s.file.parts[2].mark
			f.at(s.file.path, m.line, m.column, "a second line %q, the first is line %d; remove one", ternSeparator, s.file.parts[1].mark.line)
			continue
		}
		m := f.sections(s, up, down)
		for i, script := range []*migration.Script{m.Up, m.Down} {
			if script == nil {
				continue
			}
			for _, k := range s.file.marks {
				script.NoTransaction = script.NoTransaction || k.word == ternNoTx && k.part == i
			}
			if at := s.file.parts[i].braces; at.line > 0 {
				f.at(s.file.path, at.line, at.column, "this is a template, which Whimbrel does not render; write its result instead")
			}
		}
		all = append(all, m)
	}
	return all
}
