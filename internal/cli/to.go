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
		Short:      "Go to a version, up or down",
		Long: `To rolls back what is applied above a version, and applies what is pending up to it.

To take everything back, say "whimbrel down --all".`,
		Example: `  whimbrel to 12
  whimbrel to 12 --dry-run   # show what would be done`,
		Args: wantArgs("one version", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			versions, err := parseVersions(args)
			if err != nil {
				return err
			}
			return a.migrate(cmd, &m, whimbrel.Version(versions[0]), "Nothing to do: the database is at version "+args[0]+".")
		},
		ValidArgsFunction: a.completeVersions(1),
	}
	m.addRun(cmd)
	addOverrule(cmd, &m.overrule)
	return cmd
}
