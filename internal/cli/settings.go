package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) settingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "settings",
		SuggestFor: []string{"set", "get", "config"},
		GroupID:    groupOther,
		Short:      "Show and change the settings kept in the database",
		Long: `Settings shows the settings that Whimbrel keeps in the database itself, where every process
that migrates it sees them. While migration_mode is false nothing may migrate it.`,
		Example: `  whimbrel settings
  whimbrel settings get migration_mode
  whimbrel settings set migration_mode false --reason "freeze until Monday"`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listSettings(cmd.Context()) },
	}
	cmd.AddCommand(a.settingsListCommand(), a.settingsGetCommand(), a.settingsSetCommand(), a.settingsUnsetCommand())
	return cmd
}

func (a *app) settingsListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show all settings, as settings alone does",
		Example: `  whimbrel settings list --json`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listSettings(cmd.Context()) },
	}
}

func (a *app) listSettings(ctx context.Context) error {
	return a.withSettings(ctx, func(s database.Settings) (render.Document, error) {
		doc := &render.Settings{Settings: []render.Setting{}}
		for _, v := range s.All() {
			doc.Settings = append(doc.Settings, render.NewSetting(v))
		}
		return doc, nil
	})
}

func (a *app) settingsGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "get NAME",
		Short:   "Print the value of a setting",
		Example: `  whimbrel settings get migration_mode`,
		Args:    wantArgs("the name of a setting", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSettings(cmd.Context(), func(s database.Settings) (render.Document, error) {
				v, err := s.Get(args[0])
				if err != nil {
					return nil, err
				}
				doc := render.NewSetting(v)
				return &doc, nil
			})
		},
		ValidArgsFunction: completeSettings,
	}
}

func (a *app) settingsSetCommand() *cobra.Command {
	var reason, until string
	var during time.Duration
	cmd := &cobra.Command{
		Use:   "set NAME VALUE",
		Short: "Change a setting, for good or for a time",
		Example: `  whimbrel settings set migration_mode false --reason "freeze until Monday"
  whimbrel settings set order any --for 2h`,
		Args: wantArgs("the name of a setting and its value", 2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			update := database.SettingUpdate{Name: args[0], Value: args[1], Reason: reason}
			var err error
			if update.Until, err = settingUntil(until, during, cmd.Flags().Changed("for")); err != nil {
				return err
			}
			return a.updateSetting(cmd.Context(), update)
		},
		ValidArgsFunction: completeSettings,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in a few `words`; whoever is refused is told")
	cmd.Flags().DurationVar(&during, "for", 0, "`how long` it holds, such as 2h; then the default holds again")
	cmd.Flags().StringVar(&until, "until", "", "`when` it ends, such as 2026-11-30 or 2026-11-30T08:00:00Z (UTC)")
	return cmd
}

func settingUntil(until string, during time.Duration, hasDuring bool) (time.Time, error) {
	now := time.Now()
	switch {
	case until != "" && hasDuring:
		return time.Time{}, usage("Give one of them.", "--until and --for both say when it ends")
	case hasDuring && during <= 0:
		return time.Time{}, usage("", "--for %s: want a time such as 2h", during)
	case hasDuring:
		return now.Add(during), nil
	case until == "":
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		t, err := time.Parse(form, until)
		switch {
		case err != nil:
			continue
		case t.Before(now):
			return t, usage("", "--until %s is over already", until)
		}
		return t, nil
	}
	soon := now.UTC().Add(24 * time.Hour)
	return time.Time{}, usage("", "--until %q: want a date such as %s, or a time such as %s (UTC, where it says nothing else)",
		until, soon.Format(time.DateOnly), soon.Format(time.RFC3339))
}

func (a *app) settingsUnsetCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "unset NAME",
		Short:   "Give a setting its default back",
		Example: `  whimbrel settings unset migration_mode`,
		Args:    wantArgs("the name of a setting", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.updateSetting(cmd.Context(), database.SettingUpdate{Name: args[0], Unset: true, Reason: reason})
		},
		ValidArgsFunction: completeSettings,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in a few `words`")
	return cmd
}

// updateSetting changes a setting and shows it.
func (a *app) updateSetting(ctx context.Context, u database.SettingUpdate) error {
	if _, err := u.Check(); err != nil { // before the database is opened
		return err
	}
	return a.changeSetting(ctx, func(m *whimbrel.Migrator) (database.SettingValue, error) { return m.ChangeSetting(ctx, u) })
}

// changeSetting shows a setting after a change.
func (a *app) changeSetting(ctx context.Context, change func(*whimbrel.Migrator) (database.SettingValue, error)) error {
	return a.withTarget(ctx, a.openWithoutFiles, func(t *target) (render.Document, error) {
		v, err := change(t.migrator())
		if err != nil {
			return nil, err
		}
		return &render.SettingChanged{Setting: render.NewSetting(v)}, nil
	})
}

// withSettings reads the settings of the database.
func (a *app) withSettings(ctx context.Context, work func(database.Settings) (render.Document, error)) error {
	return a.withTarget(ctx, a.openWithoutFiles, func(t *target) (render.Document, error) {
		st, err := t.db.State(ctx, t.set.Name())
		if err != nil {
			return nil, err
		}
		return work(st.Settings)
	})
}
