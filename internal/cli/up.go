package cli

import "github.com/spf13/cobra"

func (a *app) upCommand() *cobra.Command {
	var m migrateFlags
	cmd := &cobra.Command{
		Use:        "up",
		SuggestFor: []string{"migrate", "apply", "upgrade", "deploy"},
		GroupID:    groupMigrate,
		Short:      "Apply pending migrations",
		Long: `Up applies pending migrations in order. Each migration runs in its own transaction together with
its history entry. If one fails, the migrations before it remain applied. A migration that can't run in a
transaction resumes at the statement where an earlier run was interrupted.

A backfill changes the rows of a table in batches, and up executes it; if you interrupt it, the
next up continues after the last batch. With --detach, up only starts it, for workers. With --wait,
up waits until the workers have done all of them; if you interrupt that, they continue.

Several processes can run up at once: one works, and the others wait for it.`,
		Example: `  whimbrel up                # all pending migrations
  whimbrel up --dry-run      # show the plan only
  whimbrel up --to 12        # nothing above version 12
  whimbrel up --steps 1      # the next migration only
  whimbrel up --atomic       # all in one transaction
  whimbrel up --detach       # only start backfills; "whimbrel work" executes them
  whimbrel up --wait         # also wait until these are done`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			goal, err := m.goal(cmd, false)
			if err != nil {
				return err
			}
			return a.migrate(cmd, &m, goal, "Nothing to do: nothing is pending.")
		},
	}
	versionFlag(cmd, &m.to, "to", "apply nothing above this `version`")
	m.addSteps(cmd, "apply at most `n` migrations")
	m.addRun(a, cmd)
	m.addBackfills(cmd)
	a.addAllowEmpty(cmd)
	a.addAllowUnrecorded(cmd)
	a.completeVersionFlag(cmd, pendingFirst)
	return cmd
}
