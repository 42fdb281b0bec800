package metadata

import (
	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Inconsistent is an entry whose object is gone, renamed or replaced.
type Inconsistent struct {
	Name        Name
	Description string // the entry's
	Reason      string
	Renamed     *Name // the object's current name, if known
}

// Inconsistent returns the entries whose objects are gone, renamed or replaced, ordered by name.
func (s *State) Inconsistent() []Inconsistent {
	x := s.index()
	var all []Inconsistent
	for i := range s.Entries {
		if in, bad := x.inconsistency(&s.Entries[i]); bad {
			all = append(all, in)
		}
	}
	order.By(all, func(a, b Inconsistent) int { return a.Name.compare(b.Name) })
	return all
}

func (x *index) inconsistency(e *Stored) (Inconsistent, bool) {
	in := Inconsistent{Name: e.Name, Description: e.Description}
	o, moved := x.byName[e.Name], x.byID[e.ID]
	if o != nil && (e.ID == "" || o.ID == "" || o.ID == e.ID) {
		return in, false
	}
	kind := e.Name.Kind.Type()
	switch {
	case moved != nil:
		in.Renamed = &moved.Name
		in.Reason = "renamed to " + moved.Name.String()
		if o != nil {
			in.Reason += "; another " + kind + " has the name now"
		}
	case o != nil:
		in.Reason = "dropped and created again: another " + kind + " has the name now"
	default:
		in.Reason = x.gone(e.Name)
	}
	return in, true
}

// gone explains why there is no object of the given name.
func (x *index) gone(n Name) string {
	other := x.relations[kindless(n)]
	switch {
	case other != nil && n.Kind.IsColumn():
		return "it belongs to a " + string(other.Name.Kind.of()) + " now"
	case other != nil:
		return "it is a " + string(other.Name.Kind) + " now"
	case n.Kind.IsColumn() && x.byName[n.table()] == nil && x.relations[kindless(n.table())] == nil:
		return "its " + string(n.Kind.of()) + " no longer exists"
	}
	return "it no longer exists"
}
