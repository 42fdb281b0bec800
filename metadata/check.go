package metadata

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Rules say which facts entries must have.
type Rules struct {
	// Require lists facts: description, owner, tags, links, or keys.NAME for a custom key.
	Require []string
	// Tables are patterns of table and view names to check, such as public.* (* matches any
	// characters, ? matches one). Empty means all tables.
	Tables []string
	// Columns extends the rules to the columns of these tables and views.
	Columns bool
}

// Missing is an object that lacks facts.
type Missing struct {
	Name Name
	// Facts are the missing ones, in the order of Rules.Require.
	Facts []string
}

// RulesError is an invalid rule, or a pattern that matches nothing.
type RulesError struct{ Msg string }

func (e *RulesError) Error() string { return e.Msg }

// Check returns the objects that lack required facts, ordered by name, and the number of objects
// checked. It returns a *RulesError for an invalid rule and for a pattern that matches no table or
// view.
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
		return nil, 0, &RulesError{fmt.Sprintf("no table or view matches %s", r.Tables[i])}
	}
	order.By(missing, func(a, b Missing) int { return a.Name.compare(b.Name) })
	return missing, checked, nil
}

func (r *Rules) valid() error {
	if len(r.Require) == 0 {
		return &RulesError{"no required fact is named: use description, owner, tags, links, or keys.NAME"}
	}
	for _, fact := range r.Require {
		key, free := strings.CutPrefix(fact, "keys.")
		if !slices.Contains([]string{"description", "owner", "tags", "links"}, fact) && (!free || key == "") {
			return &RulesError{fmt.Sprintf("unknown fact %q: use description, owner, tags, links, or keys.NAME", fact)}
		}
	}
	for _, pattern := range r.Tables {
		if _, err := path.Match(pattern, ""); err != nil {
			return &RulesError{fmt.Sprintf("invalid pattern %q: use one such as public.*", pattern)}
		}
	}
	return nil
}

// about reports whether the rules apply to an object, and marks the patterns that match in used.
func (r *Rules) about(n Name, used []bool) bool {
	if n.Kind.Columns() == "" && (!r.Columns || !n.Kind.IsColumn()) {
		return false
	}
	if len(r.Tables) == 0 {
		return n.Kind.of() == Table
	}
	// In a name, a slash is an ordinary character; in path.Match it isn't.
	table := strings.ReplaceAll(n.table().String(), "/", "\x00")
	about := false
	for i, pattern := range r.Tables {
		// the pattern is valid: see Rules.valid
		if ok, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), table); ok {
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
