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

// nameQuestion asks for a confirmation.
const nameQuestion = "To confirm, type the database's name: "

// addYes adds the flag that confirms a command which a protected database refuses.
func addYes(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "yes", "", "`name` of the database, to confirm the command if the database is protected")
}

// confirming calls do. If the database is protected, and a person at a terminal has not passed its
// name with --yes, it asks for the name and calls do again. do must read the name from yes.
func (a *app) confirming(ctx context.Context, yes *string, do func() error) error {
	err := do()
	e, ok := asType[*whimbrel.ProtectedError](err)
	if !ok || *yes != "" || !a.canAsk() {
		return err
	}
	name, askErr := a.askName(ctx, render.Protected(e.Database, e.By, e.Since, e.Reason))
	if askErr != nil {
		return askErr
	}
	if name == "" {
		return err
	}
	*yes = name
	return do()
}

// confirmed is confirming for a function that returns a value.
func confirmed[T any](ctx context.Context, a *app, yes *string, do func() (T, error)) (v T, err error) {
	err = a.confirming(ctx, yes, func() error {
		var err error
		v, err = do()
		return err
	})
	return v, err
}

// canAsk reports whether a person can read a question and answer it.
func (a *app) canAsk() bool {
	return a.Stdin.Terminal && a.Stderr.Terminal && !a.global.json && !a.global.quiet
}

// askName asks for the name of the database, after a line that says why.
func (a *app) askName(ctx context.Context, why string) (string, error) {
	if why != "" {
		why += "\n"
	}
	a.print().Ask(why + nameQuestion)
	return a.answer(ctx)
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
