package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) statusCommand() *cobra.Command {
	var exitCode bool
	cmd := &cobra.Command{
		Use:        "status",
		SuggestFor: []string{"info", "list", "ls", "state"},
		GroupID:    groupInspect,
		Short:      "Show what is applied and what is pending",
		Long: `Status shows the state of each migration: applied, pending, modified (the file changed after it
was applied), out of order (pending below the newest applied version), replaced (applied, and now
part of a squash or baseline), or unknown (applied, but without a file). It changes nothing and takes no lock.

Status exits with 1 if a migration is interrupted and, as far as the database can tell, no process
is still running it.`,
		Example: `  whimbrel status
  whimbrel status --json
  whimbrel status --exit-code --quiet   # for scripts: 3 if something is pending`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pending := false
			err := a.with(a.open, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				s, err := t.migrator().Status(cmd.Context())
				if err != nil {
					return nil, err
				}
				pending = len(s.PendingVersions())+len(s.PendingRepeatables()) > 0
				return render.NewStatus(s, t.dir), nil
			})(cmd, nil)
			if err == nil && exitCode && pending {
				err = exitError{exitPending}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 3 if something is pending")
	return cmd
}
