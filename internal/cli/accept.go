package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) acceptCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:        "accept VERSION…",
		SuggestFor: []string{"repair", "rehash"},
		GroupID:    groupRecord,
		Short:      "Accept edits to applied migrations",
		Long: `Accept records the present files of applied migrations as the ones that checksums are compared
with. It runs nothing. Run "whimbrel verify" first to see the difference. The history keeps the
reason.`,
		Example: `  whimbrel accept 7 --reason "only a comment was added"`,
		Args:    needArgs("at least one version", 1, -1),
		PreRunE: needReason(&reason, "the history keeps it"),
		RunE: a.withVersions(a.writes(correcting, a.open), func(ctx context.Context, t *target, versions []int64) (render.Document, error) {
			m := t.migrator()
			before, err := m.Status(ctx)
			if err != nil {
				return nil, err
			}
			edited := slices.DeleteFunc(before.InState(whimbrel.StateModified), func(v int64) bool { return !slices.Contains(versions, v) })
			return &render.Accepted{Set: t.set.Name(), Accepted: edited}, m.Accept(ctx, reason, versions...)
		}),
		ValidArgsFunction: a.completeVersions(-1, editedFirst),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why` the edit is right (required); the history keeps it")
	return cmd
}
