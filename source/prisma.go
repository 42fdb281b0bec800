package source

import (
	"path"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Prisma: folders VERSION_name that contain migration.sql, in prisma/migrations.
//
//   - The version is the digits that the folder's name begins with. Prisma runs folders in the
//     order of their names. A folder in which the numbers have another order is an error that names
//     two of them. So are a migration without a number, and two with one number.
//   - A down.sql beside migration.sql, which Prisma's guide suggests to write and Prisma itself
//     never runs, is the down script. Without it the migration is irreversible.
//   - A folder that begins with a number and has no migration.sql is an error, as in Prisma.
//   - The provider of migration_lock.toml must be that of the scripts' dialect. One whose databases
//     Whimbrel does not support is an error.
//   - Prisma's history knows a migration by the folder's name: Migration.Origin.

const (
	prismaFile = "migration.sql"
	prismaLock = "migration_lock.toml"
)

func prismaShows(f *folder, e *listed) string {
	switch {
	case e.IsDir() && !f.listed(e.Name(), drizzleSnapshot):
		return f.prismaSeen(e.Name())
	case e.Name() == prismaLock:
		return "Prisma's lock file"
	}
	return ""
}

// prismaSeen says what of a folder is Prisma's, "" for nothing.
func (f *folder) prismaSeen(name string) string {
	if f.listed(name, prismaFile) {
		return "a folder that holds " + prismaFile
	}
	return ""
}

func prismaFiles(_ *folder, version, name string) []File {
	base := version + "_" + name
	return []File{{Name: base + "/" + prismaFile, Content: unfinished + upText(name)}, {Name: base + "/down.sql", Content: downText(name)}}
}

func (f *folder) prisma() []migration.Migration {
	f.prismaProvider()
	var halves []half
	folders := map[int64]string{}
	for _, e := range f.entries {
		name := e.Name()
		switch {
		case !e.IsDir():
		case !startsWithDigit(name):
			f.numberless(name, prismaFile, "Prisma")
		default:
			n, rest, err := cutVersion(name)
			if err != nil {
				f.add(f.path(name), "%v", err)
				continue
			}
			n.name = strings.TrimLeft(rest, separators)
			if _, twice := folders[n.version]; !twice {
				folders[n.version] = name
			}
			halves = append(halves, f.prismaFolder(name, n)...)
		}
	}
	all := f.pairs(halves)
	for i := range all {
		all[i].Origin = &migration.Origin{ID: folders[all[i].Version]}
	}
	return all
}

// prismaFolder returns the halves that a folder holds.
func (f *folder) prismaFolder(name string, n numbered) (halves []half) {
	if f.prismaSeen(name) == "" {
		f.add(f.path(name), "holds no "+prismaFile+"; add it, or rename the folder so that it doesn't begin with a number")
		return nil
	}
	for _, script := range []string{prismaFile, "down.sql"} {
		if file := f.fileOf(path.Join(name, script)); file != nil {
			halves = append(halves, half{numbered: n, up: script == prismaFile, file: file})
		}
	}
	return halves
}

// providers are the dialects of the databases that Prisma names in its lock file.
var providers = map[string]sqltext.Dialect{
	"postgresql": sqltext.PostgreSQL, "postgres": sqltext.PostgreSQL, "sqlite": sqltext.SQLite, "mysql": sqltext.MySQL,
}

// prismaProvider compares the lock file with the dialect of the scripts.
func (f *folder) prismaProvider() {
	if !slices.ContainsFunc(f.entries, func(e *listed) bool { return e.Name() == prismaLock && !e.IsDir() }) {
		return
	}
	all, err := f.settings(prismaLock)
	if err != nil {
		f.problems.all = append(f.problems.all, err)
		return
	}
	for _, s := range all {
		if s.key != "provider" {
			continue
		}
		d, ok := providers[strings.ToLower(s.value)]
		switch {
		case !ok:
			f.at(f.path(prismaLock), s.line, s.column, "the scripts are for %s, which Whimbrel does not support", quoted(s.value))
		case f.opts.Dialect != 0 && f.opts.Dialect != d:
			f.at(f.path(prismaLock), s.line, s.column, "the scripts are for %s, but the database is not", quoted(s.value))
		}
	}
}
