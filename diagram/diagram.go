// Package diagram draws the tables of a schema and their keys: as Mermaid text, as a Graphviz
// graph, or as an SVG picture. It needs no program and no network to do so.
//
//	snapshot, err := database.Snapshot(ctx, db, catalog.Options{})
//	…
//	picture := diagram.New(snapshot, nil).SVG()
//
// Equal schemas with equal metadata have equal diagrams. All names and comments are data: they are
// escaped, and control characters and characters that change the writing direction are shown as
// escapes such as <U+202E>.
package diagram

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/plaintext"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// Diagram is the tables of a schema and the foreign keys between them.
type Diagram struct {
	// Tables are ordered by schema and name.
	Tables []Table
	// Relations are ordered by the tables that have the foreign keys.
	Relations []Relation
}

// Table is a table with its columns.
type Table struct {
	Schema, Name string
	// Label is the name as shown: with the schema if the tables are in several schemas.
	Label   string
	Comment string
	Owner   string
	Tags    []string
	Columns []Column
	// Uniques are the unique keys of several columns.
	Uniques [][]string
	// Partitions is the number of partitions, which the diagram leaves out.
	Partitions int
}

// Column is a column of a table.
type Column struct {
	Name, Type string
	Comment    string
	Owner      string
	Tags       []string
	NotNull    bool
	// Primary and Foreign report that the column is part of such a key, Unique that its values are
	// unique without those of other columns.
	Primary, Foreign, Unique bool
}

// Marks returns the keys that the column belongs to: PK, FK, UK.
func (c *Column) Marks() []string {
	var marks []string
	for _, m := range []struct {
		has  bool
		mark string
	}{{c.Primary, "PK"}, {c.Foreign, "FK"}, {c.Unique, "UK"}} {
		if m.has {
			marks = append(marks, m.mark)
		}
	}
	return marks
}

// Relation is a foreign key.
type Relation struct {
	// Name is the constraint's, or "" if it has none.
	Name string
	// From is the index of the table that has the foreign key, To that of the referenced one.
	From, To int
	// FromColumns and ToColumns are names of columns, as many on either side.
	FromColumns, ToColumns []string
	// Optional reports that a row need not refer to another, Single that no two rows refer to the
	// same one.
	Optional, Single bool
}

// New returns the diagram of a snapshot. Comments, owners and tags of doc, which may be nil, take
// precedence over those of the snapshot. Views are left out, and so are the partitions of a table.
func New(s *catalog.Snapshot, doc *metadata.Document) *Diagram {
	r := newReader(s)
	for i := range s.Objects {
		r.object(&s.Objects[i])
	}
	for _, t := range r.tables {
		t.finish()
	}
	d := r.diagram()
	d.describe(doc)
	return d
}

// describe adds metadata.
func (d *Diagram) describe(doc *metadata.Document) {
	type place struct{ schema, table, column string }
	facts := map[place]metadata.Facts{}
	for _, e := range doc.Entries() {
		if k := e.Name.Kind; k == metadata.Table || k == metadata.Table.Columns() {
			facts[place{e.Name.Schema, e.Name.Object, e.Name.Column}] = e.Facts
		}
	}
	for i := range d.Tables {
		t := &d.Tables[i]
		f := facts[place{t.Schema, t.Name, ""}]
		t.Comment, t.Owner, t.Tags = cmp.Or(f.Description, t.Comment), f.Owner, f.Tags
		for n := range t.Columns {
			c := &t.Columns[n]
			f := facts[place{t.Schema, t.Name, c.Name}]
			c.Comment, c.Owner, c.Tags = cmp.Or(f.Description, c.Comment), f.Owner, f.Tags
		}
	}
}

// label sets the label of each table.
func (d *Diagram) label() {
	several := slices.ContainsFunc(d.Tables, func(t Table) bool { return t.Schema != d.Tables[0].Schema })
	for i := range d.Tables {
		t := &d.Tables[i]
		if t.Label = t.Name; several && t.Schema != "" {
			t.Label = t.Schema + "." + t.Name
		}
	}
}

// column returns the column with a name, or nil.
func (t *Table) column(name string) *Column {
	if i := t.index(name); i >= 0 {
		return &t.Columns[i]
	}
	return nil
}

// index returns the index of a column, or -1. SQLite ignores the case of names.
func (t *Table) index(name string) int {
	if i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name }); i >= 0 {
		return i
	}
	return slices.IndexFunc(t.Columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
}

// words describes the relation: "orders (customer) refers to customers (id)".
func (d *Diagram) words(r *Relation) string {
	return plaintext.Line(d.Tables[r.From].Label + " (" + strings.Join(r.FromColumns, ", ") + ") refers to " +
		d.Tables[r.To].Label + " (" + strings.Join(r.ToColumns, ", ") + ")")
}
