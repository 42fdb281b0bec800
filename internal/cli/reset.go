package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) resetCommand() *cobra.Command {
	var opts whimbrel.ResetOptions
	cmd := &cobra.Command{
		Use:        "reset",
		SuggestFor: []string{"clean", "empty", "wipe"},
		GroupID:    groupDatabase,
		Short:      "Drop everything in the database",
		Long: `Reset drops all objects in the schema of Whimbrel's tables and in the schemas that migrations
created, in one transaction. It records every migration of every set as not applied. It lists and keeps
objects that belong to other roles and to extensions. The history and the settings remain.

On a terminal, reset shows what it will drop and asks for the database's name. If the database is
protected, it asks first. Otherwise pass the name with --yes.`,
		Example: `  whimbrel reset --dry-run      # show what would be dropped
  whimbrel reset                # show it and ask
  whimbrel reset --yes app      # for scripts: app is the database's name`,
		Args: noArgs,
		RunE: a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			if !opts.DryRun {
				t.begin(resetting)
			}
			return a.reset(cmd.Context(), t, opts)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&opts.Confirm, "yes", "", "`name` of the database, to confirm without being asked")
	a.addWaits(cmd)
	f.BoolVar(&opts.DryRun, "dry-run", false, "show what would be dropped and change nothing")
	f.StringVar(&opts.Reason, "reason", "", "`why`; the history keeps it")
	f.SortFlags = false
	return cmd
}

// reset resets a database. Without a name and on a terminal, it shows what it would do and asks for
// the name. It asks for that of a protected database before it locks anything. It holds no lock
// while it waits for an answer.
func (a *app) reset(ctx context.Context, t *target, opts whimbrel.ResetOptions) (render.Document, error) {
	asks := opts.Confirm == "" && !opts.DryRun && a.canAsk()
	if asks { // not for the name of a database that refuses it anyway
		st, err := t.db.State(ctx, t.set.Name())
		if err != nil {
			return nil, err
		}
		if err := refusalOf(st.Settings); err != nil {
			return nil, err
		}
	}
	r, err := confirmed(ctx, a, &opts.Confirm, func() (*whimbrel.ResetResult, error) {
		o := opts
		o.Overrule, o.DryRun = o.Confirm, o.DryRun || asks && o.Confirm == ""
		return t.migrator().Reset(ctx, o)
	})
	if err != nil {
		return nil, err
	}
	doc := render.NewReset(r)
	if opts.DryRun || !r.DryRun || len(r.Sets) == 0 {
		return doc, nil
	}
	if err := refusalOf(r.Settings); err != nil {
		return nil, err
	}
	a.print().Show(doc)
	if opts.Confirm, err = a.askName(ctx, ""); err != nil {
		return nil, err
	}
	if opts.Confirm != r.Database {
		return nil, &whimbrel.ConfirmError{What: "reset", Database: r.Database, Confirm: opts.Confirm}
	}
	opts.Overrule = opts.Confirm // it may have been protected since
	done, err := t.migrator().Reset(ctx, opts)
	if err != nil {
		return nil, err
	}
	doc = render.NewReset(done)
	doc.Listed = true
	return doc, nil
}
