// Package cli is the whimbrel command: it reads the command line, the environment
// and whimbrel.yaml, calls the library, and shows what came of it. Each command has
// a file of its own; package render draws.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// Process is what the command sees of the process it is.
type Process struct {
	Args           []string
	LookupEnv      func(name string) (string, bool)
	Stdin          Input
	Stdout, Stderr render.Stream
	// Signals are those that end the command; nil: none.
	Signals <-chan os.Signal
	// Exit leaves at once: for a second signal.
	Exit func(code int)
}

// Main runs the command with what the process was given, and returns its exit code.
func Main() int {
	cobra.EnableCommandSorting = false // ours is the order of use
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endSignals...)
	ignoreBrokenPipes()
	return Run(Process{
		Args:      os.Args[1:],
		LookupEnv: os.LookupEnv,
		Stdin:     Input{Reader: os.Stdin, Terminal: term.IsTerminal(int(os.Stdin.Fd()))},
		Stdout:    stream(os.Stdout),
		Stderr:    stream(os.Stderr),
		Signals:   signals,
		Exit:      os.Exit,
	})
}

// stream finds out what a file can show. Colours follow https://no-color.org.
func stream(f *os.File) render.Stream {
	s := render.Stream{Writer: f, Terminal: term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"}
	s.Color = s.Terminal && os.Getenv("NO_COLOR") == ""
	size := func() (width, height int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0, 0
		}
		return width, height
	}
	s.Width = func() int { width, _ := size(); return width }
	s.Height = func() int { _, height := size(); return height }
	return s
}

// app is one run of the command.
type app struct {
	Process
	secrets guarded
	global  globalFlags
	printer atomic.Pointer[render.Printer] // another goroutine asks for it after a second signal
}

// Run runs the command and returns its exit code.
func Run(p Process) int {
	a := &app{Process: p}
	a.secrets.add(p.Args...)
	a.LookupEnv = a.secrets.lookupEnv(p.LookupEnv)
	ctx, stop := a.untilSignal(context.Background())
	stop = sync.OnceFunc(stop)
	defer stop()
	root := a.root()
	root.SetArgs(p.Args)
	root.SetOut(a.secrets.writer(p.Stdout))
	root.SetErr(a.secrets.writer(p.Stderr))
	err := root.ExecuteContext(ctx)
	code := a.finish(ctx, err)
	stop() // what is left is a pager's, and so are signals
	if werr := a.print().Close(); werr != nil && code == exitDone {
		fmt.Fprintf(p.Stderr, "can't write the answer: %v\n", werr)
		return exitFailed
	}
	return code
}

// print returns the printer, which is made when the flags are known.
func (a *app) print() *render.Printer {
	p := a.printer.Load()
	if p == nil {
		opts := render.Options{Out: a.Stdout, Err: a.Stderr, JSON: a.global.json, Quiet: a.global.quiet}
		if a.global.noColor {
			opts.Out.Color, opts.Err.Color = false, false
		}
		opts.Out.Writer, opts.Err.Writer = a.secrets.writer(a.Stdout.Writer), a.secrets.writer(a.Stderr.Writer)
		opts.Page = a.page()
		p = render.New(opts)
		a.printer.Store(p)
	}
	return p
}

// told is the end of a command that has said everything itself.
type told struct{ code int }

func (t told) Error() string { return fmt.Sprintf("exit code %d", t.code) }

// finish shows a command's error and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	var t told
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &t):
		return t.code
	}
	if !a.global.json {
		a.global.json = asksForJSON(a.Args) // the flags before it may have been wrong
	}
	f, code := explain(ctx, err)
	a.print().Fail(f)
	return code
}

func asksForJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.ContainsFunc(args, func(s string) bool {
		return s == "--json" || strings.HasPrefix(s, "--json=") && s != "--json=false"
	})
}
