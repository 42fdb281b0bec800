package source

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// A folder of the native format can also have backfills, VERSION_name.backfill.sql: up scripts
// whose statements run once for each batch of a table's rows. Directives at the beginning say how:
//
//	-- whimbrel: backfill public.users
//	-- whimbrel: check SELECT count(*) FROM users WHERE email_lower IS NULL
//
//	UPDATE users SET email_lower = lower(email) WHERE id BETWEEN :first AND :last;
//
// A backfill can have a down file, VERSION_name.down.sql, as any migration can. Its directives are
// read from the text, by package migration: the history keeps the text, and workers read it again.

const backfillSuffix = ".backfill.sql"

// isBackfill reports whether a file is named like a backfill.
func isBackfill(name string) bool { return strings.HasSuffix(strings.ToLower(name), backfillSuffix) }

// after returns the directive of a file that waits for a version.
func (f *file) after(version int64) (directive, bool) {
	if f.skimmed == nil {
		return directive{}, false
	}
	for i := range f.parts {
		for _, d := range f.parts[i].directives {
			var s migration.Script
			if s.Direct(d.text) == nil && slices.Contains(s.After, version) {
				return d, true
			}
		}
	}
	return directive{}, false
}

// backfillScript returns the up script of a backfill. What is wrong with its directives is a
// problem of the folder; a script without a statement, or with one that can't be in a backfill,
// can't run.
func (f *folder) backfillScript(file *file) *migration.Script {
	s := file.whole
	for i := range file.parts {
		p := &file.parts[i]
		f.misspellings(file, p.misspelt)
		for _, d := range p.directives {
			switch {
			case strings.EqualFold(d.text, migration.UnfinishedWord):
				s.Problem = isUnfinished(file, d)
			case d.body && !strings.EqualFold(d.text, migration.SkipOnScratch):
				f.at(file.path, d.line, d.column, "directives must come before the first statement; move %q up", "-- whimbrel: "+d.text)
			}
		}
	}
	f.wrapAll(file, s.ParseBackfill(f.opts.Dialect))
	switch {
	case s.Problem != nil:
	case file.empty():
		s.Problem = &Error{File: file.path, Msg: "the backfill has no statement; write one that changes the rows from :first to :last"}
	case f.opts.Dialect != 0:
		s.Problem = f.bodyProblem(file, s)
	}
	return s
}

// bodyProblem returns the problems of the statements, nil for none.
func (f *folder) bodyProblem(file *file, s *migration.Script) error {
	_, err := s.Body(f.opts.Dialect)
	var p problems
	p.wrapAll(file, err)
	switch len(p.all) {
	case 0:
		return nil
	case 1:
		return p.all[0]
	}
	return p.err()
}

// wrapAll adds the errors that an error joins.
func (p *problems) wrapAll(file *file, err error) {
	switch e := err.(type) {
	case nil:
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			p.wrapAll(file, err)
		}
	default:
		p.wrap(file.path, err)
	}
}

// refuseBackfills reports files that are named like backfills in a folder of another tool, whose
// format has nothing of the kind.
func (f *folder) refuseBackfills() {
	for _, e := range f.entries {
		if isBackfill(e.Name()) && !e.IsDir() {
			f.add(f.path(e.Name()), "only a folder of the native format has backfills, and this one is read as one of %s; convert the folder, or move this file to a set of its own", f.format)
		}
	}
}

// backfillFiles returns the files of a new backfill.
func backfillFiles(version, name, table string) []File {
	base := version + "_" + name
	return []File{
		{Name: base + backfillSuffix, Content: fmt.Sprintf(backfillText, name, table)},
		{Name: base + ".down.sql", Content: "-- Takes back " + name + ". If nothing has to be taken back, write the directive \"whimbrel: empty\" in\n-- a comment of its own.\n\n"},
	}
}

// backfillText is the script of a new backfill. Its example has the most usual form.
const backfillText = `-- %[1]s
--
-- whimbrel: unfinished
-- whimbrel: backfill %[2]s
-- whimbrel: check SELECT count(*) FROM %[2]s WHERE new_column IS NULL
--
-- The statement runs for one batch of rows after the other, each in a transaction of its own.
-- :first and :last are the primary keys of the first and the last row of the batch. The check counts
-- the rows that still have to be changed. It must be 0 at the end.

UPDATE %[2]s
SET new_column = lower(old_column)
WHERE id BETWEEN :first AND :last
  AND new_column IS NULL;
`
