package metadata

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/spelling"
)

// State is what a database says at one moment.
type State struct {
	// Entries are those that the database keeps.
	Entries []Stored
	// Objects are those that it has, in any order, but for its own, Whimbrel's and those of
	// extensions.
	Objects []Object
	// Path are the schemas in which a name without a schema is looked for, the first one first.
	Path []string
	// Comments says that objects have comments.
	Comments bool
}

// Stored is an entry as the database keeps it.
type Stored struct {
	Name Name
	Facts
	// ID is the ID of the object that the entry was made for; "" where it is not known.
	ID string
}

// Object is an object of the database.
type Object struct {
	Name Name
	// ID stays the object's when it gets another name, and is no other's; "" where the database
	// has no such thing.
	ID      string
	Comment string
}

// Change is what is to be written: all entries that there are to be, and the comments that are
// to be other than they are.
type Change struct {
	Entries  []Stored
	Comments []Comment
}

// Comment is the comment of an object; "" for none.
type Comment struct {
	Name Name
	ID   string // of the object
	Text string
}

// Document returns the entries as a document.
func (s *State) Document() *Document { return documentOf(s.Entries) }

// Document returns the entries that there are to be.
func (c *Change) Document() *Document { return documentOf(c.Entries) }

func documentOf(all []Stored) *Document {
	d := &Document{}
	for _, e := range all {
		d.entries = append(d.entries, Entry{Name: e.Name, Facts: e.Facts})
	}
	slices.SortFunc(d.entries, func(a, b Entry) int { return a.Name.compare(b.Name) })
	return d
}

// Has reports that the change would change nothing.
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

// index finds objects.
type index struct {
	*State
	byName map[Name]*Object
	byID   map[string]*Object
	// relations are tables and views, and their columns, by name without their kind.
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

// resolve finds the object that a name in a document means.
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

// unknown says why a name means nothing, and guesses what was meant.
func (x *index) unknown(n Name, guess bool) string {
	msg := fmt.Sprintf("there is no %s %s in the database", n.Kind.Type(), n)
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
	if !guess { // to look at all objects for each of thousands takes long
		return msg
	}
	if near := x.near(n); near != "" {
		msg += "; did you mean " + near + "?"
	}
	return msg
}

// near finds the name of an object of the kind that differs in case, in its schema or in its
// arguments alone; or, of the columns of one table, the one that is closest.
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

// alike reports whether one word is a slip of the pen away from another.
func alike(a, b string) bool {
	d := len(a) - len(b)
	return d >= -2 && d <= 2 && spelling.Distance(a, b) <= 2
}

// EncodeFacts returns facts as a database keeps them: JSON, the same for the same facts.
func EncodeFacts(f Facts) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// DecodeFacts reads what EncodeFacts returned.
func DecodeFacts(text string) (f Facts, err error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&f)
	return f, err
}

// equal reports that two facts are the same.
func (f *Facts) equal(g *Facts) bool {
	a, aerr := EncodeFacts(*f)
	b, berr := EncodeFacts(*g)
	return aerr == nil && berr == nil && a == b
}

// keyNames returns the names of the free keys, sorted.
func (f *Facts) keyNames() []string { return slices.Sorted(maps.Keys(f.Keys)) }
