package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/source"
)

func (a *app) renumberCommand() *cobra.Command {
	var sequence, dryRun bool
	cmd := &cobra.Command{
		Use:        "renumber [ENVIRONMENT…]",
		SuggestFor: []string{"fix", "rename", "reorder", "rebase"},
		GroupID:    groupMigrate,
		Short:      "Give overtaken migrations new versions",
		Long: `Renumber renames the files of pending migrations that were overtaken, as after a merge of two
branches: a newer migration is applied, or another file has the same version. They get the versions
after the newest one, in the same order. If one is a backfill, the files that come after it
("-- whimbrel: after") get its new version, and migrations among them get new versions, too.

Migrations that the database has applied keep their versions. With several environments of the
configuration file, that means migrations that any of them has applied. Renumber reads the
databases and changes only files.

With --sequence, pending migrations with timestamps get numbers instead.`,
		Example: `  whimbrel renumber --dry-run
  whimbrel renumber staging production
  whimbrel renumber --sequence`,
		ValidArgsFunction: a.completeEnvironments,
		PreRunE: func(_ *cobra.Command, args []string) error {
			return a.environmentsOrOne(args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			doc := &render.Renumbered{DryRun: dryRun}
			opts := source.RenumberOptions{Sequence: sequence, Applied: map[int64]string{}}
			var r resolved
			for _, env := range orOne(args) {
				in, err := a.addApplied(cmd.Context(), env, opts.Applied)
				if err != nil {
					return err
				}
				if r.dir != "" && (r.dir != in.dir || r.set != in.set) {
					return usage("Name environments that share one.", "the environments have different folders or sets: %s and %s", r.dir, in.dir)
				}
				r = in
			}
			opts.Format, opts.Dir = r.format, r.dir
			all, err := source.Renumber(source.Dir(r.dir), opts)
			if err != nil {
				return &folderError{dir: r.dir, err: err}
			}
			if !dryRun {
				if err := renumber(r.dir, all); err != nil {
					return &folderError{dir: r.dir, err: err}
				}
			}
			doc.Add(r.dir, all)
			return a.show(doc)
		},
	}
	cmd.Flags().BoolVar(&sequence, "sequence", false, "give pending migrations with timestamps the next numbers")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show the new names, change nothing")
	cmd.Flags().SortFlags = false
	return cmd
}

// environmentsOrOne returns an error if both the arguments and the flags name a database.
func (a *app) environmentsOrOne(args []string) error {
	switch {
	case len(args) > 0 && a.global.database != "":
		return usage("Omit one of them.", "--database and environments can't be combined")
	case len(args) > 0 && a.global.env != "":
		return usage("Omit --env.", "--env and environments can't be combined")
	}
	return nil
}

// addApplied adds what the database of an environment has applied, "" for the configured database.
// It needs no files: a folder that needs other versions can't be read as a set.
func (a *app) addApplied(ctx context.Context, env string, applied map[int64]string) (resolved, error) {
	if env != "" {
		a.global.env = env
		defer func() { a.global.env = "" }()
	}
	t, err := a.openWithoutFiles(ctx)
	if err != nil {
		return resolved{}, err
	}
	defer t.close()
	read := t.state(ctx)
	if read.err != nil {
		return resolved{}, read.err
	}
	for m := range read.state.Applied.All() {
		applied[m.Version] = m.Name
	}
	if j := read.state.Interrupted; j != nil {
		applied[j.Version] = j.Name
	}
	return t.resolved, nil
}

// renumber edits files and gives them their new names, all or none.
func renumber(dir string, all []source.Renumbered) (err error) {
	before := map[string]string{}
	defer func() {
		for path, text := range before {
			if err != nil {
				err = errors.Join(err, rewrite(path, text))
			}
		}
	}()
	for _, m := range all {
		for _, e := range m.Edits {
			path := filepath.Join(dir, e.File)
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			edited, err := e.Apply(string(text))
			if err != nil {
				return err
			}
			if _, ok := before[path]; !ok {
				before[path] = string(text)
			}
			if err := rewrite(path, edited); err != nil {
				return err
			}
		}
	}
	return rename(dir, all)
}

// rename gives files their new names, all or none. It overwrites nothing.
func rename(dir string, all []source.Renumbered) (err error) {
	var done []source.Rename
	defer func() {
		for i := len(done) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, os.Rename(filepath.Join(dir, done[i].To), filepath.Join(dir, done[i].From)))
		}
	}()
	for _, m := range all {
		for _, r := range m.Renames {
			from, to := filepath.Join(dir, r.From), filepath.Join(dir, r.To)
			if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
				if err == nil {
					err = fmt.Errorf("%s already exists", to)
				}
				return err
			}
			if err := os.Rename(from, to); err != nil {
				return err
			}
			done = append(done, r)
		}
	}
	return nil
}
