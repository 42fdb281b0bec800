package source

import (
	"errors"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// ReadScript reads a script that is not in a folder, such as one that a program has made. It reads
// Whimbrel's directives, and what Hasura reads in a file. file is its name in messages.
//
// The errors are those of [Read]. A script without a statement does nothing.
func ReadScript(file string, text []byte, d sqltext.Dialect) (*migration.Script, error) {
	set, err := Read(fstest.MapFS{"0/up.sql": {Data: text}}, Options{Format: Hasura, Dialect: d})
	var folder *FolderError
	if errors.As(err, &folder) {
		for _, p := range folder.Problems {
			p.File = file
		}
	}
	if err != nil {
		return nil, err
	}
	m, _ := set.Get(0)
	s := m.Up
	s.File = file
	var unfinished *Error
	if errors.As(s.Problem, &unfinished) {
		unfinished.File = file
	}
	if len(s.Replaces) > 0 {
		return nil, &Error{File: file, Msg: "only a script in a folder can replace migrations; remove the directive"}
	}
	return s, nil
}
