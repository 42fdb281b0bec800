package source

import (
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/migration"
)

// golangMigrateNames matches the names that golang-migrate reads; it skips all others.
var golangMigrateNames = lazyregexp.New(`^([0-9]+)_(.*)\.(down|up)\.(.*)$`)

// golangMigrateName reads the name of one of its files.
func golangMigrateName(name string) (half, bool) {
	m := golangMigrateNames.FindStringSubmatch(name)
	if m == nil {
		return half{}, false
	}
	return half{numbered: numbered{digits: m[1], name: m[2]}, up: m[3] == wordUp}, true
}

// golangMigrate reads pairs as golang-migrate does; see native.go. It warns of what golang-migrate
// would not run: a file whose name it skips, and a down script without an up script.
func (f *folder) golangMigrate() []migration.Migration {
	var halves []half
	for _, e := range f.entries {
		name := e.Name()
		h, ok := golangMigrateName(name)
		switch {
		case !ok && startsWithDigit(name) && hasSQLSuffix(name) && !e.IsDir():
			f.warn(f.path(name), 0, 0, "golang-migrate skips this file, so it does not run; names look like 000001_add_users.up.sql and 000001_add_users.down.sql")
			continue
		case !ok:
			continue
		case e.IsDir():
			f.add(f.path(name), "is a folder; a migration has to be a file")
			continue
		}
		n, _, err := cutVersion(h.digits)
		if err != nil {
			f.add(f.path(name), "%v", err)
			continue
		}
		h.version, h.file = n.version, e.file
		halves = append(halves, h)
	}
	return f.pairs(halves)
}

// withoutUp returns the up script of a migration that has only a down script. To golang-migrate it
// is one that does nothing.
func (f *folder) withoutUp(down half) *migration.Script {
	name := upName(down.file.path)
	f.warn(down.file.path, 0, 0, "this down script has no up script, so golang-migrate runs nothing for version %d; it would be %s", down.version, name)
	return migration.Text(name, "")
}
