package metadata

import (
	"fmt"
	"maps"
	"slices"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Apply returns the change that makes the document the whole of what the database keeps. Its
// descriptions become the objects' comments. A comment that came from the description of an earlier
// entry is removed with that entry, unless it was edited since. All other comments stay. An entry
// whose object doesn't exist is one of the Errors.
func (s *State) Apply(d *Document) (*Change, error) {
	x := s.index()
	entries, err := x.stored(d)
	if err != nil {
		return nil, err
	}
	return x.change(entries, entries), nil
}

// Merge returns the change that adds the document's entries to the stored ones, replacing the entry
// that an object already has.
func (s *State) Merge(d *Document) (*Change, error) {
	x := s.index()
	entries, err := x.stored(d)
	if err != nil {
		return nil, err
	}
	names, ids := map[Name]bool{}, map[string]bool{}
	for _, e := range entries {
		names[e.Name], ids[e.ID] = true, e.ID != ""
	}
	all := slices.Clone(entries)
	for _, e := range s.Entries {
		if !names[e.Name] && !ids[e.ID] {
			all = append(all, e)
		}
	}
	return x.change(all, entries), nil
}

// Known returns the entries of the documents whose objects exist. If two are for one object, the
// later one counts.
func (s *State) Known(all ...*Document) *Document {
	x := s.index()
	known := map[Name]Entry{}
	for _, d := range all {
		for _, e := range d.orEmpty().entries {
			if o := x.resolve(e.Name); o != nil {
				e.Name = o.Name
				known[e.Name] = e
			}
		}
	}
	d, _ := NewDocument(slices.Collect(maps.Values(known))...) // can't fail: names are unique
	return d
}

// Unmerge returns the change that reverts Merge as far as possible: it removes the document's
// entries whose objects are gone. It changes no comments.
func (s *State) Unmerge(d *Document) *Change {
	x := s.index()
	named := map[Name]bool{}
	for _, e := range d.orEmpty().entries {
		named[e.Name] = true
		for _, schema := range s.Path {
			n := e.Name
			n.Schema = schema
			named[n] = e.Name.Schema == "" || named[n]
		}
	}
	return s.without(func(e Stored) bool { return named[e.Name] && x.byName[e.Name] == nil && x.byID[e.ID] == nil })
}

// Reset returns the change that removes all entries. Comments that came from descriptions are
// removed, as in Apply.
func (s *State) Reset() *Change { return s.index().change(nil, nil) }

// DropInconsistent returns the change that removes the entries listed by Inconsistent. It changes
// no comments.
func (s *State) DropInconsistent() *Change {
	x := s.index()
	return s.without(func(e Stored) bool {
		_, bad := x.inconsistency(&e)
		return bad
	})
}

// without returns the change that removes the entries that drop selects.
func (s *State) without(drop func(Stored) bool) *Change {
	return &Change{Entries: slices.DeleteFunc(slices.Clone(s.Entries), drop)}
}

// Reload returns the change that brings the entries up to date with manual changes in the database.
// Comments become descriptions, also for objects without an entry. An object known by its ID takes
// its entry along to its new name, unless another entry has that name. If an object was dropped and
// created again, its entry stays, and its description becomes the comment if there is none. Entries
// whose objects are gone stay.
func (s *State) Reload() *Change {
	x := s.index()
	names := x.settle()
	change, seen := &Change{}, map[Name]bool{}
	keep := func(e Stored) {
		if !e.IsZero() {
			change.Entries = append(change.Entries, e)
		}
	}
	for i, e := range s.Entries {
		seen[names[i]] = true
		o, moved := x.byName[names[i]], x.byID[e.ID]
		if o == nil || moved != nil && moved != o {
			keep(e)
			continue
		}
		again := e.ID != "" && e.ID != o.ID
		e.Name, e.ID = o.Name, o.ID
		switch {
		case !s.Comments:
		case again && o.Comment == "" && e.Description != "":
			change.Comments = append(change.Comments, Comment{o.Name, o.ID, e.Description})
		default:
			e.Description = o.Comment
		}
		keep(e)
	}
	for _, o := range s.Objects {
		if s.Comments && o.Comment != "" && !seen[o.Name] {
			keep(Stored{Name: o.Name, ID: o.ID, Facts: Facts{Description: o.Comment}})
		}
	}
	sortStored(change.Entries)
	return change
}

// settle returns the new name of each entry: that of its object if it is known by its ID and no
// other entry has the name, and its old name otherwise.
func (x *index) settle() []Name {
	names := make([]Name, len(x.Entries))
	for i, e := range x.Entries {
		names[i] = e.Name
		if moved := x.byID[e.ID]; moved != nil {
			names[i] = moved.Name
		}
	}
	for again := true; again; {
		again = false
		count := map[Name]int{}
		for _, n := range names {
			count[n]++
		}
		for i, e := range x.Entries {
			if names[i] != e.Name && count[names[i]] > 1 {
				names[i], again = e.Name, true
			}
		}
	}
	return names
}

// Mirror returns the comments to set on objects of s so that they equal the comments that came from
// the descriptions of other's entries.
func (s *State) Mirror(other *State) []Comment {
	var comments []Comment
	here, there := s.index(), other.index()
	for _, e := range other.Entries {
		o, p := there.byName[e.Name], here.byName[e.Name]
		if o != nil && p != nil && e.Description != "" && o.Comment == e.Description && p.Comment != o.Comment {
			comments = append(comments, Comment{p.Name, p.ID, o.Comment})
		}
	}
	return comments
}

// stored resolves the objects of a document's entries.
func (x *index) stored(d *Document) ([]Stored, error) {
	var problems Errors
	d = d.orEmpty()
	all := make([]Stored, 0, len(d.entries))
	seen := map[Name]bool{}
	for i, e := range slices.Concat(d.entries, d.blank) {
		o := x.resolve(e.Name)
		switch {
		case o == nil && e.Name.Kind.IsColumn() && x.resolve(e.Name.table()) == nil && d.has(e.Name.table()):
			// the error for the table covers this
		case o == nil:
			problems = append(problems, &Error{Position: e.Pos, Msg: x.unknown(e.Name, len(problems) < maxShown)})
		case seen[o.Name]:
			problems = append(problems, &Error{Position: e.Pos, Msg: fmt.Sprintf("%s appears twice, with and without its schema", o.Name.words())})
		default:
			seen[o.Name] = true
			if i >= len(d.entries) {
				continue
			}
			all = append(all, Stored{Name: o.Name, Facts: e.Facts, ID: o.ID})
		}
	}
	return all, problems.err()
}

func (d *Document) has(n Name) bool { return find(d.entries, n) != nil || find(d.blank, n) != nil }

// find returns the entry of a name in a list ordered by name, or nil.
func find(entries []Entry, n Name) *Entry {
	i, found := slices.BinarySearchFunc(entries, n, func(e Entry, n Name) int { return e.Name.compare(n) })
	if !found {
		return nil
	}
	return &entries[i]
}

// change returns the change that makes entries the only ones. The descriptions of the written
// entries become comments. A comment that still equals an old description is removed, unless
// another entry describes its object.
func (x *index) change(entries, written []Stored) *Change {
	change := &Change{Entries: entries}
	sortStored(change.Entries)
	if !x.Comments {
		return change
	}
	described := map[Name]bool{}
	for _, e := range entries {
		described[e.Name] = e.Description != ""
	}
	for _, e := range written {
		if o := x.byName[e.Name]; e.Description != "" && o.Comment != e.Description {
			change.Comments = append(change.Comments, Comment{o.Name, o.ID, e.Description})
		}
	}
	for _, e := range x.Entries {
		o := x.byID[e.ID]
		if e.ID == "" {
			o = x.byName[e.Name]
		}
		if o != nil && !described[o.Name] && e.Description != "" && o.Comment == e.Description {
			change.Comments = append(change.Comments, Comment{Name: o.Name, ID: o.ID})
		}
	}
	return change
}

func sortStored(all []Stored) {
	order.By(all, func(a, b Stored) int { return a.Name.compare(b.Name) })
}
