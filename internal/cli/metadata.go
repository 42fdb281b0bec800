package cli

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
)

// metadataName is the default metadata file, in the folder of the migrations.
const metadataName = "metadata.yaml"

// standardInput is the argument that selects standard input.
const standardInput = "-"

func (a *app) metadataCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "metadata",
		Aliases:    []string{"meta"},
		SuggestFor: []string{"comments", "describe"},
		GroupID:    groupOther,
		Short:      "Describe the database's objects: store, check and compare metadata",
		Long: `Metadata describes schemas, tables, columns, views, functions and types: their purpose, owner,
tags such as pii, links, and keys of your own. You write it as YAML next to the migrations, and
Whimbrel stores it in the database. Descriptions also become comments of the objects.`,
		Example: `  whimbrel metadata apply             # store migrations/metadata.yaml
  whimbrel metadata export            # show the stored metadata
  whimbrel metadata inconsistent      # list entries of missing objects
  whimbrel metadata check --require description,owner --tables 'public.*'`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.metadataExportCommand(), a.metadataApplyCommand(), a.metadataDiffCommand(), a.metadataReloadCommand(), a.metadataResetCommand(),
		a.metadataInconsistentCommand(), a.metadataDropCommand(), a.metadataCheckCommand(),
	)
	return cmd
}

func (a *app) metadataExportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print the stored metadata as YAML",
		Long: `Export prints the metadata that the database stores. The output depends on the metadata alone, and
applying it changes nothing.`,
		Example: `  whimbrel metadata export
  whimbrel metadata export --out migrations/metadata.yaml`,
		Args: noArgs,
		RunE: a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			d, err := metadb.Read(cmd.Context(), t.db)
			if err != nil {
				return nil, err
			}
			doc := render.NewMetadata(d, metayaml.Write(d))
			if doc.File = out; out == "" {
				return doc, nil
			}
			return doc, a.writeOutput(out, []byte(doc.Text))
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "`file` to write")
	return cmd
}

// metadataFlags are the flags of the commands that change metadata.
type metadataFlags struct {
	dryRun           bool
	reason, overrule string
}

func (m *metadataFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&m.dryRun, "dry-run", false, "show the changes and change nothing")
	cmd.Flags().StringVar(&m.reason, "reason", "", "`why`; the history keeps it")
}

// changeMetadata returns the function of a command that changes the metadata and shows the result.
func (a *app) changeMetadata(m *metadataFlags, change func(context.Context, *whimbrel.Migrator, metadb.Options) (*metadb.Result, error)) func(*cobra.Command, []string) error {
	return a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
		if !m.dryRun {
			t.begin(describing)
		}
		r, err := confirmed(cmd.Context(), a, &m.overrule, func() (*metadb.Result, error) {
			return change(cmd.Context(), t.migrator(), metadb.Options{DryRun: m.dryRun, Reason: m.reason, Overrule: m.overrule})
		})
		if err != nil {
			return nil, err
		}
		doc := render.NewMetadataChanged(r)
		if m.dryRun {
			st, err := t.db.State(cmd.Context(), t.set.Name())
			if err != nil {
				return nil, err
			}
			doc.SetFrozen(st.Settings)
		}
		return doc, nil
	})
}

func (a *app) metadataApplyCommand() *cobra.Command {
	var m metadataFlags
	cmd := &cobra.Command{
		Use:        "apply [FILE]",
		SuggestFor: []string{"import", "load", "up"},
		Short:      "Replace the stored metadata with a YAML file",
		Long: `Apply replaces all stored metadata in one transaction, under the migration lock. Without FILE it
reads metadata.yaml in the folder of the migrations. A FILE of - means standard input. If the database supports
comments, descriptions become comments of the objects. Comments of objects that the file does not
describe remain. An entry for an object that does not exist is an error.`,
		Example: `  whimbrel metadata apply
  whimbrel metadata apply --dry-run
  whimbrel metadata apply facts.yaml`,
		Args: needArgs("at most one file", 0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.readMetadata(args)
			if err != nil {
				return err
			}
			return a.changeMetadata(&m, func(ctx context.Context, by *whimbrel.Migrator, opts metadb.Options) (*metadb.Result, error) {
				return metadb.Apply(ctx, by, d, opts)
			})(cmd, nil)
		},
	}
	m.add(cmd)
	return cmd
}

// readMetadata reads the file in args, or the default file.
func (a *app) readMetadata(args []string) (*metadata.Document, error) {
	file, hint := "", ""
	if len(args) > 0 {
		file = args[0]
	} else {
		r, err := a.resolve()
		if err != nil {
			return nil, err
		}
		file, hint = filepath.Join(r.dir, metadataName), `Pass a file, or write the stored metadata with "whimbrel metadata export --out `+filepath.Join(r.dir, metadataName)+`".`
	}
	var text []byte
	var err error
	if file == standardInput {
		text, err = readLimited(a.Stdin, metayaml.MaxSize)
		file = "stdin"
	} else {
		text, err = readFile(file, metayaml.MaxSize)
	}
	if err != nil {
		return nil, usage(hint, "can't read the metadata file %s: %v", file, err)
	}
	return metayaml.Read(file, string(text))
}

func (a *app) metadataDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff [FILE]",
		Short: "Compare a YAML file with the stored metadata",
		Long: `Diff shows what applying the file would change: + marks what only the file has, - what only the
database has, and ~ what differs. Diff exits with 3 if there is a difference. Without FILE it
reads the same file as apply.`,
		Example: `  whimbrel metadata diff
  whimbrel metadata diff facts.yaml`,
		Args: needArgs("at most one file", 0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.readMetadata(args)
			if err != nil {
				return err
			}
			return a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				return answer(render.NewMetadataDiff)(metadb.Apply(cmd.Context(), t.migrator(), d, metadb.Options{DryRun: true}))
			})(cmd, nil)
		},
	}
}

func (a *app) metadataReloadCommand() *cobra.Command {
	var m metadataFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Adopt comments and names that were changed by hand",
		Long: `Reload copies the comments of the database's objects into their descriptions, also for objects
without an entry. If the database can identify objects by more than their names, the entry of a renamed
object follows it, and an object that was dropped and created again keeps its entry.`,
		Example: `  whimbrel metadata reload --dry-run
  whimbrel metadata reload`,
		Args: noArgs,
		RunE: a.changeMetadata(&m, metadb.Reload),
	}
	m.add(cmd)
	return cmd
}

func (a *app) metadataResetCommand() *cobra.Command {
	var m metadataFlags
	cmd := &cobra.Command{
		Use:        "reset",
		SuggestFor: []string{"clear", "drop", "delete"},
		Short:      "Delete all stored metadata",
		Long: `Reset deletes all entries, and the comments that came from their descriptions. For a protected
database, confirm with --yes and the database's name.`,
		Example: `  whimbrel metadata reset --dry-run`,
		Args:    noArgs,
		RunE:    a.changeMetadata(&m, metadb.Reset),
	}
	m.add(cmd)
	addYes(cmd, &m.overrule)
	return cmd
}

func (a *app) metadataInconsistentCommand() *cobra.Command {
	return &cobra.Command{
		Use:        "inconsistent",
		SuggestFor: []string{"stale", "orphans", "inconsistency"},
		Short:      "List entries whose objects are missing or replaced",
		Example: `  whimbrel metadata inconsistent
  whimbrel metadata inconsistent --json`,
		Args: noArgs,
		RunE: a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			return answer(render.NewInconsistent)(metadb.Inconsistent(cmd.Context(), t.db))
		}),
	}
}

func (a *app) metadataDropCommand() *cobra.Command {
	var m metadataFlags
	cmd := &cobra.Command{
		Use:     "drop-inconsistent",
		Short:   `Delete the entries that "inconsistent" lists`,
		Example: `  whimbrel metadata drop-inconsistent --dry-run`,
		Args:    noArgs,
		RunE:    a.changeMetadata(&m, metadb.DropInconsistent),
	}
	m.add(cmd)
	return cmd
}

func (a *app) metadataCheckCommand() *cobra.Command {
	var rules metadata.Rules
	cmd := &cobra.Command{
		Use:   "check --require KEYS",
		Short: "List objects that lack required metadata",
		Long: `Check lists the tables that lack required metadata, and exits with 1 if there are any. You can
require description, owner, tags, links, and keys.NAME for a key of your own. By default check
covers all tables. A --tables pattern selects tables and views.`,
		Example: `  whimbrel metadata check --require description,owner --tables 'public.*'
  whimbrel metadata check --require description --columns
  whimbrel metadata check --require keys.retention --tables 'audit.*'`,
		Args: noArgs,
		RunE: a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			missing, checked, err := metadb.Check(cmd.Context(), t.db, rules)
			if err != nil {
				return nil, err
			}
			return render.NewMetadataCheck(missing, checked), nil
		}),
	}
	f := cmd.Flags()
	f.StringSliceVar(&rules.Require, "require", nil, "required `keys`, separated by commas")
	f.StringSliceVar(&rules.Tables, "tables", nil, "`pattern` for names of tables and views; * matches any characters")
	f.BoolVar(&rules.Columns, "columns", false, "also check each column of these objects")
	f.SortFlags = false
	return cmd
}

const nothingChanged = "Nothing was changed."
