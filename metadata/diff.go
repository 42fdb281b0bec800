package metadata

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// The values of Difference.Change.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Difference is one fact in which two documents differ, or an entry that only one of them has.
type Difference struct {
	Name   Name
	Change string // Added, Removed or Changed
	// Fact is the one that changed: description, owner, tags, links, or keys.NAME.
	Fact string
	// From and To are the old and new value, "" for none: a custom key as JSON, tags and links
	// separated by commas.
	From, To string
}

// String returns a readable form of the difference.
func (d Difference) String() string {
	if d.Change != Changed {
		return d.Name.words()
	}
	return fmt.Sprintf("%s: %s %s → %s", d.Name.words(), d.Fact, d.shown(d.From), d.shown(d.To))
}

func (d Difference) shown(s string) string {
	switch {
	case s == "":
		return "none"
	case d.Fact == "description" || d.Fact == "owner":
		return value(map[string]any{"": s}, "")
	}
	return s
}

// Diff returns the changes from one document to the other, ordered by name.
func Diff(from, to *Document) []Difference {
	var all []Difference
	for _, e := range from.entries {
		if find(to.entries, e.Name) == nil {
			all = append(all, Difference{Name: e.Name, Change: Removed})
		}
	}
	for _, e := range to.entries {
		if was := find(from.entries, e.Name); was != nil {
			all = append(all, diffFacts(e.Name, &was.Facts, &e.Facts)...)
		} else {
			all = append(all, Difference{Name: e.Name, Change: Added})
		}
	}
	order.StableBy(all, func(a, b Difference) int { return a.Name.compare(b.Name) })
	return all
}

func diffFacts(n Name, from, to *Facts) []Difference {
	if from.equal(to) {
		return nil
	}
	var all []Difference
	note := func(fact, a, b string) {
		if a != b {
			all = append(all, Difference{Name: n, Change: Changed, Fact: fact, From: a, To: b})
		}
	}
	note("description", from.Description, to.Description)
	note("owner", from.Owner, to.Owner)
	note("tags", strings.Join(from.Tags, ", "), strings.Join(to.Tags, ", "))
	note("links", links(from.Links), links(to.Links))
	names := append(from.keyNames(), to.keyNames()...)
	slices.Sort(names)
	for _, key := range slices.Compact(names) {
		note("keys."+key, value(from.Keys, key), value(to.Keys, key))
	}
	return all
}

func links(all []Link) string {
	words := make([]string, len(all))
	for i, l := range all {
		words[i] = l.URL
		if l.Name != "" {
			words[i] = l.Name + " " + l.URL
		}
	}
	return strings.Join(words, ", ")
}

// value returns the value of a custom key as JSON.
func value(keys map[string]any, key string) string {
	v, ok := keys[key]
	if !ok {
		return ""
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
