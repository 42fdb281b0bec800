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
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSettings(cmd.Context(), func(s database.Settings) (render.Document, error) {
				doc := &render.Settings{Settings: []render.Setting{}}
				for _, v := range s.All() {
					doc.Settings = append(doc.Settings, render.NewSetting(v))
				}
				return doc, nil
			})
		},
	}
	cmd.AddCommand(a.settingsGetCommand(), a.settingsSetCommand())
	return cmd
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
	var reason string
	cmd := &cobra.Command{
		Use:     "set NAME VALUE",
		Short:   "Change a setting",
		Example: `  whimbrel settings set migration_mode false --reason "freeze until Monday"`,
		Args:    wantArgs("the name of a setting and its value", 2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			update := database.SettingUpdate{Name: args[0], Value: args[1], Reason: reason, ToolVersion: whimbrel.ToolVersion(), At: time.Now()}
			if _, err := update.Check(); err != nil {
				return err
			}
			return a.withTarget(ctx, a.openWithoutFiles, func(t *target) (render.Document, error) {
				if err := t.db.UpdateSetting(ctx, update); err != nil {
					return nil, err
				}
				st, err := t.db.State(ctx, t.set.Name())
				if err != nil {
					return nil, err
				}
				v, err := st.Settings.Get(update.Name)
				if err != nil {
					return nil, err
				}
				return &render.SettingChanged{Setting: render.NewSetting(v)}, nil
			})
		},
		ValidArgsFunction: completeSettings,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in a few `words`; whoever is refused is told")
	return cmd
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
