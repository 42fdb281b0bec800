package source

import (
	"io/fs"

	"github.com/whimbrel-db/whimbrel/migration"
)

// ReadSeeds reads a folder of scripts with development data: every .sql file in the root of fsys,
// ordered by name. A script's name is that of its file without .sql. ReadSeeds skips hidden files
// and sub-folders. It uses the options Dir and Dialect only.
//
// The errors are those of [Read].
func ReadSeeds(fsys fs.FS, opts Options) ([]migration.Named, error) {
	f := newFolder(fsys, Options{Format: Native, Dir: opts.Dir, Dialect: opts.Dialect})
	if err := f.list(); err != nil {
		return nil, err
	}
	var wanted []*file
	for _, e := range f.entries {
		wanted = f.want(wanted, e.name, e.path, e, hasSQLSuffix(e.Name()))
	}
	f.readFiles(wanted)
	var all []migration.Named
	for _, e := range f.entries {
		file := e.file
		if file == nil || f.reported(file) {
			continue
		}
		s := f.script(file)
		f.needStatementIn("the script", file, s, file.empty())
		if e, ok := s.Problem.(*Error); ok { // every seed runs
			f.problems.all = append(f.problems.all, e)
		}
		if len(s.Replaces) > 0 {
			f.add(file.path, "a seed can't replace migrations; remove the directive")
		}
		all = append(all, migration.Named{Name: file.name[:len(file.name)-len(".sql")], Script: s})
	}
	if len(all) == 0 {
		f.elsewhere()
	}
	return all, f.err()
}
