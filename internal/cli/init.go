package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// firstConfig is what init writes; %s are the folder and the database.
const firstConfig = `# What whimbrel takes for granted in this folder; flags come before it.
dir: %s
database: %s

# Others, chosen with --env:
# environments:
#   production:
#     database: ${PRODUCTION_DATABASE_URL}
#     lock_timeout: 1m
`

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "init",
		GroupID: groupMigrate,
		Short:   "Make a folder for migrations and a first whimbrel.yaml",
		Long: `Init makes the folder for migrations and a whimbrel.yaml that names it and a database, and
says what to do next. It overwrites nothing. A URL with a password is not written down:
the file then asks the environment for it.`,
		Example: `  whimbrel init
  whimbrel init --database postgres://me@localhost/app`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			doc, err := writeFirst(a.global.dir, a.global.database)
			if err != nil {
				return err
			}
			a.print().Show(doc)
			return nil
		},
	}
}

func writeFirst(dir, url string) (*render.Initialized, error) {
	if dir == "" {
		dir = defaultDir
	}
	if url == "" {
		url = "sqlite:app.db"
	}
	doc := &render.Initialized{Config: configName, Dir: dir, Database: url}
	if database.Redact(url) != url {
		doc.Database = "${DATABASE_URL}"
	}
	if _, err := os.Stat(configName); err == nil {
		return nil, usage(`Edit it, or begin in another folder.`, "%s is there already", configName)
	}
	if err := os.MkdirAll(filepath.FromSlash(dir), 0o777); err != nil {
		return nil, &folderError{dir: dir, err: err}
	}
	values := make([]string, 2)
	for i, v := range []string{dir, doc.Database} {
		text, err := yaml.Marshal(v)
		if err != nil {
			return nil, err
		}
		values[i] = strings.TrimSpace(string(text))
	}
	return doc, writeNew(configName, fmt.Sprintf(firstConfig, values[0], values[1]))
}
