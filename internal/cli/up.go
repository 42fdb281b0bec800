package cli

import "github.com/spf13/cobra"

func (a *app) upCommand() *cobra.Command {
	var m migrateFlags
	cmd := &cobra.Command{
		Use:        "up",
		SuggestFor: []string{"migrate", "apply", "upgrade", "deploy"},
		GroupID:    groupMigrate,
		Short:      "Apply pending migrations",
		Long: `Up applies what is pending, in order. Each migration is a transaction of its own
together with its entry in the history: after a failure what was done before it stands. What
can't be in a transaction goes on at the statement where an earlier attempt stopped.

Several processes may do this at once: one works, the others wait for it.`,
		Example: `  whimbrel up                # everything
  whimbrel up --dry-run      # show what would be done
  whimbrel up --to 12        # nothing above version 12
  whimbrel up --steps 1      # the next one
  whimbrel up --atomic       # everything in one transaction, or nothing`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			goal, err := m.up()
			if err != nil {
				return err
			}
			return a.migrate(cmd, &m, goal, "Nothing to do: nothing is pending.")
		},
	}
	m.addTo(cmd, "apply nothing above this version")
	m.addSteps(cmd, "apply this many migrations at most")
	m.addRun(cmd)
	a.completeVersionFlag(cmd)
	return cmd
}
