package source

import (
	"fmt"
	"path"
	"slices"
)

// detect tells the format from what was read.
func (f *folder) detect() (Format, error) {
	var seen []Seen
	note := func(format Format, file, what string) {
		i := slices.IndexFunc(seen, func(s Seen) bool { return s.Format == format })
		if i < 0 {
			i = len(seen)
			seen = append(seen, Seen{Format: format, What: what})
		}
		seen[i].Files = append(seen[i].Files, file)
	}
	conf := ""      // tern's, if there is one
	var bare []Seen // .sql files that say nothing, and Go files: the last resort
	for _, e := range f.entries {
		name := e.Name()
		shown := f.path(name)
		switch {
		case e.IsDir():
			if what := f.hasuraSeen(name); what != "" {
				note(Hasura, shown, what)
			}
		case name == ternConf:
			conf = shown
		case f.files[name] != nil:
			tools := f.files[name].tools()
			for _, m := range tools {
				note(m.tool, shown, fmt.Sprintf("line %d is a marker", m.line))
			}
			if _, err := nativeName(name); err == nil {
				note(Native, shown, "a name of up and down files")
			} else if !startsWithDigit(name) {
				continue // a baseline or a repeatable script, or another tool's own
			} else if _, _, pair := cutDirection(name[:len(name)-len(".sql")]); pair && len(tools) == 0 {
				bare = append(bare, Seen{Format: Native, Files: []string{shown}})
			} else if len(tools) == 0 {
				bare = append(bare, Seen{Format: Tern, Files: []string{shown}})
			}
		case path.Ext(name) == ".go" && startsWithDigit(name):
			bare = append(bare, Seen{Format: Goose, Files: []string{shown}})
		}
	}
	return f.decide(seen, bare, conf)
}

func (f *folder) decide(seen, bare []Seen, conf string) (Format, error) {
	if conf != "" && !slices.ContainsFunc(seen, func(s Seen) bool { return s.Format == Tern }) {
		seen = append(seen, Seen{Format: Tern, Files: []string{conf}, What: "tern's configuration"})
	}
	switch {
	case len(seen) > 1:
		return Auto, &AmbiguousError{Dir: f.opts.Dir, Seen: seen}
	case len(seen) == 1:
		return seen[0].Format, nil
	}
	var p problems
	goFiles := false
	for _, b := range bare {
		if b.Format == Native {
			return Native, nil // which says of each file what is wrong with its name
		}
		if b.Format == Goose {
			goFiles = true
			continue
		}
		p.add(b.Files[0], "does not show its format: its name does not end in .up.sql or .down.sql, and it has no line of goose, dbmate or tern; name the format, or rename the file")
	}
	if err := p.err(); err != nil {
		return Auto, err
	}
	if goFiles {
		return Goose, nil
	}
	return Native, nil
}

// tools returns the first mark of each tool that the file has marks of.
func (f *file) tools() []mark {
	var first []mark
	if f.skim == nil {
		return nil
	}
	for _, m := range f.marks {
		if !slices.ContainsFunc(first, func(o mark) bool { return o.tool == m.tool }) {
			first = append(first, m)
		}
	}
	return first
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
