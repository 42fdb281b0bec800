// Package catalog has what a database contains, as a value: a [Snapshot] of its schema
// without its rows. Drivers make them; see the function Snapshot of package database.
//
// A Snapshot can be written as SQL that rebuilds it ([Snapshot.Text]), kept as JSON
// ([Snapshot.Encode], [Decode]), told from others by a hash ([Snapshot.Fingerprint]), and
// compared object by object ([Compare]).
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
	// Dialect is the database's, as sqltext names it: "PostgreSQL".
	Dialect string `json:"dialect"`
	// Server is the version of the server, or of the library. It is no part of what is compared.
	Server string `json:"server,omitempty"`
	// Preamble are statements that belong before all others when the text is executed.
	Preamble []string `json:"preamble,omitempty"`
	// Omitted names what the database has and a snapshot cannot hold: "user mapping alice on server
	// far". It is no part of what is compared; the text tells it in its head.
	Omitted []string `json:"omitted,omitempty"`
	// Objects stand in the order in which they can be created: each after what it needs.
	// The parts of an object (the columns of a table) follow it directly.
	Objects []Object `json:"objects"`
}

// Object is one thing in a database that has a name. Kind, Schema, Of, Name and Signature
// together are its identity.
type Object struct {
	Kind   Kind   `json:"kind"`
	Schema string `json:"schema,omitempty"` // "" for what is in no schema
	// Of is the table, view or type that the object belongs to and goes with.
	Of   string `json:"of,omitempty"`
	Name string `json:"name"`
	// Signature tells apart routines of one name: "(integer, text)".
	Signature string `json:"signature,omitempty"`

	// Part says that the object is made by the statements of the one that it is Of, such as a
	// column. Its own statements come after those, if there are any.
	Part bool `json:"part,omitempty"`
	// Attrs are all that is compared. Those that have their usual value are left out.
	Attrs []Attr `json:"attrs,omitempty"`
	// SQL are the statements that make the object, without semicolons.
	SQL []string `json:"sql,omitempty"`
	// Late are statements that come after all of the SQL of all objects: privileges, what would
	// otherwise go in a circle, what has effects on statements that follow.
	Late []string `json:"late,omitempty"`
	// Needs are the IDs of objects that must be there before, besides the schema.
	Needs []string `json:"needs,omitempty"`
}

// Attr is a property of an object. Names are words for people: "default", "not null",
// "grant to alice".
type Attr struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Options say what a snapshot is of.
type Options struct {
	// Schemas are those that are looked at; then nothing is in the snapshot that is in no schema,
	// but for the extensions that were put into one of these. Nil means the whole database without
	// the server's own schemas.
	Schemas []string
	// NoGrants leaves privileges out: those that were granted, and default privileges.
	NoGrants bool
}

// Attr returns the value of an attribute, "" if the object doesn't have it.
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

// ID returns the object's identity, as a person would write it: "column public.t.c".
func (o *Object) ID() string { return string(o.Kind) + " " + o.FullName() }

// FullName returns the object's name with the names of its schema and of what it belongs to.
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

// owner returns the ID-like key of what the object belongs to, "" if it is on its own.
func (o *Object) owner() string {
	if o.Of == "" {
		return ""
	}
	return quoteIfNeeded(o.Schema) + "." + quoteIfNeeded(o.Of)
}

// Find returns the object with an ID, or nil.
func (s *Snapshot) Find(id string) *Object {
	i := slices.IndexFunc(s.Objects, func(o Object) bool { return o.ID() == id })
	if i < 0 {
		return nil
	}
	return &s.Objects[i]
}

// quoteIfNeeded quotes names that would be read otherwise.
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

// Count returns how many objects there are, without those that are parts of others.
func (s *Snapshot) Count() (n int) {
	for i := range s.Objects {
		if !s.Objects[i].Part {
			n++
		}
	}
	return n
}

// String counts the objects.
func (s *Snapshot) String() string { return fmt.Sprintf("%s, %d objects", s.Dialect, s.Count()) }
