package cli

import "github.com/spf13/cobra"

func (a *app) downCommand() *cobra.Command {
	var m migrateFlags
	cmd := &cobra.Command{
		Use:        "down",
		Aliases:    []string{"rollback"},
		SuggestFor: []string{"undo", "downgrade", "revert"},
		GroupID:    groupMigrate,
		Short:      "Roll migrations back, the newest first",
		Long: `Down rolls the newest migration back, or as many as a flag says. Where this folder does
not have a version, its down script comes from the history in the database: a newer
release can be rolled back with the files of an older one.`,
		Example: `  whimbrel down              # the newest one
  whimbrel down --steps 3    # the newest three
  whimbrel down --to 12      # everything above version 12
  whimbrel down --all        # everything
  whimbrel down --dry-run    # show what would be done`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			goal, err := m.down()
			if err != nil {
				return err
			}
			return a.migrate(cmd, &m, goal, "Nothing to do: nothing is applied above that.")
		},
	}
	m.addTo(cmd, "roll back everything above this version")
	m.addSteps(cmd, "roll back this many migrations (default 1)")
	cmd.Flags().BoolVar(&m.all, "all", false, "roll back everything")
	m.addRun(cmd)
	addOverrule(cmd, &m.overrule)
	a.completeVersionFlag(cmd)
	return cmd
}
