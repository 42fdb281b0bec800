package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/source"
)

func (a *app) newCommand() *cobra.Command {
	var timestamp, sequence, force bool
	var backfill string
	cmd := &cobra.Command{
		Use:        "new NAME",
		SuggestFor: []string{"generate", "add"},
		GroupID:    groupMigrate,
		Short:      "Create the files of a new migration",
		Long: `New creates the files of a migration with the next version, and prints their paths. The version
is a number or a timestamp, like those in the folder. If the folder does not exist, new creates it.

With --backfill, the migration changes the rows of a table in batches (see docs/backfill.md). Its script is
VERSION_NAME.backfill.sql, an example to adapt.

After the first timestamp in a folder with numbers, all later versions must be timestamps. So
--timestamp asks first, or requires --force if it can't ask.`,
		Example: `  whimbrel new create_users
  whimbrel new "add email to users" --timestamp
  whimbrel new lower_email --backfill users`,
		Args: needArgs("one name, such as create_users", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := exclusive(cmd, "timestamp", "sequence"); err != nil {
				return err
			}
			r, err := a.resolve()
			if err != nil {
				return err
			}
			opts := source.NewOptions{Name: args[0], Sequence: sequence, Backfill: backfill, Format: r.format}
			if cmd.Flags().Changed("backfill") && backfill == "" {
				return usage("For example: whimbrel new lower_email --backfill users", "--backfill needs the name of a table")
			}
			if timestamp {
				if err := a.mayChangeNumbering(cmd.Context(), r.dir, opts, force); err != nil {
					return err
				}
				opts.Timestamp = time.Now()
			}
			doc, err := newMigration(r.dir, opts)
			if err != nil {
				return err
			}
			a.print().Show(doc)
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&timestamp, "timestamp", false, "use the present time as version, in UTC")
	cmd.Flags().BoolVar(&sequence, "sequence", false, "use the next number as version")
	cmd.Flags().StringVar(&backfill, "backfill", "", "change the rows of a `table` in batches")
	cmd.Flags().BoolVar(&force, "force", false, "with --timestamp: also in a folder with numbers")
	return cmd
}

// firstTimestamp is lower than any version that is a timestamp.
const firstTimestamp = 1_000_000_000

// mayChangeNumbering returns an error if the folder has numbers as versions and the user does not
// agree to continue with timestamps.
func (a *app) mayChangeNumbering(ctx context.Context, dir string, opts source.NewOptions, force bool) error {
	files, err := source.NewFiles(os.DirFS(dir), opts)
	if err != nil || force {
		return nil // creating the files reports the error
	}
	next, err := files[0].Version()
	if err != nil || next <= 1 || next >= firstTimestamp {
		return err
	}
	a.digitsOf(dir)
	problem := fmt.Sprintf("the versions in %s are numbers, the newest is %s; after a timestamp, all later ones must be timestamps", dir, a.print().Digits().Label(next-1))
	if a.canAsk() {
		a.print().Ask(sentence(problem) + "\nCreate a timestamp? [y/N] ")
		answer, err := a.answer(ctx)
		if err != nil || strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes") {
			return err
		}
	}
	return usage("Leave out --timestamp to use the next number. To continue with timestamps, add --force.", "%s", problem)
}

func newMigration(dir string, opts source.NewOptions) (*render.NewFiles, error) {
	files, err := source.NewFiles(os.DirFS(dir), opts)
	if err != nil {
		var ambiguous *source.AmbiguousError
		var folder *source.Error
		if errors.As(err, &ambiguous) || errors.As(err, &folder) {
			return nil, &folderError{dir: dir, err: err}
		}
		return nil, usage("", "%v", err)
	}
	doc := &render.NewFiles{Files: []string{}}
	if doc.Version, err = files[0].Version(); err != nil {
		return nil, err
	}
	if doc.Files, err = writeFiles(dir, files); err != nil {
		return nil, &folderError{dir: dir, err: err}
	}
	return doc, nil
}

// writeFiles creates the files of a migration, and then rewrites those that list it. It returns
// their paths. If one can't be written, none is left.
func writeFiles(dir string, files []source.File) (paths []string, err error) {
	var created []string
	defer func() {
		if err != nil {
			for _, path := range created {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	files = slices.Clone(files)
	order.StableBy(files, func(a, b source.File) int {
		switch {
		case a.Rewrite == b.Rewrite:
			return 0
		case b.Rewrite:
			return -1
		}
		return 1
	})
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if f.Rewrite {
			err = rewrite(path, f.Content)
		} else if err = writeNew(path, f.Content); err == nil {
			created = append(created, path)
		}
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// rewrite replaces a file's content as a whole: another process sees the old one or the new one.
func rewrite(path, content string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".whimbrel-*")
	if err != nil {
		return err
	}
	_, err = temp.WriteString(content)
	err = errors.Join(err, temp.Chmod(info.Mode().Perm()), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(temp.Name()))
	}
	return err
}

// writeNew creates a file. It fails if the file already exists.
func writeNew(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already exists", path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}
