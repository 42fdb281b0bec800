package database

import (
	"fmt"
	"strings"
)

// Object is a named object in a database.
type Object struct {
	Type   string // as the database calls it: "table", "view", "function", "materialized view"
	Schema string // "" if the database has no schemas, or the object is in none
	Name   string // a function's with its arguments; both names are quoted if SQL requires that
}

// String returns "table public.users".
func (o Object) String() string {
	if o.Schema == "" {
		return o.Type + " " + o.Name
	}
	return o.Type + " " + o.Schema + "." + o.Name
}

// Left is an object that a Reset does not drop, with the reason.
type Left struct {
	Object
	Why string
}

// Emptied is the result of a Reset.
type Emptied struct {
	// Dropped are the dropped objects, without those that are dropped with another one, such as the
	// indexes of a table.
	Dropped []Object
	// Left are the objects that the role can't drop, or that don't belong to the history.
	Left []Left
	// Sets are the sets without an applied migration now, in alphabetical order.
	Sets []string
}

// InUseError reports that objects which a Reset must not drop depend on objects that it would drop.
type InUseError struct{ Uses []Use }

// Use is an object that a Reset must not drop, and the object on which it depends.
type Use struct{ By, Of Object }

func (e *InUseError) Error() string {
	words := make([]string, len(e.Uses))
	for i, u := range e.Uses {
		words[i] = fmt.Sprintf("%s depends on %s", u.By, u.Of)
	}
	return "can't reset, since objects that are not Whimbrel's to drop depend on what it would drop: " + strings.Join(words, "; ") +
		"; drop them, or let their owner do so, and try again"
}
