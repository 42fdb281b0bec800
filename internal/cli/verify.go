package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:        "verify",
		SuggestFor: []string{"check", "validate"},
		GroupID:    groupLook,
		Short:      "Check that applied migrations were not edited",
		Long: `Verify compares the checksum of every applied migration with its file, and shows the
difference to the text that was applied. It exits with 5 if there is one. Up and down
check the same before they begin.`,
		Example: `  whimbrel verify`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.withTarget(ctx, a.open, func(t *target) (render.Document, error) {
				m := t.migrator()
				s, err := m.Status(ctx)
				if err != nil {
					return nil, err
				}
				if len(s.InState(whimbrel.Modified)) > 0 {
					if err := m.Verify(ctx); err != nil {
						return nil, err
					}
				}
				return &render.Verified{Set: s.Set, Verified: s.InState(whimbrel.Applied), Unknown: s.InState(whimbrel.Unknown)}, nil
			})
		},
	}
}
