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
		GroupID:    groupLook,
		Short:      "Show what is applied and what is pending",
		Long: `Status shows each migration and where it stands: applied, pending, modified (applied from
another text than its file has now), out of order (pending below the newest applied
version), or unknown (applied, but without a file). It changes and locks nothing.

It exits with 1 when a migration has stopped part-way, and nobody is at work on it as far as the
database can tell.`,
		Example: `  whimbrel status
  whimbrel status --json
  whimbrel status --exit-code --quiet   # for scripts: 3 if something is pending`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var doc *render.Status
			err := a.withTarget(cmd.Context(), a.open, func(t *target) (render.Document, error) {
				s, err := t.migrator().Status(cmd.Context())
				if err != nil {
					return nil, err
				}
				doc = render.NewStatus(s, t.dir)
				return doc, nil
			})
			switch {
			case err != nil:
				return err
			case doc.Dirty && !doc.Interrupted.Running:
				return told{exitFailed}
			case exitCode && len(doc.Pending)+len(doc.Repeats) > 0:
				return told{exitPending}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 3 if something is pending")
	return cmd
}
