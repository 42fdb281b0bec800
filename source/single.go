package source

import (
	"cmp"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

// This file has what the formats share that have up and down in one file.

// single is one file that holds a whole migration.
type single struct {
	numbered
	file *file
}

// singles returns the files of the root that begin with a version and end in .sql, ordered by
// version, without those that can't be read or repeat a version. name derives the migration's name
// from the text between version and .sql; ok is false if the tool would not read the file.
func (f *folder) singles(looks string, name func(rest string) (string, bool)) []single {
	var all []single
	for _, e := range f.entries {
		if !startsWithDigit(e.Name()) || !hasSQLSuffix(e.Name()) {
			continue
		}
		n, rest, err := cutVersion(e.Name())
		if err != nil {
			f.add(f.path(e.Name()), "%v", err)
			continue
		}
		var ok bool
		if n.name, ok = name(strings.TrimSuffix(rest, ".sql")); !ok || !strings.HasSuffix(rest, ".sql") {
			f.add(f.path(e.Name()), "is not named like a migration; %s", looks)
			continue
		}
		if e.IsDir() {
			f.add(f.path(e.Name()), "is a folder; a migration has to be a file")
			continue
		}
		all = append(all, single{numbered: n, file: e.file})
	}
	order.StableBy(all, func(a, b single) int { return cmp.Compare(a.version, b.version) })
	var good []single
	for i, s := range all {
		if i > 0 && all[i-1].version == s.version {
			f.duplicate(s.version, all[i-1].file.path, s.file.path)
			continue
		}
		if !f.reported(s.file) {
			good = append(good, s)
		}
	}
	return good
}

// underscored derives the name of tools that require VERSION_name.sql.
func underscored(rest string) (string, bool) {
	name, ok := strings.CutPrefix(rest, "_")
	return name, ok && name != ""
}

// upAndDown returns the up section and the down section, nil for a missing one, and reports
// everything else.
func (f *folder) upAndDown(file *file) (up, down *part) {
	if len(file.parts) == 1 {
		return nil, nil
	}
	for i := range file.parts {
		p := &file.parts[i]
		var to **part
		switch {
		case i == 0:
			if !p.empty() {
				f.at(file.path, p.statement.line, p.statement.column, "a statement is before the first section, where nothing would run it")
			}
			f.misspellings(file, p.misspelt)
			for _, d := range p.directives {
				f.at(file.path, d.line, d.column, "a directive must be in its section; move %q down", "-- whimbrel: "+d.text)
			}
			continue
		case p.mark.word == wordUp:
			to = &up
		default:
			to = &down
		}
		if *to != nil {
			f.at(file.path, p.mark.line, p.mark.column, "a second %s section, the first begins on line %d; join them, in the order in which they are to run", p.mark.word, (*to).mark.line)
			continue
		}
		*to = p
	}
	return up, down
}

// sections returns a migration of an up section and a down section, which may be nil.
func (f *folder) sections(s single, up, down *part) migration.Migration {
	m := migration.Migration{Version: s.version, Name: s.name, Up: f.section(s.file, up)}
	f.needStatement(s.file, m.Up, up.empty())
	if down != nil {
		m.Down = f.section(s.file, down)
	}
	return m
}
