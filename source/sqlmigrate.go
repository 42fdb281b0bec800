package source

import (
	"path"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// sql-migrate: files whose names end in .sql, with the sections "-- +migrate Up" and "-- +migrate
// Down", in either order. Without a Down section the migration is irreversible.
//
//   - The version is the digits that the name begins with, whatever follows them. sql-migrate
//     orders files by this number, too. A file without it, which sql-migrate runs after all others,
//     is an error. So are two files with one number.
//   - Lines that begin with "-- +migrate" are markers, in any case and with spaces around them. An
//     unknown marker is an error.
//   - The option notransaction applies to its section.
//   - StatementBegin and StatementEnd must come in pairs. They are not needed: Whimbrel knows where
//     a statement ends.
//   - Several up or down sections in one file are an error: Whimbrel runs an up script as a whole,
//     so they must be joined. So is a statement before the first section, which sql-migrate skips.
//   - The history of sql-migrate knows a migration by its file's name: Migration.Origin.

// sqlMigrateMark reads a comment, without its dashes, as a marker line.
func sqlMigrateMark(text string) (mark, bool) {
	const word = "+migrate"
	if len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return mark{}, false
	}
	rest := text[len(word):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return mark{}, false
	}
	command, args, _ := strings.Cut(strings.Join(strings.Fields(rest), " "), " ")
	return mark{tool: SQLMigrate, word: strings.ToLower(command), args: args}, true
}

func sqlMigrateFiles(_ *folder, version, name string) []File {
	return []File{{Name: version + "-" + name + ".sql", Content: "-- +migrate Up\n" + unfinished + "\n-- +migrate Down\n\n"}}
}

func (f *folder) sqlMigrate() []migration.Migration {
	for _, e := range f.entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".sql") && !startsWithDigit(e.Name()) {
			f.add(f.path(e.Name()), "has no version; sql-migrate runs such files last, in the order of their names; give it a number, such as 0001-%s", e.Name())
		}
	}
	var all []migration.Migration
	anyName := func(rest string) (string, bool) { return strings.TrimLeft(rest, separators), true }
	for _, s := range f.singles("names look like 20240131093000-add_users.sql", anyName) {
		f.sqlMigrateMarks(s.file)
		up, down := f.upAndDown(s.file)
		if up == nil {
			f.add(s.file.path, `has no line "-- +migrate Up"; write it above the statements`)
			continue
		}
		m := f.sections(s, up, down)
		m.Origin = &migration.Origin{ID: path.Base(s.file.name)}
		f.sqlMigrateOptions(s.file, up, m.Up)
		f.sqlMigrateOptions(s.file, down, m.Down)
		all = append(all, m)
	}
	return all
}

// sqlMigrateMarks checks the marker lines of a file, other than Up and Down.
func (f *folder) sqlMigrateMarks(file *file) {
	for i := range file.marks {
		m := &file.marks[i]
		if m.tool != SQLMigrate {
			continue
		}
		switch m.word {
		case wordUp, wordDown, gooseBegin, gooseEnd:
		default:
			f.at(file.path, m.line, m.column, `unknown marker "-- +migrate %s"; valid markers: Up, Down, StatementBegin, StatementEnd%s`, m.word, didYouMean(nearSQLMigrate(m.word)))
		}
	}
	f.statementMarks(file, SQLMigrate, "-- +migrate")
}

// sqlMigrateOptions applies the options of a section's marker.
func (f *folder) sqlMigrateOptions(file *file, p *part, s *migration.Script) {
	if s == nil {
		return
	}
	for _, option := range strings.Fields(p.mark.args) {
		if option != "notransaction" {
			f.at(file.path, p.mark.line, p.mark.column, `unknown option %q; the only valid option is notransaction`, option)
			continue
		}
		s.NoTransaction = true
	}
}

// sqlMigrateMarkers are sql-migrate's markers by their letters.
var sqlMigrateMarkers = map[string]string{"up": "Up", "down": "Down", "statementbegin": "StatementBegin", "statementend": "StatementEnd"}

// nearSQLMigrate returns sql-migrate's marker whose word is nearly the given one.
func nearSQLMigrate(text string) string {
	words := strings.Fields(strings.Trim(text, " \t:;=.-_"))
	if len(words) == 0 || len(words) > 2 || len(words) == 2 && words[1] != "notransaction" {
		return ""
	}
	if marker := near(onlyLetters(words[0]), sqlMigrateMarkers, 1); marker != "" {
		return strings.Join(append([]string{"-- +migrate", marker}, words[1:]...), " ")
	}
	return ""
}
