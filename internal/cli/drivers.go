package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) driversCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "drivers",
		GroupID: groupOther,
		Short:   "List the schemes of database URLs",
		Long:    `Drivers lists the schemes that a database URL can begin with.`,
		Example: `  whimbrel drivers`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.print().Show(&render.Drivers{Drivers: append([]string{}, database.Drivers()...)})
			return nil
		},
	}
}
