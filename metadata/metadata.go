// Package metadata represents facts about the objects of a database as values: the purpose, owner
// and contents of tables, columns, views, functions, types and schemas. The database itself stores
// them. A [Document] is what people write; package metayaml reads and writes it as YAML. A [State]
// is what the database has: the stored entries and the existing objects. From the two, this package
// derives what to write; drivers write it.
//
// # Examples
//
//   - Plan what to write: [State.Apply]
//   - Report what is wrong with a document: [Errors]
//   - Require facts: [State.Check]
//   - Find entries whose objects are missing or replaced: [State.Inconsistent]
package metadata

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Facts are what is recorded about an object.
type Facts struct {
	// Description is mirrored as the object's comment if the database supports comments.
	Description string `json:"description,omitempty"`
	Owner       string `json:"owner,omitempty"`
	// Tags are words such as "pii", in the order written.
	Tags  []string `json:"tags,omitempty"`
	Links []Link   `json:"links,omitempty"`
	// Keys are custom names and values, which Whimbrel doesn't interpret. A value is a string, a
	// bool, a json.Number, nil, a []any or a map[string]any of these.
	Keys map[string]any `json:"keys,omitempty"`
}

// Link is an address related to the object. Either all links of an object have names or none.
type Link struct {
	Name string `json:"name,omitempty"`
	URL  string `json:"url"`
}

// Entry is an object's name and its facts.
type Entry struct {
	Name Name
	Facts
	// Pos is the entry's place in its file, for errors.
	Pos Position
}

// Position is a place in a file. Line and Column count from 1; 0 means unknown.
type Position struct {
	File         string
	Line, Column int
}

// Document is a list of entries, ordered by name, with one entry for each name.
type Document struct {
	entries []Entry
	blank   []Entry // entries without facts: their objects must exist, too
}

// NewDocument returns a document of the given entries, in any order. An entry without facts only
// states that its object exists. Two entries of one name are an *Error.
func NewDocument(entries ...Entry) (*Document, error) {
	all := slices.Clone(entries)
	order.StableBy(all, func(a, b Entry) int { return a.Name.compare(b.Name) })
	d := &Document{}
	for i, e := range all {
		if i > 0 && e.Name == all[i-1].Name {
			return nil, &Error{Position: e.Pos, Msg: e.Name.words() + " appears twice"}
		}
		if e.IsZero() {
			d.blank = append(d.blank, e)
		} else {
			d.entries = append(d.entries, e)
		}
	}
	return d, nil
}

// Entries returns the entries with facts, ordered by name: schemas, tables, views, functions,
// types. Columns follow their table or view.
func (d *Document) Entries() []Entry { return slices.Clone(d.orEmpty().entries) }

// Len returns the number of entries with facts.
func (d *Document) Len() int { return len(d.orEmpty().entries) }

// orEmpty returns an empty Document for a nil one.
func (d *Document) orEmpty() *Document {
	if d == nil {
		return &Document{}
	}
	return d
}

// IsZero reports whether there are no facts.
func (f *Facts) IsZero() bool {
	return f.Description == "" && f.Owner == "" && len(f.Tags) == 0 && len(f.Links) == 0 && len(f.Keys) == 0
}

// Error is one problem of a document, with its place.
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

// Errors lists all problems of a document, ordered by place. It is never empty.
type Errors []*Error

// maxShown is how many problems a message lists.
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

// err sorts the problems by place, and returns nil if there are none.
func (e Errors) err() error {
	if len(e) == 0 {
		return nil
	}
	order.StableBy(e, func(a, b *Error) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return e
}
