// Package cli implements the whimbrel command. It reads the command line, the environment and
// whimbrel.yaml, calls the library, and prints the result. Each command has its own file. Package
// render formats the output.
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

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// Process describes the process that the command runs in.
type Process struct {
	Args           []string
	LookupEnv      func(name string) (string, bool)
	Stdin          Input
	Stdout, Stderr render.Stream
	// Signals delivers the signals that end the command. It may be nil.
	Signals <-chan os.Signal
	// Exit ends the process at once, after a second signal.
	Exit func(code int)
	// Work executes detached backfills; nil in a program without a job queue.
	Work Work
}

// Main runs the command in the current process and returns its exit code. work executes detached
// backfills; nil starts the program that can.
func Main(work Work) int {
	cobra.EnableCommandSorting = false // commands are listed in the order of use
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
		Work:      work,
	})
}

// stream detects whether a file is a terminal, its size, and whether to use colours
// (https://no-color.org).
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

// app is one execution of the command.
type app struct {
	Process
	secrets guarded
	global  globalFlags
	waits   waitFlags
	role    string // that the database was opened with
	called  *cobra.Command
	// inConfig is where the configuration file has the database URL; nil if another source has it.
	inConfig *usageError
	// target is the database URL without its password.
	target string
	// passwords are the URLs that withPassword has completed, by the URL without a password.
	passwords map[string]string
	// sideOptions are the options to open the environments that diff compares, by their URLs.
	sideOptions map[string]database.Options
	sideNames   map[string]string // the environments of their URLs
	// allowEmpty is the value of --allow-empty.
	allowEmpty bool
	// allowUnrecorded is the value of --allow-unrecorded.
	allowUnrecorded bool
	// completing says that the shell asks for a completion, so no program is started.
	completing bool
	printer    atomic.Pointer[render.Printer] // the signal goroutine reads it
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
	stop() // from here on a pager may run, which receives the signals
	if werr := a.print().Close(); werr != nil && code == exitDone {
		fmt.Fprintf(p.Stderr, "can't write the output: %v\n", werr)
		return exitFailed
	}
	return code
}

// print returns the printer. The first call creates it, after the flags are parsed.
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
		if a.called != nil {
			p.Aim(aim(a.called), aimed)
		}
		a.printer.Store(p)
	}
	return p
}

// exitError ends a command with an exit code, without a further message.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// finish prints a command's error and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	var exit exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	}
	if !a.global.json {
		a.global.json = asksForJSON(a.Args) // parsing may have stopped before --json
	}
	f, code := a.explain(ctx, err)
	a.nameRole(f)
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

// Command returns the command with all its subcommands, for a generator of documentation.
func Command() *cobra.Command {
	return (&app{Process: Process{LookupEnv: func(string) (string, bool) { return "", false }}}).root()
}
