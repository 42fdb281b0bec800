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
		Short:      "Write the files of a new migration",
		Long: `New writes the files of a new migration with the next version, and prints their paths. A
folder that counts goes on counting, one with timestamps goes on with timestamps; a
folder that does not exist is made.`,
		Example: `  whimbrel new create_users
  whimbrel new "add email to users" --timestamp`,
		Args: wantArgs("a name that says what the migration does, such as create_users", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timestamp && sequence {
				return usage("Give one of them.", "--timestamp and --sequence both say what the version is")
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
	cmd.Flags().BoolVar(&timestamp, "timestamp", false, "the version is this moment, in UTC")
	cmd.Flags().BoolVar(&sequence, "sequence", false, "the version is the next number")
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

// writeNew writes a file that must not be there yet.
func writeNew(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already", path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// parseLeadingVersion reads the version that a file's name begins with.
func parseLeadingVersion(name string) (int64, error) {
	n := 0
	for n < len(name) && name[n] >= '0' && name[n] <= '9' {
		n++
	}
	return parseVersion(name[:n])
}
