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
		Short:   "Roll the newest migration back and apply it again",
		Long: `Redo rolls the newest migration back and applies it again, as its file is now. It is for
work on a migration that nobody else has yet, so edits to it are no error.`,
		Example: `  whimbrel redo
  whimbrel redo --steps 2    # the newest two`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			steps := 1
			if m.steps.set {
				steps = int(m.steps.value)
			}
			return a.migrate(cmd, &m, whimbrel.Redo(steps), "Nothing to do.")
		},
	}
	m.addSteps(cmd, "redo this many migrations (default 1)")
	m.addRun(cmd)
	addOverrule(cmd, &m.overrule)
	return cmd
}
