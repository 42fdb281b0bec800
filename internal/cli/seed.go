package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/source"
)

const defaultSeeds = "seeds"

// seedAgain returns the command that resumes an interrupted seed.
func seedAgain(cmd *cobra.Command) string {
	words := cmd.CommandPath()
	if seeds := cmd.Flags().Lookup("seeds"); seeds.Changed {
		words += " --seeds " + seeds.Value.String()
	}
	return words
}

func (a *app) seedCommand() *cobra.Command {
	var dir string
	var opts whimbrel.SeedOptions
	cmd := &cobra.Command{
		Use:        "seed",
		SuggestFor: []string{"seeds", "fixtures", "populate"},
		GroupID:    groupMigrate,
		Short:      "Run scripts that load development data",
		Long: `Seed runs the .sql files of a folder in the order of their names, each in its own transaction
together with its history entry. It skips files that already ran and have not changed. For a protected
database, confirm with --yes and the database's name.`,
		Example: `  whimbrel seed
  whimbrel seed --seeds testdata/people
  whimbrel seed --again          # also files that already ran`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, begun := cmd.Context(), time.Now()
			scripts, err := source.ReadSeeds(source.Dir(dir), source.Options{Dir: dir, Dialect: a.knownDialect("")})
			if err != nil {
				return &folderError{dir: dir, err: err, next: "Create it with .sql files, or pass the folder with --seeds."}
			}
			t, err := a.openWithoutFiles(ctx)
			if err != nil {
				return err
			}
			defer t.close()
			t.begin(seeding)
			result, err := confirmed(ctx, a, &opts.Overrule, func() (*whimbrel.Result, error) {
				begun = time.Now() // without the time of a question
				return t.migrator().Seed(ctx, scripts, opts)
			})
			result.Duration = time.Since(begun)
			doc := render.NewResult(result)
			doc.Idle = "Nothing to do: all files in " + dir + " already ran. To run them again, add --again."
			if len(scripts) == 0 {
				doc.Idle = "Nothing to do: there are no .sql files in " + dir + "."
			}
			if err == nil {
				a.print().Show(doc)
				return nil
			}
			return a.finishFailed(ctx, err, doc, &whimbrel.Plan{}, result, seedAgain(cmd))
		},
	}
	cmd.Flags().StringVar(&dir, "seeds", defaultSeeds, "`folder` with the scripts")
	a.addWaits(cmd)
	addYes(cmd, &opts.Overrule)
	cmd.Flags().BoolVar(&opts.Again, "again", false, "also run files that already ran")
	return cmd
}
