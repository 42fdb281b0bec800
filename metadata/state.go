package metadata

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/internal/spelling"
)

// State is the metadata and the objects of a database at one moment.
type State struct {
	// Entries are the stored ones.
	Entries []Stored
	// Objects are the existing ones, in any order, without those of the server, of Whimbrel and of
	// extensions.
	Objects []Object
	// Path lists the schemas that unqualified names are resolved in, in order.
	Path []string
	// Comments reports whether the database supports comments.
	Comments bool
}

// Stored is an entry as the database stores it.
type Stored struct {
	Name Name
	Facts
	// ID is the ID of the object that the entry was made for, or "" if unknown.
	ID string
}

// Object is an object of the database.
type Object struct {
	Name Name
	// ID survives renaming and is never reused; "" if the database has no such ID.
	ID      string
	Comment string
}

// Change is what to write: the complete new list of entries, and the comments to change.
type Change struct {
	Entries  []Stored
	Comments []Comment
}

// Comment is the new comment of an object; "" removes it.
type Comment struct {
	Name Name
	ID   string // the object's
	Text string
}

// Document returns the stored entries as a document.
func (s *State) Document() *Document { return documentOf(s.Entries) }

// Document returns the new entries as a document.
func (c *Change) Document() *Document { return documentOf(c.Entries) }

func documentOf(all []Stored) *Document {
	d := &Document{}
	for _, e := range all {
		d.entries = append(d.entries, Entry{Name: e.Name, Facts: e.Facts})
	}
	order.By(d.entries, func(a, b Entry) int { return a.Name.compare(b.Name) })
	return d
}

// Has reports whether applying the change would change nothing.
func (s *State) Has(c *Change) bool {
	if len(c.Comments) > 0 || len(c.Entries) != len(s.Entries) {
		return false
	}
	have := map[Name]*Stored{}
	for i := range s.Entries {
		have[s.Entries[i].Name] = &s.Entries[i]
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		if h := have[e.Name]; h == nil || h.ID != e.ID || !h.Facts.equal(&e.Facts) {
			return false
		}
	}
	return true
}

// index looks up objects.
type index struct {
	*State
	byName map[Name]*Object
	byID   map[string]*Object
	// relations holds tables, views and their columns by name without kind.
	relations map[Name]*Object
}

func (s *State) index() *index {
	x := &index{State: s, byName: map[Name]*Object{}, byID: map[string]*Object{}, relations: map[Name]*Object{}}
	for i := range s.Objects {
		o := &s.Objects[i]
		x.byName[o.Name] = o
		if o.ID != "" {
			x.byID[o.ID] = o
		}
		if o.Name.Kind.of().Columns() != "" {
			x.relations[kindless(o.Name)] = o
		}
	}
	return x
}

func kindless(n Name) Name {
	n.Kind = ""
	return n
}

// resolve returns the object that a name in a document refers to, or nil.
func (x *index) resolve(n Name) *Object {
	if o := x.byName[n]; o != nil || n.Schema != "" || n.Kind == Schema {
		return o
	}
	for _, schema := range x.Path {
		n.Schema = schema
		if o := x.byName[n]; o != nil {
			return o
		}
	}
	return nil
}

// unknown explains why a name refers to nothing, and if guess is set suggests another.
func (x *index) unknown(n Name, guess bool) string {
	msg := fmt.Sprintf("the database has no %s %s", n.Kind.Type(), n)
	other := x.relations[kindless(n)]
	for _, schema := range x.Path {
		if n.Schema == "" && other == nil && n.Kind != Schema {
			in := n
			in.Schema = schema
			other = x.relations[kindless(in)]
		}
	}
	if other != nil && other.Name.Kind != n.Kind {
		is := other.Name.Kind.of()
		return fmt.Sprintf("%s is a %s, not a %s: write it under %ss", other.Name.table(), is, n.Kind.of(), is)
	}
	for _, e := range x.Entries {
		in := e.Name
		if n.Schema == "" && slices.Contains(x.Path, in.Schema) {
			in.Schema = ""
		}
		if moved := x.byID[e.ID]; moved != nil && in == n {
			return msg + fmt.Sprintf("; it was renamed to %s", moved.Name)
		}
	}
	if !guess { // comparing all objects for each of thousands of names is slow
		return msg
	}
	if near := x.near(n); near != "" {
		msg += "; did you mean " + near + "?"
	}
	return msg
}

// near returns similar names of the same kind: names that differ only in case, in the schema or in
// the arguments, and close misspellings in the same schema or table.
func (x *index) near(n Name) string {
	var found []string
	if table := x.resolve(n.table()); table != nil && n.Kind.IsColumn() {
		n.Schema = table.Name.Schema
	}
	for name := range x.byName {
		same := func(a, b string) bool { return strings.EqualFold(a, b) }
		switch {
		case name.Kind != n.Kind:
		case same(name.Object, n.Object) && same(name.Column, n.Column),
			name.Column != "" && name.table() == n.table() && alike(name.Column, n.Column),
			name.Column == "" && (name.Schema == n.Schema || n.Schema == "" && slices.Contains(x.Path, name.Schema)) && name.Args == n.Args && alike(name.Object, n.Object):
			found = append(found, name.String())
		}
	}
	if len(found) == 0 || len(found) > 3 {
		return ""
	}
	slices.Sort(found)
	return strings.Join(found, " or ")
}

// alike reports whether two words differ by at most two typing errors.
func alike(a, b string) bool {
	d := len(a) - len(b)
	return d >= -2 && d <= 2 && spelling.Distance(a, b) <= 2
}

// EncodeFacts returns facts as a database stores them: JSON, identical for equal facts.
func EncodeFacts(f Facts) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// DecodeFacts reads the result of EncodeFacts.
func DecodeFacts(text string) (f Facts, err error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&f)
	return f, err
}

// equal reports whether two sets of facts are the same.
func (f *Facts) equal(g *Facts) bool {
	a, aerr := EncodeFacts(*f)
	b, berr := EncodeFacts(*g)
	return aerr == nil && berr == nil && a == b
}

// keyNames returns the names of the custom keys, sorted.
func (f *Facts) keyNames() []string { return slices.Sorted(maps.Keys(f.Keys)) }
