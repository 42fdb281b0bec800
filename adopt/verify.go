package adopt

import (
	"context"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/migration"
)

// DifferentError reports that a database is not what its migrations make.
type DifferentError struct{ Changes []catalog.Change }

func (e *DifferentError) Error() string {
	return fmt.Sprintf("the applied migrations make another schema than the database has: %d differences, the first is %s", len(e.Changes), e.Changes[0])
}

// Verify returns a function for Options.Verify. It applies what the other tool has applied to a
// scratch database and compares that with the database. A difference is a *DifferentError. Tables
// of other tools and Whimbrel's own don't count.
func Verify(db database.Database, scratch inspect.Scratch) func(context.Context, *migration.Set) error {
	return func(ctx context.Context, applied *migration.Set) error {
		ignore, err := Objects(ctx, db)
		if err != nil {
			return err
		}
		changes, err := inspect.Against(ctx, db, applied, scratch, ignore)
		if err == nil && len(changes) > 0 {
			err = &DifferentError{Changes: changes}
		}
		return err
	}
}

// Objects returns a function that reports whether an object of the schema belongs to a history of
// another tool: its table, what is on it, and what Options.Block has added. Drift ignores them
// (inspect.Scratch.Ignore).
func Objects(ctx context.Context, db database.Database) (func(*catalog.Object) bool, error) {
	all, err := outside(db).tables(ctx, "", "")
	if err != nil && !unsupported(err) {
		return nil, err
	}
	return func(o *catalog.Object) bool {
		return slices.ContainsFunc(all, func(f *found) bool { return f.owns(o) })
	}, nil
}
