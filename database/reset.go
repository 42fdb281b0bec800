package database

import (
	"fmt"
	"strings"
)

// Object is something in a database that has a name.
type Object struct {
	Type   string // as the database calls it: "table", "view", "function", "materialized view"
	Schema string // "" where there are no schemas, and for what is in none
	Name   string // a function's with its arguments; both names are quoted where SQL wants that
}

// String returns "table public.users".
func (o Object) String() string {
	if o.Schema == "" {
		return o.Type + " " + o.Name
	}
	return o.Type + " " + o.Schema + "." + o.Name
}

// Left is an object that a Reset leaves where it is, and why.
type Left struct {
	Object
	Why string
}

// Emptied is what a Reset has done.
type Emptied struct {
	// Dropped are the objects that are gone. What went with them, as an index goes with its
	// table, is not listed.
	Dropped []Object
	// Left are the objects that are not the role's to drop, or not the history's.
	Left []Left
	// Sets are the sets of which nothing is applied any more, in alphabetical order.
	Sets []string
}

// InUseError reports that a Reset would have to take something from objects that it must
// leave, because they depend on what it would drop.
type InUseError struct{ Uses []Use }

// Use is an object that a Reset must leave, and the object that it depends on.
type Use struct{ By, Of Object }

func (e *InUseError) Error() string {
	words := make([]string, len(e.Uses))
	for i, u := range e.Uses {
		words[i] = fmt.Sprintf("%s depends on %s", u.By, u.Of)
	}
	return "can't reset, since objects that are not Whimbrel's to drop depend on what it would drop: " + strings.Join(words, "; ") +
		"; drop them, or let their owner do so, and try again"
}
