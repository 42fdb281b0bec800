package source

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The native format: VERSION_name.up.sql and VERSION_name.down.sql in one folder.
//
//   - VERSION is a number: a sequence with or without leading zeros, or a timestamp. Gaps are
//     allowed. A date with dashes, 2017-09-23-182408, is the number of its digits.
//   - The name is the same for up and down. It may contain dots, or be missing: 0157.up.sql.
//   - A down without an up is an error; an up without a down is irreversible.
//   - A down script without a statement does not count, unless it has the directive "empty": then
//     rolling back does nothing. An up script without a statement or the directive "empty" is
//     unfinished: it is in the set, but can't run.
//   - B0005_name.sql is a baseline, R__name.sql a repeatable script: see beside.go.
//   - A squash has the version of the newest migration that it replaces, and another name. The
//     originals may be in the same folder.
//   - 0005_name.backfill.sql is the up script of a migration that changes rows in batches: see
//     backfill.go.
//   - 0005_name.metadata.yaml is metadata that the migration carries: see metadata.go.
//   - Any other .sql file is an error. Sub-folders are not read. One that contains files named like
//     migrations is an error, unless its name begins with "_" or ".".
//
// golang-migrate's pairs have the same names. Read as GolangMigrate, the names of up and down may
// differ, files may end in anything after .up or .down, an empty up script does nothing, and other
// files are skipped.

// nativeNames is how names look, for messages.
const nativeNames = "names look like 0001_add_users.up.sql and 0001_add_users.down.sql"

// half is one file of a pair.
type half struct {
	numbered
	up       bool
	backfill bool // an up script in batches
	file     *file
}

// pair has the files of one version: two, unless one is missing or a duplicate.
type pair struct {
	version    int64
	ups, downs []half
}

// nativeName reads VERSION_name.up.sql; a name of any other kind is an error. The error is a
// message without the name; it suggests a name if the intention is clear.
func nativeName(name string) (half, error) {
	if !startsWithDigit(name) {
		if meant := besideMeant(name); meant != "" {
			return half{}, fmt.Errorf("is not named like a migration; did you mean %s?", meant)
		}
		return half{}, fmt.Errorf("is not named like a migration; %s", nativeNames)
	}
	n, rest, err := cutVersion(name)
	if err != nil {
		return half{}, err
	}
	h := half{numbered: n}
	stem, isUp := strings.CutSuffix(rest, ".up.sql")
	isDown := false
	if !isUp {
		stem, isUp = strings.CutSuffix(rest, backfillSuffix)
		h.backfill = isUp
	}
	if !isUp {
		stem, isDown = strings.CutSuffix(rest, ".down.sql")
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

// meant suggests a name for a .sql file whose name has a version.
func meant(name, rest string) string {
	bare, direction, ok := cutDirection(rest[:len(rest)-len(".sql")])
	base := strings.TrimSuffix(name, rest)
	if bare = strings.Trim(bare, separators); bare != "" {
		base += "_" + bare
	}
	if !ok {
		return fmt.Sprintf("it has to say whether it is up or down: %s.up.sql", base)
	}
	return fmt.Sprintf("did you mean %s.%s.sql?", base, direction)
}

// separators are what people put between the parts of a file's name.
const separators = "._- "

// cutDirection cuts "up" or "down" off a name without .sql, in any case and behind any separator.
func cutDirection(stem string) (bare, direction string, ok bool) {
	for _, direction := range []string{wordUp, wordDown} {
		n := len(stem) - len(direction)
		if n > 0 && strings.EqualFold(stem[n:], direction) && strings.ContainsAny(stem[n-1:n], separators) {
			return stem[:n], direction, true
		}
	}
	return stem, "", false
}

func (f *folder) native() []migration.Migration {
	halves := make([]half, 0, len(f.entries))
	var carried []carried
	var subs []string
	for _, e := range f.entries {
		name := e.Name()
		if e.IsDir() {
			subs = append(subs, name)
			continue
		}
		if c, is := f.metadata(name); is {
			carried = append(carried, c)
			continue
		}
		if !hasSQLSuffix(name) || f.beside(e) {
			continue
		}
		halves = f.appendHalf(halves, e)
	}
	alone := len(halves)+len(f.others.Baselines)+len(f.others.Repeatables) == 0
	for _, name := range subs {
		f.nativeSub(name, alone)
	}
	all := f.pairs(halves)
	f.carry(all, carried)
	return all
}

// appendHalf adds a file, or reports what is wrong with its name.
func (f *folder) appendHalf(halves []half, e *listed) []half {
	h, err := nativeName(e.name)
	if err != nil {
		f.add(f.path(e.name), "%v", err)
		return halves
	}
	h.file = e.file
	return append(halves, h)
}

// nativeSub reports a sub-folder that would hide migrations. If there are migrations in sub-folders
// alone, elsewhere reports them.
func (f *folder) nativeSub(name string, alone bool) {
	if _, err := nativeName(name); err == nil {
		f.add(f.path(name), "is a folder; a migration has to be a file")
		return
	}
	if alone || strings.HasPrefix(name, "_") {
		return
	}
	found := ""
	f.below(name, func(dir string, e *listed) bool {
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
func (f *folder) pairs(halves []half) (all []migration.Migration) {
	order.StableBy(halves, func(a, b half) int { return cmp.Compare(a.version, b.version) })
	all = make([]migration.Migration, 0, len(halves))
	for len(halves) > 0 {
		n := slices.IndexFunc(halves, func(h half) bool { return h.version != halves[0].version })
		if n < 0 {
			n = len(halves)
		}
		if p, ok := simplePair(halves[:n]); ok {
			all = f.appendPair(all, p)
		} else {
			for _, p := range split(halves[:n]) {
				all = f.appendPair(all, p)
			}
		}
		halves = halves[n:]
	}
	return all
}

// appendPair adds the migration of one version, or reports why there is none.
func (f *folder) appendPair(all []migration.Migration, p pair) []migration.Migration {
	if m, ok := f.pair(p); ok {
		return append(all, m)
	}
	return all
}

// split separates a squash from the original that has its version: by the directive, and by the
// names, which differ.
func split(halves []half) []pair {
	all := pairOf(halves, func(half) bool { return true })
	i := slices.IndexFunc(all.ups, func(h half) bool { return h.file.replaces(all.version) })
	if i < 0 || len(all.ups) != 2 || all.ups[0].name == all.ups[1].name {
		return []pair{all}
	}
	squash := all.ups[i].name
	return []pair{
		pairOf(halves, func(h half) bool { return h.name == squash }),
		pairOf(halves, func(h half) bool { return h.name != squash }),
	}
}

// simplePair returns the usual pair, an up file and perhaps a down file, without allocations.
func simplePair(halves []half) (p pair, ok bool) {
	switch {
	case len(halves) == 1 && halves[0].up:
		return pair{version: halves[0].version, ups: halves}, true
	case len(halves) == 2 && halves[0].up != halves[1].up:
		up := 0
		if halves[1].up {
			up = 1
		}
		return pair{version: halves[0].version, ups: halves[up : up+1], downs: halves[1-up : 2-up]}, true
	}
	return p, false
}

// pairOf returns the halves for which in returns true.
func pairOf(halves []half, in func(half) bool) pair {
	p := pair{version: halves[0].version}
	for _, h := range halves {
		switch {
		case !in(h):
		case h.up:
			p.ups = append(p.ups, h)
		default:
			p.downs = append(p.downs, h)
		}
	}
	return p
}

// replaces reports whether the file's directives say that it replaces a version.
func (f *file) replaces(version int64) bool {
	if f.skimmed == nil {
		return false
	}
	if !slices.ContainsFunc(f.parts, func(p part) bool { return len(p.directives) > 0 }) {
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

// pair returns the migration of one version, or reports why there is none.
func (f *folder) pair(p pair) (m migration.Migration, ok bool) {
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
	for _, halves := range [][]half{p.ups, p.downs} {
		for _, h := range halves {
			bad = !h.file.deferred && f.reported(h.file) || bad
		}
	}
	if bad {
		return m, false
	}
	if len(p.ups) == 0 {
		down := p.downs[0]
		return migration.Migration{Version: p.version, Name: down.name, Up: f.withoutUp(down), Down: f.downScript(down.file)}, true
	}
	up := p.ups[0]
	m = migration.Migration{Version: p.version, Name: up.name, Up: f.upScript(up)}
	if len(p.downs) == 1 {
		down := p.downs[0]
		if f.format == Native && down.name != up.name {
			f.add(down.file.path, "has the version of %s but another name%s; give both files the same name", up.file.path, lookAlike(up.name, down.name))
			return m, false
		}
		m.Down = f.downScript(down.file)
	}
	return m, true
}

// upScript returns the up script of a file.
func (f *folder) upScript(up half) *migration.Script {
	if up.backfill {
		return f.backfillScript(up.file)
	}
	s := f.script(up.file)
	f.needStatement(up.file, s, up.file.empty())
	return s
}

// downScript returns the down script of a file, nil for one that is not written yet: an empty one
// must not count as a rollback. In the folders of other tools it is how nothing is rolled back,
// unless it is as the tool created it.
func (f *folder) downScript(file *file) *migration.Script {
	if file.deferred {
		return migration.Unread(file.path)
	}
	s := f.script(file)
	unwritten := f.format == Native && !s.Empty || file.hasNoDown(f.format)
	if unwritten && file.empty() {
		return nil
	}
	return s
}

// upName is the name of the up file that belongs to a down file.
func upName(down string) string {
	const word = "down."
	if i := strings.LastIndex(down, word); i >= 0 {
		return down[:i] + "up." + down[i+len(word):]
	}
	return down
}
