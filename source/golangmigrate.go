package source

import (
	"errors"
	"regexp"

	"github.com/whimbrel-db/whimbrel/migration"
)

// golangMigrateNames are the names that golang-migrate reads; all others it passes
// over.
var golangMigrateNames = regexp.MustCompile(`^([0-9]+)_(.*)\.(down|up)\.(.*)$`)

// golangMigrateName reads the name of one of its files.
func golangMigrateName(name string) (half, bool) {
	m := golangMigrateNames.FindStringSubmatch(name)
	if m == nil {
		return half{}, false
	}
	return half{numbered: numbered{digits: m[1], name: m[2]}, up: m[3] == wordUp}, true
}

var errNotGolangMigrate = errors.New("is not named like a migration; names look like 000001_add_users.up.sql and 000001_add_users.down.sql")

// golangMigrate reads pairs as golang-migrate does; see native.go.
func (f *folder) golangMigrate() []migration.Migration {
	var halves []half
	for _, e := range f.entries {
		name := e.Name()
		h, ok := golangMigrateName(name)
		switch {
		case !ok && startsWithDigit(name) && hasSQLSuffix(name) && !e.IsDir():
			f.add(f.path(name), "%v", errNotGolangMigrate)
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
		h.version, h.file = n.version, f.files[name]
		halves = append(halves, h)
	}
	return f.pairs(halves, false)
}
