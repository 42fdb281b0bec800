package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) adoptCommand() *cobra.Command {
	var opts adopt.Options
	var from string
	var reverse, verify bool
	var scratch scratchFlags
	cmd := &cobra.Command{
		Use:        "adopt",
		SuggestFor: []string{"import-history", "takeover", "migrate-from"},
		GroupID:    groupRecord,
		Short:      "Take over a database from another migration tool",
		Long: `Adopt reads the history table of another tool, matches it with the files, and records in
Whimbrel's history what that tool has applied, with its times and with the checksums of the files as
they are now. It runs no migration, and the other tool's table stays as it is. If anything does not
match, adopt lists it and records nothing. A second adopt does nothing.

The tool is detected from its table. Adopt takes the tool's own lock while it works, if it has one.

With --guard, the other tool can't migrate this database any more, until adopt --reverse. Reverse
writes what Whimbrel has applied since into the other tool's table, so that the tool continues.`,
		Example: `  whimbrel adopt --dry-run
  whimbrel adopt --verify
  whimbrel adopt --from goose --guard
  whimbrel adopt --reverse`,
		Args: noArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case reverse && (opts.Block || verify):
				return usage("", "--reverse can't be combined with --guard or --verify")
			case !verify && (cmd.Flags().Changed("scratch") || scratch.skip || len(scratch.allow) > 0):
				return usage("", "--scratch, --skip-outside and --allow-outside require --verify")
			}
			return parseTool(from, &opts.Tool)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			open := a.writes(takingOver, a.open)
			switch {
			case opts.DryRun:
				open = a.open
			case reverse:
				open = a.writes(givingBack, a.open)
			}
			return a.with(open, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				opts.Migrator = t.options
				if reverse {
					r, err := adopt.Reverse(cmd.Context(), t.db, t.set, adopt.ReverseOptions{
						Tool: opts.Tool, Table: opts.Table, DryRun: opts.DryRun, Reason: opts.Reason, Migrator: opts.Migrator,
					})
					return answer(func(r *adopt.Result) *render.GivenBack { return render.NewGivenBack(r, opts.DryRun) })(r, err)
				}
				if verify {
					maker, closeMaker, err := a.scratch(cmd.Context(), scratch)
					if err != nil {
						return nil, err
					}
					defer closeMaker()
					opts.Verify = adopt.Verify(t.db, maker)
				}
				r, err := adopt.From(cmd.Context(), t.db, t.set, opts)
				doc := render.NewAdopted(r, opts.DryRun, verify)
				if a.global.json && errors.As(err, new(*adopt.RefusedError)) {
					var code int
					doc.Error, code = a.explain(cmd.Context(), err)
					a.print().Show(doc)
					return nil, exitError{code}
				}
				return doc, err
			})(cmd, nil)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`tool` whose history to take over (default: detected)")
	f.StringVar(&opts.Table, "table", "", "`name` of the tool's history table, such as schema.name (default: the tool's own)")
	f.BoolVar(&opts.DryRun, "dry-run", false, "show what would be recorded, and change nothing")
	f.BoolVar(&verify, "verify", false, "first check on a scratch database that the files make the schema that the database has")
	f.BoolVar(&opts.Block, "guard", false, "keep the other tool from migrating this database, until adopt --reverse")
	f.BoolVar(&reverse, "reverse", false, "give the database back to the other tool")
	f.StringVar(&opts.Reason, "reason", "", "`why`; each history entry keeps it")
	scratch.add(cmd, scratchAuto, "with --verify: where to create the scratch database: ")
	f.SortFlags = false
	must(cmd.RegisterFlagCompletionFunc("from", oneOf(tools())))
	return cmd
}

// tools are the names of the tools that adopt knows.
func tools() (all []string) {
	for _, t := range adopt.Tools() {
		all = append(all, string(t))
	}
	return all
}

// parseTool parses the name of a tool; "" remains "".
func parseTool(name string, tool *adopt.Tool) error {
	if name == "" {
		return nil
	}
	if !slices.Contains(tools(), name) {
		return usage("Valid tools: "+strings.Join(tools(), ", ")+".", "--from: unknown tool %q", name)
	}
	*tool = adopt.Tool(name)
	return nil
}
