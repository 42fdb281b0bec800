package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/times"
)

func (a *app) settingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "settings",
		SuggestFor: []string{"set", "get", "config"},
		GroupID:    groupOther,
		Short:      "Show and change the settings in the database",
		Long: `Settings shows the settings that Whimbrel keeps in the database. They apply to every process that
migrates it. While frozen is true, nothing can migrate it.`,
		Example: `  whimbrel settings
  whimbrel settings get frozen
  whimbrel settings set protected true --reason "this is production"`,
		Args: unknownCommand,
		RunE: a.listSettings(),
	}
	cmd.AddCommand(a.settingsListCommand(), a.settingsGetCommand(), a.settingsSetCommand(), a.settingsUnsetCommand())
	return cmd
}

func (a *app) settingsListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show all settings, like settings without a command",
		Example: `  whimbrel settings list --json`,
		Args:    noArgs,
		RunE:    a.listSettings(),
	}
}

func (a *app) listSettings() func(*cobra.Command, []string) error {
	return a.withSettings(func(s database.Settings, _ []string) (render.Document, error) {
		doc := &render.Settings{Settings: []render.Setting{}}
		for _, v := range s.All() {
			doc.Settings = append(doc.Settings, *render.NewSetting(v))
		}
		return doc, nil
	})
}

func (a *app) settingsGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "get NAME",
		Short:   "Print the value of a setting",
		Example: `  whimbrel settings get frozen`,
		Args:    needArgs("the name of a setting", 1, 1),
		RunE: a.withSettings(func(s database.Settings, args []string) (render.Document, error) {
			return answer(render.NewSetting)(s.Get(args[0]))
		}),
		ValidArgsFunction: completeSettings,
	}
}

func (a *app) settingsSetCommand() *cobra.Command {
	var reason, until string
	var during time.Duration
	cmd := &cobra.Command{
		Use:   "set NAME VALUE",
		Short: "Change a setting, optionally for a limited time",
		Example: `  whimbrel settings set protected true --reason "this is production"
  whimbrel settings set order any --for 2h`,
		Args: needArgs("the name of a setting and its value", 2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			update, err := database.SettingUpdate{Name: args[0], Value: args[1], Reason: reason}.Check()
			if err != nil {
				return err
			}
			if forbids(update) && reason == "" {
				return reasonRequired("it is shown to anyone who is refused")
			}
			if update.Until, err = settingUntil(until, during, cmd.Flags().Changed("for")); err != nil {
				return err
			}
			return a.updateSetting(cmd, update)
		},
		ValidArgsFunction: completeSettings,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why` the setting changes (required for frozen and protected); shown to anyone who is refused because of it")
	durationFlag(cmd, &during, "for", "`duration` of the change, such as 2h or 1d; after that the default applies")
	cmd.Flags().StringVar(&until, "until", "", "`time` when the default applies again, such as 2026-11-30 or 2026-11-30T08:00:00Z (UTC)")
	return cmd
}

// forbids reports whether a change makes the database refuse commands.
func forbids(u database.SettingUpdate) bool {
	return (u.Name == database.Frozen || u.Name == database.Protected) && u.Value == "true"
}

// settingUntil returns the end of a setting from --until and --for, or the zero time for neither.
func settingUntil(until string, during time.Duration, hasDuring bool) (time.Time, error) {
	now := time.Now()
	switch {
	case until != "" && hasDuring:
		return time.Time{}, usage("Pass only one of them.", "--until and --for can't be combined")
	case hasDuring:
		return now.Add(during), nil
	case until == "":
		return time.Time{}, nil
	}
	t, ok := times.Parse(until)
	if !ok {
		soon := now.UTC().Add(24 * time.Hour)
		return time.Time{}, usage(fmt.Sprintf("Pass a date such as %s, or a time such as \"%s\". The time zone is UTC by default.", soon.Format(time.DateOnly), times.Format(soon)),
			"--until %q is not a date or time", until)
	}
	if t.Before(now) {
		return t, usage("", "--until %s is in the past", until)
	}
	return t, nil
}

func (a *app) settingsUnsetCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "unset NAME",
		Short:   "Restore the default of a setting",
		Example: `  whimbrel settings unset frozen`,
		Args:    needArgs("the name of a setting", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.updateSetting(cmd, database.SettingUpdate{Name: args[0], Unset: true, Reason: reason})
		},
		ValidArgsFunction: completeSettings,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why` the setting changes; the history keeps it")
	return cmd
}

// updateSetting changes a setting and shows its new value.
func (a *app) updateSetting(cmd *cobra.Command, u database.SettingUpdate) error {
	if _, err := u.Check(); err != nil { // before the database is opened
		return err
	}
	return a.with(a.writes(changingSetting, a.openWithoutFiles), func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
		return answer(render.NewSettingChanged)(t.migrator().ChangeSetting(cmd.Context(), u))
	})(cmd, nil)
}

// withSettings returns the function of a command that shows the document that work makes from the
// settings of the database.
func (a *app) withSettings(work func(s database.Settings, args []string) (render.Document, error)) func(*cobra.Command, []string) error {
	return a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, args []string) (render.Document, error) {
		st, err := t.db.State(cmd.Context(), t.set.Name())
		if err != nil {
			return nil, err
		}
		return work(st.Settings, args)
	})
}
