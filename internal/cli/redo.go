package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
)

func (a *app) redoCommand() *cobra.Command {
	var m migrateFlags
	cmd := &cobra.Command{
		Use:     "redo",
		GroupID: groupMigrate,
		Short:   "Roll back the newest migration and apply it again",
		Long: `Redo rolls back the newest migration and applies it again from its present file. Use it while you
write a migration that no other database has yet. Edits to that file are not an error.`,
		Example: `  whimbrel redo
  whimbrel redo --steps 2    # the newest two`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.migrate(cmd, &m, whimbrel.Redo(max(m.steps, 1)), "Nothing to do.")
		},
	}
	m.addSteps(cmd, "redo `n` migrations (default 1)")
	m.addRun(a, cmd)
	addYes(cmd, &m.overrule)
	return cmd
}
