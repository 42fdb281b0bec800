package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// commit is the commit that the linker sets in the binaries of a release (scripts/dist).
var commit string

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: groupOther,
		Short:   "Print the version of this program",
		Long: `Version prints the version of this program, its commit if the build recorded it, the version of
Go, and the platform.`,
		Example: `  whimbrel version`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.print().Show(thisVersion())
			return nil
		},
	}
}

// thisVersion describes this build.
func thisVersion() *render.Version {
	return &render.Version{
		Version: whimbrel.ToolVersion(), Commit: buildCommit(),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// buildCommit returns the commit that this program was built from, or "" if it is not known.
func buildCommit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
