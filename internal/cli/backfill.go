package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/durations"
)

func (a *app) backfillCommand() *cobra.Command {
	all := false // not only those that are unfinished
	cmd := &cobra.Command{
		Use:        "backfill",
		Aliases:    []string{"backfills"},
		SuggestFor: []string{"batch", "batches", "job", "jobs"},
		GroupID:    groupMigrate,
		Short:      "Show and control backfills",
		Long: `A backfill changes the rows of a table in batches. "whimbrel up" starts and executes it. This
command shows how far backfills are, and controls them while they run. A change takes effect within
one batch, in every process that works on the backfill, and the history has an entry of it.`,
		Example: `  whimbrel backfill                              # all backfills
  whimbrel backfill show 12                      # one, with its lanes
  whimbrel backfill pause 12 --reason "the sale"
  whimbrel backfill resume 12
  whimbrel backfill set 12 parallel=2 pause=50ms`,
		Args: unknownCommand,
		RunE: a.listBackfills(&all),
	}
	cmd.AddCommand(a.backfillListCommand(), a.backfillShowCommand(), a.backfillRunCommand())
	for _, c := range controls {
		cmd.AddCommand(a.backfillControlCommand(c))
	}
	cmd.AddCommand(a.backfillSetCommand())
	return cmd
}

func (a *app) backfillListCommand() *cobra.Command {
	var unfinished bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls", "status"},
		Short:   "Show all backfills, like backfill without a command",
		Example: `  whimbrel backfill list
  whimbrel backfill list --unfinished --json`,
		Args: noArgs,
		RunE: a.listBackfills(&unfinished),
	}
	cmd.Flags().BoolVar(&unfinished, "unfinished", false, "leave out those that are done")
	return cmd
}

func (a *app) listBackfills(unfinished *bool) func(*cobra.Command, []string) error {
	return a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
		all, err := t.migrator().Backfills(cmd.Context())
		if err != nil {
			return nil, err
		}
		doc := &render.Backfills{Set: t.set.Name(), Unfinished: *unfinished}
		for _, b := range all {
			if !*unfinished || b.State != database.BackfillDone {
				doc.List = append(doc.List, render.NewBackfill(b))
			}
		}
		return doc, nil
	})
}

func (a *app) backfillShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show VERSION",
		Short: "Show a backfill: its progress, its limits, its lanes",
		Long: `Show shows how far a backfill is, its limits, the last signal that held it back, and its lanes: the
ranges of keys that are not done, with the process that works on each, and the last error.`,
		Example: `  whimbrel backfill show 12
  whimbrel backfill show 12 --json`,
		Args: oneBackfill,
		RunE: a.withVersions(a.openWithoutFiles, func(ctx context.Context, t *target, versions []int64) (render.Document, error) {
			b, err := t.backfill(ctx, versions[0])
			if err != nil {
				return nil, err
			}
			return &render.BackfillShown{Backfill: render.NewBackfill(b)}, nil
		}),
		ValidArgsFunction: a.completeBackfills(nil),
	}
}

var oneBackfill = needArgs("the version of a backfill", 1, 1)

// backfill returns a backfill of the set.
func (t *target) backfill(ctx context.Context, version int64) (b whimbrel.BackfillStatus, err error) {
	all, err := t.migrator().Backfills(ctx)
	if err != nil {
		return b, err
	}
	i := slices.IndexFunc(all, func(b whimbrel.BackfillStatus) bool { return b.Version == version })
	if i < 0 {
		return b, &noBackfillError{version, t.set.Name()}
	}
	return all[i], nil
}

// noBackfillError reports a version that is not a backfill of the database.
type noBackfillError struct {
	version int64
	set     string
}

func (e *noBackfillError) Error() string {
	return fmt.Sprintf("set %q has no backfill %d in this database", e.set, e.version)
}

func (e *noBackfillError) Unwrap() error { return database.ErrNoBackfill }

// control is a command that changes the state of a backfill.
type control struct {
	action                      database.BackfillAction
	short, long, example, after string
	// from are the states that it changes, for completion.
	from []database.BackfillState
}

var controls = []control{
	{
		database.ActionPause, "Stop a backfill until it is resumed",
		`Pause stops a backfill in every process: each ends the batch that it executes, and takes no other.
"whimbrel up" does not continue it, and says who paused it.`,
		`  whimbrel backfill pause 12 --reason "the sale"`,
		"Paused",
		[]database.BackfillState{database.BackfillRunning},
	},
	{
		database.ActionResume, "Continue a backfill that was paused",
		`Resume allows a paused backfill again. Workers continue within a second. If the backfill has none,
run "whimbrel up".`,
		`  whimbrel backfill resume 12`,
		"Resumed",
		[]database.BackfillState{database.BackfillPaused},
	},
	{
		database.ActionCancel, "Give a backfill up; the rows that are changed remain changed",
		`Cancel ends a backfill before it is done. What is committed remains. The migration remains applied,
but is never done: migrations that come after it ("-- whimbrel: after") are refused. Retry takes
it up again.`,
		`  whimbrel backfill cancel 12 --reason "not needed any more"`,
		"Cancelled",
		[]database.BackfillState{database.BackfillRunning, database.BackfillPaused, database.BackfillFailed},
	},
	{
		database.ActionRetry, "Continue a backfill that failed or was cancelled",
		`Retry continues a backfill that failed, or was cancelled, at the rows where it stopped, with new
attempts. It executes nothing itself: workers continue or, without them, the next "whimbrel up".

A backfill with triggers ("-- whimbrel: sync") that was cancelled gets new triggers and begins with
the first row, because rows may have been written meanwhile. That needs its file if the history does
not keep the text of its script.`,
		`  whimbrel backfill retry 12 --reason "removed the duplicates"`,
		"Released",
		[]database.BackfillState{database.BackfillFailed, database.BackfillCancelled},
	},
}

func (a *app) backfillControlCommand(c control) *cobra.Command {
	var reason string
	name, open := string(c.action), a.openWithoutFiles
	if c.action == database.ActionRetry {
		open = a.openWithAnyFiles
	}
	cmd := &cobra.Command{
		Use:     name + " VERSION",
		Short:   c.short,
		Long:    c.long,
		Example: c.example,
		Args:    oneBackfill,
		RunE: a.withVersions(a.writes(controlling, open), func(ctx context.Context, t *target, versions []int64) (render.Document, error) {
			return t.changeBackfill(ctx, versions[0], c.after, database.BackfillChange{Action: c.action, Reason: reason})
		}),
		ValidArgsFunction: a.completeBackfills(c.from),
	}
	addReason(cmd, &reason)
	return cmd
}

func addReason(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "`why`; the history keeps it")
}

// changeBackfill changes a backfill and says so.
func (t *target) changeBackfill(ctx context.Context, version int64, did string, c database.BackfillChange) (render.Document, error) {
	c.Version = version
	b, err := t.migrator().ChangeBackfill(ctx, c)
	if errors.Is(err, database.ErrNoBackfill) {
		err = &noBackfillError{version, t.set.Name()}
	}
	if err != nil {
		return nil, err
	}
	return render.NewBackfillChanged(b, did), nil
}

func (a *app) backfillSetCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "set VERSION NAME=VALUE…",
		Short: "Change the limits of a backfill while it runs",
		Long: `Set changes limits of a backfill. They take effect with the next batch of each process.

  batch=500        rows of a batch; batch=auto steers it so that a batch takes the target
  target=250ms     how long a batch should take
  parallel=2       batches at the same time, of all processes together
  pause=50ms       time between two batches of a lane; pause=0 is none
  timeout=30s      how long a batch may take before it is halved
  attempts=5       how often rows that fail are tried`,
		Example: `  whimbrel backfill set 12 parallel=4
  whimbrel backfill set 12 batch=500 pause=50ms --reason "the nightly report"`,
		Args: needArgs("the version of a backfill and at least one NAME=VALUE", 2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := parseLimits(args[1:])
			if err != nil {
				return err
			}
			return a.withVersions(a.writes(controlling, a.openWithoutFiles), func(ctx context.Context, t *target, versions []int64) (render.Document, error) {
				b, err := t.backfill(ctx, versions[0])
				if err != nil {
					return nil, err
				}
				limits := b.BackfillLimits
				for _, change := range changes {
					change(&limits)
				}
				return t.changeBackfill(ctx, versions[0], "Changed", database.BackfillChange{Action: database.ActionSet, Limits: limits, Reason: reason})
			})(cmd, args[:1])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.completeBackfills(unfinished)(cmd, args, begun)
			}
			return limitNames(args[1:]), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveKeepOrder
		},
	}
	addReason(cmd, &reason)
	return cmd
}

// limit is a limit that set changes.
type limit struct {
	name, doc string
	parse     func(value string) (func(*database.BackfillLimits), error)
}

var limits = []limit{
	{"batch", "rows of a batch, or auto", func(v string) (func(*database.BackfillLimits), error) {
		if v == "auto" {
			return func(l *database.BackfillLimits) { l.Batch = 0 }, nil
		}
		return number(v, 1_000_000, "auto or ", func(l *database.BackfillLimits, n int) { l.Batch = n })
	}},
	{"target", "how long a batch should take", func(v string) (func(*database.BackfillLimits), error) {
		return period(v, false, func(l *database.BackfillLimits, d time.Duration) { l.Target = d })
	}},
	{"parallel", "batches at the same time", func(v string) (func(*database.BackfillLimits), error) {
		return number(v, 1000, "", func(l *database.BackfillLimits, n int) { l.Parallel = n })
	}},
	{"pause", "time between two batches", func(v string) (func(*database.BackfillLimits), error) {
		return period(v, true, func(l *database.BackfillLimits, d time.Duration) { l.Pause = d })
	}},
	{"timeout", "how long a batch may take", func(v string) (func(*database.BackfillLimits), error) {
		return period(v, false, func(l *database.BackfillLimits, d time.Duration) { l.Timeout = d })
	}},
	{"attempts", "how often rows are tried", func(v string) (func(*database.BackfillLimits), error) {
		return number(v, 1000, "", func(l *database.BackfillLimits, n int) { l.Attempts = n })
	}},
}

func number(value string, most int, or string, set func(*database.BackfillLimits, int)) (func(*database.BackfillLimits), error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most {
		return nil, fmt.Errorf("%q is not %sa number from 1 to %d", value, or, most)
	}
	return func(l *database.BackfillLimits) { set(l, n) }, nil
}

func period(value string, zero bool, set func(*database.BackfillLimits, time.Duration)) (func(*database.BackfillLimits), error) {
	d, err := durations.Parse(value)
	if value == "0" && zero {
		d, err = 0, nil
	}
	if err != nil || d < 0 || d == 0 && !zero {
		return nil, fmt.Errorf("%q is not a duration such as 250ms or 2s", value)
	}
	return func(l *database.BackfillLimits) { set(l, d) }, nil
}

// parseLimits parses NAME=VALUE arguments.
func parseLimits(args []string) (all []func(*database.BackfillLimits), err error) {
	given := map[string]bool{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		i := slices.IndexFunc(limits, func(l limit) bool { return l.name == name })
		switch {
		case i < 0:
			return nil, usage(unknownLimit(name), "a backfill has no limit %q", name)
		case !ok:
			return nil, usage(`See "whimbrel backfill set --help".`, "%q has no value; write %s=VALUE", name, name)
		case given[name]:
			return nil, usage("Pass it once.", "%s is given twice", name)
		}
		given[name] = true
		change, err := limits[i].parse(value)
		if err != nil {
			return nil, usage(`See "whimbrel backfill set --help".`, "%s: %v", name, err)
		}
		all = append(all, change)
	}
	return all, nil
}

func unknownLimit(name string) string {
	var names []string
	for _, l := range limits {
		names = append(names, l.name)
	}
	if best := nearest(name, names); best != "" {
		return "Did you mean " + best + "?"
	}
	return "The limits are " + strings.Join(names, ", ") + "."
}

// limitNames offers the limits that are not given yet.
func limitNames(given []string) (offers []string) {
	for _, l := range limits {
		if !slices.ContainsFunc(given, func(arg string) bool { return strings.HasPrefix(arg, l.name+"=") }) {
			offers = append(offers, l.name+"=\t"+l.doc)
		}
	}
	return offers
}

func (a *app) backfillRunCommand() *cobra.Command {
	var workers int
	var during time.Duration
	cmd := &cobra.Command{
		Use:   "run VERSION",
		Short: "Execute a backfill here, detached or not, until it is done",
		Long: `Run executes batches of a backfill that was started, together with all other processes that do.
Ctrl-C ends it after the batch; the next run, "whimbrel up" or worker continues there. It takes no
migration lock. It needs the file only if the history does not keep the text of the script.`,
		Example: `  whimbrel backfill run 12
  whimbrel backfill run 12 --for 2h     # at night`,
		Args: oneBackfill,
		RunE: a.withVersions(a.writes(backfilling, a.openWithAnyFiles), func(ctx context.Context, t *target, versions []int64) (render.Document, error) {
			b, err := t.migrator().RunBackfill(ctx, versions[0], whimbrel.RunOptions{Workers: workers, For: during})
			if err != nil {
				return nil, err
			}
			return render.NewBackfillRun(b), nil
		}),
		ValidArgsFunction: a.completeBackfills(unfinished),
	}
	cmd.Flags().IntVar(&workers, "workers", 0, "`number` of batches that this process executes at the same time (default: what the backfill allows to all)")
	durationFlag(cmd, &during, "for", "`duration` after which it ends, such as 2h")
	a.addWaits(cmd)
	return cmd
}

// openWithAnyFiles is openWithoutFiles with the set of the folder, if that can be read: the history
// keeps the text of most scripts.
func (a *app) openWithAnyFiles(ctx context.Context) (*target, error) {
	t, err := a.openWithoutFiles(ctx)
	if err != nil {
		return nil, err
	}
	if set, err := a.readSet(t.resolved, t.url); err == nil {
		t.set = set
	}
	return t, nil
}

// unfinished are the states of backfills that are not done.
var unfinished = []database.BackfillState{database.BackfillRunning, database.BackfillPaused, database.BackfillFailed, database.BackfillCancelled}

// completeBackfills completes the version of a backfill that is in one of the states, or in any.
func (a *app) completeBackfills(states []database.BackfillState) complete {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if len(args) > 0 {
			return nil, directive
		}
		all, digits := a.completionBackfills(cmd.Context())
		if begun != "" && begun[0] != '0' && digits != render.Dotted {
			digits = 0
		}
		var offers []string
		for _, b := range all {
			label := digits.Label(b.Version)
			if (states == nil || slices.Contains(states, b.State)) && strings.HasPrefix(label, begun) {
				offers = append(offers, label+"\t"+b.Name+" ("+string(b.State)+")")
			}
		}
		return offers, directive
	}
}

// completionBackfills reads the backfills, the newest first, if the database answers at once.
func (a *app) completionBackfills(ctx context.Context) ([]whimbrel.BackfillStatus, render.Digits) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	a.global.quiet, a.completing = true, true
	t, err := a.openWithoutFiles(ctx)
	if err != nil {
		return nil, 0
	}
	defer t.close()
	all, err := t.migrator().Backfills(ctx)
	if err != nil {
		return nil, 0
	}
	slices.Reverse(all)
	return all, a.print().Digits()
}
