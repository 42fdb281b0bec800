package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
)

func (a *app) toCommand() *cobra.Command {
	var m migrateFlags
	cmd := &cobra.Command{
		Use:        "to VERSION",
		SuggestFor: []string{"goto", "target"},
		GroupID:    groupMigrate,
		Short:      "Migrate up or down to a version",
		Long: `To rolls back the migrations above a version, and applies pending ones up to it.

"whimbrel to 0" rolls back everything, like "whimbrel down --all".`,
		Example: `  whimbrel to 12
  whimbrel to 12 --dry-run   # show the plan only`,
		Args: needArgs("one version", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			versions, err := parseVersions(args)
			if err != nil {
				return err
			}
			m.to = versions[0]
			return a.migrate(cmd, &m, whimbrel.Version(m.to), "Nothing to do: nothing is applied.")
		},
		ValidArgsFunction: a.completeVersions(1, everyVersion),
	}
	m.addRun(a, cmd)
	m.addBackfills(cmd)
	a.addAllowUnrecorded(cmd)
	addYes(cmd, &m.overrule)
	return cmd
}
