package cli

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/durations"
	"github.com/whimbrel-db/whimbrel/internal/times"
)

func (a *app) historyCommand() *cobra.Command {
	var allSets bool
	var limit int
	var since, version string
	cmd := &cobra.Command{
		Use:        "history",
		SuggestFor: []string{"log", "events"},
		GroupID:    groupInspect,
		Short:      "Show who changed what, and when",
		Long: `History shows the entries of the database's history: each migration that was applied, rolled back or
failed, each mark, forget and accept, and each change of a setting. Entries are never changed or
removed. On a terminal, the newest entry is first. In a pipe and with --json, the oldest is first.`,
		Example: `  whimbrel history
  whimbrel history --limit 20
  whimbrel history --since 7d    # or 2026-11-01, or 2026-11-01T08:00:00Z
  whimbrel history --version 12
  whimbrel history show 87       # the stored SQL of entry 87
  whimbrel history --all-sets --json       # other sets, and Whimbrel's own`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := database.HistoryQuery{Newest: true}
			if cmd.Flags().Changed("limit") && limit <= 0 {
				return usage("Pass a positive number, or omit the flag.", "--limit %d is not positive", limit)
			}
			if cmd.Flags().Changed("version") {
				v, err := parseVersion(version)
				if err != nil {
					return usage("", "--version: %v", err)
				}
				q.Version = &v
			}
			if cmd.Flags().Changed("since") {
				at, ok := parseSince(since, time.Now())
				if !ok {
					return usage("Pass a duration such as 2h or 7d, a date such as 2026-11-01, or a time such as 2026-11-01T08:00:00Z.", "--since: %q is neither a duration nor a time", since)
				}
				q.Since = at
			}
			return a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				doc := &render.History{AllSets: allSets, Filtered: q.Version != nil || !q.Since.IsZero()}
				for e, err := range t.db.History(cmd.Context(), q) {
					if err != nil {
						return nil, err
					}
					// Settings apply to every set, and a freeze explains a gap in the history.
					if allSets || e.Set == t.set.Name() || e.Direction == database.Setting {
						doc.Entries = append(doc.Entries, render.NewEntry(e))
					}
					if limit > 0 && len(doc.Entries) == limit {
						break
					}
				}
				if !a.Stdout.Terminal || a.global.json {
					slices.Reverse(doc.Entries)
				}
				return doc, nil
			})(cmd, nil)
		},
	}
	f := cmd.Flags()
	f.IntVar(&limit, "limit", 0, "show the newest `N` entries at most")
	f.StringVar(&since, "since", "", "show entries since a `time`: 7d, 2026-11-01 or 2026-11-01T08:00:00Z; without a zone, UTC")
	f.StringVar(&version, "version", "", "show entries of one `version`")
	f.BoolVar(&allSets, "all-sets", false, "include all other sets in the database, and Whimbrel's own")
	f.SortFlags = false
	cmd.AddCommand(a.historyShowCommand())
	return cmd
}

// parseSince parses a time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, bool) {
	if at, ok := times.Parse(text); ok {
		return at, true
	}
	ago, err := durations.Parse(text)
	return now.Add(-ago), err == nil && ago > 0
}

func (a *app) historyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Print the stored SQL of an entry",
		Long: `Show prints the SQL that the history keeps of an entry: its up script, and its down script if that is
kept. In a pipe, it prints only the script that ran, exactly as it is stored. The ID is the first column of history.`,
		Example: `  whimbrel history show 87
  whimbrel history show 87 --json`,
		Args:              needArgs("the ID of a history entry", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id <= 0 {
				return usage(`"whimbrel history" shows the IDs.`, "%q is not the ID of a history entry", args[0])
			}
			return a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				for e, err := range t.db.History(cmd.Context(), database.HistoryQuery{ID: id, Texts: true}) {
					if err != nil {
						return nil, err
					}
					doc := render.NewHistoryEntry(e)
					if doc.SQL() == "" && !a.Stdout.Terminal && !a.global.json {
						return nil, fmt.Errorf("the history keeps no SQL of entry %d (%s)", e.ID, e.Direction)
					}
					return doc, nil
				}
				return nil, usage(`"whimbrel history --all-sets" shows all entries.`, "the history has no entry with the ID %d", id)
			})(cmd, nil)
		},
	}
}
