package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/source"
)

func (a *app) newCommand() *cobra.Command {
	var timestamp, sequence bool
	cmd := &cobra.Command{
		Use:        "new NAME",
		SuggestFor: []string{"create", "generate", "add"},
		GroupID:    groupMigrate,
		Short:      "Create the files of a new migration",
		Long: `New creates the files of a migration with the next version, and prints their paths. The version
is a number or a timestamp, like those in the folder. If the folder does not exist, new creates it.`,
		Example: `  whimbrel new create_users
  whimbrel new "add email to users" --timestamp`,
		Args: needArgs("one name, such as create_users", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := exclusive(cmd, "timestamp", "sequence"); err != nil {
				return err
			}
			r, err := a.resolve()
			if err != nil {
				return err
			}
			opts := source.NewOptions{Name: args[0], Sequence: sequence, Format: r.format}
			if timestamp {
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
	return cmd
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
	var written []string
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := writeNew(path, f.Content); err != nil {
			for _, w := range written {
				err = errors.Join(err, os.Remove(w))
			}
			return nil, &folderError{dir: dir, err: err}
		}
		written = append(written, path)
		doc.Files = append(doc.Files, path)
		doc.Version, err = parseLeadingVersion(f.Name)
		if err != nil {
			return nil, err
		}
	}
	return doc, nil
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

// parseLeadingVersion parses the version at the start of a file name.
func parseLeadingVersion(name string) (int64, error) {
	n := 0
	for n < len(name) && name[n] >= '0' && name[n] <= '9' {
		n++
	}
	return parseVersion(name[:n])
}
