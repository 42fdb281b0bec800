package cli

import (
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) historyCommand() *cobra.Command {
	var allSets bool
	cmd := &cobra.Command{
		Use:        "history",
		SuggestFor: []string{"log", "events"},
		GroupID:    groupLook,
		Short:      "Show what was done, when and by whom",
		Long: `History shows the log of the database, oldest first: each migration that went up or down,
each mark, forget and accept, each change of a setting. Nothing ever changes or removes an entry.`,
		Example: `  whimbrel history
  whimbrel history --all-sets   # of all sets, Whimbrel's own too
  whimbrel history --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.withTarget(ctx, a.openWithoutFiles, func(t *target) (render.Document, error) {
				doc := &render.History{AllSets: allSets}
				for e, err := range t.db.History(ctx, database.HistoryQuery{}) {
					if err != nil {
						return nil, err
					}
					// A setting holds for every set: a freeze says why nothing happened for a while.
					if allSets || e.Set == t.set.Name() || e.Direction == database.Setting {
						doc.Events = append(doc.Events, render.NewEvent(e))
					}
				}
				return doc, nil
			})
		},
	}
	cmd.Flags().BoolVar(&allSets, "all-sets", false, "show all sets of the database, Whimbrel's own too")
	return cmd
}
