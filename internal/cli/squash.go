package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func (a *app) squashCommand() *cobra.Command {
	from, to := newVersion(), newVersion()
	var name, dialect string
	var scratch scratchFlags
	var deleteSource, recorded, minimal, dropData bool
	cmd := &cobra.Command{
		Use:        "squash",
		SuggestFor: []string{"merge", "join", "collapse"},
		GroupID:    groupMigrate,
		Short:      "Join a range of migrations to one",
		Long: `Squash writes one migration whose up is the ups of a range in order, and whose down is their
downs in reverse. Its head names what it replaces, with the checksums: a database that has
applied the range records it without running it, and one in the middle of the range goes on
with the old files as long as they are there. It asks no database.

With --minimal the up is the schema that the range leads to, written down from a scratch
database, and the down drops it. It is tried out on a second one, and refused unless that
ends with the same schema. Statements that write rows are not in it: they are listed and
refused, unless --drop-data says that they may go.`,
		Example: `  whimbrel squash --from 1 --to 40 --name schema
  whimbrel squash --from 1 --to 40 --name schema --minimal
  whimbrel squash --from 1 --to 40 --name schema --delete-source`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !from.set || !to.set || name == "":
				return usage("whimbrel squash --from 1 --to 40 --name schema", "--from, --to and --name are wanted")
			case !minimal && (dropData || cmd.Flags().Changed("scratch") || scratch.skip || len(scratch.allow) > 0):
				return usage("", "--drop-data, --scratch, --skip-outside and --allow-outside go with --minimal")
			}
			r, err := a.resolve()
			if err != nil {
				return err
			}
			opts := source.SquashOptions{From: from.value, To: to.value, Name: name, Format: r.format, Dir: r.dir, Recorded: recorded}
			if dialect == "" && minimal && scratch.where != scratchAuto && scratch.where != scratchLocal {
				dialect, _, _ = strings.Cut(scratch.where, ":")
			}
			if opts.Dialect, err = a.dialect(dialect); err != nil {
				return err
			}
			scratch.dialect = opts.Dialect
			var found inspect.Minimized
			if minimal {
				maker, closeMaker, err := a.scratch(cmd.Context(), scratch)
				if err != nil {
					return err
				}
				defer closeMaker()
				opts.Rewrite = rewriter(cmd.Context(), maker, dropData, &found)
			}
			doc, err := squash(r.dir, opts, deleteSource)
			if err != nil {
				return err
			}
			if minimal {
				doc.SetMinimal(&found)
			}
			a.print().Show(doc)
			return nil
		},
	}
	f := cmd.Flags()
	f.Var(from, "from", "the oldest version of the range")
	f.Var(to, "to", "the newest, which is the squash's own")
	f.StringVar(&name, "name", "", "`name` of the squash")
	f.BoolVar(&deleteSource, "delete-source", false, "delete the files that it replaces: a database in the middle of the range can't go on then")
	f.BoolVar(&recorded, "recorded", false, "every database has recorded the squashes in the range")
	f.BoolVar(&minimal, "minimal", false, "write the schema that the range leads to, instead of its scripts, and prove it")
	f.BoolVar(&dropData, "drop-data", false, "with --minimal: leave out what writes rows")
	scratch.add(cmd, scratchAuto, "with --minimal: where to make scratch databases: ")
	f.StringVar(&dialect, "dialect", "", "by which the scripts are cut: postgresql, sqlite or mysql (default: the database's)")
	f.SortFlags = false
	must(cmd.RegisterFlagCompletionFunc("from", a.completeVersions(-1)))
	a.completeVersionFlag(cmd)
	return cmd
}

// rewriter lets package inspect write the scripts of a squash, and keeps what it has found.
func rewriter(ctx context.Context, scratch inspect.Scratch, dropData bool, found *inspect.Minimized) func(source.SquashRange) (source.SquashScripts, error) {
	return func(r source.SquashRange) (source.SquashScripts, error) {
		m, err := inspect.Minimal(ctx, r.Set, inspect.MinimalOptions{From: r.From, To: r.To, Downs: r.Down, DropData: dropData}, scratch)
		if err != nil {
			return source.SquashScripts{}, &scratchError{err}
		}
		*found = *m
		return source.SquashScripts{Up: m.Up, Down: m.Down, NoDown: !m.HasDown}, nil
	}
}

// dialect is that of a name, or of the database's URL.
func (a *app) dialect(name string) (sqltext.Dialect, error) {
	if name == "" {
		url, err := a.databaseURL()
		if err != nil {
			return 0, usage("Say --dialect postgresql, sqlite or mysql.", "no database is given, and no dialect either")
		}
		name, _, _ = strings.Cut(url, ":")
	}
	if d := dialectOf(name); d != 0 {
		return d, nil
	}
	return 0, usage("Say --dialect postgresql, sqlite or mysql.", "there is no dialect %q", name)
}

// knownDialect is that of a URL, or of the database's if it is "", and 0 if none is known.
func (a *app) knownDialect(url string) sqltext.Dialect {
	if url == "" {
		url, _ = a.databaseURL() // whoever needs it says that it is missing
	}
	scheme, _, _ := strings.Cut(url, ":")
	return dialectOf(scheme)
}

// dialectOf returns the dialect of a name or of a URL's scheme, 0 for none.
func dialectOf(name string) sqltext.Dialect {
	switch strings.ToLower(name) {
	case "postgres", "postgresql":
		return sqltext.PostgreSQL
	case "sqlite", "sqlite3":
		return sqltext.SQLite
	case "mysql", "mariadb":
		return sqltext.MySQL
	}
	return 0
}

// squash writes the files, and removes those that they replace if that is asked for.
func squash(dir string, opts source.SquashOptions, deleteSource bool) (*render.Squashed, error) {
	q, err := source.Squash(source.Dir(dir), opts)
	if err != nil {
		return nil, squashError(dir, err)
	}
	doc := &render.Squashed{Version: q.Version, Replaces: []int64{}, Files: []string{}, Deleted: []string{}, Irreversible: q.Irreversible}
	for _, m := range q.Replaces {
		doc.Replaces = append(doc.Replaces, m.Version)
	}
	for _, f := range q.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := writeNew(path, f.Content); err != nil {
			for _, w := range doc.Files {
				err = errors.Join(err, os.Remove(w))
			}
			return nil, &folderError{dir: dir, err: err}
		}
		doc.Files = append(doc.Files, path)
	}
	if !deleteSource {
		return doc, nil
	}
	for _, name := range q.Sources {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.Remove(path); err != nil {
			return nil, &folderError{dir: dir, err: fmt.Errorf("the squash is written, but: %w", err)}
		}
		doc.Deleted = append(doc.Deleted, path)
	}
	return doc, nil
}

// squashError tells a range that makes no sense from a folder or a script that doesn't.
func squashError(dir string, err error) error {
	var (
		folder    *source.FolderError
		one       *source.Error
		ambiguous *source.AmbiguousError
		fit       *migration.SquashError
		duplicate *migration.DuplicateError
		text      *sqltext.Error
	)
	switch {
	case errors.As(err, new(*scratchError)):
		return err
	case errors.As(err, &folder), errors.As(err, &one), errors.As(err, &ambiguous), errors.As(err, &fit), errors.As(err, &duplicate):
		return &folderError{dir: dir, err: err}
	case errors.As(err, &text):
		return err
	}
	return usage("", "%v", err)
}
