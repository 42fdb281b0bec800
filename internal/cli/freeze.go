package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) freezeCommand() *cobra.Command {
	var reason, until string
	var during time.Duration
	cmd := &cobra.Command{
		Use:     "freeze",
		GroupID: groupOther,
		Short:   "Block migrations of the database, optionally for a limited time",
		Long: `Freeze blocks all migrations of the database, and shows the reason to anyone who tries. A process
that finds nothing pending is not affected. Freeze sets the setting frozen to true.

A migration that is already running continues to the end of its transaction or non-transactional
script. Freeze waits for it, up to --migration-lock-timeout (15s). When freeze succeeds, nothing is running. If
the time is up, freeze fails, but the database is frozen. SQLite is the exception: there a running
migration prevents the freeze. The error says which is the case.`,
		Example: `  whimbrel freeze --reason "the big sale" --until 2026-11-30T08:00:00Z
  whimbrel freeze --reason "moving to the new server" --for 2h`,
		Args:    noArgs,
		PreRunE: needReason(&reason, "it is shown to anyone who is refused"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			end, err := settingUntil(until, during, cmd.Flags().Changed("for"))
			if err != nil {
				return err
			}
			return a.with(a.writes(freezing, a.openWithoutFiles), func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				return answer(render.NewFrozen)(t.migrator().Freeze(cmd.Context(), reason, end))
			})(cmd, nil)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why` the database is frozen (required); shown to anyone who is refused")
	durationFlag(cmd, &during, "for", "`duration` of the freeze, such as 2h or 1d")
	cmd.Flags().StringVar(&until, "until", "", "`time` when the freeze ends, such as 2026-11-30 or 2026-11-30T08:00:00Z (UTC)")
	return cmd
}

func (a *app) thawCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "thaw",
		GroupID: groupOther,
		Short:   "Allow migrations again after freeze",
		Example: `  whimbrel thaw`,
		Args:    noArgs,
		RunE: a.with(a.writes(thawing, a.openWithoutFiles), func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			mig := t.migrator()
			settings, err := mig.Settings(cmd.Context())
			if err == nil && !settings.Bool(database.Frozen) {
				return &render.Frozen{Already: true}, nil
			}
			if err != nil {
				return nil, err
			}
			return answer(render.NewFrozen)(mig.Thaw(cmd.Context(), reason))
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why` migrations are allowed again; the history keeps it")
	return cmd
}
