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
part of a squash or baseline), unknown (applied, but without a file), unfinished (a backfill that is
not done), running (another process is applying it), or interrupted. It changes nothing and takes no
lock. If it can't tell which migration another process is applying, it shows the process.

Status exits with 1 if a migration is interrupted and, as far as the database can tell, no process
is still running it. With --exit-code it also exits with 3 if something is pending or a backfill is
not done. If the next "whimbrel up" would fail, it shows why and exits with the same code: 5 if a file
was edited, a version is out of order, an interrupted migration needs a decision, a backfill is
paused, or the database is frozen and something is pending; 1 if a backfill failed, a script can't run
or the folder has no migrations.`,
		Example: `  whimbrel status
  whimbrel status --json
  whimbrel status --exit-code --quiet   # for scripts: 0 if up would do nothing`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pending := false
			var refused *render.Failure
			var refusedCode int
			err := a.with(a.openForStatus, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				s, err := t.status(cmd.Context())
				if err != nil {
					return nil, err
				}
				doc := render.NewStatus(s, t.dir)
				if doc.Unrecorded, err = a.unrecorded(cmd.Context(), t); err != nil {
					return nil, err
				}
				if exitCode {
					if pending, err = a.refusal(cmd.Context(), t); err != nil {
						refused, refusedCode = a.explain(cmd.Context(), err)
						doc.Refused = refused
					}
				}
				return doc, nil
			})(cmd, nil)
			switch {
			case refused != nil:
				if !a.global.json {
					a.print().Fail(refused)
				}
				return exitError{refusedCode}
			case err == nil && exitCode && pending:
				return exitError{exitPending}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 3 if something is pending, and with the code of up if the next up would fail")
	a.addAllowEmpty(cmd)
	return cmd
}
