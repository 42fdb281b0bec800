package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) markCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:        "mark VERSION…",
		SuggestFor: []string{"force", "fake", "skip"},
		GroupID:    groupRecord,
		Short:      "Record migrations as applied without running them",
		Long: `Mark records migrations as applied, all or none, without running them. Use it if the database
already has their changes.`,
		Example: `  whimbrel mark 1 2 3 --reason "created by hand"`,
		Args:    needArgs("at least one version", 1, -1),
		RunE: a.withVersions(a.writes(correcting, a.open), func(ctx context.Context, t *target, versions []int64) (render.Document, error) {
			return &render.Marked{Set: t.set.Name(), Marked: versions}, t.migrator().Mark(ctx, reason, versions...)
		}),
		ValidArgsFunction: a.completeVersions(-1, pendingFirst),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why`; the history keeps it")
	return cmd
}
