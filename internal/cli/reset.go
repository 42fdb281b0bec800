package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// Input is the standard input.
type Input struct {
	io.Reader
	Terminal bool // a person can answer questions
}

func (a *app) resetCommand() *cobra.Command {
	var opts whimbrel.ResetOptions
	cmd := &cobra.Command{
		Use:        "reset",
		SuggestFor: []string{"clean", "empty", "wipe"},
		GroupID:    groupDatabase,
		Short:      "Drop everything in the database",
		Long: `Reset drops all objects in the schema of Whimbrel's tables and in the schemas that migrations
created, in one transaction. It records every migration of every set as not applied. It lists and keeps
objects that belong to other roles and to extensions. The history and the settings remain.

On a terminal, reset shows what it will drop and asks for the database's name. Otherwise, and if
the database is protected, pass the name with --yes.`,
		Example: `  whimbrel reset --dry-run      # show what would be dropped
  whimbrel reset                # show it and ask
  whimbrel reset --yes app      # for scripts: app is the database's name`,
		Args: noArgs,
		RunE: a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			opts.Overrule = opts.Confirm
			if !opts.DryRun {
				t.begin(resetting)
			}
			if opts.Confirm == "" && !opts.DryRun && a.canAsk() {
				return a.askAndReset(cmd.Context(), t, opts)
			}
			return answer(render.NewReset)(t.migrator().Reset(cmd.Context(), opts))
		}),
	}
	f := cmd.Flags()
	f.StringVar(&opts.Confirm, "yes", "", "`name` of the database, to confirm without being asked")
	f.BoolVar(&opts.DryRun, "dry-run", false, "show what would be dropped and change nothing")
	f.StringVar(&opts.Reason, "reason", "", "`why`; the history keeps it")
	f.SortFlags = false
	return cmd
}

// canAsk reports whether a person can read a question and answer it.
func (a *app) canAsk() bool {
	return a.Stdin.Terminal && a.Stderr.Terminal && !a.global.json && !a.global.quiet
}

// askAndReset shows what a reset would do and resets if the user types the database's name. It
// holds no lock while it waits for the answer.
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
	a.print().Ask("To confirm, type the database's name: ")
	if opts.Confirm, err = a.answer(ctx); err != nil {
		return nil, err
	}
	if opts.Confirm != dry.Database {
		return nil, &whimbrel.ConfirmError{What: "reset", Database: dry.Database, Confirm: opts.Confirm}
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

// maxAnswer is longer than the name of any database.
const maxAnswer = 4 << 10

// answer reads a line from standard input. It returns "" at the end of the input.
func (a *app) answer(ctx context.Context) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() { // without an answer, this goroutine lasts as long as the process
		line, err := bufio.NewReader(io.LimitReader(a.Stdin, maxAnswer)).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-got:
		if errors.Is(r.err, io.EOF) {
			a.print().Ask("\n") // end the line of the question
			r.err = nil
		}
		return strings.TrimRight(r.line, "\r\n"), r.err
	}
}
