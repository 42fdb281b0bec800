package cli

import "github.com/spf13/cobra"

func (a *app) downCommand() *cobra.Command {
	var m migrateFlags
	cmd := &cobra.Command{
		Use:        "down",
		Aliases:    []string{"rollback"},
		SuggestFor: []string{"undo", "downgrade", "revert"},
		GroupID:    groupMigrate,
		Short:      "Roll back migrations, the newest first",
		Long: `Down rolls back the newest migration, or as many as a flag selects. If the folder lacks a
version, Whimbrel uses the down script that the history keeps. So you can roll back a newer
release with the files of an older one.`,
		Example: `  whimbrel down              # the newest one
  whimbrel down --steps 3    # the newest three
  whimbrel down --to 12      # everything above version 12
  whimbrel down --all        # everything
  whimbrel down --dry-run    # show the plan only`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			goal, err := m.goal(cmd, true)
			if err != nil {
				return err
			}
			return a.migrate(cmd, &m, goal, "Nothing to do: no migration above that version is applied.")
		},
	}
	versionFlag(cmd, &m.to, "to", "roll back everything above this `version`")
	m.addSteps(cmd, "roll back `n` migrations (default 1)")
	cmd.Flags().BoolVar(&m.all, "all", false, "roll back everything")
	m.addRun(a, cmd)
	addYes(cmd, &m.overrule)
	a.completeVersionFlag(cmd, appliedFirst)
	return cmd
}
