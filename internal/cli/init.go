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

// firstConfig is the file that init writes, with the folder and the database.
const firstConfig = `# yaml-language-server: $schema=` + schemaID + `
# Defaults for this folder; flags override them.
dir: %s
database: %s

# Other databases, selected with --env NAME:
# environments:
#   production:
#     database: ${PRODUCTION_DATABASE_URL}
#     migration_lock_timeout: 1m
`

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "init",
		GroupID: groupMigrate,
		Short:   "Create a folder for migrations and a whimbrel.yaml",
		Long: `Init creates a folder for migrations and a whimbrel.yaml that names the folder and a database. It
overwrites nothing. If the URL has a password, the file refers to $DATABASE_URL instead.`,
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
		return nil, usage("Edit it, or run init in another folder.", "%s already exists", configName)
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
