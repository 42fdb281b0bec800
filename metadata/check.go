package metadata

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rules say what entries must have.
type Rules struct {
	// Require are facts: description, owner, tags, links, or keys.NAME of a free key.
	Require []string
	// Tables are patterns of the names of tables and views that are looked at, such as public.* (a
	// star stands for any letters, a question mark for one). None means all tables.
	Tables []string
	// Columns says that the columns of these must have the facts, too.
	Columns bool
}

// Missing is an object that lacks facts.
type Missing struct {
	Name Name
	// Facts are those it lacks, in the order of Rules.Require.
	Facts []string
}

// RulesError is a rule that makes no sense.
type RulesError struct{ Msg string }

func (e *RulesError) Error() string { return e.Msg }

// Check returns the objects that lack required facts, ordered by name, and how many objects it has
// looked at. A rule that can't be understood, and a pattern that no table and no view has, is a *RulesError.
func (s *State) Check(r Rules) (missing []Missing, checked int, err error) {
	if err := r.valid(); err != nil {
		return nil, 0, err
	}
	facts := map[Name]*Facts{}
	for i := range s.Entries {
		facts[s.Entries[i].Name] = &s.Entries[i].Facts
	}
	used := make([]bool, len(r.Tables))
	for _, o := range s.Objects {
		if !r.about(o.Name, used) {
			continue
		}
		checked++
		f := facts[o.Name]
		if f == nil {
			f = &Facts{}
		}
		lacks := slices.DeleteFunc(slices.Clone(r.Require), f.has)
		if len(lacks) > 0 {
			missing = append(missing, Missing{Name: o.Name, Facts: lacks})
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		return nil, 0, &RulesError{fmt.Sprintf("no table and no view has a name such as %s", r.Tables[i])}
	}
	slices.SortFunc(missing, func(a, b Missing) int { return a.Name.compare(b.Name) })
	return missing, checked, nil
}

func (r *Rules) valid() error {
	if len(r.Require) == 0 {
		return &RulesError{"nothing is required: want description, owner, tags, links, or keys.NAME"}
	}
	for _, fact := range r.Require {
		key, free := strings.CutPrefix(fact, "keys.")
		if !slices.Contains([]string{"description", "owner", "tags", "links"}, fact) && (!free || key == "") {
			return &RulesError{fmt.Sprintf("%q can't be required: want description, owner, tags, links, or keys.NAME", fact)}
		}
	}
	for _, pattern := range r.Tables {
		if _, err := path.Match(pattern, ""); err != nil {
			return &RulesError{fmt.Sprintf("%q is no pattern: want one such as public.*", pattern)}
		}
	}
	return nil
}

// about reports that the rules are about an object, and notes which patterns it has.
func (r *Rules) about(n Name, used []bool) bool {
	if n.Kind.Columns() == "" && (!r.Columns || !n.Kind.IsColumn()) {
		return false
	}
	if len(r.Tables) == 0 {
		return n.Kind.of() == Table
	}
	// A slash is a letter here, for path.Match it is not.
	table := strings.ReplaceAll(n.table().String(), "/", "\x00")
	about := false
	for i, pattern := range r.Tables {
		if ok, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), table); ok { // it is valid
			used[i], about = true, true
		}
	}
	return about
}

func (f *Facts) has(fact string) bool {
	switch fact {
	case "description":
		return f.Description != ""
	case "owner":
		return f.Owner != ""
	case "tags":
		return len(f.Tags) > 0
	case "links":
		return len(f.Links) > 0
	}
	_, ok := f.Keys[strings.TrimPrefix(fact, "keys.")]
	return ok
}
