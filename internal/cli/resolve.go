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
		Short:      "Say what became of a migration that can't go on by itself",
		Long: `Resolve is for a migration outside of a transaction that stopped part-way and that "whimbrel
up" can't go on with, as it then says: the database can't tell what became of the statement at
which it stopped, or statements that were executed have been edited since. It records
what you say, and runs nothing. What goes on by itself needs no resolve.

With --done the statement in question has happened: up goes on with the next. With --retry it
has not: up executes it (again). Where executed statements were edited, --done says that the file
as it is now stands for them, and --retry that nothing of it stands any more, so that up begins
with its first statement.

A repeatable script and development data have no version: say the name. To give a migration up
altogether take back by hand what it has done, and then: whimbrel forget VERSION`,
		Example: `  whimbrel resolve 12 --done --reason "the index is there, and valid"
  whimbrel resolve 12 --retry
  whimbrel resolve views --retry    # a repeatable script`,
		Args: wantArgs("a version, or the name of a script that has none", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if done == retry {
				return usage("Say --done if the statement in question has happened, --retry if it has not.", "%q wants one of --done and --retry", cmd.CommandPath())
			}
			how := whimbrel.ResolveDone
			if retry {
				how = whimbrel.ResolveRetry
			}
			return a.withTarget(cmd.Context(), a.open, func(t *target) (render.Document, error) {
				return t.resolveRun(cmd, args[0], how, reason)
			})
		},
		ValidArgsFunction: a.completeVersions(1),
	}
	f := cmd.Flags()
	f.BoolVar(&done, "done", false, "it has happened: go on behind it")
	f.BoolVar(&retry, "retry", false, "it has not happened: execute it")
	f.StringVar(&reason, "reason", "", "why you know, in a few `words`; the history keeps it")
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
			return nil, usage(`"whimbrel status" shows what was stopped, if anything was.`, "%v", err)
		}
	}
	r, err := m.Resolve(ctx, version, how, reason)
	if err != nil {
		return nil, err
	}
	return render.NewResolved(t.set.Name(), r, how, render.NewInterrupted(j, "")), nil
}
