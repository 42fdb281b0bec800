package source

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// A folder with thousands of applied migrations has as many down scripts that nothing asks for.
// With Options.DeferDowns they are read when a plan needs them. Their names are checked at once.

// isDown reports whether a file of the root is a down script and nothing else.
func (f *folder) isDown(name string) bool {
	switch f.opts.Format {
	case Auto, Native:
		return startsWithDigit(name) && strings.HasSuffix(name, ".down.sql")
	case GolangMigrate:
		h, ok := golangMigrateName(name)
		return ok && !h.up
	}
	return false
}

// readDowns reads down scripts that have been deferred, by their paths. Its calls share nothing.
func (f *folder) readDowns(paths []string) ([]*migration.Script, []migration.Warning, error) {
	g := newFolder(f.fsys, f.opts)
	g.format, g.layout = f.format, f.layout
	files := make([]*file, len(paths))
	for i, path := range paths {
		files[i] = &file{name: strings.TrimPrefix(path, f.path("")), path: path}
	}
	g.readFiles(files)
	scripts := make([]*migration.Script, len(files))
	for i, file := range files {
		if g.reported(file) {
			continue
		}
		s := g.downScript(file)
		if s != nil && s.Problem != nil { // see folder.read
			s = nil
		}
		if s != nil && len(s.Replaces) > 0 || g.opts.Format == Auto && len(file.tools()) > 0 {
			g.add(file.path, "is not the down script of a migration") // reading the folder says why
		}
		scripts[i] = s
	}
	if err := g.err(); err != nil {
		opts := f.opts
		opts.DeferDowns = false
		if _, all := read(f.fsys, opts); all != nil {
			err = all
		}
		return nil, nil, err
	}
	return scripts, g.warnings, nil
}
