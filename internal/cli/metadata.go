package cli

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/query"
)

// metadataName is the file that is read, in the folder of the migrations, when none is named.
const metadataName = "metadata.yaml"

// standardInput is the name of a file that means standard input.
const standardInput = "-"

func (a *app) metadataCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "metadata",
		Aliases:    []string{"meta"},
		SuggestFor: []string{"comments", "describe"},
		GroupID:    groupOther,
		Short:      "What the database's objects are for: keep it, check it, compare it",
		Long: `Metadata are facts about schemas, tables, columns, views, functions and types: what they are
for, whose they are, tags such as pii, links, and keys of your own. They are written as YAML
beside the migrations and kept in the database; descriptions are its comments, too.`,
		Example: `  whimbrel metadata apply             # keep what migrations/metadata.yaml says
  whimbrel metadata export            # show what it keeps
  whimbrel metadata inconsistent      # what is said of objects that are gone
  whimbrel metadata check --require description,owner --tables 'public.*'`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.metadataExportCommand(), a.metadataApplyCommand(), a.metadataDiffCommand(), a.metadataReloadCommand(), a.metadataResetCommand(),
		a.metadataInconsistentCommand(), a.metadataDropCommand(), a.metadataCheckCommand(), a.metadataQueryCommand(),
	)
	return cmd
}

func (a *app) metadataExportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the metadata that the database keeps as YAML",
		Long: `Export writes what the database keeps, the same for the same metadata: applying it changes
nothing.`,
		Example: `  whimbrel metadata export
  whimbrel metadata export --out migrations/metadata.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withTarget(cmd.Context(), a.openWithoutFiles, func(t *target) (render.Document, error) {
				d, err := metadb.Read(cmd.Context(), t.db)
				if err != nil {
					return nil, err
				}
				doc := render.NewMetadata(d, metayaml.Write(d))
				if doc.File = out; out == "" {
					return doc, nil
				}
				return doc, a.writeOutput(out, []byte(doc.Text))
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`file` to write")
	return cmd
}

// metadataFlags are those of the commands that change the metadata.
type metadataFlags struct {
	dryRun         bool
	note, overrule string
}

func (m *metadataFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&m.dryRun, "dry-run", false, "show what would change and change nothing")
	cmd.Flags().StringVar(&m.note, "note", "", "`text` to keep in the history")
}

// run changes the metadata, and answers with what became of it.
func (a *app) changeMetadata(ctx context.Context, m *metadataFlags, change func(*whimbrel.Migrator, metadb.Options) (*metadb.Result, error)) error {
	return a.withTarget(ctx, a.openWithoutFiles, func(t *target) (render.Document, error) {
		r, err := change(t.migrator(), metadb.Options{DryRun: m.dryRun, Note: m.note, Overrule: m.overrule})
		if err != nil {
			return nil, err
		}
		return render.NewMetadataChanged(r), nil
	})
}

func (a *app) metadataApplyCommand() *cobra.Command {
	var m metadataFlags
	cmd := &cobra.Command{
		Use:        "apply [FILE]",
		SuggestFor: []string{"import", "load", "up"},
		Short:      "Make a YAML file all the metadata that the database keeps",
		Long: `Apply replaces the metadata as a whole, in one transaction under the migration lock. Without a
FILE it reads metadata.yaml in the folder of the migrations; - is standard input. Descriptions
become the objects' comments, where the database has comments; comments of objects that the
file doesn't describe stay. An entry of an object that doesn't exist is an error.`,
		Example: `  whimbrel metadata apply
  whimbrel metadata apply --dry-run
  whimbrel metadata apply facts.yaml`,
		Args: wantArgs("one file at most", 0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.readMetadata(args)
			if err != nil {
				return err
			}
			return a.changeMetadata(cmd.Context(), &m, func(by *whimbrel.Migrator, opts metadb.Options) (*metadb.Result, error) {
				return metadb.Apply(cmd.Context(), by, d, opts)
			})
		},
	}
	m.add(cmd)
	return cmd
}

// readMetadata reads the file that the arguments name.
func (a *app) readMetadata(args []string) (*metadata.Document, error) {
	file, hint := "", ""
	if len(args) > 0 {
		file = args[0]
	} else {
		r, err := a.resolve()
		if err != nil {
			return nil, err
		}
		file, hint = filepath.Join(r.dir, metadataName), `Name a file, or write what the database keeps with "whimbrel metadata export --out `+filepath.Join(r.dir, metadataName)+`".`
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
		Short: "Compare a YAML file with what the database keeps",
		Long: `Diff shows what applying the file would change: + is what only the file has, - what only the
database has, ~ what is different. It exits with 3 if there is anything. The file is
found as by apply.`,
		Example: `  whimbrel metadata diff
  whimbrel metadata diff facts.yaml`,
		Args: wantArgs("one file at most", 0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.readMetadata(args)
			if err != nil {
				return err
			}
			t, err := a.openWithoutFiles(cmd.Context())
			if err != nil {
				return err
			}
			defer t.close()
			r, err := metadb.Apply(cmd.Context(), t.migrator(), d, metadb.Options{DryRun: true})
			if err != nil {
				return err
			}
			doc := render.NewMetadataDiff(r)
			a.print().Show(doc)
			if doc.Different {
				return told{exitPending}
			}
			return nil
		},
	}
}

func (a *app) metadataReloadCommand() *cobra.Command {
	var m metadataFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Take over what was changed in the database by hand",
		Long: `Reload makes the comments of the database's objects their descriptions, also of objects of
which nothing was said before. Where the database knows its objects by more than their names, an
entry goes along with an object that was renamed, and stays with one that was created anew.`,
		Example: `  whimbrel metadata reload --dry-run
  whimbrel metadata reload`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changeMetadata(cmd.Context(), &m, func(by *whimbrel.Migrator, opts metadb.Options) (*metadb.Result, error) {
				return metadb.Reload(cmd.Context(), by, opts)
			})
		},
	}
	m.add(cmd)
	return cmd
}

func (a *app) metadataResetCommand() *cobra.Command {
	var m metadataFlags
	cmd := &cobra.Command{
		Use:        "reset",
		SuggestFor: []string{"clear", "drop", "delete"},
		Short:      "Drop all metadata that the database keeps",
		Long: `Reset drops all entries, and the comments that their descriptions had become. For a protected
database --i-know must say its name.`,
		Example: `  whimbrel metadata reset --dry-run`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changeMetadata(cmd.Context(), &m, func(by *whimbrel.Migrator, opts metadb.Options) (*metadb.Result, error) {
				return metadb.Reset(cmd.Context(), by, opts)
			})
		},
	}
	m.add(cmd)
	addOverrule(cmd, &m.overrule)
	return cmd
}

func (a *app) metadataInconsistentCommand() *cobra.Command {
	return &cobra.Command{
		Use:        "inconsistent",
		SuggestFor: []string{"stale", "orphans", "inconsistency"},
		Short:      "List what is said of objects that are gone or others now",
		Example: `  whimbrel metadata inconsistent
  whimbrel metadata inconsistent --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withTarget(cmd.Context(), a.openWithoutFiles, func(t *target) (render.Document, error) {
				all, err := metadb.Inconsistent(cmd.Context(), t.db)
				if err != nil {
					return nil, err
				}
				return render.NewInconsistent(all), nil
			})
		},
	}
}

func (a *app) metadataDropCommand() *cobra.Command {
	var m metadataFlags
	cmd := &cobra.Command{
		Use:     "drop-inconsistent",
		Short:   `Drop the entries that "inconsistent" lists`,
		Example: `  whimbrel metadata drop-inconsistent --dry-run`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changeMetadata(cmd.Context(), &m, func(by *whimbrel.Migrator, opts metadb.Options) (*metadb.Result, error) {
				return metadb.DropInconsistent(cmd.Context(), by, opts)
			})
		},
	}
	m.add(cmd)
	return cmd
}

func (a *app) metadataCheckCommand() *cobra.Command {
	var rules metadata.Rules
	cmd := &cobra.Command{
		Use:   "check --require FACTS",
		Short: "Find tables of which too little is said",
		Long: `Check looks whether tables have the facts that are required, and exits with 1 if one has
not: for a pipeline. The facts are description, owner, tags, links, and keys.NAME for a key of your
own. Without --tables it looks at all tables; a pattern is of tables and views.`,
		Example: `  whimbrel metadata check --require description,owner --tables 'public.*'
  whimbrel metadata check --require description --columns
  whimbrel metadata check --require keys.retention --tables 'audit.*'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := a.openWithoutFiles(cmd.Context())
			if err != nil {
				return err
			}
			defer t.close()
			missing, checked, err := metadb.Check(cmd.Context(), t.db, rules)
			if err != nil {
				return err
			}
			a.print().Show(render.NewMetadataCheck(missing, checked))
			if len(missing) > 0 {
				return told{exitFailed}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&rules.Require, "require", nil, "`facts` that must be there, with commas between them")
	f.StringSliceVar(&rules.Tables, "tables", nil, "`pattern` of the names of tables and views; * stands for any letters")
	f.BoolVar(&rules.Columns, "columns", false, "require them of each column of these, too")
	f.SortFlags = false
	return cmd
}

func (a *app) metadataQueryCommand() *cobra.Command {
	var write bool
	var opts query.WriteOptions
	cmd := &cobra.Command{
		Use:        "query STATEMENT",
		SuggestFor: []string{"sql", "select", "exec"},
		Short:      "Execute one statement, and show its rows",
		Long: `Query executes one statement that reads, and shows its rows. It takes no lock, and works also while
migrations are switched off. A STATEMENT of - is read from standard input.

With --write the statement may change something. It is executed under the migration lock, and recorded
in the history with its text. It is refused while migrations are switched off; where the setting
"protected" is true --i-know must say the database's name.`,
		Example: `  whimbrel metadata query "SELECT * FROM users LIMIT 10"
  whimbrel metadata query --json "SELECT count(*) FROM users"
  whimbrel metadata query --write --note "ticket 12" "DELETE FROM sessions"`,
		Args: wantArgs("one statement, in quotes", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			statement := args[0]
			if statement == standardInput {
				text, err := readLimited(a.Stdin, maxStatement)
				if err != nil {
					return usage("", "can't read the statement from standard input: %v", err)
				}
				statement = string(text)
			}
			if !write && opts != (query.WriteOptions{}) {
				return usage("", "--note and --i-know go with --write")
			}
			return a.withTarget(cmd.Context(), a.openWithoutFiles, func(t *target) (render.Document, error) {
				if !write {
					return rowsDocument(query.Read(cmd.Context(), t.db, statement))
				}
				return rowsDocument(query.Write(cmd.Context(), t.migrator(), statement, opts))
			})
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "let the statement change something, under the migration lock, and record it")
	cmd.Flags().StringVar(&opts.Note, "note", "", "with --write: `text` to keep in the history")
	addOverrule(cmd, &opts.Overrule)
	return cmd
}

func rowsDocument(rows *database.Rows, err error) (render.Document, error) {
	if err != nil {
		return nil, err
	}
	return render.NewRows(rows), nil
}

const nothingChanged = "Nothing was changed."

// explainMetadata covers what is wrong with a metadata document, and with what is asked of it.
func explainMetadata(f *render.Failure, err error) bool {
	var all metadata.Errors
	var one *metadata.Error
	var rules *metadata.RulesError
	switch {
	case errors.As(err, &rules):
		f.Kind, f.Next = kindUsage, `See "whimbrel metadata check --help".`
		return true
	case errors.As(err, &all):
		one = all[0]
		if len(all) > 1 {
			for _, p := range all {
				f.Problems = append(f.Problems, render.Problem{Message: p.Msg, File: p.File, Line: p.Line, Column: p.Column})
			}
		}
	case !errors.As(err, &one):
		return false
	}
	f.Kind, f.Message, f.File, f.Line, f.Column = kindSource, one.Msg, one.File, one.Line, one.Column
	if f.Direction == "" {
		f.Next = nothingChanged
	}
	return true
}
