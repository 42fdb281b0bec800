// Package report writes what is known about databases as one HTML page: their states, histories,
// plans and schemas, and how they differ. The page needs no server, no network and no script.
//
//	target, err := report.Read(ctx, migrator, report.Options{Name: "production"})
//	…
//	err = report.Page{Targets: []*report.Target{target}}.Write(file)
//
// Read changes and locks nothing. Everything on the page that comes from a file, a server or a
// person is data: it is escaped, passwords in scripts are masked, and control characters are shown
// as escapes.
package report

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Page is a report about one database or several.
type Page struct {
	// Title is the page's title. The default is "Database report".
	Title string
	// Made is when the report was made. The default is now.
	Made time.Time
	// Targets are compared with the first one. The page shows the schema of the first one that has
	// a snapshot.
	Targets []*Target
}

// Target is what a report says about one database. Each field may be nil or zero.
type Target struct {
	// Name is the heading, such as the environment's name.
	Name string
	// Address says where the database is. Its password must have been removed.
	Address string
	// Problem is the reason why nothing could be read. The fields below are then not used.
	Problem error
	// Set are the migrations that the database was compared with.
	Set    *migration.Set
	Status *whimbrel.Status
	// Plan is what the next Up would do. Refused is the error instead of it.
	Plan    *whimbrel.Plan
	Refused error
	// History is of the set, and of settings, in the order of the database.
	History  []database.Entry
	Snapshot *catalog.Snapshot
	Metadata *metadata.Document
	// Drift are the differences between the database and its history, if Checked. DriftProblem is
	// the reason why they could not be determined.
	Drift        []catalog.Change
	Checked      bool
	DriftProblem error
}

// Options are those of Read.
type Options struct {
	// Name and Address become those of the Target.
	Name, Address string
	// Scratch is where Read determines drift. Nil leaves that out.
	Scratch *inspect.Scratch
}

// Read reads what a report says about the database of a Migrator with the given set. It leaves out
// what the driver can't read. If the next Up would be refused, or drift can't be determined, the
// Target has the error; any other error ends Read.
func Read(ctx context.Context, m *whimbrel.Migrator, set *migration.Set, opts Options) (*Target, error) {
	t := &Target{Name: opts.Name, Address: opts.Address, Set: set}
	db := m.Database()
	var err error
	if t.Status, err = m.Status(ctx); err != nil {
		return nil, err
	}
	if t.Plan, t.Refused = m.Plan(ctx, whimbrel.Latest()); ctx.Err() != nil {
		return nil, t.Refused
	}
	for e, err := range db.History(ctx, database.HistoryQuery{}) {
		if err != nil {
			return nil, err
		}
		if e.Set == set.Name() || e.Direction == database.Setting {
			t.History = append(t.History, e)
		}
	}
	t.Snapshot, err = database.Snapshot(ctx, db, catalog.Options{})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	state, err := database.ReadMetadata(ctx, db)
	switch {
	case err == nil:
		t.Metadata = state.Document()
	case !errors.Is(err, errors.ErrUnsupported):
		return nil, err
	}
	if opts.Scratch != nil {
		t.Checked = true
		t.Drift, t.DriftProblem = inspect.Drift(ctx, db, *opts.Scratch, set)
	}
	return t, ctx.Err()
}
