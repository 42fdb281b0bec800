package cli

import (
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
		Short:      "Record that a schema nobody recorded is that of a version",
		Long: `Baseline records every migration up to a version as applied, and runs nothing: for a
database whose schema was there before Whimbrel. It refuses where there is a history already.

With --force it sets a record right: versions above the baseline are forgotten, those up to
it are recorded as their files are now.`,
		Example: `  whimbrel baseline 12
  whimbrel baseline 12 --force --reason "restored from last night's dump"`,
		Args: wantArgs("a version", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			versions, err := parseVersions(args)
			if err != nil {
				return err
			}
			if opts.Force && opts.Reason == "" {
				return usage(`whimbrel baseline `+args[0]+` --force --reason "…"`, "a reason is wanted: the history keeps it")
			}
			ctx := cmd.Context()
			return a.withTarget(ctx, a.open, func(t *target) (render.Document, error) {
				r, err := t.migrator().Baseline(ctx, versions[0], opts)
				if err != nil {
					return nil, err
				}
				return render.NewBaselined(r, versions[0]), nil
			})
		},
		ValidArgsFunction: a.completeVersions(1),
	}
	cmd.Flags().BoolVar(&opts.Force, "force", false, "although there is a history")
	cmd.Flags().StringVar(&opts.Reason, "reason", "", "why, in a few `words`; the history keeps it")
	return cmd
}
