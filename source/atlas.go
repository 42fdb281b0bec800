package source

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Atlas: VERSION_name.sql, ordered by name, and atlas.sum, which has a hash of each.
//
//   - The version is the digits before the first "_". Atlas orders names as texts; a folder in
//     which their numbers have another order is an error, and so is a version that is no number.
//   - atlas.sum is verified: a file that it lacks, or that the folder lacks, is an error, and so is
//     a text that has been changed since. A folder with files must have one.
//   - The comments at the top of a file are directives if an empty line follows them:
//     "atlas:txmode none" runs the script outside a transaction, "atlas:checkpoint" makes it a
//     baseline of its version, from which an empty database starts. Without the empty line Atlas
//     takes them for comments; that is a warning.
//   - "-- atlas:delimiter D" in the first line ends statements with D. Whimbrel runs the script
//     with a semicolon in place of D.
//   - "-- atlas:sum ignore" in the first line leaves the file out of atlas.sum. New files have it,
//     so that they can be written without computing the sum again.
//   - "atlas:nolint" is a comment. "atlas:txtar", "atlas:assert", "atlas:import" and unknown
//     directives are errors.
//   - There are no down scripts.

// The directives of Atlas.
const (
	atlasTxMode     = "txmode"
	atlasCheckpoint = "checkpoint"
	atlasDelimiter  = "delimiter"
	atlasIgnoreSum  = "sum"
	atlasNoLint     = "nolint"
)

// atlasDirectives matches a line that is a directive, as Atlas does.
var atlasDirectives = lazyregexp.New(`^([ -~]*)atlas:(\w+)(?: +([ -~]*))*`)

// atlasDirective is a line at the top of a file.
type atlasDirective struct {
	line       int
	name, args string
	effective  bool // for Atlas
}

// atlasHeadSize is how much of a file may be comments at its top.
const atlasHeadSize = 64 << 10

// atlasHead returns the directives at the top of a text.
func atlasHead(text string) (all []atlasDirective) {
	text = text[:min(len(text), atlasHeadSize)]
	line := 0
	for strings.HasPrefix(text, "#") || strings.HasPrefix(text, "--") {
		first, rest, _ := strings.Cut(text, "\n")
		line++
		if m := atlasDirectives.FindStringSubmatch(strings.TrimSpace(first)); m != nil {
			all = append(all, atlasDirective{line: line, name: m[2], args: strings.TrimSpace(m[3])})
		}
		text = rest
	}
	apart := text == "" || strings.HasPrefix(strings.TrimLeft(text, " \t\r"), "\n")
	for i := range all {
		d := &all[i]
		first := d.line == 1 && (d.name == atlasDelimiter || d.name == atlasIgnoreSum)
		d.effective = first || apart && d.name != atlasDelimiter && d.name != atlasIgnoreSum
	}
	return all
}

// atlasShows recognizes a folder by its sum; see Detect.
func atlasShows(f *folder, e *listed) string {
	if e.Name() == atlasSumFile && !e.IsDir() {
		return "the checksums of Atlas"
	}
	return ""
}

func isAtlasFile(e *listed) bool {
	return !e.IsDir() && strings.HasSuffix(e.Name(), ".sql")
}

// atlasScripts returns the names of all files that Atlas runs.
func atlasScripts(f *folder) (names []string) {
	for _, e := range f.entries {
		if isAtlasFile(e) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

func (f *folder) atlas() []migration.Migration {
	var all []migration.Migration
	var sums []atlasFile
	verifiable := true
	hasher := newAtlasHasher()
	var last numbered
	lastFile := ""
	for _, name := range atlasScripts(f) {
		file := f.fileOf(name)
		n, ok := f.atlasVersion(name)
		if f.reported(file) || !ok {
			verifiable = verifiable && file.err == nil
			if file.err != nil {
				continue
			}
		}
		text, err := f.atlasHash(hasher, &sums, file)
		if err != nil {
			f.wrap(file.path, err)
			verifiable = false
			continue
		}
		switch {
		case !ok:
			continue
		case lastFile != "" && n.version == last.version:
			f.duplicate(n.version, f.path(lastFile), file.path)
			continue
		case lastFile != "" && n.version < last.version:
			f.add(file.path, "Atlas runs its files in the order of their names, this after %s; their versions, which count here, are the other way round; give the versions the same number of digits", lastFile)
			continue
		}
		last, lastFile = n, name
		m := migration.Migration{Version: n.version, Name: n.name, Up: f.script(file), Origin: &migration.Origin{ID: n.digits}}
		if sum := sums[len(sums)-1]; sum.name == name && sum.hash != "" {
			m.Origin.Sum = sum.hash
		}
		if f.atlasDirectives(file, &m, text) {
			m.Name = cmp.Or(m.Name, atlasCheckpoint)
			f.others.Baselines = append(f.others.Baselines, m)
		} else {
			all = append(all, m)
		}
	}
	if verifiable {
		f.atlasVerify(sums)
	}
	return all
}

// atlasVersion reads the version of a file's name.
func (f *folder) atlasVersion(name string) (n numbered, ok bool) {
	version, rest, _ := strings.Cut(strings.TrimSuffix(name, ".sql"), "_")
	if version == "" || strings.Trim(version, "0123456789") != "" {
		f.add(f.path(name), "its version, %q, is not a number, as Atlas allows; names look like 20240131093000_add_users.sql", version)
		return n, false
	}
	var err error
	if n.version, err = strconv.ParseInt(version, 10, 64); err != nil {
		f.add(f.path(name), "the version %s is too large; the largest is %d", version, int64(1<<63-1))
		return n, false
	}
	n.digits, n.name = version, rest
	return n, true
}

// atlasHash adds a file to the sums, and returns the beginning of its text. A text that is not in
// memory is read again.
func (f *folder) atlasHash(h *atlasHasher, sums *[]atlasFile, file *file) (head string, err error) {
	var all io.ReadCloser
	if text, ok, terr := file.whole.Text(file.keep); terr != nil {
		return "", terr
	} else if ok {
		head, all = text, io.NopCloser(strings.NewReader(text))
	} else {
		if all, err = file.whole.Open(); err != nil {
			return "", err
		}
		defer all.Close()
		b, err := io.ReadAll(io.LimitReader(all, atlasHeadSize))
		if err != nil {
			return "", err
		}
		head = string(b)
		all = io.NopCloser(io.MultiReader(strings.NewReader(head), all))
	}
	ignored := false
	if m := atlasDirectives.FindStringSubmatch(head[:min(len(head), atlasHeadSize)]); m != nil && !file.bom {
		ignored = m[2] == atlasIgnoreSum && m[3] == "ignore"
	}
	h.name(file.name)
	if ignored {
		*sums = append(*sums, atlasFile{name: file.name})
		return head, nil
	}
	if file.bom {
		io.WriteString(h.h, byteOrderMark)
	}
	if _, err := io.Copy(h.h, all); err != nil {
		return "", err
	}
	*sums = append(*sums, atlasFile{file.name, h.sum()})
	return head, nil
}

// atlasVerify compares the files with atlas.sum.
func (f *folder) atlasVerify(files []atlasFile) {
	shown := f.path(atlasSumFile)
	if !f.isListed(atlasSumFile) {
		if slices.ContainsFunc(files, func(a atlasFile) bool { return a.hash != "" }) {
			f.add(shown, "is missing; a folder of Atlas has one, with the hashes of its files: atlas migrate hash writes it")
		}
		return
	}
	text, err := readText(f.fsys, atlasSumFile, maxSide)
	if err != nil {
		f.wrap(shown, err)
		return
	}
	sum, p := readAtlasSum(shown, string(text))
	if len(p.all) == 0 {
		sum.compare(&p, shown, files, f.path)
	}
	f.problems.all = append(f.problems.all, p.all...)
}

// atlasDirectives applies the directives of a file, and reports whether it is a checkpoint.
func (f *folder) atlasDirectives(file *file, m *migration.Migration, text string) (checkpoint bool) {
	modes := 0
	for _, d := range atlasHead(text) {
		fail := func(format string, args ...any) { f.at(file.path, d.line, 1, format, args...) }
		if !d.effective && d.name != atlasNoLint {
			why := "if an empty line follows the comments at the top of the file"
			if d.name == atlasDelimiter || d.name == atlasIgnoreSum {
				why = "in the first line"
			}
			f.warn(file.path, d.line, 1, "atlas:%s has no effect: Atlas reads it only %s", d.name, why)
			continue
		}
		switch d.name {
		case atlasNoLint, atlasIgnoreSum:
		case atlasCheckpoint:
			checkpoint = true
		case atlasTxMode:
			if modes++; modes > 1 {
				fail("a second atlas:txmode; remove one")
			}
			switch d.args {
			case "none":
				m.Up.NoTransaction = true
			case "file":
			case "all":
				fail("atlas:txmode all can't be in a file; Atlas refuses it, too")
			default:
				fail("unknown atlas:txmode %q; valid modes: none, file", d.args)
			}
		case atlasDelimiter:
			f.atlasDelimited(file, m, d)
		case "txtar":
			fail("atlas:txtar puts checks and a migration into one file, which Whimbrel doesn't read; leave the migration alone in the file")
		case "assert":
			fail("atlas:assert checks the database before the migration, which Whimbrel doesn't; write the check as a statement that fails")
		case "import":
			fail("atlas:import takes the text from another file, which Whimbrel doesn't read; put the text here")
		default:
			fail("unknown directive atlas:%s", d.name)
		}
	}
	return checkpoint
}

// atlasDelimited puts semicolons where Atlas ends statements with another text.
func (f *folder) atlasDelimited(file *file, m *migration.Migration, d atlasDirective) {
	delimiter := strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(d.args)
	switch {
	case delimiter == ";":
		return
	case delimiter == "":
		f.at(file.path, d.line, 1, "atlas:delimiter names no delimiter")
		return
	}
	text, err := readAll(m.Up)
	if err != nil {
		f.wrap(file.path, err)
		return
	}
	first, rest, _ := strings.Cut(text, "\n")
	s := separator{text: rest, dialect: f.opts.Dialect}
	s.ends = func(at, depth int) int {
		if depth > 0 || !strings.HasPrefix(rest[at:], delimiter) {
			return 0
		}
		return len(delimiter)
	}
	blank := strings.TrimSpace(delimiter) == ""
	s.write = func(out *strings.Builder, at, n int, open bool) {
		switch {
		case open:
			out.WriteByte(';')
			if !blank {
				n -= utf8.RuneLen(';')
			}
			fallthrough
		default:
			out.WriteString(strings.Map(func(r rune) rune {
				if r == '\n' {
					return r
				}
				return ' '
			}, delimiter[len(delimiter)-n:]))
		}
	}
	m.Up = rewritten(m.Up, first+"\n"+s.run())
}

// atlasFiles returns a new file. It is not part of the sum, whose hashes would be wrong as soon as
// the script is written.
func atlasFiles(f *folder, version, name string) []File {
	text := "-- atlas:sum ignore\n-- " + name + ". To have the file in atlas.sum, delete the line above and run: atlas migrate hash\n" + unfinished + "\n\n"
	files := []File{{Name: version + "_" + name + ".sql", Content: text}}
	if !f.isListed(atlasSumFile) && len(atlasScripts(f)) == 0 {
		files = append(files, File{Name: atlasSumFile, Content: atlasSum{}.text()})
	}
	return files
}
