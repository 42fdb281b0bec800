// Package catalog describes the schema of a database as a value, a [Snapshot] without rows. Drivers
// create snapshots; see the function Snapshot of package database.
//
// A Snapshot can be written as SQL that rebuilds the schema ([Snapshot.Text]), stored as JSON
// ([Snapshot.Encode], [Decode]), identified by a hash ([Snapshot.Fingerprint]), and compared object
// by object ([Compare]).
//
// # Examples
//
//   - Compare two databases, or one at two moments: [Compare]
//   - Write the schema as SQL that rebuilds it: [Snapshot.Text]
//   - Keep a snapshot in a file: [Decode]
//   - Look up an object: [Snapshot.Find]
package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// Snapshot is the schema of one database at one moment.
type Snapshot struct {
	// Dialect is the SQL dialect as sqltext names it: "PostgreSQL".
	Dialect string `json:"dialect"`
	// Server is the version of the server or library. It is not compared.
	Server string `json:"server,omitempty"`
	// Preamble holds the statements to execute before all others.
	Preamble []string `json:"preamble,omitempty"`
	// Omitted names objects that a snapshot cannot represent: "user mapping alice on server far".
	// It is not compared; Text lists it in its header.
	Omitted []string `json:"omitted,omitempty"`
	// Objects are in creation order: each follows the objects it needs. The parts of an object (the
	// columns of a table) follow it directly.
	Objects []Object `json:"objects"`
}

// Object is a named database object. Kind, Schema, Of, Name and Signature identify it.
type Object struct {
	Kind   Kind   `json:"kind"`
	Schema string `json:"schema,omitempty"` // "" for objects outside schemas
	// Of is the table, view or type that the object belongs to and is dropped with.
	Of   string `json:"of,omitempty"`
	Name string `json:"name"`
	// Signature distinguishes routines of one name: "(integer, text)".
	Signature string `json:"signature,omitempty"`

	// Part reports that the statements of the owner (Of) create the object, such as a column. Any
	// statements of its own follow those of the owner.
	Part bool `json:"part,omitempty"`
	// Attrs are the only properties compared. An attribute with its default value is left out.
	Attrs []Attr `json:"attrs,omitempty"`
	// SQL holds the statements that create the object, without semicolons.
	SQL []string `json:"sql,omitempty"`
	// Late holds statements to execute after the SQL of all objects: privileges, statements that
	// would otherwise be circular, and statements that affect later ones.
	Late []string `json:"late,omitempty"`
	// Needs holds the IDs of the objects to create first, besides the schema.
	Needs []string `json:"needs,omitempty"`
}

// Attr is a property of an object. Names are readable: "default", "not null", "grant to alice".
type Attr struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Options select what a snapshot contains.
type Options struct {
	// Schemas limits the snapshot to these schemas and the extensions installed in them; objects
	// outside schemas are then left out. Nil means the whole database except the server's own
	// schemas.
	Schemas []string
	// NoGrants leaves out granted privileges and default privileges.
	NoGrants bool
}

// Attr returns the value of an attribute, or "" if the object doesn't have it.
func (o *Object) Attr(name string) string {
	for _, a := range o.Attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// Set adds an attribute, unless its value is "".
func (o *Object) Set(name, value string) {
	if value != "" {
		o.Attrs = append(o.Attrs, Attr{name, value})
	}
}

// ID returns the object's identity in readable form: "column public.t.c".
func (o *Object) ID() string { return string(o.Kind) + " " + o.FullName() }

// FullName returns the object's name, qualified by its schema and owner.
func (o *Object) FullName() string {
	var b strings.Builder
	for _, name := range []string{o.Schema, o.Of} {
		if name != "" {
			b.WriteString(quoteIfNeeded(name))
			b.WriteByte('.')
		}
	}
	if o.Name != "" {
		b.WriteString(quoteIfNeeded(o.Name))
	}
	b.WriteString(o.Signature)
	return b.String()
}

// owner returns the qualified name of the object's owner, or "" if it has none.
func (o *Object) owner() string {
	if o.Of == "" {
		return ""
	}
	return quoteIfNeeded(o.Schema) + "." + quoteIfNeeded(o.Of)
}

// Find returns the object with the given ID, or nil.
func (s *Snapshot) Find(id string) *Object {
	i := slices.IndexFunc(s.Objects, func(o Object) bool { return o.ID() == id })
	if i < 0 {
		return nil
	}
	return &s.Objects[i]
}

// quoteIfNeeded quotes a name that isn't a plain lower-case identifier.
func quoteIfNeeded(name string) string {
	plain := name != ""
	for i, r := range name {
		if !(r == '_' || 'a' <= r && r <= 'z' || r > 127 || i > 0 && ('0' <= r && r <= '9' || r == '$')) {
			plain = false
		}
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Count returns the number of objects, not counting parts.
func (s *Snapshot) Count() (n int) {
	for i := range s.Objects {
		if !s.Objects[i].Part {
			n++
		}
	}
	return n
}

// String returns the dialect and the number of objects.
func (s *Snapshot) String() string { return fmt.Sprintf("%s, %d objects", s.Dialect, s.Count()) }
