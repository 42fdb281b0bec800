package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Work executes the detached backfills of a database. Only whimbrel-work has it, because it links a
// job queue.
type Work func(ctx context.Context, url string, w WorkOptions) error

// WorkOptions are what "whimbrel work" was asked for.
type WorkOptions struct {
	Open    database.Options
	Sets    []*migration.Set // of the folder, if it exists
	Options whimbrel.Options
	Queue   string
	Workers int
	Schema  string // of River's tables
	// KeepSchema leaves River's tables as they are.
	KeepSchema bool
	// Once ends the work when nothing can be done now, UntilDone when all backfills are done.
	Once, UntilDone bool
	StopFor         time.Duration
	UI              net.Listener
	Logger          *slog.Logger
	// Trouble is called when a backfill can't be worked on. It is tried again.
	Trouble func(database.BackfillID, error)
	// Ready is called when the work has begun. river is what was done to River's tables.
	Ready func(db database.Database, river *whimbrel.Result)
}

// AdvisedError is an error of Work about the queue, with what to do.
type AdvisedError struct {
	Err error
	Do  string
}

func (e *AdvisedError) Error() string { return e.Err.Error() }
func (e *AdvisedError) Unwrap() error { return e.Err }

const (
	defaultWorkers = 4
	defaultStopFor = 30 * time.Second
)

// workFlags are the flags of work.
type workFlags struct {
	queue, schema, ui string
	workers           int
	stopFor           time.Duration
	once, untilDone   bool
	keepSchema        bool
}

func (a *app) workCommand() *cobra.Command {
	f := workFlags{stopFor: defaultStopFor}
	cmd := &cobra.Command{
		Use:        "work",
		SuggestFor: []string{"worker", "workers", "daemon", "queue"},
		GroupID:    groupMigrate,
		Short:      "Execute detached backfills, together with other processes",
		Long: `Work executes the batches of all detached backfills of the database, until a signal ends it. Run it
in as many processes and on as many machines as you like. They share the work through River, a job
queue in the database itself: PostgreSQL or SQLite.

At the first signal, the batches that are executed are committed, and the process ends with 0. You
can kill it at any moment: after half a minute, another process continues where it was.

Work creates River's tables, or brings them up to date, as the migrations of the set "river". Tables
that the application already has are used.

Work executes scripts as the history keeps them. It needs the folder of migrations only for scripts
that the history does not keep: those with the directive secret, and very long ones.

This command is part of a larger program, whimbrel-work, which whimbrel starts.`,
		Example: `  whimbrel work                          # until Ctrl-C
  whimbrel work --workers 8              # eight batches at the same time
  whimbrel work --until-done             # in CI: end when all are done
  whimbrel work --ui localhost:8080      # with River's pages about the queue`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.workers < 1 {
				return usage("Pass a number of 1 or more.", "--workers: %d is not a number of workers", f.workers)
			} else if f.once && f.untilDone {
				return usage("Pass only one of them.", "--once and --until-done can't be combined")
			}
			if a.Work == nil {
				return a.workElsewhere()
			}
			return a.work(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.workers, "workers", defaultWorkers, "`number` of batches that this process executes at the same time")
	flags.StringVar(&f.queue, "queue", "", "`name` of the queue of River for the jobs (default \"whimbrel_backfill\")")
	flags.BoolVar(&f.untilDone, "until-done", false, "end when all detached backfills are done; exit 1 if one has failed or was cancelled")
	flags.BoolVar(&f.once, "once", false, "end when nothing is left that can be done now")
	flags.StringVar(&f.ui, "ui", "", "`address`, such as localhost:8080, at which to serve River's pages about the queue")
	durationFlag(cmd, &f.stopFor, "stop-for", "`duration` after a signal until batches that are still executed are cancelled (default 30s)")
	flags.StringVar(&f.schema, "river-schema", "", "`schema` of River's tables on PostgreSQL (default: the first in the search path)")
	flags.BoolVar(&f.keepSchema, "keep-river", false, "leave River's tables as they are; exit 5 if they do not fit")
	flags.SortFlags = false
	for _, name := range []string{"workers", "queue", "ui", "stop-for", "river-schema"} {
		must(cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions))
	}
	return cmd
}

// work runs the workers.
func (a *app) work(ctx context.Context, f workFlags) error {
	t := &target{app: a}
	var err error
	if t.resolved, err = a.resolve(); err != nil {
		return err
	}
	if t.url, err = a.targetURL(); err != nil {
		return err
	}
	sets, err := a.setsToWork(t)
	if err != nil {
		return err
	}
	p := a.print()
	w := WorkOptions{
		Open: t.databaseOptions(), Sets: sets, Options: a.workerOptions(t),
		Queue: f.queue, Workers: f.workers, Schema: f.schema, KeepSchema: f.keepSchema,
		Once: f.once, UntilDone: f.untilDone, StopFor: f.stopFor,
		Logger: a.workLogger(p), Trouble: a.sayTrouble,
	}
	w.Open.Notice = p.Notice
	if w.UI, err = a.listen(f.ui); err != nil {
		return err
	}
	w.Ready = func(db database.Database, river *whimbrel.Result) {
		a.sayWorking(place(db, t.url), f, w.UI, river)
	}
	if err := a.Work(ctx, t.url, w); err != nil {
		return err
	}
	if _, ended := bySignal(ctx); ended {
		p.Waiting("Stopped. Other workers, or the next one, continue.")
	}
	if a.global.json {
		return a.showBackfills(context.WithoutCancel(ctx))
	}
	return nil
}

// showBackfills prints the backfills of the set as they are now.
func (a *app) showBackfills(ctx context.Context) error {
	t, err := a.openWithoutFiles(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	all, err := t.migrator().Backfills(ctx)
	if err != nil {
		return err
	}
	doc := &render.Backfills{Set: t.set.Name()}
	for _, b := range all {
		doc.List = append(doc.List, render.NewBackfill(b))
	}
	a.print().Show(doc)
	return nil
}

// setsToWork reads the folder, if it exists or was named.
func (a *app) setsToWork(t *target) ([]*migration.Set, error) {
	set, err := a.readSetWith(t.resolved, t.url, true, nil)
	if errors.Is(err, fs.ErrNotExist) && a.global.dir == "" {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	a.print().SetDigits(set)
	return []*migration.Set{set}, nil
}

func (a *app) workerOptions(t *target) whimbrel.Options {
	observe := a.observe(a.print())
	type version struct {
		set     string
		version int64
	}
	done := map[version]bool{}
	return whimbrel.Options{
		MigrationLockTimeout: t.migrationLockTimeout, LockTimeout: t.lockTimeout, RetryFor: t.retryFor,
		Observe: func(ctx context.Context, e whimbrel.Event) {
			observe(ctx, e)
			if p, ok := e.(whimbrel.BackfillProgress); ok && p.Backfill.State == database.BackfillDone {
				if id := (version{p.Set, p.Backfill.Version}); !done[id] {
					done[id] = true
					a.print().Waiting("done " + a.print().Digits().Name(p.Backfill.Version, p.Backfill.Name) + ", " + render.Count(int(p.Backfill.RowsDone), "row"))
				}
			}
		},
	}
}

// workLogger returns the log of the queue: with --verbose all of it, otherwise what goes wrong.
func (a *app) workLogger(p *render.Printer) *slog.Logger {
	level := slog.LevelWarn
	if a.global.verbose {
		level = slog.LevelInfo
	}
	if a.global.quiet {
		level = slog.LevelError
	}
	return slog.New(slog.NewTextHandler(p.Records(), &slog.HandlerOptions{Level: level}))
}

// listen opens the address of the pages. An address without a host is one of this machine only.
func (a *app) listen(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return nil, usage("Write it as localhost:8080.", "--ui: %q is not an address with a port", address)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(host, "localhost"), port))
	if err != nil {
		return nil, usage("Choose another address.", "--ui: %v", err)
	}
	return l, nil
}

// sayWorking says that the work has begun.
func (a *app) sayWorking(where string, f workFlags, ui net.Listener, river *whimbrel.Result) {
	p := a.print()
	if river != nil && len(river.Applied) > 0 {
		p.Waiting("Created River's tables, or brought them up to date: " + render.Count(len(river.Applied), "migration") + ` of the set "river".`)
	}
	text := "Working on the backfills of " + where + ", " + batches(f.workers) + " at a time."
	if !f.once && !f.untilDone {
		text += " Ctrl-C ends it after the batch."
	}
	p.Waiting(text)
	if ui == nil {
		return
	}
	p.Waiting("The queue: http://" + ui.Addr().String() + "/")
	if tcp, ok := ui.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		p.Waiting("warning: everybody who can reach " + ui.Addr().String() + " can read and change the jobs of all applications there: the pages ask for no password")
	}
}

// sayTrouble says that a backfill can't be worked on.
func (a *app) sayTrouble(_ database.BackfillID, err error) {
	f, _ := a.explain(context.Background(), err)
	if errors.Is(err, whimbrel.ErrNoText) {
		f.Next = "Start the worker where the folder of its migrations is, or pass the folder with --dir."
	}
	text := "error: " + f.Message
	if f.Next != "" {
		text += ". " + f.Next
	}
	a.print().Waiting(text + "\nIt is tried again.")
}

func batches(n int) string {
	if n == 1 {
		return "1 batch"
	}
	return fmt.Sprintf("%d batches", n)
}

// workProgram is the program that has the command "work" and everything else that this one has.
const workProgram = "whimbrel-work"

// installWork is how to install it.
const installWork = "go install github.com/whimbrel-db/whimbrel/cmd/whimbrel-work@"

// workElsewhere executes the same command line with whimbrel-work.
func (a *app) workElsewhere() error {
	path, err := a.findWork()
	if err != nil {
		version := whimbrel.ToolVersion()
		if !strings.HasPrefix(version, "v") {
			version = "latest"
		}
		return usage("Install it:\n"+installWork+version, "the program %s, which has this command, is neither beside whimbrel nor in PATH", workProgram)
	}
	code, err := a.execute(path)
	if err != nil {
		return fmt.Errorf("can't start %s: %w", path, err)
	}
	return exitError{code}
}
