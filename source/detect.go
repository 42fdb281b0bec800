package source

import (
	"fmt"
	"path"
	"slices"
)

// detect determines the format from the files that were read.
func (f *folder) detect() (Format, error) {
	var seen []Seen
	note := func(format Format, file, what string) {
		i := slices.IndexFunc(seen, func(s Seen) bool { return s.Format == format })
		if i < 0 {
			i = len(seen)
			seen = append(seen, Seen{Format: format, What: what, Files: make([]string, 0, len(f.entries))})
		}
		seen[i].Files = append(seen[i].Files, file)
	}
	var unclear []string // .sql files that show no format
	pairs, goFiles := false, false
	for _, e := range f.entries {
		name := e.Name()
		switch {
		case e.IsDir() || e.file == nil:
			if path.Ext(name) == ".go" && startsWithDigit(name) {
				goFiles = true
			}
			for _, l := range layouts {
				if l.shows == nil {
					continue
				}
				if what := l.shows(f, e); what != "" {
					note(l.format, f.path(name), what)
				}
			}
		default:
			shown, tools := e.file.path, e.file.tools()
			for _, m := range tools {
				note(m.tool, shown, fmt.Sprintf("line %d is a marker", m.line))
			}
			if _, err := nativeName(name); err == nil {
				note(Native, shown, "a name of up and down files")
			} else if !startsWithDigit(name) {
				continue // a baseline or a repeatable script, or another tool's own
			} else if len(tools) == 0 && e.file.sqlxNoTransaction() {
				note(Sqlx, shown, "its first line is sqlx's")
			} else if len(tools) == 0 {
				_, _, pair := cutDirection(name[:len(name)-len(".sql")])
				pairs, unclear = pairs || pair, append(unclear, shown)
			}
		}
	}
	if slices.ContainsFunc(seen, func(s Seen) bool { return s.Format == Diesel }) { // whose folders look like Hasura's
		seen = slices.DeleteFunc(seen, func(s Seen) bool { return s.Format == Hasura })
	}
	if len(seen) > 1 { // Atlas also writes its sums into folders of other tools
		seen = slices.DeleteFunc(seen, func(s Seen) bool { return s.Format == Atlas })
	}
	switch {
	case len(seen) > 1:
		return Auto, &AmbiguousError{Dir: f.opts.Dir, Seen: seen}
	case len(seen) == 1:
		return seen[0].Format, nil
	case pairs:
		return Native, nil // which reports what is wrong with each file's name
	case len(unclear) == 0 && goFiles:
		return Goose, nil
	}
	var p problems
	for _, file := range unclear {
		p.add(file, "does not show its format: its name does not end in .up.sql or .down.sql, and it has no line of goose, dbmate, sql-migrate or tern; name the format (sqlx has files that are only SQL), or rename the file")
	}
	if err := p.err(); err != nil {
		return Auto, err
	}
	return Native, nil
}

// tools returns the first mark of each tool that the file has marks of.
func (f *file) tools() []mark {
	var first []mark
	if f.skimmed == nil {
		return nil
	}
	for _, m := range f.marks {
		if !slices.ContainsFunc(first, func(o mark) bool { return o.tool == m.tool }) {
			first = append(first, m)
		}
	}
	return first
}

// listed reports whether a folder of the root has a file of that name.
func (f *folder) listed(dir, name string) bool {
	return slices.ContainsFunc(f.subs[dir], func(e *listed) bool { return e.Name() == name && !e.IsDir() })
}

// hasuraSeen says what of a folder is Hasura's, "" for nothing.
func (f *folder) hasuraSeen(name string) string {
	for _, e := range f.subs[name] {
		if isHasuraFile(e.Name()) && !e.IsDir() {
			return "a folder that holds " + e.Name()
		}
	}
	return ""
}
