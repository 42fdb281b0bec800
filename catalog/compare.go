package catalog

import (
	"cmp"
	"slices"
	"strings"
)

// The values of Change.Change.
const (
	Added   = "added"   // only the second snapshot has it
	Removed = "removed" // only the first snapshot has it
	Changed = "changed" // in both, but different
)

// Change is one difference between two snapshots.
type Change struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`   // as returned by FullName
	Change string `json:"change"` // Added, Removed or Changed
	// Detail is the attribute that changed; Expected and Found are its values in the first and the
	// second snapshot, or "" if it is absent. For an added or removed object, Expected or Found is
	// its definition: the statements that create it, or its attributes if it has no statement of
	// its own.
	Detail   string `json:"detail,omitempty"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	// Order reports that the columns are the same, in another order.
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

// Compare returns the differences of the second snapshot from the first, in object order. An added
// or removed table includes its columns, indexes and other dependents, which are not listed.
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

// gone reports whether the object's owner is absent, so that the object isn't listed itself.
func (x *snapshotIndex) gone(o *Object) bool { return o.Of != "" && !x.relations[o.owner()] }

func (c *comparison) add(o *Object, ch Change) {
	ch.Kind, ch.Name = o.Kind, o.FullName()
	c.changes = append(c.changes, ch)
}

// attrs adds the attributes that differ: in a's order, then those only b has.
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

// definition returns the statements that create the object, or its attributes if it has none.
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

// order adds a change if the columns that both snapshots have are in another order.
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

// common returns the names that are also in others.
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
