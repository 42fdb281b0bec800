package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// globalFlags are the flags that every command has.
type globalFlags struct {
	database, dir, format, set string
	schema, historyTable       string
	tablesOwner                string
	migrationLockTimeout, lock string
	config, env                string
	envFile                    string
	json, quiet, noColor       bool
	verbose                    bool
	noPager                    bool
	placeholders               []string // NAME=VALUE
	noPlaceholders             bool
}

const (
	groupMigrate  = "migrate"
	groupInspect  = "inspect"
	groupRecord   = "record"
	groupDatabase = "database"
	groupOther    = "other"
)

// root returns the whimbrel command with the subcommand that is called, or with all; see
// addCommands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "whimbrel",
		Short: "Database migrations",
		Long: `Whimbrel applies SQL migrations to a database and records them in the database's history.

Migrations are SQL files in a folder, each with a version and a name. Whimbrel applies
pending migrations in order, each in its own transaction together with its history entry.
You can kill it at any moment, or start it many times at once: no manual repair is needed.`,
		Example: `  whimbrel new create_users               # migrations/0001_create_users.up.sql
  whimbrel up --database sqlite:app.db    # apply what is pending
  whimbrel --database sqlite:app.db       # show the state and the next step`,
		Args:          unknownCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		// An empty value is usually an unset variable. It must not select the default.
		PersistentPreRunE: func(cmd *cobra.Command, args []string) (err error) {
			a.called = cmd
			cmd.Flags().Visit(func(f *pflag.Flag) {
				if f.Value.Type() == "string" && f.Value.String() == "" && cmd.InheritedFlags().Lookup(f.Name) != nil {
					err = emptyFlag(f)
				}
			})
			if err != nil {
				return err
			}
			if g := &a.global; g.verbose && g.quiet {
				return usage("Pass only one of them.", "--verbose and --quiet can't be combined")
			} else if g.envFile != "" {
				if err := a.useEnvFile(g.envFile); err != nil {
					return err
				}
			}
			return refuseURLs(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version, err := cmd.Flags().GetBool("version"); err == nil && version {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), thisVersion())
				return err
			}
			return a.overview(cmd)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if !cmd.HasParent() && len(a.Args) > 0 && !strings.HasPrefix(a.Args[0], "-") {
			return unknownCommand(cmd, a.Args) // the flags may be those of the command that was meant
		}
		return flagError(cmd, err)
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { printHelp(cmd, a.helpWidth()) })
	root.SetUsageFunc(func(cmd *cobra.Command) error { return printUsage(cmd, a.helpWidth()) })
	root.CompletionOptions.HiddenDefaultCmd = false
	g, f := &a.global, root.PersistentFlags()
	f.StringVar(&g.database, "database", "", "`URL` of the database, such as postgres://me@host/app, mysql://me@host/app or sqlite:app.db (default $WHIMBREL_DATABASE_URL, then $DATABASE_URL)")
	f.StringVar(&g.dir, "dir", "", "`folder` with the migrations (default \"migrations\")")
	f.StringVar(&g.format, "format", "", "`format` of the folder: native, goose, dbmate, … (default: detected from its files)")
	f.StringArrayVar(&g.placeholders, "placeholder", nil, "`NAME=VALUE` of a ${NAME} placeholder in a Flyway folder; can be repeated")
	f.BoolVar(&g.noPlaceholders, "no-placeholders", false, "take ${NAME} in a Flyway folder for text")
	f.StringVar(&g.set, "set", "", "`name` of the set of migrations; a database can have several (default \"default\")")
	f.StringVar(&g.schema, "schema", "", "`schema` of Whimbrel's own tables (default: the schema that has them; in a new database, the first in the search path)")
	f.StringVar(&g.historyTable, "history-table", "", "`name` of the history table; Whimbrel's other tables are named after it (default \"whimbrel_history\")")
	f.StringVar(&g.tablesOwner, "tables-owner", "", "trusted `role` that owns Whimbrel's tables, on PostgreSQL (default: any role that the current role is a member of)")
	f.StringVar(&g.migrationLockTimeout, "migration-lock-timeout", "", "`duration` to wait for another process that is migrating, such as 1m; 0 tries once (default: the setting migration_lock_timeout, 15s)")
	f.StringVar(&g.lock, "lock", "", "`kind` of the migration lock on MySQL: advisory, or lease for a cluster (default: detected from the server)")
	f.StringVar(&g.config, "config", "", "configuration `file` (default whimbrel.yaml, if it exists)")
	f.StringVar(&g.env, "env", "", "`name` of an environment in the configuration file")
	f.BoolVar(&g.json, "json", false, "print one JSON document")
	f.StringVar(&g.envFile, "env-file", "", "`file` with environment variables, such as .env; those that are set take precedence")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print errors only")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "print each event on standard error: statements, locks, retries")
	f.BoolVar(&g.noColor, "no-color", false, "print without colours (also: NO_COLOR in the environment)")
	f.BoolVar(&g.noPager, "no-pager", false, "print long output directly, without $WHIMBREL_PAGER, $PAGER or less")
	f.SortFlags = false
	root.Flags().SortFlags = false
	root.Flags().Bool("version", false, "print the version of this program")
	root.AddGroup(
		&cobra.Group{ID: groupMigrate, Title: "Migrate:"},
		&cobra.Group{ID: groupInspect, Title: "Inspect:"},
		&cobra.Group{ID: groupRecord, Title: "Correct the history without running anything:"},
		&cobra.Group{ID: groupDatabase, Title: "The database as a whole:"},
		&cobra.Group{ID: groupOther, Title: "More:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.SetHelpCommand(helpCommand())
	a.addCommands(root)
	return root
}

// addCommands adds the command that the arguments begin with, since building all of them takes
// longer than anything else before the database is opened. If the arguments begin with anything
// else, it adds all: for help, suggestions and completion.
func (a *app) addCommands(root *cobra.Command) {
	all := allSubcommands()
	if len(a.Args) > 0 {
		if i := slices.IndexFunc(all, func(c subcommand) bool { return c.name == a.Args[0] }); i >= 0 {
			root.AddCommand(all[i].build(a))
			root.CompletionOptions.DisableDefaultCmd = true
			return
		}
	}
	for _, c := range all {
		root.AddCommand(c.build(a))
	}
	root.AddCommand(flagsTopic(root, a.helpWidth()))
	completionCommand(root)
	a.completeGlobals(root)
}

// subcommand is a command of whimbrel that is built when it is called.
type subcommand struct {
	name  string
	build func(*app) *cobra.Command
}

// allSubcommands are in the order of use.
func allSubcommands() []subcommand {
	return []subcommand{
		{"init", (*app).initCommand},
		{"new", (*app).newCommand},
		{"up", (*app).upCommand},
		{"to", (*app).toCommand},
		{"down", (*app).downCommand},
		{"redo", (*app).redoCommand},
		{"load", (*app).loadCommand},
		{"seed", (*app).seedCommand},
		{"backfill", (*app).backfillCommand},
		{"work", (*app).workCommand},
		{"squash", (*app).squashCommand},
		{"renumber", (*app).renumberCommand},
		{"convert", (*app).convertCommand},
		{"status", (*app).statusCommand},
		{"plan", (*app).planCommand},
		{"history", (*app).historyCommand},
		{"verify", (*app).verifyCommand},
		{"snapshot", (*app).snapshotCommand},
		{"drift", (*app).driftCommand},
		{"diff", (*app).diffCommand},
		{"report", (*app).reportCommand},
		{"resolve", (*app).resolveCommand},
		{"abandon", (*app).abandonCommand},
		{"accept", (*app).acceptCommand},
		{"mark", (*app).markCommand},
		{"forget", (*app).forgetCommand},
		{"baseline", (*app).baselineCommand},
		{"adopt", (*app).adoptCommand},
		{"create", (*app).createCommand},
		{"wait", (*app).waitCommand},
		{"reset", (*app).resetCommand},
		{"drop", (*app).dropCommand},
		{"metadata", (*app).metadataCommand},
		{"sql", (*app).sqlCommand},
		{"settings", (*app).settingsCommand},
		{"freeze", (*app).freezeCommand},
		{"thaw", (*app).thawCommand},
		{"config", (*app).configCommand},
		{"drivers", (*app).driversCommand},
		{"version", (*app).versionCommand},
	}
}
