package source

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// The native format: VERSION_name.up.sql and VERSION_name.down.sql in one folder.
//
//   - VERSION is a number: a sequence with or without leading zeros, or a timestamp.
//     Gaps are fine. A date with dashes, 2017-09-23-182408, is the number of its
//     digits.
//   - The name is the same for up and down. It may have dots, or be missing
//     altogether: 0157.up.sql.
//   - A down without an up is an error, an up without a down is irreversible.
//   - A down script without a statement is none, unless it has the directive "empty":
//     then there is nothing to take back. An empty up script is unfinished, unless it has
//     the directive "empty": it is in the set, but can't be run.
//   - B0005_name.sql is a baseline, R__name.sql a repeatable script: see beside.go.
//   - A squash has the version of the newest migration that it replaces, and another name;
//     what it replaces may be there beside it.
//   - 0005_name.metadata.yaml is metadata that the migration carries: see metadata.go.
//   - Any other .sql file is an error. Sub-folders are not read; one that holds files
//     named like migrations is an error, unless its name begins with "_" or ".".
//
// golang-migrate's pairs have the same names. Read as GolangMigrate, the names of up
// and down may differ, files may end in anything after .up or .down, an empty up script
// does nothing, and files that don't fit are passed over.

// nativeNames is how names look, for messages.
const nativeNames = "names look like 0001_add_users.up.sql and 0001_add_users.down.sql"

// half is one file of a pair.
type half struct {
	numbered
	up   bool
	file *file
}

// pair is what there is of one version.
type pair struct {
	version    int64
	ups, downs []half
}

// nativeName reads VERSION_name.up.sql; a name of any other kind is an error. The error is a
// message without the name; it says which name was probably meant.
func nativeName(name string) (half, error) {
	if !startsWithDigit(name) {
		if meant := besideMeant(name); meant != "" {
			return half{}, fmt.Errorf("is not named like a migration; %s was probably meant", meant)
		}
		return half{}, fmt.Errorf("is not named like a migration; %s", nativeNames)
	}
	n, rest, err := cutVersion(name)
	if err != nil {
		return half{}, err
	}
	h := half{numbered: n}
	stem, isUp := strings.CutSuffix(rest, ".up.sql")
	stem2, isDown := strings.CutSuffix(rest, ".down.sql")
	if isDown {
		stem = stem2
	}
	h.up = isUp
	if (isUp || isDown) && (stem == "" || stem[0] == '_') {
		h.name = strings.TrimPrefix(stem, "_")
		return h, nil
	}
	if !hasSQLSuffix(rest) { // as a sub-folder named 2024
		return h, fmt.Errorf("is not named like a migration; %s", nativeNames)
	}
	return h, fmt.Errorf("is not named like a migration; %s", meant(name, rest))
}

// meant guesses the name that somebody wanted to give to a .sql file.
func meant(name, rest string) string {
	version := strings.TrimSuffix(name, rest)
	stem := rest[:len(rest)-len(".sql")]
	for _, direction := range []string{"up", "down"} {
		if len(stem) > len(direction) && strings.EqualFold(stem[len(stem)-len(direction):], direction) && strings.ContainsAny(stem[len(stem)-len(direction)-1:][:1], "._- ") {
			bare := strings.TrimLeft(strings.TrimRight(stem[:len(stem)-len(direction)], "._- "), "._- ")
			if bare != "" {
				bare = "_" + bare
			}
			return fmt.Sprintf("%s%s.%s.sql was probably meant", version, bare, direction)
		}
	}
	bare := strings.TrimLeft(stem, "._- ")
	if bare != "" {
		bare = "_" + bare
	}
	return fmt.Sprintf("it has to say whether it is up or down: %s%s.up.sql", version, bare)
}

// native reads the native format.
func (f *folder) native() []migration.Migration {
	var halves []half
	var carried []carried
	for _, e := range f.entries {
		name := e.Name()
		if e.IsDir() {
			f.nativeSub(name)
			continue
		}
		if c, is := f.metadata(name); is {
			carried = append(carried, c)
			continue
		}
		if !hasSQLSuffix(name) || f.beside(name) {
			continue
		}
		h, err := nativeName(name)
		if err != nil {
			f.add(f.path(name), "%v", err)
			continue
		}
		h.file = f.files[name]
		halves = append(halves, h)
	}
	all := f.pairs(halves, true)
	f.carry(all, carried)
	return all
}

// nativeSub reports a sub-folder that would hide migrations.
func (f *folder) nativeSub(name string) {
	if _, err := nativeName(name); err == nil {
		f.add(f.path(name), "is a folder; a migration has to be a file")
		return
	}
	if strings.HasPrefix(name, "_") {
		return
	}
	found := ""
	f.below(name, func(dir string, e fs.DirEntry) bool {
		if _, err := nativeName(e.Name()); err == nil {
			found = strings.TrimPrefix(path.Join(dir, e.Name()), name+"/")
		}
		return found == ""
	})
	if found != "" {
		f.add(f.path(name), "holds migrations, such as %s, but sub-folders are not read; move them, or rename the folder so that it begins with _", found)
	}
}

// pairs joins ups and downs by version.
func (f *folder) pairs(halves []half, sameName bool) []migration.Migration {
	byVersion := map[int64]*pair{}
	var order []*pair
	for _, h := range halves {
		p := byVersion[h.version]
		if p == nil {
			p = &pair{version: h.version}
			byVersion[h.version] = p
			order = append(order, p)
		}
		if h.up {
			p.ups = append(p.ups, h)
		} else {
			p.downs = append(p.downs, h)
		}
	}
	slices.SortFunc(order, func(a, b *pair) int {
		if a.version < b.version {
			return -1
		}
		return 1
	})
	var all []migration.Migration
	for _, p := range order {
		for _, p := range f.split(p) {
			if m, ok := f.pair(p, sameName); ok {
				all = append(all, m)
			}
		}
	}
	return all
}

// split tells a squash from the original that has its version: by the directive, and by the
// names, which differ.
func (f *folder) split(p *pair) []*pair {
	i := slices.IndexFunc(p.ups, func(h half) bool { return h.file.replaces(p.version) })
	if i < 0 || len(p.ups) != 2 || p.ups[0].name == p.ups[1].name {
		return []*pair{p}
	}
	squash, original := &pair{version: p.version}, &pair{version: p.version}
	of := func(h half) *pair {
		if h.name == p.ups[i].name {
			return squash
		}
		return original
	}
	for _, h := range p.ups {
		of(h).ups = append(of(h).ups, h)
	}
	for _, h := range p.downs {
		of(h).downs = append(of(h).downs, h)
	}
	return []*pair{squash, original}
}

// replaces reports whether the file's directives say that it replaces a version.
func (f *file) replaces(version int64) bool {
	if f.skim == nil {
		return false
	}
	var s migration.Script
	for i := range f.parts {
		for _, d := range f.parts[i].directives {
			_ = s.Direct(d.text) // what is wrong with it is said when the script is read
		}
	}
	return slices.ContainsFunc(s.Replaces, func(r migration.Replaced) bool { return r.Version == version })
}

// pair makes the migration of one version, or reports why it can't.
func (f *folder) pair(p *pair, sameName bool) (m migration.Migration, ok bool) {
	switch {
	case len(p.ups) > 1:
		f.duplicate(p.version, p.ups[0].file.path, p.ups[1].file.path)
		return m, false
	case len(p.ups) == 0 && !(f.format == GolangMigrate && len(p.downs) == 1):
		f.add(p.downs[0].file.path, "this down script has no up script; add %s, or remove this file", upName(p.downs[0].file.name))
		return m, false
	case len(p.downs) > 1:
		f.duplicate(p.version, p.downs[0].file.path, p.downs[1].file.path)
		return m, false
	}
	bad := false
	for _, h := range slices.Concat(p.ups, p.downs) {
		bad = f.reported(h.file) || bad
	}
	if bad {
		return m, false
	}
	if len(p.ups) == 0 {
		down := p.downs[0]
		return migration.Migration{Version: p.version, Name: down.name, Up: f.withoutUp(down), Down: f.script(down.file)}, true
	}
	up := p.ups[0]
	m = migration.Migration{Version: p.version, Name: up.name, Up: f.script(up.file)}
	f.needStatement(up.file, m.Up, up.file.empty())
	if len(p.downs) == 1 {
		down := p.downs[0]
		if sameName && down.name != up.name {
			f.add(down.file.path, "has the version of %s but another name%s; give both files the same name", up.file.path, lookAlike(up.name, down.name))
			return m, false
		}
		// Nobody has written it yet, and a rollback that does nothing would be a lie. In
		// golang-migrate's folders it is how nothing is taken back.
		if s := f.script(down.file); s == nil || s.Empty || !sameName || !down.file.empty() {
			m.Down = s
		}
	}
	return m, true
}

// upName is the name of the up file that belongs to a down file.
func upName(down string) string {
	const word = "down."
	if i := strings.LastIndex(down, word); i >= 0 {
		return down[:i] + "up." + down[i+len(word):]
	}
	return down
}
