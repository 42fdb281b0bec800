package cli

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/report"
)

func (a *app) reportCommand() *cobra.Command {
	var out, title string
	var drift bool
	var scratch scratchFlags
	cmd := &cobra.Command{
		Use:        "report [ENVIRONMENT…]",
		SuggestFor: []string{"html", "page", "dashboard"},
		GroupID:    groupInspect,
		Short:      "Write the state of databases as an HTML page",
		Long: `Report writes one HTML page with the state of the database: its migrations, what the next up would
do, with the SQL, a diagram of the schema, and the history. With several environments of the
configuration file, it also shows how they differ from the first one.

The page is one file without scripts that loads nothing, so it can be mailed, archived by a CI
system, or printed. Report changes nothing and takes no lock, except that --drift runs the scripts
of the history on a scratch database.

If an environment can't be read, the page says so, and report exits with 1.`,
		Example: `  whimbrel report --out report.html
  whimbrel report local production --out report.html
  whimbrel report --drift --out report.html`,
		ValidArgsFunction: a.completeEnvironments,
		PreRunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usage(`Add --out report.html.`, "--out is required")
			}
			return a.environmentsOrOne(args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !drift {
				scratch.where = ""
			}
			page := report.Page{Title: title}
			doc := &render.Report{File: out}
			for _, name := range orOne(args) {
				t, err := a.reportOn(cmd.Context(), name, scratch)
				if err != nil {
					return err
				}
				page.Targets = append(page.Targets, t)
				doc.Add(t)
			}
			var b bytes.Buffer
			if err := page.Write(&b); err != nil {
				return err
			}
			if err := a.writeOutput(out, b.Bytes()); err != nil {
				return err
			}
			return a.show(doc)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`file` to write (required)")
	cmd.Flags().StringVar(&title, "title", "", "`title` of the page (default \"Database report\")")
	cmd.Flags().BoolVar(&drift, "drift", false, "also compare each database with its history, on a scratch database")
	scratch.add(cmd, scratchAuto, "with --drift, where to create the scratch database: ")
	cmd.Flags().SortFlags = false
	return cmd
}

// orOne returns the names of environments, or "" for the configured database.
func orOne(names []string) []string {
	if len(names) == 0 {
		return []string{""}
	}
	return slices.Compact(slices.Clone(names))
}

// reportOn reads what the report says about an environment, "" for the configured database. If
// the report is about several, the page shows why one can't be read. An invalid command line or
// configuration is an error.
func (a *app) reportOn(ctx context.Context, env string, scratch scratchFlags) (*report.Target, error) {
	if env != "" {
		a.global.env = env
		defer func() { a.global.env = "" }()
	}
	opts := report.Options{Name: env}
	url, err := a.databaseURL()
	if err != nil {
		return nil, err
	}
	opts.Address = database.Redact(url)
	t, err := a.readTarget(ctx, opts, scratch)
	if errors.As(err, new(*usageError)) || env == "" || ctx.Err() != nil || err == nil {
		return t, err
	}
	return &report.Target{Name: env, Address: opts.Address, Problem: errors.New(a.secrets.redact(err.Error()))}, nil
}

func (a *app) readTarget(ctx context.Context, opts report.Options, scratch scratchFlags) (*report.Target, error) {
	if scratch.where != "" {
		maker, closeMaker, err := a.scratch(ctx, scratch)
		if err != nil {
			return nil, err
		}
		defer closeMaker()
		opts.Scratch = &maker
	}
	t, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if opts.Name != "" {
		a.print().Working("reading " + opts.Name)
	}
	if opts.Name == "" {
		opts.Name = a.global.env
	}
	r, err := report.Read(ctx, t.migrator(), t.set, opts)
	if err == nil && r.Name == "" {
		r.Name = r.Status.Database
	}
	return r, err
}
