package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) forgetCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:        "forget VERSION…",
		SuggestFor: []string{"unmark", "delete", "remove"},
		GroupID:    groupRecord,
		Short:      "Record migrations as not applied without running anything",
		Long: `Forget records applied migrations as not applied, all or none, without running anything. Use it if
the database has lost their changes. The history keeps the earlier entries. Forget needs no files.

Forgetting an interrupted migration ends it, and leaves everything that it did in the database, even
an invalid index. Use "whimbrel abandon" instead, which removes what is half-built.`,
		Example: `  whimbrel forget 7 --reason "table dropped by hand"`,
		Args:    needArgs("at least one version", 1, -1),
		RunE: a.withVersions(a.writes(correcting, a.openWithoutFiles), func(ctx context.Context, t *target, versions []int64) (render.Document, error) {
			return &render.Forgotten{Set: t.set.Name(), Forgotten: versions}, t.migrator().Forget(ctx, reason, versions...)
		}),
		ValidArgsFunction: a.completeVersions(-1, appliedFirst),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why`; the history keeps it")
	return cmd
}
