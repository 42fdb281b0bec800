package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/query"
)

func (a *app) sqlCommand() *cobra.Command {
	var write bool
	var file string
	var opts query.WriteOptions
	cmd := &cobra.Command{
		Use:        "sql [STATEMENT]",
		SuggestFor: []string{"query", "select", "exec", "execute", "psql"},
		GroupID:    groupOther,
		Short:      "Execute one statement and show its rows",
		Long: `Sql executes one statement that only reads, and shows its rows. It takes no lock, and also works
while the database is frozen. Without STATEMENT it reads the statement from standard input, or from
the file that -f names.

With --write the statement may change the database. Sql executes it under the migration lock and
records it in the history with its text. A frozen database refuses it. For a protected database,
confirm with --yes and the database's name.`,
		Example: `  whimbrel sql "SELECT * FROM users LIMIT 10"
  whimbrel sql --json -f report.sql
  whimbrel sql --write --reason "ticket 12" "DELETE FROM sessions"`,
		Args: needArgs("one statement, in quotes", 0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !write && opts != (query.WriteOptions{}) {
				return usage("Add --write if the statement changes the database.", "--reason and --yes require --write")
			}
			statement, err := a.statement(cmd, args, file)
			if err != nil {
				return err
			}
			if strings.TrimSpace(statement) == "" {
				return usage(seeHelp(cmd), "%q needs one statement, in quotes", cmd.CommandPath())
			}
			return a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				if !write {
					return answer(render.NewRows)(query.Read(cmd.Context(), t.db, statement))
				}
				t.begin(writing)
				return answer(render.NewRows)(confirmed(cmd.Context(), a, &opts.Overrule, func() (*database.Rows, error) {
					return query.Write(cmd.Context(), t.migrator(), statement, opts)
				}))
			})(cmd, nil)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "file", "f", "", "`file` with the statement; - is standard input")
	f.BoolVar(&write, "write", false, "allow the statement to change the database; it is recorded in the history")
	f.StringVar(&opts.Reason, "reason", "", "with --write: `why`; the history keeps it")
	addYes(cmd, &opts.Overrule)
	a.addWaits(cmd)
	f.SortFlags = false
	must(cmd.MarkFlagFilename("file", "sql"))
	return cmd
}

// statement returns the statement from the argument, the file, or standard input.
func (a *app) statement(cmd *cobra.Command, args []string, file string) (string, error) {
	given := cmd.Flags().Changed("file")
	switch {
	case given && len(args) > 0:
		return "", usage("Pass only one of them.", "a statement and --file can't be combined")
	case len(args) > 0 && args[0] != standardInput:
		return args[0], nil
	case given && file != standardInput:
		text, err := readFile(file, maxStatement)
		if err != nil {
			return "", usage("", "can't read the statement from %s: %v", file, err)
		}
		return string(text), nil
	case len(args) == 0 && !given && a.Stdin.Terminal:
		return "", usage(seeHelp(cmd), "%q needs one statement, in quotes", cmd.CommandPath())
	}
	text, err := readLimited(a.Stdin, maxStatement)
	if err != nil {
		return "", usage("", "can't read the statement from standard input: %v", err)
	}
	return string(text), nil
}
