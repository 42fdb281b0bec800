package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel"
)

// globalFlags are the flags of every command.
type globalFlags struct {
	database, dir, format, set string
	schema, historyTable       string
	tablesOwner                string
	lockTimeout, lock          string
	config, env                string
	json, quiet, noColor       bool
	noPager                    bool
}

const (
	groupMigrate = "migrate"
	groupLook    = "look"
	groupRecord  = "record"
	groupOther   = "other"
)

// root returns the command with all that is under it.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "whimbrel",
		Short: "Database migrations",
		Long: `Whimbrel brings a database from the schema it has to the schema your files describe.

Migrations are SQL files in a folder, each with a version and a name. Whimbrel applies
the pending ones in order, each in a transaction of its own together with its entry in
the history. It can be killed or started twenty times at once at any moment.`,
		Example: `  whimbrel new create_users               # migrations/0001_create_users.up.sql
  whimbrel up --database sqlite:app.db    # apply what is pending
  whimbrel --database sqlite:app.db       # see where the database stands`,
		Args:          unknownCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		// An empty value is most often a variable that is not set, and must not mean a default.
		PersistentPreRunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.Flags().Visit(func(f *pflag.Flag) {
				if f.Value.Type() == "string" && f.Value.String() == "" && cmd.InheritedFlags().Lookup(f.Name) != nil {
					err = usage("Give it a value, or leave it out.", "--%s is empty", f.Name)
				}
			})
			if err != nil {
				return err
			}
			return refuseURLs(cmd, args)
		},
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.overview(cmd) },
		Version: whimbrel.ToolVersion(),
	}
	root.SetFlagErrorFunc(flagError)
	root.SetVersionTemplate("whimbrel {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = false
	g, f := &a.global, root.PersistentFlags()
	f.StringVar(&g.database, "database", "", "`URL` of the database, such as postgres://me@host/app, mysql://me@host/app or sqlite:app.db (default $WHIMBREL_DATABASE_URL, then $DATABASE_URL)")
	f.StringVar(&g.dir, "dir", "", "`folder` of the migrations (default \"migrations\")")
	f.StringVar(&g.format, "format", "", "`format` of the folder: native, goose, dbmate, … (default: what its files look like)")
	f.StringVar(&g.set, "set", "", "`name` of the set of migrations; a database can have several (default \"default\")")
	f.StringVar(&g.schema, "schema", "", "`schema` of Whimbrel's own tables (default: the one that has them; for a new database, the first of the search path)")
	f.StringVar(&g.historyTable, "history-table", "", "`name` of the history; the other tables' names follow it (default \"whimbrel_history\")")
	f.StringVar(&g.tablesOwner, "tables-owner", "", "`role` that is trusted to own Whimbrel's tables, on PostgreSQL (default: one that this role is a member of)")
	f.StringVar(&g.lockTimeout, "lock-timeout", "", "how long to wait for another migrating process: a `time` such as 1m; 0 tries once (default: the setting lock_timeout, 15s)")
	f.StringVar(&g.lock, "lock", "", "`kind` of the migration lock on MySQL: advisory, or lease for a cluster (default: what the server is)")
	f.StringVar(&g.config, "config", "", "configuration `file` (default whimbrel.yaml, if it is there)")
	f.StringVar(&g.env, "env", "", "`name` of an environment of the configuration file")
	f.BoolVar(&g.json, "json", false, "answer with one JSON document")
	f.BoolVar(&g.quiet, "quiet", false, "show errors only")
	f.BoolVar(&g.noColor, "no-color", false, "no colours (also: NO_COLOR in the environment)")
	f.BoolVar(&g.noPager, "no-pager", false, "write long answers as they are ($WHIMBREL_PAGER, $PAGER or less shows them page by page on a terminal)")
	f.SortFlags = false
	root.Flags().SortFlags = false
	root.Flags().Bool("version", false, "print the version of this program")
	root.AddGroup(
		&cobra.Group{ID: groupMigrate, Title: "Migrate:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupRecord, Title: "Correct the records, without running anything:"},
		&cobra.Group{ID: groupOther, Title: "More:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.AddCommand(
		a.initCommand(), a.newCommand(), a.upCommand(), a.toCommand(), a.downCommand(), a.redoCommand(), a.seedCommand(), a.squashCommand(), a.resetCommand(),
		a.statusCommand(), a.planCommand(), a.historyCommand(), a.verifyCommand(), a.snapshotCommand(), a.driftCommand(), a.diffCommand(),
		a.resolveCommand(), a.acceptCommand(), a.markCommand(), a.forgetCommand(), a.baselineCommand(),
		a.metadataCommand(), a.settingsCommand(), a.freezeCommand(), a.thawCommand(), a.driversCommand(), a.versionCommand(),
	)
	root.SetHelpCommand(helpCommand())
	completionCommand(root)
	a.completeGlobals(root)
	fitHelp(root)
	return root
}
