package source

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Liquibase's formatted SQL: files whose first line is "--liquibase formatted sql", in which each
// line "--changeset AUTHOR:ID" begins a migration.
//
//   - The version is 1000 times the number that the file's name begins with, plus the position of
//     the changeset in the file. In a folder with one file, whose name has no number, it is the
//     position. Several files need numbers whose order is that of the names, as of includeAll, or
//     that of the changelog in the folder that includes them.
//   - "--rollback" lines and "/* liquibase rollback" blocks make the down script. With "empty" or
//     "not required" the down script does nothing; with changesetId it is the up script of that
//     changeset. They are no part of the up script or its checksum.
//   - runInTransaction:false runs both scripts outside a transaction. runOnChange:true makes a
//     repeatable script, which runs after all migrations. ignore:true leaves a changeset out.
//   - dbms leaves a changeset out if it does not name the dialect's database. Without a dialect it
//     is an error.
//   - splitStatements and stripComments change nothing here. context, labels, runAlways:true,
//     failOnError:false, runWith, another endDelimiter than the semicolon, preconditions, properties
//     and ignoreLines are errors. validCheckSum and unknown attributes are warnings.
//   - A file in XML, YAML or JSON with changesets is an error. One that only includes files is
//     compared with the order of the versions.
//   - Liquibase's history knows a migration by author, id and file: Migration.Origin, as
//     AUTHOR:ID@FILE.

// positions is how many changesets a file with a number can have.
const positions = 1000

// changelog is a file of formatted SQL.
type changelog struct {
	*file
	number  numbered // digits is "" for none
	logical string   // the path that Liquibase's history has, if it is not the file's name
}

// changeset is a migration of a changelog.
type changeset struct {
	log       *changelog
	part      *part
	position  int
	author    string
	id        string
	logical   string
	noTx      bool
	onChange  bool
	left      bool // it is not for this database
	up        *migration.Script
	down      *migration.Script
	reference *reference
}

// reference is a rollback that names a changeset.
type reference struct {
	place
	author, id, path string
}

// liquibaseShows recognizes a changelog whose name has no number; the others have marks.
func liquibaseShows(f *folder, e *listed) string {
	name := e.Name()
	switch {
	case e.IsDir():
	case hasSQLSuffix(name) && !startsWithDigit(name) && f.beginsFormatted(name):
		return "its first line is Liquibase's"
	case isOtherChangelog(name) && strings.Contains(strings.ToLower(name), "changelog"):
		return "a changelog"
	}
	return ""
}

// beginsFormatted reports whether the first line of a file is Liquibase's.
func (f *folder) beginsFormatted(name string) bool {
	text, err := readBeginning(f.fsys, name, lineLimit)
	if err != nil {
		return false
	}
	text = strings.TrimLeft(strings.TrimPrefix(text, byteOrderMark), blanks)
	line, _, _ := strings.Cut(text, "\n")
	m, ok := liquibaseMark(line)
	return ok && m.word == liquibaseHeader
}

// isOtherChangelog reports whether a file may be a changelog that is not SQL.
func isOtherChangelog(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".xml", ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func liquibaseScripts(f *folder) (names []string) {
	for _, e := range f.entries {
		if !e.IsDir() && hasSQLSuffix(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

func (f *folder) liquibase() []migration.Migration {
	logs := f.changelogs()
	f.otherChangelogs(logs)
	var all []*changeset
	seen := map[string]*changeset{}
	for _, log := range logs {
		for _, c := range f.changesets(log) {
			key := c.author + "\x00" + c.id + "\x00" + c.file()
			if first := seen[key]; first != nil && first.left == c.left {
				f.at(log.path, c.part.mark.line, c.part.mark.column, "the changeset %s:%s is also in line %d", c.author, c.id, first.part.mark.line)
				continue
			}
			seen[key] = c
			all = append(all, c)
		}
	}
	f.resolve(all)
	return f.ofChangesets(all)
}

// file is the path of a changeset in Liquibase's history.
func (c *changeset) file() string { return cmp.Or(c.logical, c.log.logical, c.log.name) }

// ofChangesets returns the migrations of changesets, and keeps the repeatable scripts.
func (f *folder) ofChangesets(all []*changeset) (migrations []migration.Migration) {
	names := map[string]int{}
	for _, c := range all {
		names[c.id]++
	}
	for _, c := range all {
		if c.up == nil || c.left {
			continue
		}
		m := migration.Migration{
			Version: int64(c.position), Name: c.id, Up: c.up, Down: c.down,
			Origin: &migration.Origin{ID: c.author + ":" + c.id + "@" + c.file()},
		}
		if c.log.number.digits != "" {
			m.Version += c.log.number.version * positions
		}
		if !c.onChange {
			migrations = append(migrations, m)
			continue
		}
		if c.down != nil {
			f.warn(c.log.path, c.part.mark.line, c.part.mark.column, "the rollback of %s:%s does not run: with runOnChange:true it is a repeatable script, which has no down script", c.author, c.id)
		}
		if names[c.id] > 1 {
			m.Name = c.author + "_" + c.id
		}
		f.others.Repeatables = append(f.others.Repeatables, migration.Named{Name: m.Name, Script: c.up})
	}
	return migrations
}

// changelogs returns the changelogs of the folder in the order of their numbers.
func (f *folder) changelogs() (all []*changelog) {
	for _, name := range liquibaseScripts(f) {
		file := f.fileOf(name)
		if f.reported(file) {
			continue
		}
		if !file.liquibase {
			f.add(file.path, `its first line is not "--liquibase formatted sql": Liquibase runs it as one changeset, raw:includeAll, or not at all; write that line, and a changeset below it`)
			continue
		}
		log := &changelog{file: file}
		if startsWithDigit(name) {
			n, _, err := cutVersion(name)
			if err == nil && n.version > (1<<63-1)/positions-1 {
				err = fmt.Errorf("the number %s is too large: versions are %d times it", n.digits, positions)
			}
			if err != nil {
				f.add(file.path, "%v", err)
				continue
			}
			log.number = n
		}
		all = append(all, log)
	}
	order.StableBy(all, func(a, b *changelog) int { return cmp.Compare(a.number.version, b.number.version) })
	for i, log := range all {
		switch {
		case len(all) > 1 && log.number.digits == "":
			f.add(log.path, "has no number at the beginning of its name, which several changelogs in one folder need; names look like 0001_users.sql")
		case i > 0 && all[i-1].number.digits != "" && all[i-1].number.version == log.number.version:
			f.add(log.path, "has the number of %s; give each changelog a number of its own", all[i-1].name)
		}
	}
	return all
}

// includes finds the files that a changelog in another language names.
func includes(text string) (names []string) {
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n\"'<>,{}[]=:", r) }) {
		if hasSQLSuffix(field) {
			names = append(names, path.Base(strings.ReplaceAll(field, `\`, "/")))
		}
	}
	return names
}

// otherChangelogs reports changelogs that are not SQL, and those whose order is another one.
func (f *folder) otherChangelogs(logs []*changelog) {
	ordered := false
	for _, e := range f.entries {
		name := e.Name()
		if e.IsDir() || !isOtherChangelog(name) {
			continue
		}
		text, err := readText(f.fsys, name, maxMetadata)
		switch {
		case err != nil:
			f.wrap(f.path(name), err)
		case !strings.Contains(string(text), "databaseChangeLog"):
		case strings.Contains(string(text), "changeSet"):
			f.add(f.path(name), "has changesets that are not SQL, which Whimbrel doesn't read; write them as formatted SQL")
		default:
			ordered = f.included(name, string(text), logs) || ordered
		}
	}
	if ordered {
		return
	}
	for i := range logs {
		if i > 0 && logs[i-1].number.digits != "" && logs[i-1].name > logs[i].name {
			f.add(logs[i].path, "Liquibase's includeAll reads files in the order of their names, this before %s; their numbers, which count here, are the other way round; give them the same number of digits", logs[i-1].name)
			return
		}
	}
}

// included compares the order of a changelog that names others with that of the numbers. It reports
// whether the changelog names any.
func (f *folder) included(name, text string, logs []*changelog) bool {
	position := map[string]int{}
	for i, file := range includes(text) {
		if _, twice := position[file]; !twice {
			position[file] = i + 1
		}
	}
	var last *changelog
	for _, log := range logs {
		at := position[path.Base(log.name)]
		if at == 0 {
			continue
		}
		if last != nil && at < position[path.Base(last.name)] {
			f.add(log.path, "%s includes this before %s; their numbers, which count here, are the other way round; renumber them", name, last.name)
			return true
		}
		last = log
	}
	for _, log := range logs {
		if last != nil && position[path.Base(log.name)] == 0 {
			f.warn(log.path, 0, 0, "%s does not include this file, so Liquibase does not run it; Whimbrel does", name)
		}
	}
	return last != nil
}

// changesets returns the changesets of a file.
func (f *folder) changesets(log *changelog) (all []*changeset) {
	f.beforeChangesets(log)
	for i := range log.parts[1:] {
		p := &log.parts[i+1]
		c := &changeset{log: log, part: p, position: i + 1}
		if log.number.digits != "" && c.position >= positions {
			f.at(log.path, p.mark.line, p.mark.column, "a file whose name has a number can have %d changesets; move this one to another file", positions-1)
			return all
		}
		if !f.changesetLine(c) {
			continue
		}
		f.changesetMarks(c, i+1)
		f.changesetScripts(c)
		all = append(all, c)
	}
	return all
}

// beforeChangesets reads the header of a file, and reports what nothing would run.
func (f *folder) beforeChangesets(log *changelog) {
	p := &log.parts[0]
	if !p.empty() {
		f.at(log.path, p.statement.line, p.statement.column, "a statement is before the first changeset, where nothing would run it")
	}
	f.misspellings(log.file, p.misspelt)
	for _, d := range p.directives {
		f.at(log.path, d.line, d.column, "a directive must be in its changeset; move %q down", "-- whimbrel: "+d.text)
	}
	for _, m := range log.marks {
		switch {
		case m.tool != Liquibase || m.part > 0 && m.word != liquibaseProperty && m.word != liquibaseIgnoreLines:
		case m.word == liquibaseHeader:
			for _, a := range attributes(m.args) {
				if a.key == "logicalfilepath" {
					log.logical = a.value
				}
			}
		case m.word == liquibaseProperty:
			f.at(log.path, m.line, m.column, "a property is a value that Liquibase puts into the scripts, which Whimbrel doesn't; write the value where it belongs")
		case m.word == liquibaseIgnoreLines:
			f.at(log.path, m.line, m.column, "ignoreLines leaves lines out, which Whimbrel doesn't; remove them, or make them comments")
		case m.word == liquibaseComment:
		default:
			f.at(log.path, m.line, m.column, "%q is before the first changeset, where it has no effect", "--"+m.word)
		}
	}
}

// changesetLine reads the line that begins a changeset.
func (f *folder) changesetLine(c *changeset) bool {
	m := c.part.mark
	fail := func(offset int, format string, args ...any) {
		f.at(c.log.path, m.line, m.column+len([]rune(m.args[:offset])), format, args...)
	}
	if len(m.args) >= lineLimit-2 {
		fail(0, "the line is too long: the most is %d bytes", lineLimit-3)
		return false
	}
	h := changesetHead(m.args)
	if !h.ok {
		fail(0, "is not the line of a changeset, which looks like: --changeset alice:1")
		return false
	}
	c.author, c.id = h.author, h.id
	for _, a := range h.attributes {
		f.attribute(c, a, func(format string, args ...any) { fail(a.offset, format, args...) })
	}
	return true
}

// attribute applies an attribute of a changeset.
func (f *folder) attribute(c *changeset, a attribute, fail func(format string, args ...any)) {
	boolean := func() bool {
		value, err := strconv.ParseBool(a.value)
		if err != nil || len(a.value) < len("true") {
			fail("%s is neither true nor false: %s", a.name, quoted(a.value))
		}
		return value
	}
	switch a.key {
	case "runonchange":
		c.onChange = boolean()
	case "runintransaction":
		c.noTx = !boolean()
	case "ignore":
		if boolean() {
			c.left = true
			f.warn(c.log.path, c.part.mark.line, c.part.mark.column, "the changeset %s:%s does not run: ignore:true", c.author, c.id)
		}
	case "logicalfilepath":
		c.logical = a.value
	case "splitstatements", "rollbacksplitstatements", "stripcomments":
		boolean()
	case "dbms":
		f.forDatabase(c, a.value, fail)
	case "runalways":
		if boolean() {
			fail("runAlways:true runs a changeset every time, which Whimbrel doesn't; with runOnChange:true it runs when it has changed")
		}
	case "failonerror":
		if !boolean() {
			fail("failOnError:false goes on after an error, which Whimbrel doesn't; write statements that can't fail, such as CREATE … IF NOT EXISTS")
		}
	case "context", "contextfilter", "labels":
		if a.value != "" {
			fail("%s decides whether a changeset runs, which Whimbrel doesn't support; remove it, or move the changeset to another folder", a.name)
		}
	case "enddelimiter", "rollbackenddelimiter":
		if a.value != "" && a.value != ";" {
			fail("%s ends statements with something else than a semicolon, which Whimbrel doesn't support; write semicolons", a.name)
		}
	case "runwith":
		if !strings.EqualFold(a.value, "jdbc") {
			fail("runWith runs a changeset with another program, which Whimbrel doesn't; remove it if the changeset is SQL")
		}
	case "runwithspoolfile":
		fail("runWithSpoolFile writes to a file, which Whimbrel doesn't; remove it")
	default:
		f.warn(c.log.path, c.part.mark.line, c.part.mark.column, "unknown attribute %s, which Liquibase ignores", quoted(a.text))
	}
}

// databases are the names that Liquibase has for the databases of a dialect.
var databases = map[sqltext.Dialect][]string{
	sqltext.PostgreSQL: {"postgresql"}, sqltext.SQLite: {"sqlite"}, sqltext.MySQL: {"mysql", "mariadb"},
}

// forDatabase applies dbms, a list of databases that the changeset is for or, with "!", not for.
func (f *folder) forDatabase(c *changeset, list string, fail func(format string, args ...any)) {
	if f.opts.Dialect == 0 {
		fail("dbms:%s decides by the database whether the changeset runs, and the dialect is not known; give it", list)
		return
	}
	in, only := false, false
	for name := range strings.SplitSeq(strings.ToLower(list), ",") {
		bare, not := strings.CutPrefix(strings.TrimSpace(name), "!")
		is := slices.Contains(databases[f.opts.Dialect], bare)
		switch {
		case bare == "" || bare == "all":
			in = true
		case not && is:
			c.left = true
		case not:
		default:
			only, in = true, in || is
		}
	}
	if c.left = c.left || only && !in; c.left {
		f.warn(c.log.path, c.part.mark.line, c.part.mark.column, "the changeset %s:%s does not run: it is for other databases (dbms:%s)", c.author, c.id, list)
	}
}

// changesetMarks checks the lines of a changeset that Liquibase reads.
func (f *folder) changesetMarks(c *changeset, part int) {
	all := c.log.marks
	from, _ := slices.BinarySearchFunc(all, part, func(m mark, part int) int { return cmp.Compare(m.part, part) })
	for _, m := range all[from:] {
		if m.part != part {
			break
		}
		if m.tool != Liquibase {
			continue
		}
		switch m.word {
		case liquibasePrecondition:
			if !c.left {
				f.at(c.log.path, m.line, m.column, "a precondition decides whether a changeset runs, which Whimbrel doesn't support; write a statement that fails, or that does nothing, where the condition does not hold")
			}
		case liquibaseValidSum:
			f.warn(c.log.path, m.line, m.column, "validCheckSum has no effect: the history has the text of each script, and repair accepts another")
		case liquibaseHeader:
			f.at(c.log.path, m.line, m.column, "a second line %q", "--liquibase formatted sql")
		}
	}
}

// changesetScripts cuts the scripts of a changeset out of its part of the file.
func (f *folder) changesetScripts(c *changeset) {
	s := f.section(c.log.file, c.part)
	if s == nil {
		return
	}
	text, err := readAll(s)
	if err != nil {
		f.wrap(c.log.path, err)
		return
	}
	r := splitRollback(text)
	if r.open > 0 {
		f.at(c.log.path, c.part.line+r.open-1, 1, "the rollback comment has no end")
		return
	}
	c.up = s
	if r.first > 0 {
		c.up = migration.Text(s.File, r.up)
		c.up.Line, c.up.Directives, c.up.Problem = s.Line, s.Directives, s.Problem
	}
	f.warnOfParameter(c, text)
	if strings.TrimSpace(r.up) == "" && !c.left {
		f.at(c.log.path, c.part.mark.line, c.part.mark.column, "the changeset %s:%s has no SQL, which Liquibase refuses", c.author, c.id)
	}
	if !c.left {
		f.needStatement(c.log.file, c.up, c.part.empty())
	}
	c.up.NoTransaction = c.up.NoTransaction || c.noTx
	f.rollback(c, r)
}

// parameters match what Liquibase replaces if it has a parameter of that name.
var parameters = lazyregexp.New(`\$\{[A-Za-z0-9_.-]+\}`)

// warnOfParameter warns of the first text of a changeset that may be a parameter.
func (f *folder) warnOfParameter(c *changeset, text string) {
	if at := parameters.FindStringIndex(text); at != nil && !c.left {
		p := (&places{text: []byte(text), line: 1}).at(int64(at[0]))
		f.warn(c.log.path, c.part.line+p.line-1, p.column, "%s stays as it is; Liquibase replaces it if it has a parameter of this name", text[at[0]:at[1]])
	}
}

// rollback sets the down script of a changeset.
func (f *folder) rollback(c *changeset, r rollback) {
	words := strings.ToLower(strings.TrimSpace(r.down))
	line := c.part.line + r.first - 1
	switch {
	case words == "":
		return
	case strings.HasPrefix(words, "not required"), strings.HasPrefix(words, "empty"):
		c.down = migration.Text(c.log.path, "")
		c.down.Empty = true
	case strings.Contains(words, "changesetid"):
		ref := reference{place: place{line, 1}}
		for _, a := range attributes(strings.ReplaceAll(r.down, "\n", " ")) {
			switch a.key {
			case "changesetid":
				ref.id = a.value
			case "changesetauthor":
				ref.author = a.value
			case "changesetpath":
				ref.path = a.value
			}
		}
		if ref.id == "" || ref.author == "" {
			f.at(c.log.path, line, 1, "a rollback that names a changeset needs changesetId and changesetAuthor")
			return
		}
		c.reference = &ref
		return
	default:
		c.down = migration.Text(c.log.path, r.down)
	}
	c.down.Line, c.down.NoTransaction = line, c.noTx
}

// resolve sets the down scripts that are the up scripts of other changesets.
func (f *folder) resolve(all []*changeset) {
	for _, c := range all {
		ref := c.reference
		if ref == nil {
			continue
		}
		i := slices.IndexFunc(all, func(o *changeset) bool {
			if o.author != ref.author || o.id != ref.id || o.up == nil {
				return false
			}
			if ref.path == "" {
				return o.log == c.log
			}
			return o.file() == ref.path || path.Base(o.log.name) == path.Base(ref.path)
		})
		if i < 0 {
			f.at(c.log.path, ref.line, ref.column, "the rollback names a changeset %s:%s, which the folder doesn't have", ref.author, ref.id)
			continue
		}
		c.down = all[i].up
	}
}

// liquibaseNewest returns the number of the newest file or, if the only one has none, of its
// newest changeset.
func liquibaseNewest(f *folder) numbered {
	if name, sets := f.onlyChangelog(); name != "" {
		return numbered{digits: strconv.Itoa(sets), version: int64(sets)}
	}
	return f.newestVersion()
}

// onlyChangelog returns the changelog to which a new changeset is added, and how many it has; "" if
// the next one is a file of its own.
func (f *folder) onlyChangelog() (name string, sets int) {
	names := liquibaseScripts(f)
	if len(names) != 1 || startsWithDigit(names[0]) {
		return "", 0
	}
	f.readAlso(names)
	file := f.fileOf(names[0])
	if f.reported(file) || !file.liquibase {
		return "", 0
	}
	return names[0], len(file.parts) - 1
}

// liquibaseFiles returns a new changelog, or the only one with another changeset.
func liquibaseFiles(f *folder, version, name string) []File {
	if strings.ContainsAny(name, ":\"") {
		f.add(f.opts.Dir, "%q can't be the id of a changeset", name)
		return nil
	}
	set := "--changeset whimbrel:" + name + "\n" + unfinished + "\n\n--rollback \n"
	only, sets := f.onlyChangelog()
	if only == "" {
		n, err := strconv.ParseInt(version, 10, 64)
		if err != nil || n > (1<<63-1)/positions-1 {
			f.add(f.opts.Dir, "the number %s is too large: versions are %d times it", version, positions)
			return nil
		}
		return []File{{Name: version + "_" + name + ".sql", Content: "--liquibase formatted sql\n" + set, version: fmt.Sprint(n*positions + 1)}}
	}
	text, err := readAll(f.fileOf(only).whole)
	if err != nil {
		f.wrap(f.path(only), err)
		return nil
	}
	if f.fileOf(only).bom {
		text = byteOrderMark + text
	}
	return []File{{Name: only, Content: strings.TrimRight(text, blanks) + "\n\n" + set, Rewrite: true, version: fmt.Sprint(sets + 1)}}
}
