package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

func (a *app) freezeCommand() *cobra.Command {
	var reason, until string
	var during time.Duration
	cmd := &cobra.Command{
		Use:     "freeze",
		GroupID: groupOther,
		Short:   "Let nothing migrate the database, for good or for a time",
		Long: `Freeze sets migration_mode to false, with the reason, who did it and since when: from then on
whoever wants to migrate the database is refused and told so. A program that finds nothing
pending is not in the way. What is running already goes on to the end of its transaction, or of its
script outside of one, and freeze waits for that as long as --lock-timeout says (15s): when it
has returned with success nothing runs any more. It fails where something still does; the
database is frozen all the same, but for SQLite, where only one can write: the error says which it is.`,
		Example: `  whimbrel freeze --reason "the big sale" --until 2026-11-30T08:00:00Z
  whimbrel freeze --reason "moving to the new server" --for 2h`,
		Args: wantArgs("no arguments", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				return usage(`whimbrel freeze --reason "…"`, "a reason is wanted: whoever is refused is told it")
			}
			end, err := settingUntil(until, during, cmd.Flags().Changed("for"))
			if err != nil {
				return err
			}
			return a.changeSetting(cmd.Context(), func(m *whimbrel.Migrator) (database.SettingValue, error) {
				return m.Freeze(cmd.Context(), reason, end)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in a few `words`; whoever is refused is told")
	cmd.Flags().DurationVar(&during, "for", 0, "`how long` it holds, such as 2h")
	cmd.Flags().StringVar(&until, "until", "", "`when` it ends, such as 2026-11-30 or 2026-11-30T08:00:00Z (UTC)")
	return cmd
}

func (a *app) thawCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "thaw",
		GroupID: groupOther,
		Short:   "Let migrations run again after freeze",
		Example: `  whimbrel thaw`,
		Args:    wantArgs("no arguments", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changeSetting(cmd.Context(), func(m *whimbrel.Migrator) (database.SettingValue, error) {
				return m.Thaw(cmd.Context(), reason)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in a few `words`")
	return cmd
}
