package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) resolveCommand() *cobra.Command {
	var done, retry bool
	var reason string
	cmd := &cobra.Command{
		Use:        "resolve VERSION",
		SuggestFor: []string{"continue", "resume", "unlock", "clean", "fix"},
		GroupID:    groupRecord,
		Short:      "Decide how an interrupted migration continues",
		Long: `Resolve records your decision about an interrupted migration, and runs nothing. You need it only
if "whimbrel up" says so: if the database can't tell whether the interrupted statement took effect, or
if statements that were already executed have been edited. All other interrupted migrations resume without it.

If the outcome of a statement is unknown, --done means that it took effect: up continues with the
next statement. --retry means that it did not: up executes it again.

If executed statements were edited, --done accepts the edited statements as executed: up continues
after them. --retry means that you undid what was executed: up starts with the first statement.

For a repeatable script or a seed, pass its name instead of a version. To abandon a migration, undo
by hand what it did, then run: whimbrel forget VERSION`,
		Example: `  whimbrel resolve 12 --done --reason "the index exists and is valid"
  whimbrel resolve 12 --retry
  whimbrel resolve views --retry    # a repeatable script`,
		Args: needArgs("one version, or the name of a script without a version", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if done == retry {
				return usage("Pass --done if the interrupted statement took effect, or --retry if it did not.", "%q needs either --done or --retry", cmd.CommandPath())
			}
			how := whimbrel.ResolveDone
			if retry {
				how = whimbrel.ResolveRetry
			}
			return a.with(a.writes(correcting, a.open), func(cmd *cobra.Command, t *target, args []string) (render.Document, error) {
				return t.resolveRun(cmd, args[0], how, reason)
			})(cmd, args)
		},
		ValidArgsFunction: a.completeVersions(1),
	}
	f := cmd.Flags()
	f.BoolVar(&done, "done", false, "the statement took effect: continue after it")
	f.BoolVar(&retry, "retry", false, "the statement did not take effect: execute it again")
	f.StringVar(&reason, "reason", "", "`why` you are sure; the history keeps it")
	f.SortFlags = false
	return cmd
}

func (t *target) resolveRun(cmd *cobra.Command, which string, how whimbrel.Resolution, reason string) (render.Document, error) {
	ctx, m := cmd.Context(), t.migrator()
	before, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	j, version := before.Interrupted, whimbrel.NilVersion
	if named := j != nil && j.Version == whimbrel.NilVersion && j.Name == which; !named {
		if version, err = parseVersion(which); err != nil {
			return nil, usage(`"whimbrel status" shows the interrupted migration, if there is one.`, "%v", err)
		}
	}
	r, err := m.Resolve(ctx, version, how, reason)
	if err != nil {
		return nil, err
	}
	return render.NewResolved(t.set.Name(), r, how, render.NewInterrupted(j, "")), nil
}
