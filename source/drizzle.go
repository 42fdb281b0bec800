package source

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
)

// Drizzle: files TAG.sql in the order of meta/_journal.json; or, since drizzle-kit 1.0, folders
// VERSION_name that contain migration.sql and snapshot.json, ordered by name.
//
//   - With a journal the version is its idx, whatever the tag is. Entries must be in the order of
//     idx. An entry without a file is an error; a file without an entry is not read, as in Drizzle,
//     which is a warning. So is an entry whose "when" is not later than all before it: Drizzle
//     skips it in a database that has applied those.
//   - In the newer layout the version is the digits that the folder's name begins with.
//   - "--> statement-breakpoint" ends a statement. Whimbrel puts a semicolon there if none is.
//     Drizzle cuts the text there even inside a literal, which is an error here.
//   - There are no down scripts. Snapshots are Drizzle's own, and not read.
//   - Drizzle's history knows a migration by its "when": Migration.Origin. It has the checksum of
//     the file if another text runs.

const (
	drizzleSnapshot   = "snapshot.json"
	drizzleBreakpoint = "--> statement-breakpoint"
)

// drizzleShows recognizes a folder by its journal, or a migration by the snapshot beside it.
func drizzleShows(f *folder, e *listed) string {
	switch {
	case !e.IsDir():
	case e.Name() == drizzleMeta && f.hasJournal():
		return "Drizzle's journal"
	case f.listed(e.Name(), drizzleSnapshot) && f.listed(e.Name(), prismaFile):
		return "a folder that holds " + drizzleSnapshot
	}
	return ""
}

func (f *folder) hasJournal() bool {
	entries, err := readDir(f.fsys, drizzleMeta, "")
	return err == nil && slices.ContainsFunc(entries, func(e *listed) bool { return path.Join(drizzleMeta, e.Name()) == drizzleJournal && !e.IsDir() })
}

// journal reads the journal, once.
func (f *folder) readDrizzle() journal {
	if f.journal == nil {
		f.journal = &journal{}
		shown := f.path(drizzleJournal)
		text, err := readText(f.fsys, drizzleJournal, maxSide)
		if err != nil {
			f.wrap(shown, err)
			return *f.journal
		}
		j, p := readJournal(shown, text)
		f.journal, f.journalText = &j, string(text)
		f.problems.all = append(f.problems.all, p.all...)
	}
	return *f.journal
}

// isDrizzleTag reports whether a tag names a file of the folder.
func isDrizzleTag(tag string) bool {
	return tag != "" && !strings.HasPrefix(tag, ".") && !strings.ContainsAny(tag, `/\`) && fs.ValidPath(tag+".sql")
}

// drizzleScripts returns the names of the files of the journal.
func drizzleScripts(f *folder) (names []string) {
	if !f.hasJournal() {
		return nil
	}
	there := map[string]bool{}
	for _, e := range f.entries {
		there[e.Name()] = !e.IsDir()
	}
	for _, e := range f.readDrizzle().entries {
		if isDrizzleTag(e.tag) && there[e.tag+".sql"] {
			names = append(names, e.tag+".sql")
		}
	}
	return names
}

func (f *folder) drizzle() []migration.Migration {
	if !f.hasJournal() {
		return f.drizzleFolders()
	}
	var all []migration.Migration
	shown := f.path(drizzleJournal)
	tags := map[string]int{}
	last := int64(-1)
	var latest time.Time
	for _, e := range f.readDrizzle().entries {
		fail := func(format string, args ...any) { f.at(shown, e.line, e.column, format, args...) }
		file := f.fileOf(e.tag + ".sql")
		first := tags[e.tag]
		if first == 0 {
			tags[e.tag] = e.line
		}
		switch {
		case !isDrizzleTag(e.tag):
			fail("the tag %s can't be the name of a file", quoted(e.tag))
			continue
		case first > 0:
			fail("the tag %s is also in line %d", quoted(e.tag), first)
			continue
		case file == nil:
			fail("there is no file %s.sql", e.tag)
			continue
		case e.idx <= last:
			fail("%s has idx %d and comes after idx %d; Drizzle runs its migrations in the order of the journal; number them in this order", e.tag, e.idx, last)
			continue
		}
		last = e.idx
		if !e.when.IsZero() && !e.when.After(latest) {
			f.warn(shown, e.line, e.column, "%s has a \"when\" that is not later than those before it, so Drizzle skips it in a database that has applied them", e.tag)
		}
		if e.when.After(latest) {
			latest = e.when
		}
		if !f.reported(file) {
			all = append(all, f.drizzleMigration(e.idx, drizzleName(e.tag), file, &migration.Origin{ID: e.tag, When: e.when}))
		}
	}
	for _, e := range f.entries {
		if stem, ok := strings.CutSuffix(e.Name(), ".sql"); ok && !e.IsDir() && tags[stem] == 0 {
			f.warn(f.path(e.Name()), 0, 0, "Drizzle skips this file, so it does not run: it is not in %s", drizzleJournal)
		}
	}
	return all
}

// drizzleName is a tag without its number.
func drizzleName(tag string) string {
	if !startsWithDigit(tag) {
		return tag
	}
	return strings.TrimLeft(strings.TrimLeft(tag, "0123456789"), separators)
}

// drizzleFolders reads the layout without a journal.
func (f *folder) drizzleFolders() []migration.Migration {
	var all []migration.Migration
	seen := map[int64]string{}
	for _, e := range f.entries {
		name := e.Name()
		file := f.fileOf(path.Join(name, prismaFile))
		switch {
		case !e.IsDir():
			continue
		case !startsWithDigit(name):
			f.numberless(name, prismaFile, "Drizzle")
			continue
		case file == nil:
			continue
		}
		n, rest, err := cutVersion(name)
		if err != nil {
			f.add(f.path(name), "%v", err)
			continue
		}
		if first, twice := seen[n.version]; twice {
			f.duplicate(n.version, f.path(path.Join(first, prismaFile)), file.path)
			continue
		}
		seen[n.version] = name
		if f.reported(file) {
			continue
		}
		when, _ := time.Parse(secondsLayout, n.digits)
		all = append(all, f.drizzleMigration(n.version, strings.TrimLeft(rest, separators), file, &migration.Origin{ID: name, When: when}))
	}
	return all
}

func (f *folder) drizzleMigration(version int64, name string, file *file, origin *migration.Origin) migration.Migration {
	m := migration.Migration{Version: version, Name: name, Up: f.script(file), Origin: origin}
	f.needStatement(file, m.Up, file.empty())
	f.drizzleBreakpoints(file, &m)
	return m
}

// drizzleBreakpoints puts semicolons where breakpoints end statements that have none.
func (f *folder) drizzleBreakpoints(file *file, m *migration.Migration) {
	text, err := readAll(m.Up)
	if err != nil {
		f.wrap(file.path, err)
		return
	}
	if !strings.Contains(text, drizzleBreakpoint) {
		return
	}
	places := &places{text: []byte(text), line: 1}
	fail := func(at int, msg string) {
		p := places.at(int64(at))
		f.at(file.path, p.line, p.column, "%s", msg)
	}
	missing, found := false, 0
	s := separator{text: text, dialect: f.opts.Dialect}
	s.cut = func(from, to int) int {
		if n := strings.Index(text[from:to], drizzleBreakpoint); n >= 0 {
			return from + n
		}
		return to
	}
	s.ends = func(at, _ int) int {
		if !strings.HasPrefix(text[at:], drizzleBreakpoint) {
			return 0
		}
		return len(drizzleBreakpoint)
	}
	s.write = func(out *strings.Builder, at, n int, open bool) {
		found++
		line, _, _ := strings.Cut(text[at+n:], "\n")
		before := text[strings.LastIndexByte(text[:at], '\n')+1 : at]
		switch {
		case strings.TrimSpace(line) != "" && !strings.HasPrefix(strings.TrimSpace(line), "--"):
			fail(at+n, "nothing can follow a breakpoint on its line; move it to the next line")
		case open && strings.Contains(before, "--"):
			fail(at, "the statement before this breakpoint has no semicolon, and a comment is between them; write the semicolon")
		case open:
			missing = true
			out.WriteByte(';')
		}
		out.WriteString(drizzleBreakpoint)
	}
	result := s.run()
	if found != strings.Count(text, drizzleBreakpoint) {
		fail(strings.Index(text, drizzleBreakpoint), "a breakpoint in this file is inside a literal or a comment, where Drizzle cuts the text in two; remove it")
	}
	if missing {
		m.Up = rewritten(m.Up, result)
		m.Origin.Sum = drizzleSum(file, text)
	}
}

// drizzleSum is the checksum that Drizzle's history has of a file.
func drizzleSum(file *file, text string) string {
	if file.bom {
		text = byteOrderMark + text
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.ReplaceAll(text, "\r\n", "\n"))))
}

// drizzleNewest returns the newest idx of the journal.
func drizzleNewest(f *folder) (n numbered) {
	if !f.hasJournal() {
		return f.newestVersion()
	}
	n.version = -1
	for _, e := range f.readDrizzle().entries {
		n.version = max(n.version, e.idx)
	}
	n.digits = fmt.Sprintf("%04d", max(n.version, 0))
	return n
}

// drizzleFiles returns a new file, and the journal with its entry. Of the newer layout, and of an
// empty folder, only Drizzle can write what a migration needs.
func drizzleFiles(f *folder, version, name string) []File {
	j := f.readDrizzle()
	idx, err := strconv.ParseInt(version, 10, 64)
	if err != nil || !f.hasJournal() || len(f.problems.all) > 0 {
		f.problems.all = nil
		f.add(f.opts.Dir, "a new migration of Drizzle needs %s, which can't be read; create it with: drizzle-kit generate --custom --name=%s", drizzleJournal, name)
		return nil
	}
	when, tag := time.Now().UTC(), version+"_"+name
	if n := len(j.entries); n > 0 {
		last := j.entries[n-1]
		if !when.After(last.when) {
			when = last.when.Add(time.Millisecond)
		}
		if digits := last.tag[:leadingDigits(last.tag)]; len(digits) == len(secondsLayout) {
			tag = seconds(when) + "_" + name
		}
	}
	e := fmt.Sprintf("{\n      \"idx\": %d,\n      \"version\": %s,\n      \"when\": %d,\n      \"tag\": %s,\n      \"breakpoints\": true\n    }",
		idx, cmp.Or(j.version, `"7"`), when.UnixMilli(), jsonText(tag))
	before, after := f.journalText[:j.end], f.journalText[j.end:]
	sep := ",\n    "
	if len(j.entries) == 0 {
		sep, after = "\n    ", "\n  "+strings.TrimLeft(after, " \t\r\n")
	}
	return []File{
		{Name: tag + ".sql", Content: unfinished + upText(name)},
		{Name: drizzleJournal, Content: before + sep + e + after, Rewrite: true},
	}
}

// jsonText returns a text as JSON.
func jsonText(text string) string {
	b, err := json.Marshal(text)
	if err != nil { // a text is always valid
		return `""`
	}
	return string(b)
}
