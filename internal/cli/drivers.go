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
		Short:   "List the supported database URL schemes",
		Long:    `Drivers lists the schemes that a database URL can start with.`,
		Example: `  whimbrel drivers`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.print().Show(&render.Drivers{Drivers: append([]string{}, database.Drivers()...)})
			return nil
		},
	}
}
