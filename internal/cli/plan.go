package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) planCommand() *cobra.Command {
	m := migrateFlags{dryRun: true}
	cmd := &cobra.Command{
		Use:        "plan",
		SuggestFor: []string{"diff", "show", "preview"},
		GroupID:    groupInspect,
		Short:      "Show what up or down would do",
		Long: `Plan shows what "whimbrel up" would do or, with --down, what "whimbrel down" would do: each step
with its transaction, file and number of statements. It changes nothing and takes no lock.`,
		Example: `  whimbrel plan                      # for up
  whimbrel plan --to 12              # for up --to 12
  whimbrel plan --down --steps 2     # for down --steps 2
  whimbrel plan --down --all         # for down --all`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			idle := "Nothing to do: nothing is pending."
			switch {
			case m.down:
				idle = "Nothing to do: no migration above that version is applied."
			case m.all:
				return usage("Without --down, plan shows all pending migrations.", "--all requires --down")
			}
			goal, err := m.goal(cmd, m.down)
			if err != nil {
				return err
			}
			return a.migrate(cmd, &m, goal, idle)
		},
	}
	cmd.Flags().BoolVar(&m.down, "down", false, "plan a rollback, of one migration by default")
	versionFlag(cmd, &m.to, "to", "`version`, as for up or down")
	m.addSteps(cmd, "`n` migrations, as for up or down")
	cmd.Flags().BoolVar(&m.all, "all", false, "with --down: roll back everything")
	m.addPolicy(cmd)
	m.addDetach(cmd)
	a.addAllowEmpty(cmd)
	a.addAllowUnrecorded(cmd)
	a.completeVersionFlag(cmd, everyVersion)
	return cmd
}
