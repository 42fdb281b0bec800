package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func (a *app) convertCommand() *cobra.Command {
	var from, to, dialect string
	var noProof bool
	var scratch scratchFlags
	cmd := &cobra.Command{
		Use:        "convert DIR OUT",
		SuggestFor: []string{"import", "translate"},
		GroupID:    groupMigrate,
		Short:      "Rewrite another tool's folder as a native one",
		Long: `Convert reads a folder of migrations in another tool's format, and writes a new folder in the native
format, with the same versions in the same order. A script that needs no directive keeps its text
and so its checksum. Convert lists every change, and the files that it leaves out.

Before it writes the folder, convert applies both to scratch databases, and compares the schemas.`,
		Example: `  whimbrel convert db/migrations migrations
  whimbrel convert --from goose db/migrations migrations --scratch local
  whimbrel convert --from flyway sql migrations --dialect postgresql --no-proof`,
		Args: needArgs("a folder to read and one to write", 2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := a.convertOptions(args[0], from, to, dialect, scratch.where)
			if err != nil {
				return err
			}
			if noProof && (cmd.Flags().Changed("scratch") || scratch.skip || len(scratch.allow) > 0) {
				return usage("", "--scratch, --skip-outside and --allow-outside have no meaning with --no-proof")
			}
			scratch.dialect = opts.Dialect
			c, err := source.Convert(source.Dir(args[0]), opts)
			if err != nil {
				return &folderError{dir: args[0], err: err, next: "Pass the folder of the other tool's migrations, and --from if its format is not clear."}
			}
			doc := render.NewConverted(args[0], args[1], c)
			err = writeFolder(args[1], c.Files, func(dir string) error {
				if noProof {
					return nil
				}
				doc.Proved = true
				return a.proveSame(cmd.Context(), c, dir, opts, scratch)
			})
			if err != nil {
				return err
			}
			return a.show(doc)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`format` of the folder (default: detected from its files)")
	f.StringVar(&to, "to", string(source.Native), "`format` to write: native")
	f.StringVar(&dialect, "dialect", "", "`dialect` of the scripts: postgresql, sqlite or mysql (default: the database's)")
	f.BoolVar(&noProof, "no-proof", false, "do not apply the folders to scratch databases")
	scratch.add(cmd, scratchAuto, "where to create scratch databases: ")
	f.SortFlags = false
	must(cmd.RegisterFlagCompletionFunc("from", oneOf(formats())))
	return cmd
}

// convertOptions returns how to read the folder.
func (a *app) convertOptions(dir, from, to, dialect, scratch string) (source.Options, error) {
	if to != string(source.Native) {
		return source.Options{}, usage("Use --to native.", "Whimbrel writes no folders of the format %q", to)
	}
	r, err := a.resolve()
	if err != nil {
		return source.Options{}, err
	}
	r.dir = dir
	if from != "" {
		if r.format, err = source.ParseFormat(from); err != nil {
			return source.Options{}, usage("", "--from: %v", err)
		}
	} else if a.global.format == "" {
		r.format = source.Auto // the configured format is that of the project's own folder
	}
	if dialect == "" && scratch != scratchAuto && scratch != scratchLocal {
		dialect, _, _ = strings.Cut(scratch, ":")
	}
	opts := a.sourceOptions(r, "")
	if dialect != "" {
		opts.Dialect, err = a.dialect(dialect)
	}
	return opts, err
}

// writeFolder writes files as a new folder, if prove returns no error for it. Until then they are
// in a folder beside it.
func writeFolder(out string, files []source.File, prove func(dir string) error) (err error) {
	entries, err := os.ReadDir(out)
	switch {
	case err == nil && len(entries) > 0:
		return usage("Name a new folder.", "the folder %s is not empty", out)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &folderError{dir: out, err: err}
	}
	parent := filepath.Dir(filepath.Clean(out))
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return &folderError{dir: out, err: err}
	}
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(out)+"-*")
	if err != nil {
		return &folderError{dir: out, err: &fs.PathError{Op: "mkdir", Path: out, Err: withoutPath(err)}}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	for _, f := range files {
		if err := writeNew(filepath.Join(temp, f.Name), f.Content); err != nil {
			return &folderError{dir: out, err: err}
		}
	}
	if err := prove(temp); err != nil {
		return err
	}
	err = os.Chmod(temp, 0o755) // MkdirTemp makes private folders
	if entries != nil && err == nil {
		err = os.Remove(out) // it is empty
	}
	if err == nil {
		err = os.Rename(temp, out)
	}
	if err != nil {
		return &folderError{dir: out, err: err}
	}
	return nil
}

// differentError reports that a converted folder makes another schema.
type differentError struct{ changes []render.Change }

func (e *differentError) Error() string {
	return fmt.Sprintf("the converted folder makes another schema: %s", render.Count(len(e.changes), "difference"))
}

// proveSame applies the folder that was read and the one that was written to scratch databases.
func (a *app) proveSame(ctx context.Context, c *source.Converted, dir string, opts source.Options, scratch scratchFlags) error {
	if _, err := a.databaseURL(); err != nil && (scratch.where == scratchAuto || scratch.where == scratchLocal) {
		if opts.Dialect == sqltext.SQLite {
			scratch.where = "sqlite::memory:"
		} else if scratch.where == scratchAuto {
			return usage("Pass --scratch local, the URL of a database, or --no-proof to go without.", "to prove the new folder, convert needs a server for scratch databases, and no database is configured")
		}
	}
	set, err := source.Read(source.Dir(dir), source.Options{Set: opts.Set, Format: source.Native, Dialect: opts.Dialect})
	if err != nil {
		return &folderError{dir: dir, err: err}
	}
	maker, closeMaker, err := a.scratch(ctx, scratch)
	if err != nil {
		return err
	}
	defer closeMaker()
	changes, err := inspect.Same(ctx, c.Set, set, maker)
	if err != nil {
		return &scratchError{err}
	}
	if len(changes) > 0 {
		return &differentError{render.NewChanges(changes)}
	}
	return nil
}
