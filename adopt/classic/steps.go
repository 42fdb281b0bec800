package classic

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

type action uint8

const (
	run action = iota
	insert
	remove
)

// item is what one call has queued: a script or a document to run, or a version to record.
type item struct {
	action   action
	version  int64
	script   *migration.Script
	meta     bool // script is a request of a file of type meta
	document *metadata.Document
}

// step is what the queue does with one version, or a script without one.
type step struct {
	// direction is Up or Down with a script, Mark or Forget without one; Query for a script and
	// Metadata for documents that belong to no version.
	direction database.Direction
	version   int64
	script    *migration.Script
	documents []*metadata.Document
}

// removes reports whether the step records its version as not applied.
func (s step) removes() bool {
	return s.direction == database.Down || s.direction == database.Forget
}

// steps joins the scripts of the queue with their versions.
func steps(queue []item) ([]step, error) {
	var all []step
	var scripts []*migration.Script
	var documents []*metadata.Document
	meta := true // nothing but files of type meta since the last version
	for _, i := range queue {
		switch {
		case i.script != nil:
			if meta && !i.meta && follow(&all, scripts, documents) {
				scripts, documents = nil, nil
			}
			meta = meta && i.meta
			scripts = append(scripts, i.script)
			continue
		case i.document != nil:
			documents = append(documents, i.document)
			continue
		}
		script, err := joined(scripts)
		if err != nil {
			return nil, err
		}
		s := step{direction: directionOf(i.action, script != nil), version: i.version, script: script, documents: documents}
		all = append(removedOnce(all, &s), s)
		scripts, documents, meta = nil, nil, true
	}
	if meta && follow(&all, scripts, documents) {
		return all, nil
	}
	all = loose(all, scripts)
	if len(documents) > 0 {
		all = append(all, step{direction: database.Metadata, version: NilVersion, documents: documents})
	}
	return all, nil
}

// follow adds what files of type meta contain after the script of their version: the documents
// belong to its step. It reports whether the last step is one with a script.
func follow(all *[]step, scripts []*migration.Script, documents []*metadata.Document) bool {
	if len(*all) == 0 || (*all)[len(*all)-1].direction != database.Up {
		return false
	}
	last := &(*all)[len(*all)-1]
	last.documents = append(last.documents, documents...)
	*all = loose(*all, scripts)
	return true
}

// loose adds scripts that belong to no version.
func loose(all []step, scripts []*migration.Script) []step {
	for _, s := range scripts {
		all = append(all, step{direction: database.Query, version: NilVersion, script: s})
	}
	return all
}

func directionOf(a action, hasScript bool) database.Direction {
	switch {
	case a == insert && hasScript:
		return database.Up
	case a == insert:
		return database.Mark
	case hasScript:
		return database.Down
	}
	return database.Forget
}

// removedOnce joins two removals of one version, of which at most one has a script, and returns the
// steps before them: a program removes a version after its metadata and again after its script.
func removedOnce(all []step, s *step) []step {
	if len(all) == 0 {
		return all
	}
	before := all[len(all)-1]
	if !s.removes() || !before.removes() || before.version != s.version || before.script != nil && s.script != nil {
		return all
	}
	if s.script == nil {
		s.script, s.direction = before.script, before.direction
	}
	s.documents = append(before.documents, s.documents...)
	return all[:len(all)-1]
}

// and is between the names of joined files.
const and = " + "

// joined returns one script with the texts of several; nil for none.
func joined(scripts []*migration.Script) (*migration.Script, error) {
	switch len(scripts) {
	case 0:
		return nil, nil
	case 1:
		return scripts[0], nil
	}
	var files, texts []string
	for _, s := range scripts {
		if s.Directives != scripts[0].Directives {
			return nil, fmt.Errorf("%s and %s have different directives; record a version for each", scripts[0].File, s.File)
		}
		text, _, err := s.Text(allText)
		if err != nil {
			return nil, err
		}
		files, texts = append(files, s.File), append(texts, text)
	}
	// A text may end in a comment, and without a semicolon.
	s := migration.Text(strings.Join(slices.Compact(files), and), strings.Join(texts, "\n;\n"))
	s.Directives = scripts[0].Directives
	return s, nil
}

// nameOf returns the name of a step's migration, from the name of its file: "users" for
// 0001_users.up.sql and for 0001_users/up.sql.
func nameOf(s step) string {
	switch {
	case s.direction == database.Metadata:
		return "apply"
	case s.script == nil:
		return ""
	}
	file, _, _ := strings.Cut(strings.ReplaceAll(s.script.File, `\`, "/"), and)
	name, _, _ := strings.Cut(path.Base(file), ".")
	if name == "up" || name == "down" {
		name = path.Base(path.Dir(file))
	}
	return strings.TrimLeft(strings.TrimLeft(name, "0123456789"), "_-.")
}
