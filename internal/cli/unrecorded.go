package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// unrecordedError reports a database without a history, in which another tool or a person has
// created objects.
type unrecordedError struct{ found *render.Unrecorded }

func (e *unrecordedError) Error() string { return e.found.Words() }

// addAllowUnrecorded adds the flag for commands that otherwise refuse such a database.
func (a *app) addAllowUnrecorded(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.allowUnrecorded, "allow-unrecorded", false, "accept a database that has tables or another tool's history, and no history of Whimbrel")
}

// unrecorded returns what a database has that Whimbrel did not create, nil for nothing. Beside an
// own history in which nothing is applied, only the history of another tool counts, to which the
// database may have been given back. If something is applied, or the database has no tables, that
// costs no query.
func (a *app) unrecorded(ctx context.Context, t *target) (*render.Unrecorded, error) {
	read := t.state(ctx)
	if read.err != nil || read.state.Bare || read.state.Applied.Len() > 0 || read.state.Interrupted != nil || isEmpty(t.set) {
		return nil, read.err
	}
	detect := adopt.Detect
	if read.state.Head != 0 {
		detect = adopt.DetectTables
	}
	f, err := detect(ctx, t.db)
	if err != nil {
		return nil, err
	}
	f.Tables = slices.DeleteFunc(f.Tables, func(t adopt.Table) bool { return t.Component })
	u := render.NewUnrecorded(f)
	if u == nil {
		return nil, nil
	}
	// Another process may have migrated the database between the two readings.
	now, err := t.db.State(ctx, t.set.Name())
	if err != nil || now.Head != read.state.Head {
		return nil, err
	}
	return u, nil
}

// needRecorded returns an *unrecordedError for such a database, unless --allow-unrecorded is given.
func (a *app) needRecorded(ctx context.Context, t *target) error {
	if a.allowUnrecorded {
		return nil
	}
	u, err := a.unrecorded(ctx, t)
	if u == nil {
		return err
	}
	return &unrecordedError{u}
}

// adoptRules handle databases that Whimbrel has not migrated, and errors of adopt.
func adoptRules() []rule {
	return []rule{
		on(kindUnrecorded, func(f *render.Failure, e *unrecordedError) {
			f.Unrecorded = e.found
			f.Next = e.found.Advice() + " If its objects have nothing to do with these migrations, add --allow-unrecorded."
		}),
		on(kindRefused, func(f *render.Failure, e *adopt.RefusedError) {
			f.Message = fmt.Sprintf("the history of %s in %s does not match the files", e.Tool, e.Table)
			for _, r := range e.Refused {
				f.Problems = append(f.Problems, render.Problem{Message: r.Reason, File: r.File})
			}
			f.Outcome = sentence(f.Message + ", so nothing was recorded")
			f.Next = "Correct each of these, then run the command again. What is applied without a file needs its file, and what was never applied a higher version (whimbrel renumber)."
		}),
		on(kindRefused, func(f *render.Failure, e *adopt.DifferentError) {
			f.Message = "the applied migrations make another schema than the database has"
			f.Differences = render.NewChanges(e.Changes)
			f.Next = "Nothing was recorded. Write the differences as a migration, or adopt without --verify and look at them with \"whimbrel drift\"."
		}),
		on(kindUnrecorded, func(f *render.Failure, e *adopt.NotFoundError) {
			f.Next = `Check --database, --from and --table. For a schema without a history, run "whimbrel baseline VERSION".`
		}),
		on(kindUnrecorded, func(f *render.Failure, e *adopt.NotAdoptedError) {
			f.Next = string(e.Tool) + " can continue as it is."
		}),
		on(kindUnrecorded, func(f *render.Failure, e *adopt.AmbiguousError) {
			f.Next = "Select the tool with --from, or the table with --table."
		}),
		on(kindUnrecorded, func(f *render.Failure, e *adopt.TableError) {
			f.Next = "Whimbrel reads and writes only an ordinary table of a role that the current role trusts."
		}),
		on(kindLocked, func(f *render.Failure, e *adopt.LockedError) {
			f.Next = "Run the command again when it is done."
		}),
		on(kindUnrecorded, func(f *render.Failure, e *adopt.UnsupportedError) {
			f.Next = `To record the schema without the other tool's history, run "whimbrel baseline VERSION".`
		}),
	}
}
