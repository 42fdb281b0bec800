package source

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// sqlx, the Rust library: VERSION_name.sql, or VERSION_name.up.sql and VERSION_name.down.sql. A
// folder may have both kinds.
//
//   - The version is a number without dashes. The names of up and down may differ.
//   - A file that begins with "-- no-transaction" runs outside a transaction.
//   - A down without an up, which sqlx never runs, is an error. So is a .sql file with an
//     underscore and no number before it, as in sqlx.
//   - sqlx skips a file without an underscore, such as schema.sql. If its name begins with a
//     number, there is a warning.
//   - Read as Native, pairs of up and down follow that format's rules, and "-- no-transaction" is a
//     comment, with a warning.

const sqlxNoTx = "-- no-transaction"

// sqlxNoTransaction reports whether sqlx runs the file outside a transaction.
func (f *file) sqlxNoTransaction() bool {
	return f.skimmed != nil && strings.HasPrefix(f.firstLine, sqlxNoTx)
}

// sqlxFiles are of the kind that the folder has; an empty folder begins with pairs.
func sqlxFiles(f *folder, version, name string) []File {
	for _, e := range f.entries {
		h, ok, _ := sqlxName(e.Name())
		switch {
		case !ok || e.IsDir():
		case h.simple:
			return []File{{Name: version + "_" + name + ".sql", Content: unfinished + upText(name)}}
		default:
			return pairFiles(version+"_"+name, unfinished+upText(name), name)
		}
	}
	return pairFiles(version+"_"+name, unfinished+upText(name), name)
}

// sqlxHalf is one file of sqlx's.
type sqlxHalf struct {
	half
	simple bool // it is neither .up.sql nor .down.sql
}

// sqlxName reads the name of a file that begins with a number; ok is false if sqlx skips it.
func sqlxName(name string) (h sqlxHalf, ok bool, err error) {
	digits, rest, found := strings.Cut(name, "_")
	stem, isSQL := strings.CutSuffix(rest, ".sql")
	if !found || !isSQL || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return h, false, nil
	}
	if h.numbered, _, err = cutVersion(digits); err != nil {
		return h, false, err
	}
	var down bool
	if h.name, h.up = strings.CutSuffix(stem, "."+wordUp); !h.up {
		h.name, down = strings.CutSuffix(stem, "."+wordDown)
		h.up, h.simple = !down, !down
	}
	return h, true, nil
}

func (f *folder) sqlx() []migration.Migration {
	var halves []half
	for _, e := range f.entries {
		name := e.Name()
		if e.IsDir() || !hasSQLSuffix(name) {
			continue
		}
		h, ok, err := sqlxName(name)
		before, rest, underscore := strings.Cut(name, "_")
		switch {
		case err != nil:
			f.add(f.path(name), "%v", err)
		case ok:
			h.file = e.file
			if h.file.err == nil {
				h.file.whole.NoTransaction = h.file.sqlxNoTransaction()
			}
			halves = append(halves, h.half)
		case underscore && strings.HasSuffix(rest, ".sql"):
			f.add(f.path(name), "has no version: sqlx needs a number before the first underscore, not %q; names look like 20240131093000_add_users.sql", before)
		case startsWithDigit(name):
			f.warn(f.path(name), 0, 0, "sqlx skips this file, so it does not run; names look like 20240131093000_add_users.sql")
		}
	}
	return f.pairs(halves)
}
