package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) baselineCommand() *cobra.Command {
	var opts whimbrel.BaselineOptions
	cmd := &cobra.Command{
		Use:        "baseline VERSION",
		SuggestFor: []string{"adopt", "init-schema"},
		GroupID:    groupRecord,
		Short:      "Record an existing schema as being at a version",
		Long: `Baseline records all migrations up to a version as applied, without running anything. Use it to
start with a database whose schema is older than its use of Whimbrel. It fails if the set already
has a history.

With --force it corrects an existing history: it records the versions up to the baseline as
applied with their present files, and the versions above it as not applied.`,
		Example: `  whimbrel baseline 12
  whimbrel baseline 12 --force --reason "restored from last night's dump"`,
		Args: needArgs("one version", 1, 1),
		PreRunE: func(*cobra.Command, []string) error {
			if opts.Force && opts.Reason == "" {
				return reasonRequired("the history keeps it")
			}
			return nil
		},
		RunE: a.withVersions(a.writes(correcting, a.open), func(ctx context.Context, t *target, versions []int64) (render.Document, error) {
			r, err := t.migrator().Baseline(ctx, versions[0], opts)
			if err != nil {
				return nil, err
			}
			return render.NewBaselined(r, versions[0]), nil
		}),
		ValidArgsFunction: a.completeVersions(1, everyVersion),
	}
	cmd.Flags().BoolVar(&opts.Force, "force", false, "correct an existing history")
	cmd.Flags().StringVar(&opts.Reason, "reason", "", "`why` the history is wrong (required with --force); the history keeps it")
	return cmd
}
