package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) abandonCommand() *cobra.Command {
	var opts whimbrel.AbandonOptions
	cmd := &cobra.Command{
		Use:        "abandon VERSION",
		SuggestFor: []string{"abort", "cancel", "giveup", "unlock", "clean"},
		GroupID:    groupRecord,
		Short:      "Give up an interrupted migration",
		Long: `Abandon ends the run of an interrupted migration, so that "whimbrel up" starts it from its first
statement, or not at all if you remove its file. You need it only to give the migration up: "whimbrel
up" resumes an interrupted migration without it.

Abandon first removes what the interrupted statement left half-built, such as an invalid index. If
statements of the migration took effect, it lists them and changes nothing. Undo them, then confirm that
with --undone. Even then it refuses if the database shows that the interrupted statement took effect.
A migration whose rollback is abandoned remains applied.

For a repeatable script or a seed, pass its name instead of a version. If the database is protected,
confirm with --yes and its name.`,
		Example: `  whimbrel abandon 12 --dry-run     # show what would be removed
  whimbrel abandon 12 --reason "the index build blocks the release"
  whimbrel abandon 12 --undone      # the table of statement 1 is dropped`,
		Args: needArgs("one version, or the name of a script without a version", 1, 1),
		RunE: a.with(a.open, func(cmd *cobra.Command, t *target, args []string) (render.Document, error) {
			if !opts.DryRun {
				t.begin(abandoning)
			}
			version, j, err := t.interruptedScript(cmd.Context(), args[0])
			if err != nil {
				return nil, err
			}
			done, err := t.migrator().Abandon(cmd.Context(), version, opts)
			if err != nil {
				return nil, err
			}
			return render.NewAbandoned(done, render.NewInterrupted(j, "")), nil
		}),
		ValidArgsFunction: a.completeVersions(1, interruptedOne),
	}
	f := cmd.Flags()
	f.BoolVar(&opts.Undone, "undone", false, "you have undone every statement of the migration that took effect")
	f.BoolVar(&opts.DryRun, "dry-run", false, "show what would be removed and change nothing")
	f.StringVar(&opts.Reason, "reason", "", "`why`; the history keeps it")
	addYes(cmd, &opts.Overrule)
	a.addWaits(cmd)
	f.SortFlags = false
	return cmd
}
