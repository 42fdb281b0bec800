package source

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// RenumberOptions say which migrations of a folder get new versions.
type RenumberOptions struct {
	// Format is the folder's; Auto detects it.
	Format Format
	// Dir comes before the names of files in messages, as in Options.
	Dir string
	// Applied are the names of the migrations that the databases have applied, by version. Their
	// files keep their versions. Of two files with one version, the name tells which was applied.
	Applied map[int64]string
	// Sequence also turns the versions of pending migrations that are timestamps into the numbers
	// that follow the newest number.
	Sequence bool
}

// Renumbered is a migration that gets a new version.
type Renumbered struct {
	Version, To int64
	Name        string
	// Why the migration can't keep its version.
	Why string
	// Renames are the new names of its files or of its folder.
	Renames []Rename
	// Edits are the directives "after" that name a backfill's old version.
	Edits []Edit
	// After are the pending migrations that had a higher version and now have a lower one, so they
	// will run first. They keep their versions.
	After []int64
}

// Rename is the new name of a file or folder of the root.
type Rename struct{ From, To string }

// Edit is a directive that needs another text.
type Edit struct {
	File     string // its name before all renames
	Line     int
	From, To string // "after 2", without "whimbrel:"
}

// Apply returns the text of the file with the edit. The error says that the file does not have the
// directive.
func (e Edit) Apply(text string) (string, error) {
	lines := strings.SplitAfter(text, "\n")
	if e.Line < 1 || e.Line > len(lines) || !strings.Contains(lines[e.Line-1], e.From) {
		return "", &Error{File: e.File, Line: e.Line, Column: 1, Msg: fmt.Sprintf("does not have the directive %q any more", e.From)}
	}
	lines[e.Line-1] = strings.Replace(lines[e.Line-1], e.From, e.To, 1)
	return strings.Join(lines, ""), nil
}

// Renumber returns the pending migrations that were overtaken, with versions that follow the newest
// one. A migration is overtaken if a newer one is applied, or if another file has its version, as
// after a merge of two branches. If it is a backfill, the pending migrations that come after it get
// new versions, too. Renumber reads the folder and changes nothing: the caller edits the files, and
// then renames them. Applied migrations keep their versions, and the renumbered ones their order.
//
// A migration that is part of a squash is an error, and so is a file with the version of an applied
// migration of another name: nobody can tell whether it was applied.
func Renumber(fsys fs.FS, opts RenumberOptions) ([]Renumbered, error) {
	f, err := loadAs(fsys, Options{Format: opts.Format, Dir: opts.Dir})
	if err != nil {
		return nil, err
	}
	f.layout = layoutOf(f.format)
	if !slices.Contains(renamed, f.format) {
		return nil, fmt.Errorf("versions of %s migrations are not only in the names of files, so Whimbrel can't renumber them", f.format)
	}
	r := &renumbering{folder: f, opts: opts, groups: f.groups()}
	r.choose()
	if err := f.err(); err != nil {
		return nil, err
	}
	return r.number()
}

// renamed are the formats whose versions are only in the names of files and folders.
var renamed = []Format{Native, GolangMigrate, Goose, Dbmate, Tern, Hasura, SQLMigrate, Flyway, Sqlx, Diesel, Prisma}

// group has the files of one migration.
type group struct {
	numbered
	files []string // within fsys
	whole bool     // it has an up script
	moves string   // why it gets a new version, "" if it does not
	led   bool     // it moves because it comes after a backfill that moves
	edits []*Edit  // of files that come after it, without their new text
}

// groups returns the migrations of the folder, ordered by version and name.
func (f *folder) groups() []*group {
	if f.format == Flyway {
		return f.flywayGroups()
	}
	var all []*group
	for _, e := range f.entries {
		name := e.Name()
		if !startsWithDigit(name) || e.IsDir() && f.subs[name] == nil {
			continue
		}
		n, rest, err := cutVersion(name)
		if err != nil {
			f.add(f.path(name), "%v", err)
			continue
		}
		bare, up, ok := f.part(name, rest, e.IsDir())
		if !ok {
			continue
		}
		n.name = strings.TrimLeft(bare, f.betweens())
		all = grouped(all, n, up, name)
	}
	return ordered(all)
}

// grouped adds files to those of their migration.
func grouped(all []*group, n numbered, up bool, files ...string) []*group {
	i := slices.IndexFunc(all, func(g *group) bool { return g.version == n.version && g.name == n.name })
	if i < 0 {
		i = len(all)
		all = append(all, &group{numbered: n})
	}
	all[i].files, all[i].whole = append(all[i].files, files...), all[i].whole || up
	return all
}

// ordered returns groups ordered by version and name.
func ordered(all []*group) []*group {
	order.StableBy(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.version, b.version), cmp.Compare(a.name, b.name))
	})
	return joined(all)
}

// betweens are the characters that the format's names can have between version and name.
func (f *folder) betweens() string {
	switch f.format {
	case Dbmate, SQLMigrate, Prisma:
		return separators
	}
	return "_"
}

// part cuts the end off a name behind its version. It reports whether the file has an up script,
// and whether it belongs to a migration.
func (f *folder) part(name, rest string, isDir bool) (bare string, up, ok bool) {
	if isDir {
		return rest, true, true
	}
	if metadataMeant(name) == name {
		return strings.TrimSuffix(rest, metadataEnd), false, true
	}
	if h, ok := golangMigrateName(name); ok && f.format != Goose {
		return h.name, h.up, true
	}
	if h, err := nativeName(name); err == nil {
		return h.name, h.up, true
	}
	for _, end := range []string{".sql", ".go"} {
		if bare, ok := strings.CutSuffix(rest, end); ok {
			return bare, true, true
		}
	}
	return "", false, false
}

// joined gives files without an up script to the only migration of their version: golang-migrate's
// down scripts, and metadata, can have another name.
func joined(all []*group) []*group {
	for _, g := range all {
		if !g.whole {
			continue
		}
		only := true
		for _, o := range all {
			only = only && (o == g || o.version != g.version || !o.whole)
		}
		for _, o := range all {
			if only && o != g && o.version == g.version {
				g.files, o.files = append(g.files, o.files...), nil
			}
		}
	}
	return slices.DeleteFunc(all, func(g *group) bool { return len(g.files) == 0 })
}

// renumbering decides which migrations get new versions.
type renumbering struct {
	*folder
	opts   RenumberOptions
	groups []*group
}

// choose decides which migrations move, and reports those that may not.
func (r *renumbering) choose() {
	newest := int64(-1)
	for v := range r.opts.Applied {
		newest = max(newest, v)
	}
	for i := 0; i < len(r.groups); {
		same := r.groups[i:]
		if n := slices.IndexFunc(same, func(g *group) bool { return g.version != r.groups[i].version }); n > 0 {
			same = same[:n]
		}
		keeper, squashed := r.keeper(same), r.squashed(same)
		for _, g := range same {
			switch _, applied := r.opts.Applied[g.version]; {
			case keeper == nil:
			case g != keeper && !squashed:
				g.moves = fmt.Sprintf("%s has its version, too", keeper.files[0])
			case applied:
			case g.version < newest:
				g.moves = fmt.Sprintf("version %s is applied", r.label(newest))
			case r.opts.Sequence && g.stampOf() != nil:
				g.moves = "its version is a timestamp"
			}
		}
		i += len(same)
	}
	for again := true; again; {
		again = false
		for _, g := range r.groups {
			again = g.moves != "" && r.follow(g) || again
		}
	}
	for _, g := range r.groups {
		if g.moves != "" {
			r.refuseSquash(g)
		}
	}
	if n := (numbered{version: newest, digits: strconv.FormatInt(newest, 10)}); r.opts.Sequence && newest >= 0 && n.stampOf() != nil {
		r.add(r.opts.Dir, "the newest applied version is %d, a timestamp; a number would come before it", newest)
	}
}

// label returns a version as a file's name has it, or would have it.
func (r *renumbering) label(version int64) string {
	for _, g := range r.groups {
		if g.version == version {
			return g.digits
		}
	}
	return r.digitsOf(version)
}

// squashed reports whether one of the migrations of a version is a squash, and the others are what
// it replaces.
func (r *renumbering) squashed(same []*group) bool {
	return slices.ContainsFunc(same, func(g *group) bool {
		return slices.ContainsFunc(g.files, func(name string) bool { f := r.fileOf(name); return f != nil && f.replaces(g.version) })
	})
}

// keeper returns which of the migrations of one version keeps it, nil if that is unknown.
func (r *renumbering) keeper(same []*group) *group {
	name, applied := r.opts.Applied[same[0].version]
	if !applied {
		return same[0]
	}
	for _, g := range same {
		if g.name == name {
			return g
		}
	}
	r.add(r.path(same[0].files[0]), "the database has applied version %s with the name %q, and no file has both; "+
		"add that file, or rename this one if it is the same migration", same[0].digits, name)
	return nil
}

// refuseSquash reports a migration that can't move because a squash names its version.
func (r *renumbering) refuseSquash(g *group) {
	for _, name := range slices.Sorted(maps.Keys(r.byName())) {
		if r.fileOf(name).replaces(g.version) {
			r.add(r.path(g.files[0]), "can't get another version: %s replaces version %s", r.path(name), g.digits)
			return
		}
	}
}

// follow has the files that come after a backfill follow it to its new version: their directives
// are edited, and migrations that would keep their versions move, too. It reports whether one does.
func (r *renumbering) follow(g *group) (more bool) {
	if !g.isBackfill() || g.edits != nil {
		return false
	}
	g.edits = []*Edit{}
	for _, name := range slices.Sorted(maps.Keys(r.byName())) {
		d, ok := r.fileOf(name).after(g.version)
		if !ok {
			continue
		}
		i := slices.IndexFunc(r.groups, func(o *group) bool { return slices.Contains(o.files, name) })
		if i < 0 || !r.follows(g, r.groups[i], d) {
			continue
		}
		if r.groups[i].moves == "" {
			r.groups[i].moves, r.groups[i].led, more = fmt.Sprintf("it comes after version %s", g.digits), true, true
		}
		g.edits = append(g.edits, &Edit{File: name, Line: d.line, From: d.text})
	}
	return more
}

func (g *group) isBackfill() bool { return slices.ContainsFunc(g.files, isBackfill) }

// follows reports whether a migration can follow a backfill that it comes after. If it can't, that
// is a problem of the folder.
func (r *renumbering) follows(g, o *group, d directive) bool {
	at := func(format string, args ...any) {
		r.at(r.path(o.files[0]), d.line, d.column, format, args...)
	}
	if name, applied := r.opts.Applied[o.version]; applied && name == o.name {
		at("comes after version %s, which is %s and gets another version; this file is applied and can't change, so give that one a version of its own", g.digits, r.path(g.files[0]))
		return false
	}
	for _, other := range r.groups {
		if other != g && other.version == g.version && other.isBackfill() {
			at("comes after version %s, which %s and %s have; give one of them another version", g.digits, r.path(other.files[0]), r.path(g.files[0]))
			return false
		}
	}
	return true
}

// edited returns the edits of the files that come after a backfill, which gets a version.
func (g *group) edited(to int64) (all []Edit) {
	for _, e := range g.edits {
		word := strings.TrimRight(e.From, "0123456789")
		e.To = fmt.Sprintf("%s%0*d", word, len(e.From)-len(word), to)
		all = append(all, *e)
	}
	return all
}

// number gives the migrations that move their versions.
func (r *renumbering) number() ([]Renumbered, error) {
	newest := r.newest()
	var all []Renumbered
	for _, g := range r.groups {
		if g.moves == "" {
			continue
		}
		if newest.version == math.MaxInt64 {
			return nil, fmt.Errorf("there is no version after %d", newest.version)
		}
		digits, err := nextVersion(newest, r.layout.numbering, NewOptions{})
		if err != nil {
			return nil, err
		}
		to, err := r.numberOf(digits)
		if err != nil {
			return nil, fmt.Errorf("there is no version after %d", newest.version)
		}
		newest = numbered{digits: digits, version: to}
		n := Renumbered{Version: g.version, To: to, Name: g.name, Why: g.moves, Edits: g.edited(to)}
		for _, name := range g.files {
			n.Renames = append(n.Renames, Rename{From: name, To: r.withVersion(name, digits)})
		}
		for _, o := range r.groups {
			if _, applied := r.opts.Applied[o.version]; o.moves == "" && !applied && o.version > g.version {
				n.After = append(n.After, o.version)
			}
		}
		all = append(all, n)
	}
	return all, nil
}

// numberOf returns the version that digits of a name stand for.
func (r *renumbering) numberOf(digits string) (int64, error) {
	if r.format != Flyway {
		return strconv.ParseInt(digits, 10, 64)
	}
	n, _ := flywayName("V" + digits + "__.sql")
	v, err := n.number(n.dotted())
	return v.version, err
}

// withVersion returns the name of a file with another version.
func (r *renumbering) withVersion(name, digits string) string {
	if r.format == Flyway {
		base := path.Base(name)
		_, rest, _ := strings.Cut(base, "__")
		return path.Join(path.Dir(name), base[:1]+digits+"__"+rest)
	}
	_, rest, _ := cutVersion(name)
	return digits + rest
}

// newest returns the newest version that stays, or that is left only to follow a backfill: so no
// file gets the name that another one has.
func (r *renumbering) newest() (newest numbered) {
	for v := range r.opts.Applied {
		if v > newest.version {
			newest = numbered{version: v, digits: r.digitsOf(v)}
		}
	}
	for _, g := range r.groups {
		if (g.moves == "" || g.led) && (g.version > newest.version || g.version == newest.version && len(g.digits) > len(newest.digits)) {
			newest = g.numbered
		}
	}
	if len(newest.digits) < r.layout.digits && newest.digits != "" && !r.hasFile(newest.version) {
		newest.digits = fmt.Sprintf("%0*d", r.layout.digits, newest.version)
	}
	for _, e := range r.entries { // a baseline has a version, too
		if n, _, err := cutVersion(strings.TrimPrefix(e.Name(), "B")); err == nil && r.format == Native && isBaseline(e.Name()) && n.version > newest.version {
			newest = n
		}
	}
	return newest
}

// digitsOf returns a version as a name would have it.
func (r *renumbering) digitsOf(v int64) string {
	if r.format == Flyway && r.dotted() {
		return DottedText(v)
	}
	return strconv.FormatInt(v, 10)
}

// dotted reports whether the folder has versions with dots.
func (r *renumbering) dotted() bool {
	return slices.ContainsFunc(r.groups, func(g *group) bool { return strings.ContainsAny(g.digits, "._") })
}

func (r *renumbering) hasFile(version int64) bool {
	return slices.ContainsFunc(r.groups, func(g *group) bool { return g.version == version })
}
