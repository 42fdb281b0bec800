package source

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Flyway: V1.2__name.sql, in the folder and in all folders below it.
//
//   - U1.2__name.sql is the down script of V1.2, B1.2__name.sql a baseline, and R__name.sql a
//     repeatable script. The letters are upper case. The name, behind two underscores, may be
//     missing. The names of V and U may differ.
//   - A version is numbers with dots or underscores between them; 1_2 is 1.2, and 1.2 is 1.2.0. If
//     all versions of the folder are single numbers, these are the versions. If one has a dot, each
//     becomes a number whose last nine digits are its second to fourth part: 1.2.3 is 1002003000. So
//     they have the order of Flyway. A version that doesn't fit (a fifth part, a part above 999, a
//     first part above 9223372035) is an error.
//   - The first version with a dot changes the numbers of all others. A folder that whole numbers
//     have migrated stays with them.
//   - ${name} is a placeholder, in comments and literals, too. Options.Placeholders has the values;
//     Flyway's own, such as ${flyway:defaultSchema}, have none of their own. A placeholder without a
//     value is an error, unless Options.NoPlaceholders says that ${name} is text. The checksum of a
//     versioned script is that of the text in the file. That of a repeatable script is that of the
//     text with its values, as in Flyway: it runs again when a value changes.
//   - V1.2__name.sql.conf has settings of the script: executeInTransaction, placeholderReplacement,
//     encoding (UTF-8), and shouldExecute=true. Any other is an error.
//   - A callback (beforeMigrate.sql) and a migration that is not SQL (V2__name.java, R__name.sh)
//     are errors, unless Options.Funcs has the version.
//   - A name that begins like a migration's and is none is an error. Flyway skips it, and any other
//     .sql file, for which there is a warning.
//   - Flyway orders repeatable scripts by their names with underscores as blanks. Where that is
//     another order than here, there is a warning.
//   - Flyway's history knows a migration by its version with dots: Migration.Origin.

// flywayFile is a file whose name is a migration's.
type flywayFile struct {
	kind  byte     // V, U, B or R
	raw   string   // the version as the name has it
	parts []string // of the version
	name  string
	end   string // of the file's name, from the dot on
	path  string // within fsys
}

// version matches the text before the two underscores.
var flywayVersion = lazyregexp.New(`^[0-9]+([._][0-9]+)*$`)

// flywayName reads a file's name. ok is false for one that is no migration's.
func flywayName(file string) (n flywayFile, ok bool) {
	base := path.Base(file)
	end := path.Ext(base)
	stem := base[:len(base)-len(end)]
	n.end = strings.ToLower(end)
	if len(stem) < 2 || n.end == "" || strings.IndexByte("VUBR", stem[0]) < 0 {
		return n, false
	}
	version, name, _ := strings.Cut(stem[1:], "__")
	n.kind, n.raw, n.path, n.name = stem[0], version, file, strings.TrimLeft(name, "_")
	if n.kind == 'R' {
		return n, version == "" && n.name != ""
	}
	n.parts = strings.FieldsFunc(version, func(r rune) bool { return r == '.' || r == '_' })
	return n, flywayVersion.MatchString(version)
}

// nearFlyway matches what people write for V1__name, R__name.
var nearFlyway = lazyregexp.New(`^([VvUuBb])_*([0-9]+(?:[._][0-9]+)*)[-_. ]+([^-_. 0-9].*)$`)

// flywayMeant returns the name that a file's name is nearly, or "".
func flywayMeant(stem, end string) string {
	if m := nearFlyway.FindStringSubmatch(stem); m != nil {
		return strings.ToUpper(m[1]) + m[2] + "__" + m[3] + end
	}
	if rest, ok := strings.CutPrefix(strings.ToLower(stem), "r_"); ok && strings.Trim(rest, "_") != "" {
		return "R__" + strings.TrimLeft(stem[1:], "_") + end
	}
	return ""
}

// looksLike reports whether a name begins as a migration's does.
func (n flywayFile) looksLike() bool {
	return n.kind == 'R' && n.raw == "" || n.kind != 0 && n.kind != 'R' && startsWithDigit(n.raw)
}

func (n flywayFile) dotted() bool { return len(n.parts) > 1 }

// id is the version as Flyway's history has it.
func (n flywayFile) id() string { return strings.ReplaceAll(n.raw, "_", ".") }

// flywayParts is how many parts a dotted version has here, and flywayPart the most of each behind
// the first.
const (
	flywayParts = 4
	flywayPart  = 999
)

// number returns the version. dotted says that a version of the folder has a dot. The error is a
// message without the file's name.
func (n flywayFile) number(dotted bool) (numbered, error) {
	v := numbered{digits: n.raw, name: n.name}
	if !dotted {
		whole, _, err := cutVersion(n.raw)
		v.version = whole.version
		return v, err
	}
	parts := n.parts
	for len(parts) > flywayParts && strings.Trim(parts[len(parts)-1], "0") == "" {
		parts = parts[:len(parts)-1]
	}
	if len(parts) > flywayParts {
		return v, fmt.Errorf("the version %s has %d parts, and a version can have %d; rename the file", n.id(), len(parts), flywayParts)
	}
	for i := range flywayParts {
		part := int64(0)
		if i < len(parts) {
			var err error
			if part, err = strconv.ParseInt(parts[i], 10, 64); err != nil {
				part = math.MaxInt64
			}
		}
		const most = math.MaxInt64/1_000_000_000 - 1
		switch {
		case i == 0 && part > most:
			return v, fmt.Errorf("the version %s does not fit: in a folder that has versions with dots, the first part is at most %d", n.id(), int64(most))
		case i > 0 && part > flywayPart:
			return v, fmt.Errorf("the version %s does not fit: a part behind the first dot is at most %d", n.id(), flywayPart)
		}
		v.version = v.version*(flywayPart+1) + part
	}
	return v, nil
}

func flywayShows(_ *folder, e *listed) string {
	n, ok := flywayName(e.Name())
	if e.IsDir() || !ok || n.end != ".sql" || n.kind != 'V' && n.kind != 'U' || !strings.Contains(e.Name(), "__") {
		return ""
	}
	return "a name of Flyway"
}

// flywayConf is the end of the name of a file with settings.
const flywayConf = ".sql.conf"

// tree lists the files of the folder and of those below it, as names within fsys.
func (f *folder) tree() []string {
	if f.walked != nil {
		return f.walked
	}
	f.walked = []string{}
	f.walk(".", f.entries, 0)
	return f.walked
}

// maxDepth is how deep folders are read.
const maxDepth = 32

func (f *folder) walk(dir string, entries []*listed, depth int) {
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case !utf8.ValidString(e.Name()):
			if hasSQLSuffix(e.Name()) {
				f.add(f.path(name), "the name is not UTF-8: %q; rename it", e.Name())
			}
		case depth > 0 && e.kind&fs.ModeSymlink != 0 && f.linksToFolder(name):
			f.add(f.path(name), "is a link to a folder, which is not read below the first folder; replace it by the folder")
		case len(f.walked) >= maxNames:
			return
		case !e.IsDir():
			f.walked = append(f.walked, name)
			if len(f.walked) == maxNames {
				f.add(f.path(name), "the folder holds more than %d files, which is the most that is read", maxNames)
			}
		case depth == maxDepth:
			f.add(f.path(name), "is too deep: folders are read to a depth of %d", maxDepth)
		default:
			below, err := readDir(f.fsys, name, "")
			if err != nil {
				f.wrap(f.path(name), err)
			}
			f.walk(name, below, depth+1)
		}
	}
}

// linksToFolder reports whether a link leads to a folder.
func (f *folder) linksToFolder(name string) bool {
	info, err := stat(f.fsys, name)
	return err == nil && info.IsDir()
}

// flywayScripts are the names of all scripts.
func flywayScripts(f *folder) (names []string) {
	for _, name := range f.tree() {
		if n, ok := flywayName(name); ok && n.end == ".sql" {
			names = append(names, name)
		}
	}
	return names
}

func (f *folder) flyway() []migration.Migration {
	var files []flywayFile
	confs := map[string]bool{} // files with settings
	for _, name := range f.tree() {
		if strings.HasSuffix(strings.ToLower(name), flywayConf) {
			confs[name] = true
		} else if n, ok := f.flywayFile(name); ok {
			files = append(files, n)
		}
	}
	dotted := slices.ContainsFunc(files, flywayFile.dotted)
	var halves []half
	raw := map[string]bool{}          // the paths of scripts in which ${name} is text
	origin := map[string]flywayFile{} // by path
	for _, n := range files {
		file := f.fileOf(n.path)
		raw[file.path] = f.flywaySettings(file, confs)
		origin[file.path] = n
		v, err := numbered{name: n.name}, error(nil)
		if n.kind != 'R' {
			v, err = n.number(dotted)
		}
		switch {
		case err != nil:
			f.add(file.path, "%v", err)
		case n.kind == 'R' || n.kind == 'B':
			f.flywayBeside(n, v, file, raw[file.path])
		default:
			halves = append(halves, half{numbered: v, up: n.kind == 'V', file: file})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(confs)) {
		f.warn(f.path(name), 0, 0, "has the settings of no migration")
	}
	f.flywayOrder()
	all := f.pairs(f.withUps(halves))
	for i := range all {
		m := &all[i]
		m.Origin = &migration.Origin{ID: origin[m.Up.File].id()}
		m.Up = f.filled(m.Up, raw[m.Up.File], false)
		if m.Down != nil {
			m.Down = f.filled(m.Down, raw[m.Down.File], false)
		}
	}
	return all
}

// withUps reports down scripts without an up script, and leaves them out.
func (f *folder) withUps(halves []half) []half {
	ups := map[int64]bool{}
	for _, h := range halves {
		ups[h.version] = ups[h.version] || h.up
	}
	return slices.DeleteFunc(halves, func(h half) bool {
		if !ups[h.version] {
			f.add(h.file.path, "undoes version %s, which no V file has; add it, or remove this file", strings.ReplaceAll(h.digits, "_", "."))
		}
		return !ups[h.version]
	})
}

// flywayCallback matches the names of callbacks.
var flywayCallback = lazyregexp.New(`^((before|after)[A-Z][A-Za-z]*|createSchema)(__.*)?$`)

// flywayPrograms are the ends of files with programs.
var flywayPrograms = []string{".java", ".kt", ".groovy", ".scala", ".class", ".sh", ".bash", ".ps1", ".bat", ".cmd", ".py"}

// flywayFile reads a file's name, and reports what is wrong with it. ok is true for a script.
func (f *folder) flywayFile(name string) (n flywayFile, ok bool) {
	n, ok = flywayName(name)
	program := slices.Contains(flywayPrograms, n.end)
	stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
	meant := ""
	if !ok {
		meant = flywayMeant(stem, n.end)
	}
	switch {
	case n.end != ".sql" && !program:
	case flywayCallback.MatchString(stem):
		f.add(f.path(name), "is a callback of Flyway, which Whimbrel does not run; move what it does into a migration or a repeatable script, and remove it")
	case program && (ok || n.looksLike()):
		if !f.hasFunc(n) {
			f.add(f.path(name), "is a migration that is not SQL, which can't be read from a file; give it as a function (Options.Funcs)")
		}
	case program:
	case ok:
		return n, true
	case n.looksLike() && meant != "":
		f.add(f.path(name), "is not named like a migration, and Flyway skips it; did you mean %s?", meant)
	case n.looksLike() || n.kind == 'R' && startsWithDigit(n.raw):
		f.add(f.path(name), "is not named like a migration, and Flyway skips it; names look like V1.2__add_users.sql, R__views.sql")
	case meant != "":
		f.warn(f.path(name), 0, 0, "Flyway skips this file, so it does not run; did you mean %s?", meant)
	default:
		f.warn(f.path(name), 0, 0, "Flyway skips this file, so it does not run; names look like V1.2__add_users.sql, R__views.sql")
	}
	return n, false
}

// hasFunc reports whether a function is given for the version.
func (f *folder) hasFunc(n flywayFile) bool {
	if n.kind == 'R' || len(n.parts) == 0 {
		return false
	}
	v, err := n.number(n.dotted())
	return err == nil && slices.ContainsFunc(f.opts.Funcs, func(m migration.Migration) bool { return m.Version == v.version })
}

// flywaySettings applies the settings in the file beside a script. raw says that it has no
// placeholders.
func (f *folder) flywaySettings(file *file, confs map[string]bool) (raw bool) {
	raw = f.opts.NoPlaceholders
	name := file.name + ".conf"
	if !confs[name] {
		return raw
	}
	delete(confs, name)
	all, err := f.settings(name)
	if err != nil {
		f.problems.all = append(f.problems.all, err)
	}
	for _, s := range all {
		value, yes := s.value, strings.EqualFold(s.value, "true")
		switch {
		case (s.key == "executeInTransaction" || s.key == "placeholderReplacement") && !yes && !strings.EqualFold(value, "false"):
			f.at(f.path(name), s.line, s.column, "%s is neither true nor false: %s", s.key, quoted(value))
		case s.key == "executeInTransaction":
			if file.err == nil {
				file.whole.NoTransaction = !yes
			}
		case s.key == "placeholderReplacement":
			raw = raw || !yes
		case s.key == "encoding" && (strings.EqualFold(value, "UTF-8") || strings.EqualFold(value, "UTF8")), s.key == "shouldExecute" && yes:
		case s.key == "encoding":
			f.at(f.path(name), s.line, s.column, "the encoding %s can't be read; save the script as UTF-8", quoted(value))
		case s.key == "shouldExecute":
			f.at(f.path(name), s.line, s.column, "shouldExecute=%s would leave the script out, which Whimbrel can't do; remove the script, or mark it as one without statements", value)
		default:
			f.at(f.path(name), s.line, s.column, "the setting %s has no meaning here; valid settings: executeInTransaction, placeholderReplacement, encoding, shouldExecute", quoted(s.key))
		}
	}
	return raw
}

// flywayBeside reads a baseline or a repeatable script.
func (f *folder) flywayBeside(n flywayFile, v numbered, file *file, raw bool) {
	if f.reported(file) {
		return
	}
	s := f.script(file)
	f.needStatement(file, s, file.empty())
	if s = f.filled(s, raw, n.kind == 'R'); n.kind == 'R' {
		f.others.Repeatables = append(f.others.Repeatables, migration.Named{Name: n.name, Script: s})
		return
	}
	f.others.Baselines = append(f.others.Baselines, migration.Migration{Version: v.version, Name: n.name, Up: s, Origin: &migration.Origin{ID: n.id()}})
}

// flywayOrder warns of repeatable scripts that Flyway runs in another order.
func (f *folder) flywayOrder() {
	all := slices.Clone(f.others.Repeatables)
	order.StableBy(all, func(a, b migration.Named) int { return strings.Compare(a.Name, b.Name) })
	blanks := func(i int) string { return strings.ReplaceAll(all[i].Name, "_", " ") }
	for i := 1; i < len(all); i++ {
		if blanks(i-1) > blanks(i) {
			f.warn(all[i].Script.File, 0, 0, "Flyway runs this before %s, and Whimbrel after it, because Flyway takes underscores for blanks", all[i-1].Script.File)
		}
	}
}

// flywayNewest returns the newest version of the folder, as its file's name has it, with a dot if
// any version has one.
func flywayNewest(f *folder) numbered {
	v, _ := f.newestFlyway()
	return v
}

func (f *folder) newestFlyway() (newest numbered, dir string) {
	var files []flywayFile
	for _, name := range f.tree() {
		if n, ok := flywayName(name); ok && n.kind != 'R' && (n.end == ".sql" || slices.Contains(flywayPrograms, n.end)) {
			files = append(files, n)
		}
	}
	dotted := slices.ContainsFunc(files, flywayFile.dotted)
	for _, n := range files {
		v, err := n.number(dotted)
		if err == nil && (newest.digits == "" || v.version > newest.version) {
			newest, dir = v, path.Dir(n.path)
		}
	}
	if dotted && newest.digits != "" && !strings.ContainsAny(newest.digits, "._") {
		newest.digits += ".0"
	}
	return newest, dir
}

// flywayGroups returns the migrations of the folder with their files, for Renumber.
func (f *folder) flywayGroups() []*group {
	names := f.tree()
	var files []flywayFile
	for _, name := range names {
		if n, ok := flywayName(name); ok && n.end == ".sql" && n.kind != 'R' && strings.Contains(path.Base(name), "__") {
			files = append(files, n)
		}
	}
	dotted := slices.ContainsFunc(files, flywayFile.dotted)
	var all []*group
	for _, n := range files {
		v, err := n.number(dotted)
		if err != nil {
			f.add(f.path(n.path), "%v", err)
		}
		if err != nil || n.kind == 'B' {
			continue
		}
		if dotted && !n.dotted() {
			v.digits += ".0"
		}
		all = grouped(all, v, n.kind == 'V', n.path)
		if conf := n.path + ".conf"; slices.Contains(names, conf) {
			all = grouped(all, v, false, conf)
		}
	}
	return ordered(all)
}

// afterDotted returns the version after one with dots: its last part is one higher.
func afterDotted(newest string) (string, error) {
	i := strings.LastIndexAny(newest, "._") + 1
	last, err := strconv.Atoi(newest[i:])
	if err != nil || last >= flywayPart {
		return "", fmt.Errorf("there is no version after %s whose last part is at most %d; create the file yourself", newest, flywayPart)
	}
	return fmt.Sprintf("%s%0*d", newest[:i], len(newest)-i, last+1), nil
}

// flywayFiles puts the new files beside those of the newest version.
func flywayFiles(f *folder, version, name string) []File {
	_, dir := f.newestFlyway()
	base := version + "__" + name + ".sql"
	return []File{{Name: path.Join(dir, "V"+base), Content: unfinished + upText(name)}, {Name: path.Join(dir, "U"+base), Content: downText(name)}}
}
