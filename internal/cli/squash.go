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
	var from, to int64
	var name, dialect string
	var scratch scratchFlags
	var deleteSource, recorded, minimal, dropData bool
	cmd := &cobra.Command{
		Use:        "squash",
		SuggestFor: []string{"merge", "join", "collapse"},
		GroupID:    groupMigrate,
		Short:      "Join a range of migrations into one",
		Long: `Squash writes one migration from a range: its up script joins the up scripts in order, its down
script joins the down scripts in reverse order. Its first lines list what it replaces, with checksums.
A database that has applied the whole range records the squash without running it. A database in
the middle of the range continues with the old files, as long as they exist. Squash does not connect to
the database.

With --minimal, the up script creates the schema that the range leads to, as read from a scratch database,
and the down script drops it. Squash checks on a second scratch database that the result is the same.
Such a squash can't contain statements that write rows: squash lists them and stops, unless --drop-data
allows it to leave them out.`,
		Example: `  whimbrel squash --from 1 --to 40 --name schema
  whimbrel squash --from 1 --to 40 --name schema --minimal
  whimbrel squash --from 1 --to 40 --name schema --delete-source`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !cmd.Flags().Changed("from") || !cmd.Flags().Changed("to") || name == "":
				return usage("For example: whimbrel squash --from 1 --to 40 --name schema", "--from, --to and --name are required")
			case !minimal && (dropData || cmd.Flags().Changed("scratch") || scratch.skip || len(scratch.allow) > 0):
				return usage("", "--drop-data, --scratch, --skip-outside and --allow-outside require --minimal")
			}
			r, err := a.resolve()
			if err != nil {
				return err
			}
			opts := source.SquashOptions{From: from, To: to, Name: name, Format: r.format, Dir: r.dir, Recorded: recorded}
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
	versionFlag(cmd, &from, "from", "the oldest `version` of the range")
	versionFlag(cmd, &to, "to", "the newest `version` of the range, and the version of the squash")
	f.StringVar(&name, "name", "", "`name` of the squash")
	f.BoolVar(&deleteSource, "delete-source", false, "delete the replaced files; databases in the middle of the range then can't continue")
	f.BoolVar(&recorded, "recorded", false, "allow squashes in the range, because every database has recorded them")
	f.BoolVar(&minimal, "minimal", false, "write the schema that the range leads to, instead of its scripts")
	f.BoolVar(&dropData, "drop-data", false, "with --minimal: leave out statements that write rows")
	scratch.add(cmd, scratchAuto, "with --minimal: where to create scratch databases: ")
	f.StringVar(&dialect, "dialect", "", "`dialect` of the scripts: postgresql, sqlite or mysql (default: the database's)")
	f.SortFlags = false
	must(cmd.RegisterFlagCompletionFunc("from", a.completeVersions(-1, everyVersion)))
	a.completeVersionFlag(cmd, everyVersion)
	return cmd
}

// rewriter has package inspect write the scripts of a squash, and stores its findings in found.
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

// dialect returns the dialect with a name or, for "", that of the database URL.
func (a *app) dialect(name string) (sqltext.Dialect, error) {
	if name == "" {
		url, err := a.databaseURL()
		if err != nil {
			return 0, usage("Pass --dialect postgresql, sqlite or mysql.", "the dialect is unknown, because no database is configured")
		}
		name, _, _ = strings.Cut(url, ":")
	}
	if d := dialectOf(name); d != 0 {
		return d, nil
	}
	return 0, usage("Pass --dialect postgresql, sqlite or mysql.", "unknown dialect %q", name)
}

// knownDialect returns the dialect of a URL or, for "", of the configured database. It returns 0 if
// unknown.
func (a *app) knownDialect(url string) sqltext.Dialect {
	if url == "" {
		url, _ = a.databaseURL() // commands that need a database report the error
	}
	scheme, _, _ := strings.Cut(url, ":")
	return dialectOf(scheme)
}

// dialectOf returns the dialect with a name or URL scheme, 0 if unknown.
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

// squash writes the files of a squash and, if deleteSource is set, deletes those that it replaces.
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
			return nil, &folderError{dir: dir, err: fmt.Errorf("the squash was written, but a replaced file can't be deleted: %w", err)}
		}
		doc.Deleted = append(doc.Deleted, path)
	}
	return doc, nil
}

// squashError distinguishes problems with the folder or a script from an invalid range.
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
