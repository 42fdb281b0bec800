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
each mark, forget and accept. Nothing ever changes or removes an entry.`,
		Example: `  whimbrel history
  whimbrel history --all-sets   # of all sets, with the changes of settings
  whimbrel history --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return a.withTarget(ctx, a.openWithoutFiles, func(t *target) (render.Document, error) {
				q := database.HistoryQuery{Set: t.set.Name()}
				if allSets {
					q.Set = ""
				}
				doc := &render.History{AllSets: allSets}
				for e, err := range t.db.History(ctx, q) {
					if err != nil {
						return nil, err
					}
					doc.Events = append(doc.Events, render.NewEvent(e))
				}
				return doc, nil
			})
		},
	}
	cmd.Flags().BoolVar(&allSets, "all-sets", false, "show all sets of the database, Whimbrel's own too")
	return cmd
}
