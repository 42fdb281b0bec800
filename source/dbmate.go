package source

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// dbmate: VERSIONname.sql with the sections "-- migrate:up" and "-- migrate:down", each of which
// can be followed by the option transaction:false.
//
//   - The version is the digits that the name begins with, whatever follows them.
//   - Up comes first; without a down section the migration is irreversible.
//   - Several up or down sections in one file are an error: Whimbrel runs an up script as a whole,
//     so they must be joined.
//   - Files that don't begin with a number are skipped, as in dbmate.

// dbmateMark reads a comment, without its dashes, as a marker line.
func dbmateMark(text string) (mark, bool) {
	const word = "migrate:"
	if len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return mark{}, false
	}
	direction, args, _ := strings.Cut(strings.ReplaceAll(text[len(word):], "\t", " "), " ")
	direction = strings.ToLower(direction)
	if direction != wordUp && direction != wordDown {
		return mark{}, false
	}
	return mark{tool: Dbmate, word: direction, args: args}, true
}

func dbmateFiles(_ *folder, version, name string) []File {
	return []File{{Name: version + "_" + name + ".sql", Content: "-- migrate:up\n" + unfinished + "\n\n-- migrate:down\n\n"}}
}

func (f *folder) dbmate() []migration.Migration {
	var all []migration.Migration
	anyName := func(rest string) (string, bool) { return strings.TrimLeft(rest, separators), true }
	for _, s := range f.singles("names look like 20240131093000_add_users.sql", anyName) {
		up, down := f.upAndDown(s.file)
		switch {
		case up == nil:
			f.add(s.file.path, `has no line "-- migrate:up"; write it above the statements`)
			continue
		case down != nil && down.mark.line < up.mark.line:
			f.at(s.file.path, down.mark.line, down.mark.column, `"-- migrate:down" is before "-- migrate:up", which dbmate refuses; put up first`)
			continue
		}
		m := f.sections(s, up, down)
		f.dbmateOptions(s.file, up, m.Up)
		f.dbmateOptions(s.file, down, m.Down)
		all = append(all, m)
	}
	return all
}

func (f *folder) dbmateOptions(file *file, p *part, s *migration.Script) {
	if s == nil {
		return
	}
	for _, option := range strings.Fields(p.mark.args) {
		switch option {
		case "transaction:false":
			s.NoTransaction = true
		case "transaction:true":
		default:
			f.at(file.path, p.mark.line, p.mark.column, `unknown option %q; valid options: transaction:false, transaction:true`, option)
		}
	}
}
