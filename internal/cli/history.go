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
		GroupID:    groupInspect,
		Short:      "Show who changed what, and when",
		Long: `History shows the entries of the database's history, oldest first: each migration that was applied or
rolled back, each mark, forget and accept, and each change of a setting. Entries are never changed
or removed.`,
		Example: `  whimbrel history
  whimbrel history --all-sets   # including other sets and Whimbrel's own
  whimbrel history --json`,
		Args: noArgs,
		RunE: a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			doc := &render.History{AllSets: allSets}
			for e, err := range t.db.History(cmd.Context(), database.HistoryQuery{}) {
				if err != nil {
					return nil, err
				}
				// Settings apply to every set, and a freeze explains a gap in the history.
				if allSets || e.Set == t.set.Name() || e.Direction == database.Setting {
					doc.Entries = append(doc.Entries, render.NewEntry(e))
				}
			}
			return doc, nil
		}),
	}
	cmd.Flags().BoolVar(&allSets, "all-sets", false, "include all other sets in the database, and Whimbrel's own")
	return cmd
}
