package adopt

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

// Why is the kind of a refusal.
type Why string

// The kinds of refusals.
const (
	Dirty      Why = "dirty"      // the tool says that a migration stopped part-way
	Failed     Why = "failed"     // the tool says that a migration failed
	NoFile     Why = "no file"    // an applied migration without a file in the set
	NeverRan   Why = "never ran"  // a file older than the newest applied one that was not applied
	Edited     Why = "edited"     // the file is not the one that the tool applied
	Unreadable Why = "unreadable" // a row that the tool would not have written
)

// Refused is a row of the other tool's table or a file of the set that prevents a takeover.
type Refused struct {
	Why Why
	// Version is the version of the set; -1 if the row has none that the set could have.
	Version int64
	// ID is what the other tool's table says, and File the file of the set; one may be "".
	ID, File string
	// Reason is one sentence without a period at the end.
	Reason string
}

// RefusedError reports why the history of another tool can't be taken over: all reasons. Nothing
// has changed.
type RefusedError struct {
	Tool    Tool
	Table   string
	Refused []Refused
}

func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the history of %s in %s does not match the set:", e.Tool, e.Table)
	for _, r := range e.Refused {
		b.WriteString("\n" + r.Reason)
	}
	return b.String()
}

// NotFoundError reports that a database has no table of another tool, or not that of the given one.
type NotFoundError struct {
	Tool  Tool   // "" for any
	Table string // as given; "" for the tool's default
}

func (e *NotFoundError) Error() string {
	tool, table := "a tool that Whimbrel knows", "history table"
	if e.Tool != "" {
		tool = string(e.Tool)
	}
	if e.Table != "" {
		table = "table " + e.Table + " in the form"
	}
	return fmt.Sprintf("the database has no %s of %s", table, tool)
}

// NotAdoptedError reports that a database can't be given back: the history of the other tool was
// not taken over, or was given back already.
type NotAdoptedError struct {
	Tool  Tool
	Table string
}

func (e *NotAdoptedError) Error() string {
	return fmt.Sprintf("the history of %s in %s was not taken over, so there is nothing to give back", e.Tool, e.Table)
}

// AmbiguousError reports that more than one table, or more than one tool, is possible.
type AmbiguousError struct{ Tables []Table }

func (e *AmbiguousError) Error() string {
	var all []string
	for _, t := range e.Tables {
		all = append(all, fmt.Sprintf("%s (%s)", t.Name, t.Tool))
	}
	return "the database has several tables that may be the history of another tool: " + strings.Join(all, ", ")
}

// TableError reports a table that has the name and the columns of a tool's history, but must not be
// read or written. Nothing was read from it.
type TableError struct {
	Tool    Tool
	Table   string
	Problem string // such as "it is a view"
}

func (e *TableError) Error() string {
	return fmt.Sprintf("%s can't be used as the history of %s: %s", e.Table, e.Tool, e.Problem)
}

// LockedError reports that the other tool is migrating the database now: it holds its own lock. It
// is database.ErrLocked.
type LockedError struct {
	Tool Tool
	Lock string // what the lock is, such as "advisory lock 9628173550095224"
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s is migrating the database: it holds its lock (%s)", e.Tool, e.Lock)
}

// Is makes errors.Is(err, database.ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == database.ErrLocked }

// UnsupportedError reports that something is not possible for a tool, or for it on a database.
type UnsupportedError struct {
	Tool Tool
	// What completes "can't": "take over the history of a database".
	What string
	// Why is the reason.
	Why string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("can't %s of %s: %s", e.What, e.Tool, e.Why)
}
