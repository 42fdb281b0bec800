package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// Input is where answers come from.
type Input struct {
	io.Reader
	// Terminal says that there is somebody to ask.
	Terminal bool
}

func (a *app) resetCommand() *cobra.Command {
	var opts whimbrel.ResetOptions
	cmd := &cobra.Command{
		Use:        "reset",
		SuggestFor: []string{"drop", "clean", "empty", "wipe"},
		GroupID:    groupMigrate,
		Short:      "Drop everything that is in the database",
		Long: `Reset drops what is in the schema of Whimbrel's tables, and in those that migrations have
created, in one transaction, and records for every set of the history that nothing is
applied any more. What belongs to other roles and to extensions is named and left. The history
and the settings stay.

On a terminal it shows what it will drop and asks for the database's name; elsewhere --yes
must say it. For a protected database --i-know must say it, too.`,
		Example: `  whimbrel reset --dry-run    # show what would be dropped
  whimbrel reset              # show it, and ask
  whimbrel reset --yes app    # in a script: the name of the database`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withTarget(cmd.Context(), a.openWithoutFiles, func(t *target) (render.Document, error) {
				if opts.Confirm == "" && !opts.DryRun && a.canAsk() {
					return a.askAndReset(cmd.Context(), t, opts)
				}
				return resetDocument(t.migrator().Reset(cmd.Context(), opts))
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Confirm, "yes", "", "`name` of the database: reset it without asking")
	addOverrule(cmd, &opts.Overrule)
	f.BoolVar(&opts.DryRun, "dry-run", false, "show what would be dropped and change nothing")
	f.StringVar(&opts.Note, "note", "", "`text` to keep in the history")
	f.SortFlags = false
	return cmd
}

func resetDocument(r *whimbrel.ResetResult, err error) (render.Document, error) {
	if err != nil {
		return nil, err
	}
	return render.NewReset(r), nil
}

// canAsk reports whether somebody can read a question and answer it.
func (a *app) canAsk() bool {
	return a.Stdin.Terminal && a.Stderr.Terminal && !a.global.json && !a.global.quiet
}

// askAndReset shows what a reset would do, and does it when it is told the database's name. No
// lock is held while it waits for that.
func (a *app) askAndReset(ctx context.Context, t *target, opts whimbrel.ResetOptions) (render.Document, error) {
	opts.DryRun = true
	dry, err := t.migrator().Reset(ctx, opts)
	if err != nil {
		return nil, err
	}
	doc := render.NewReset(dry)
	if len(dry.Sets) == 0 {
		return doc, nil
	}
	a.print().Show(doc)
	a.print().Ask(`To do it, type the name of the database: `)
	if opts.Confirm, err = a.answer(ctx); err != nil {
		return nil, err
	}
	if opts.Confirm != dry.Database {
		return nil, &whimbrel.ConfirmError{Database: dry.Database, Confirm: opts.Confirm}
	}
	opts.DryRun = false
	done, err := t.migrator().Reset(ctx, opts)
	if err != nil {
		return nil, err
	}
	doc = render.NewReset(done)
	doc.Listed = true
	return doc, nil
}

// maxAnswer is more than the name of any database takes.
const maxAnswer = 4 << 10

// answer reads a line, or nothing where there is none to come.
func (a *app) answer(ctx context.Context) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() { // who is asked may never answer; it ends with the process then
		line, err := bufio.NewReader(io.LimitReader(a.Stdin, maxAnswer)).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-got:
		if errors.Is(r.err, io.EOF) {
			a.print().Ask("\n") // what comes next is not an answer to the question
			r.err = nil
		}
		return strings.TrimRight(r.line, "\r\n"), r.err
	}
}

// explainReset covers what keeps a reset from happening.
func explainReset(f *render.Failure, err error) bool {
	var confirm *whimbrel.ConfirmError
	var inUse *database.InUseError
	switch {
	case errors.As(err, &confirm):
		f.Kind, f.Database = kindProtected, confirm.Database
		f.Next = "If you mean it, name the database: --yes " + confirm.Database
	case errors.As(err, &inUse):
		f.Kind, f.Message = kindInUse, "can't reset: what is not Whimbrel's to drop depends on what it would drop; nothing was changed"
		var uses []string
		for _, u := range inUse.Uses {
			uses = append(uses, u.By.String()+" depends on "+u.Of.String())
		}
		f.Detail, f.Next = strings.Join(uses, "\n"), "Drop it, or let its owner do so, and try again."
	default:
		return false
	}
	return true
}
