package metadata

import (
	"fmt"
	"maps"
	"slices"
)

// Apply returns the change that makes the document all that the database keeps. Its
// descriptions become the objects' comments; the comments that the descriptions of earlier entries
// had become go with these, unless somebody has changed them since. All other comments are left as they
// are. An entry of an object that the database doesn't have is one of the Errors.
func (s *State) Apply(d *Document) (*Change, error) {
	x := s.index()
	entries, err := x.stored(d)
	if err != nil {
		return nil, err
	}
	return x.change(entries, entries), nil
}

// Merge returns the change that adds the entries of a document to those that there are. An entry
// takes the place of the one that its object has.
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

// Known returns the entries of documents whose objects the database has: of two for one object the
// later one.
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
	d, _ := NewDocument(slices.Collect(maps.Values(known))...) // no name is there twice
	return d
}

// Unmerge returns the change that takes back what Merge did with the document, as far as that is known: its
// entries go whose objects are gone. It touches no comment.
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
	var entries []Stored
	for _, e := range s.Entries {
		if !named[e.Name] || x.byName[e.Name] != nil || x.byID[e.ID] != nil {
			entries = append(entries, e)
		}
	}
	return &Change{Entries: entries}
}

// Reset returns the change after which the database keeps nothing. The comments that descriptions had
// become go, as with Apply.
func (s *State) Reset() *Change { return s.index().change(nil, nil) }

// DropInconsistent returns the change that drops the entries that Inconsistent lists. It touches no
// comment.
func (s *State) DropInconsistent() *Change {
	x := s.index()
	var entries []Stored
	for _, e := range s.Entries {
		if _, bad := x.inconsistency(&e); !bad {
			entries = append(entries, e)
		}
	}
	return &Change{Entries: entries}
}

// Reload returns the change that makes of the entries what people have changed in the database by
// hand: the comments become the descriptions, also of objects that had no entry; an object that is known by its ID takes
// its entry along to its new name, unless another entry has that; and of an object that was dropped and
// created again the entry is kept, and described by it if it has no comment. Entries whose objects are gone are left.
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

// settle returns the name that each entry gets: that of its object, if it is known by its ID and no other
// entry has that name.
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

// Mirror returns the comments that objects of s must get to have those that the descriptions of other's entries
// have become there.
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

// stored finds the objects of a document's entries.
func (x *index) stored(d *Document) ([]Stored, error) {
	var problems Errors
	d = d.orEmpty()
	all := make([]Stored, 0, len(d.entries))
	seen := map[Name]bool{}
	for i, e := range slices.Concat(d.entries, d.blank) {
		o := x.resolve(e.Name)
		switch {
		case o == nil && e.Name.Kind.IsColumn() && x.resolve(e.Name.table()) == nil && d.has(e.Name.table()):
			// which is said of the table
		case o == nil:
			problems = append(problems, &Error{Position: e.Pos, Msg: x.unknown(e.Name, len(problems) < maxShown)})
		case seen[o.Name]:
			problems = append(problems, &Error{Position: e.Pos, Msg: fmt.Sprintf("%s is there twice, with its schema and without", o.Name.words())})
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

func (d *Document) has(n Name) bool {
	for _, list := range [][]Entry{d.entries, d.blank} {
		if _, found := slices.BinarySearchFunc(list, n, func(e Entry, n Name) int { return e.Name.compare(n) }); found {
			return true
		}
	}
	return false
}

// change returns the change that makes entries all that there are. The descriptions of those that
// are written become comments; a comment that is still what an earlier description had become goes, unless
// its object is described by another.
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
	slices.SortFunc(all, func(a, b Stored) int { return a.Name.compare(b.Name) })
}
