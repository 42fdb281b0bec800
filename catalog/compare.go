package catalog

import (
	"cmp"
	"slices"
	"strings"
)

// What a Change says of an object.
const (
	Added   = "added"   // only the second snapshot has it
	Removed = "removed" // only the first snapshot has it
	Changed = "changed" // both have it, but not alike
)

// Change is one difference between two snapshots.
type Change struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`   // as FullName gives it
	Change string `json:"change"` // Added, Removed or Changed
	// Detail is the attribute that changed, Expected and Found its values in the first and in
	// the second snapshot; "" where there is none. Of an object that only one of them has they are its
	// definition: the statements that make it, or the attributes of what has no statement of its own.
	Detail   string `json:"detail,omitempty"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	// Order says that the columns are the same, but in another order.
	Order bool `json:"order,omitempty"`
}

// String returns "table public.t added" or "column public.t.c: default 1 → 2".
func (c Change) String() string {
	s := string(c.Kind) + " " + c.Name
	if c.Change != Changed {
		return s + " " + c.Change
	}
	return s + ": " + c.Detail + " " + cmp.Or(c.Expected, "none") + " → " + cmp.Or(c.Found, "none")
}

// Compare returns what is different in the second snapshot, in the order of the objects. With
// a table that was added or removed go its columns, indexes and whatever else belongs to it;
// they are not told.
func Compare(from, to *Snapshot) []Change {
	c := comparison{from: index(from), to: index(to)}
	for i := range from.Objects {
		o := &from.Objects[i]
		if other := c.to.objects[o.ID()]; other != nil {
			c.attrs(o, other)
		} else if !c.to.gone(o) {
			c.add(o, Change{Change: Removed, Expected: o.definition()})
		}
		if o.Kind.relation() {
			c.order(o)
		}
	}
	for i := range to.Objects {
		o := &to.Objects[i]
		if c.from.objects[o.ID()] == nil && !c.from.gone(o) {
			c.add(o, Change{Change: Added, Found: o.definition()})
		}
	}
	return c.changes
}

type comparison struct {
	from, to snapshotIndex
	changes  []Change
}

type snapshotIndex struct {
	objects   map[string]*Object
	relations map[string]bool     // by schema and name
	columns   map[string][]string // of each relation, in order
}

func index(s *Snapshot) snapshotIndex {
	x := snapshotIndex{make(map[string]*Object, len(s.Objects)), map[string]bool{}, map[string][]string{}}
	for i := range s.Objects {
		o := &s.Objects[i]
		x.objects[o.ID()] = o
		if o.Kind.relation() {
			x.relations[quoteIfNeeded(o.Schema)+"."+quoteIfNeeded(o.Name)] = true
		}
		if o.Kind == Column {
			x.columns[o.owner()] = append(x.columns[o.owner()], o.Name)
		}
	}
	return x
}

// gone says that what an object belongs to isn't there, so that the object need not be told.
func (x *snapshotIndex) gone(o *Object) bool { return o.Of != "" && !x.relations[o.owner()] }

func (c *comparison) add(o *Object, ch Change) {
	ch.Kind, ch.Name = o.Kind, o.FullName()
	c.changes = append(c.changes, ch)
}

// attrs tells the attributes that differ: in the order that the first has them in, then those that
// only the second has.
func (c *comparison) attrs(a, b *Object) {
	if slices.Equal(a.Attrs, b.Attrs) {
		return
	}
	for _, attr := range a.Attrs {
		if found := b.Attr(attr.Name); found != attr.Value {
			c.add(a, Change{Change: Changed, Detail: attr.Name, Expected: attr.Value, Found: found})
		}
	}
	for _, attr := range b.Attrs {
		if a.Attr(attr.Name) == "" {
			c.add(a, Change{Change: Changed, Detail: attr.Name, Found: attr.Value})
		}
	}
}

// definition is what makes the object.
func (o *Object) definition() string {
	if len(o.SQL) > 0 {
		return strings.Join(o.SQL, ";\n")
	}
	words := make([]string, len(o.Attrs))
	for i, a := range o.Attrs {
		words[i] = strings.TrimSpace(a.Name + " " + a.Value)
	}
	return strings.Join(words, ", ")
}

// order tells that the columns that both have are in another order.
func (c *comparison) order(o *Object) {
	owner := quoteIfNeeded(o.Schema) + "." + quoteIfNeeded(o.Name)
	mine, theirs := c.from.columns[owner], c.to.columns[owner]
	if slices.Equal(mine, theirs) {
		return
	}
	mine, theirs = common(mine, theirs), common(theirs, mine)
	if !slices.Equal(mine, theirs) {
		c.add(o, Change{
			Change: Changed, Detail: "order of columns", Order: true,
			Expected: strings.Join(quoteAll(mine), ", "), Found: strings.Join(quoteAll(theirs), ", "),
		})
	}
}

// common returns those of names that are also in others.
func common(names, others []string) []string {
	in := make(map[string]bool, len(others))
	for _, n := range others {
		in[n] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !in[n] })
}

func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteIfNeeded(n)
	}
	return quoted
}
