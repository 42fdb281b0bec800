package source

import (
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
			case d.body && !strings.EqualFold(d.text, migration.SkipOnScratch):
				f.at(file.path, d.line, d.column, "directives must come before the first statement; move %q up", "-- whimbrel: "+d.text)
			case !d.body && strings.EqualFold(d.text, migration.UnfinishedWord):
				s.Problem = isUnfinished(file, d)
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
		if strings.HasSuffix(strings.ToLower(e.Name()), backfillSuffix) && !e.IsDir() {
			f.add(f.path(e.Name()), "only a folder of the native format has backfills, and this one is read as one of %s; convert the folder, or move this file to a set of its own", f.format)
		}
	}
}
