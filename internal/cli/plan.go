package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
)

func (a *app) planCommand() *cobra.Command {
	m := migrateFlags{dryRun: true}
	var down bool
	cmd := &cobra.Command{
		Use:        "plan",
		SuggestFor: []string{"diff", "show", "preview"},
		GroupID:    groupLook,
		Short:      "Show what up or down would do",
		Long: `Plan shows what "whimbrel up" would do, and with --down what "whimbrel down" would do: the
transactions, the migrations in each, their files and statements, and for a rollback
where the down scripts come from. It changes nothing and locks nothing.`,
		Example: `  whimbrel plan                      # of up
  whimbrel plan --to 12              # of up --to 12
  whimbrel plan --down --steps 2     # of down --steps 2
  whimbrel plan --down --all         # of down --all`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var goal whimbrel.Goal
			var err error
			idle := "Nothing to do: nothing is pending."
			switch {
			case down:
				goal, err = m.down()
				idle = "Nothing to do: nothing is applied above that."
			case m.all:
				err = usage("Up applies everything unless a flag bounds it.", "--all goes with --down")
			default:
				goal, err = m.up()
			}
			if err != nil {
				return err
			}
			return a.migrate(cmd, &m, goal, idle)
		},
	}
	cmd.Flags().BoolVar(&down, "down", false, "plan a rollback: of one migration, unless a flag says how many")
	m.addTo(cmd, "as of up or down")
	m.addSteps(cmd, "as of up or down")
	cmd.Flags().BoolVar(&m.all, "all", false, "with --down: roll back everything")
	m.addPolicy(cmd)
	a.completeVersionFlag(cmd)
	return cmd
}
