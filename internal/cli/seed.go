package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/source"
)

const defaultSeeds = "seeds"

// seedAgain is the command that goes on with a script that was left open.
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
		Short:      "Run scripts with development data",
		Long: `Seed runs the .sql files of a folder in the order of their names, each in a transaction of
its own together with its entry in the history. A file that ran before and has not changed is
left out. A database whose setting "protected" is true is refused, unless --i-know names it.`,
		Example: `  whimbrel seed
  whimbrel seed --seeds testdata/people
  whimbrel seed --again          # also what ran before`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, begun := cmd.Context(), time.Now()
			scripts, err := source.ReadSeeds(source.Dir(dir), source.Options{Dir: dir, Dialect: a.knownDialect("")})
			if err != nil {
				return &folderError{dir: dir, err: err, next: "Make it and put .sql files into it, or say where they are with --seeds."}
			}
			t, err := a.openWithoutFiles(ctx)
			if err != nil {
				return err
			}
			defer t.close()
			result, err := t.migrator().Seed(ctx, scripts, opts)
			result.Duration = time.Since(begun)
			doc := render.NewResult(result)
			doc.Idle = "Nothing to do: everything in " + dir + " ran before as it is. To run it again: whimbrel seed --again"
			if err == nil {
				a.print().Show(doc)
				return nil
			}
			f, code := explain(ctx, err)
			stands(f, &whimbrel.Plan{}, result, seedAgain(cmd))
			a.print().Finish(doc, f)
			return told{code}
		},
	}
	cmd.Flags().StringVar(&dir, "seeds", defaultSeeds, "`folder` of the scripts")
	addOverrule(cmd, &opts.Overrule)
	cmd.Flags().BoolVar(&opts.Again, "again", false, "also what ran before as it is")
	return cmd
}
