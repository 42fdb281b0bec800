// Package schemafile keeps the schema of a database in a file, together with the migrations that
// the schema includes. The file is SQL and depends on the schema and the migrations alone, so that
// it can be kept in version control. Loading it into an empty database is faster than applying all
// migrations, and leads to the same schema and the same set of applied migrations.
//
// [Take] reads a database, [File.Write] writes the file, [Read] and [Parse] read it, and [Load]
// creates the schema in an empty database.
package schemafile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

// File is the content of a schema file.
type File struct {
	// Name is the name of the file in messages.
	Name string
	// Dialect is the dialect of the statements, as sqltext.Dialect.String returns it.
	Dialect string
	// SQL creates the schema.
	SQL string
	// Snapshot is the schema that Take has read. It is nil in a file that Parse has read.
	Snapshot *catalog.Snapshot
	// Sets are the sets of migrations that the schema includes, ordered by name.
	Sets []Set

	text string // as Parse received it
}

// Set is what a schema includes of a set with applied migrations.
type Set struct {
	Name string
	// Migrations are ordered by version. Repeatables are ordered by name, and have no version.
	Migrations, Repeatables []Included
}

// Included is a migration or a repeatable script that a schema includes.
type Included struct {
	Version int64
	Name    string
	// Checksum is that of the up script as it was applied.
	Checksum migration.Checksum
}

// UnfinishedError reports an interrupted migration: the schema is not that of any version.
type UnfinishedError struct {
	Set     string
	Journal database.Journal
}

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("migration %d %s of set %q was interrupted, so the schema is between two versions", e.Journal.Version, e.Journal.Name, e.Set)
}

// errChanging reports a database that others migrate all the time.
var errChanging = errors.New("the history of the database changed while its schema was read")

// Take returns the schema of a database and what it includes, of all sets. It only reads. If
// another process migrates the database meanwhile, Take reads it again.
func Take(ctx context.Context, db database.Database) (*File, error) {
	const attempts = 5
	for range attempts {
		before, err := readHistory(ctx, db)
		if err != nil {
			return nil, err
		}
		if err := before.finished(ctx, db); err != nil {
			return nil, err
		}
		s, err := database.Snapshot(ctx, db, catalog.Options{})
		if err != nil {
			return nil, err
		}
		after, err := readHistory(ctx, db)
		if err != nil {
			return nil, err
		}
		if after.count == before.count && after.last == before.last {
			return newFile(s, before), nil
		}
	}
	return nil, errChanging
}

// history is what the history of a database says about its sets.
type history struct {
	states map[string]*database.State
	count  int
	last   int64
}

func readHistory(ctx context.Context, db database.Database) (*history, error) {
	h := &history{states: map[string]*database.State{}}
	for e, err := range db.History(ctx, database.HistoryQuery{}) {
		if err != nil {
			return nil, err
		}
		h.count++
		h.last = max(h.last, e.ID)
		if e.Set == migration.ReservedSet {
			continue
		}
		if h.states[e.Set] == nil {
			h.states[e.Set] = &database.State{}
		}
		h.states[e.Set].Fold(e)
	}
	return h, nil
}

// finished returns an error if a run of a set was interrupted.
func (h *history) finished(ctx context.Context, db database.Database) error {
	for set := range h.states {
		st, err := db.State(ctx, set)
		if err != nil {
			return err
		}
		if st.Interrupted != nil && st.Interrupted.Started() {
			return &UnfinishedError{Set: set, Journal: *st.Interrupted}
		}
	}
	return nil
}

func newFile(s *catalog.Snapshot, h *history) *File {
	f := &File{Dialect: strings.ToLower(s.Dialect), Snapshot: s}
	same := *s
	same.Omitted = slices.DeleteFunc(slices.Clone(s.Omitted), changes)
	f.SQL = same.Text()
	for name, st := range h.states {
		set := Set{Name: name}
		for a := range st.Applied.All() {
			set.Migrations = append(set.Migrations, Included{Version: a.Version, Name: a.Name, Checksum: a.Checksum})
		}
		for _, r := range st.Repeated {
			set.Repeatables = append(set.Repeatables, Included{Version: database.NilVersion, Name: r.Name, Checksum: r.Checksum})
		}
		order.By(set.Repeatables, func(a, b Included) int { return cmp.Compare(a.Name, b.Name) })
		if len(set.Migrations) > 0 { // repeatable scripts of others may be of objects that are gone
			f.Sets = append(f.Sets, set)
		}
	}
	order.By(f.Sets, func(a, b Set) int { return cmp.Compare(a.Name, b.Name) })
	return f
}

// changes reports whether an omitted object depends on the machine, or on rows: the file of two
// databases with the same migrations must be equal.
func changes(omitted string) bool {
	return strings.HasPrefix(omitted, "large objects:") || strings.HasPrefix(omitted, "setting ")
}
