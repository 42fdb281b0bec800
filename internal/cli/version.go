package cli

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: groupOther,
		Short:   "Print the version of this program",
		Example: `  whimbrel version`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.print().Show(&render.Version{Version: whimbrel.ToolVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH})
			return nil
		},
	}
}
