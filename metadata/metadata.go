// Package metadata has facts about the objects of a database as a value: what a table, a
// column, a view, a function, a type or a schema is for, whose it is, what is in it. They are
// kept in the database itself. A [Document] is what people write; package metayaml reads it
// from YAML and writes it. A [State] is what a database says: the entries that it keeps, and
// the objects that it has. The functions of the package decide, from the two, what is to be
// written; drivers do it.
//
// # Examples
//
//   - Plan what to write: [State.Apply]
//   - Report what is wrong with a document: [Errors]
//   - Require facts: [State.Check]
//   - Find entries whose objects are missing or replaced: [State.Inconsistent]
package metadata

import (
	"fmt"
	"slices"
	"strings"
)

// Facts are what is known of an object.
type Facts struct {
	// Description is mirrored as the object's comment, where the database has comments.
	Description string `json:"description,omitempty"`
	Owner       string `json:"owner,omitempty"`
	// Tags are words such as "pii", in the order in which they were written.
	Tags  []string `json:"tags,omitempty"`
	Links []Link   `json:"links,omitempty"`
	// Keys are free: names and values that mean nothing to Whimbrel. A value is a string, a
	// bool, a json.Number, nil, a []any or a map[string]any of these.
	Keys map[string]any `json:"keys,omitempty"`
}

// Link leads to something about the object. Either all links of an object have names, or none.
type Link struct {
	Name string `json:"name,omitempty"`
	URL  string `json:"url"`
}

// Entry is an object's name and its facts.
type Entry struct {
	Name Name
	Facts
	// Pos is where the entry stands in its file, for errors.
	Pos Position
}

// Position is a place in a file. Line and Column count from 1; 0 where no place is known.
type Position struct {
	File         string
	Line, Column int
}

// Document is a list of entries, ordered by name, with one entry for each name.
type Document struct {
	entries []Entry
	blank   []Entry // without facts: their objects must exist like the others'
}

// NewDocument returns the document of the given entries, in any order. Those without any fact only
// say that there is such an object. Two entries with one name are an *Error.
func NewDocument(entries ...Entry) (*Document, error) {
	all := slices.Clone(entries)
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Name.compare(b.Name) })
	d := &Document{}
	for i, e := range all {
		if i > 0 && e.Name == all[i-1].Name {
			return nil, &Error{Position: e.Pos, Msg: e.Name.words() + " is there twice"}
		}
		if e.IsZero() {
			d.blank = append(d.blank, e)
		} else {
			d.entries = append(d.entries, e)
		}
	}
	return d, nil
}

// Entries returns the entries with facts, ordered by name: schemas, tables, views, functions, types, each
// table and view followed by its columns.
func (d *Document) Entries() []Entry { return slices.Clone(d.orEmpty().entries) }

// Len returns the number of entries with facts.
func (d *Document) Len() int { return len(d.orEmpty().entries) }

// orEmpty makes a nil Document one without entries.
func (d *Document) orEmpty() *Document {
	if d == nil {
		return &Document{}
	}
	return d
}

// IsZero reports that there are no facts.
func (f *Facts) IsZero() bool {
	return f.Description == "" && f.Owner == "" && len(f.Tags) == 0 && len(f.Links) == 0 && len(f.Keys) == 0
}

// Error is one thing that is wrong with a document, and where.
type Error struct {
	Position
	Msg string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
}

// Errors is everything that is wrong with a document, in the order of their places. There is
// at least one.
type Errors []*Error

// maxShown is how many problems a message has.
const maxShown = 20

func (e Errors) Error() string {
	var lines []string
	for i, p := range e {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-i))
			break
		}
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, p := range e {
		all[i] = p
	}
	return all
}

// err sorts problems by their places, and returns nil for none.
func (e Errors) err() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return e
}
