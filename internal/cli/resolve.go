package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) resolveCommand() *cobra.Command {
	var done, retry bool
	var reason string
	cmd := &cobra.Command{
		Use:        "resolve VERSION",
		SuggestFor: []string{"continue", "resume", "fix"},
		GroupID:    groupRecord,
		Short:      "Decide how an interrupted migration continues",
		Long: `Resolve records your decision about an interrupted migration, and runs nothing. You need it only
if "whimbrel up" says so: if the database can't tell whether the interrupted statement took effect, or
if statements that were already executed have been edited. All other interrupted migrations resume without it.

If the outcome of a statement is unknown, --done means that it took effect: up continues with the
next statement. --retry means that it did not: up executes it again.

If executed statements were edited, --done accepts the edited statements as executed: up continues
after them. --retry means that you undid what was executed: up starts with the first statement.

For a repeatable script or a seed, pass its name instead of a version. To give a migration up, run:
whimbrel abandon VERSION`,
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
		ValidArgsFunction: a.completeVersions(1, interruptedOne),
	}
	f := cmd.Flags()
	f.BoolVar(&done, "done", false, "the statement took effect: continue after it")
	f.BoolVar(&retry, "retry", false, "the statement did not take effect: execute it again")
	f.StringVar(&reason, "reason", "", "`why` you are sure; the history keeps it")
	f.SortFlags = false
	return cmd
}

func (t *target) resolveRun(cmd *cobra.Command, which string, how whimbrel.Resolution, reason string) (render.Document, error) {
	version, j, err := t.interruptedScript(cmd.Context(), which)
	if err != nil {
		return nil, err
	}
	r, err := t.migrator().Resolve(cmd.Context(), version, how, reason)
	if err != nil {
		return nil, err
	}
	return render.NewResolved(t.set.Name(), r, how, render.NewInterrupted(j, "")), nil
}

// interruptedScript returns the interrupted run, nil for none, and the version that an argument
// names: NilVersion for the name of the interrupted script, if that has no version.
func (t *target) interruptedScript(ctx context.Context, which string) (int64, *database.Journal, error) {
	s, err := t.migrator().Status(ctx)
	if err != nil {
		return 0, nil, err
	}
	j := s.Interrupted
	if j != nil && j.Version == whimbrel.NilVersion && j.Name == which {
		return whimbrel.NilVersion, j, nil
	}
	version, err := parseVersion(which)
	if err != nil {
		return 0, nil, usage(`"whimbrel status" shows the interrupted migration, if there is one.`, "%v", err)
	}
	return version, j, nil
}
