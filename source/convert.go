package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Converted is a folder of another tool, rewritten as a native one.
type Converted struct {
	// Format is the format that the folder was read as, and Set what was read.
	Format Format
	Set    *migration.Set
	// Files are those of the native folder. Those of a migration that was not changed have the text
	// of its scripts, byte for byte, so that their checksums stay the same.
	Files []File
	// Changes are the scripts whose text, and so whose checksum, differs, and the names that differ.
	Changes []Conversion
	// LeftOut are the files of the folder that are not migrations, such as a tool's configuration.
	LeftOut []string
}

// Conversion is a difference between a script or a name and its native form.
type Conversion struct {
	File string // the native file
	What string
	// Text reports that the script's checksum differs. A database that has applied the script needs
	// to accept it.
	Text bool
}

// Convert reads a folder as Read does, and returns the native files that make the same set: the
// same versions in the same order, with the same scripts. What other formats write in markers, side
// files or file names becomes directives. The error is one of those of Read, or that the folder is
// native already. Convert writes nothing.
func Convert(fsys fs.FS, opts Options) (*Converted, error) {
	opts.DeferDowns = false
	f, err := loadAs(fsys, opts)
	if err != nil {
		return nil, err
	}
	if f.format == Native {
		return nil, errors.New("the folder is in the native format already")
	}
	opts.Format = f.format
	set, err := Read(fsys, opts)
	if err != nil {
		return nil, err
	}
	c := &converter{dialect: opts.Dialect, Converted: Converted{Format: f.format, Set: set}, used: map[string]bool{}}
	if err := c.convert(); err != nil {
		return nil, err
	}
	return &c.Converted, c.leaveOut(f)
}

type converter struct {
	Converted
	dialect sqltext.Dialect
	used    map[string]bool // the files of the folder that became native files, as messages show them
}

func (c *converter) convert() error {
	for _, m := range c.Set.All() {
		if err := c.migration(m); err != nil {
			return err
		}
	}
	for _, m := range c.Set.Baselines() {
		if err := c.write(fmt.Sprintf("B%04d_%s.sql", m.Version, c.clean(m.Name)), m.Name, m.Up); err != nil {
			return err
		}
	}
	for _, n := range c.Set.Repeatables() {
		if err := c.write(repeatableStart+c.clean(n.Name)+".sql", n.Name, n.Script); err != nil {
			return err
		}
	}
	return nil
}

func (c *converter) migration(m migration.Migration) error {
	for _, r := range m.Up.Replaces {
		if o, ok := c.Set.Original(r.Version); ok {
			if err := c.migration(o); err != nil {
				return err
			}
		}
	}
	stem := fmt.Sprintf("%04d", m.Version)
	if name := c.clean(m.Name); name != "" {
		stem += "_" + name
	}
	if err := c.write(stem+".up.sql", m.Name, m.Up); err != nil {
		return err
	}
	if m.Down != nil {
		if err := c.write(stem+".down.sql", "", m.Down); err != nil {
			return err
		}
	}
	if m.Metadata == nil {
		return nil
	}
	text, err := wholeText(m.Metadata)
	c.used[m.Metadata.File] = true
	c.Files = append(c.Files, File{Name: stem + metadataEnd, Content: text})
	return err
}

// clean returns a name that a native file can have on every system.
func (c *converter) clean(name string) string {
	return strings.TrimRight(strings.Join(strings.FieldsFunc(name, func(r rune) bool {
		return strings.ContainsRune(`/\:*?"<>|`, r) || unicode.IsControl(r) || unicode.IsSpace(r)
	}), "_"), ".")
}

// write adds the native file of a script. name is the migration's, "" if another file has it.
func (c *converter) write(file, name string, s *migration.Script) error {
	if s.Func() != nil {
		return &Error{File: s.File, Msg: "is a Go function, which can't be a file of SQL"}
	}
	if slices.ContainsFunc(c.Files, func(f File) bool { return f.Name == file }) {
		return &Error{File: s.File, Msg: "would be the native file " + file + ", like another script; rename one of them"}
	}
	c.used[s.File] = true
	text, err := wholeText(s)
	if err != nil {
		return err
	}
	content, changes := c.native(text, s)
	if len(changes) == 0 && migration.Sum(content) != s.Checksum {
		changes = append(changes, replacedWhat(c.Format))
	}
	if clean := c.clean(name); clean != name {
		c.Changes = append(c.Changes, Conversion{File: file, What: fmt.Sprintf("the name was %q", name)})
	}
	for _, what := range changes {
		c.Changes = append(c.Changes, Conversion{File: file, What: what, Text: true})
	}
	c.Files = append(c.Files, File{Name: file, Content: content})
	return nil
}

// replacedWhat says how a format's text and what runs of it differ.
func replacedWhat(format Format) string {
	if format == Atlas || format == Drizzle {
		return "wrote the semicolons that end its statements"
	}
	return "replaced placeholders by their values"
}

func wholeText(s *migration.Script) (string, error) {
	r, err := s.Open()
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), errors.Join(err, r.Close())
}

// native returns a script's text as a native file needs it, and what was changed.
func (c *converter) native(text string, s *migration.Script) (content string, changes []string) {
	read := c.skim(text)
	for len(read.marks) > 0 { // one line at a time: a line behind it may then be in another part
		m := read.marks[0]
		lines := strings.SplitAfter(text, "\n")
		changes = append(changes, fmt.Sprintf("removed the line %q", strings.TrimSpace(lines[m.line-1])))
		text = strings.Join(slices.Delete(lines, m.line-1, m.line), "")
		read = c.skim(text)
	}
	var has migration.Script
	empty := true
	for _, p := range read.parts {
		for _, d := range p.directives {
			_ = has.Direct(d.text) // Read has reported what is wrong with it
		}
		empty = empty && p.empty()
	}
	want := s.Directives
	want.Empty = want.Empty || empty && s.Problem == nil
	var lines strings.Builder
	for _, d := range strings.Split(want.String(), ", ") {
		if d != "" && !slices.Contains(strings.Split(has.Directives.String(), ", "), d) {
			lines.WriteString("-- whimbrel: " + d + "\n")
			changes = append(changes, fmt.Sprintf("added the line %q", "-- whimbrel: "+d))
		}
	}
	return lines.String() + text, changes
}

// skim reads a text as detecting the format of a folder does.
func (c *converter) skim(text string) *skim {
	s := newSkim(func(Format) bool { return true }, c.dialect)
	_, _ = s.Write([]byte(text)) // which never fails
	s.finish()
	return s
}

// The most files and folders that are searched for files that are left out.
const searchedFiles = 10_000

// leaveOut lists the files that are left out. It skips hidden ones.
func (c *converter) leaveOut(f *folder) error {
	searched := 0
	return fs.WalkDir(f.fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if searched++; searched > searchedFiles {
			return fs.SkipAll
		}
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
		case !e.IsDir() && !c.used[f.path(name)]:
			c.LeftOut = append(c.LeftOut, name)
		}
		return nil
	})
}
