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
)

// migrateFlags are the flags of the commands that migrate.
type migrateFlags struct {
	to         int64
	steps      int
	all        bool
	down       bool // of plan
	atomic     bool
	outOfOrder bool
	detach     bool
	wait       bool
	dryRun     bool
	reason     string
	overrule   string
	schemaFile schemaFileFlags
}

// versionFlag adds a flag whose value is a version.
func versionFlag(cmd *cobra.Command, to *int64, name, usage string) {
	cmd.Flags().Func(name, usage, func(s string) (err error) {
		*to, err = parseVersion(s)
		return err
	})
}

func (m *migrateFlags) addSteps(cmd *cobra.Command, usage string) {
	cmd.Flags().Func("steps", usage, func(s string) error {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 1 {
			return errors.New("not a number of migrations; use 1 or more")
		}
		m.steps = int(n)
		return nil
	})
}

func (m *migrateFlags) addPolicy(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&m.atomic, "atomic", false, "everything in one transaction, or nothing")
	if cmd.Name() != "down" { // which applies nothing
		f.BoolVar(&m.outOfOrder, "allow-out-of-order", false, "also apply pending versions below the newest applied one")
	}
	f.SortFlags = false
}

// addDetach adds the flag that only starts backfills.
func (m *migrateFlags) addDetach(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&m.detach, "detach", false, "only start backfills; \"whimbrel work\" executes them")
}

// addBackfills adds the flags about backfills.
func (m *migrateFlags) addBackfills(cmd *cobra.Command) {
	m.addDetach(cmd)
	cmd.Flags().BoolVar(&m.wait, "wait", false, "wait until workers have done the detached backfills")
}

func (m *migrateFlags) addRun(a *app, cmd *cobra.Command) {
	m.addPolicy(cmd)
	f := cmd.Flags()
	a.addWaits(cmd)
	f.BoolVar(&m.dryRun, "dry-run", false, "show the plan and change nothing")
	f.StringVar(&m.reason, "reason", "", "`why`; each history entry keeps it")
	m.schemaFile.add(cmd)
}

// exclusive returns an error if more than one of the flags is given.
func exclusive(cmd *cobra.Command, flags ...string) error {
	flags = slices.DeleteFunc(flags, func(f string) bool { return !cmd.Flags().Changed(f) })
	if len(flags) > 1 {
		return usage("Pass only one of them.", "--%s and --%s can't be combined", flags[0], flags[1])
	}
	return nil
}

// goal returns the goal that the flags of up or down select. The default of down is one migration.
func (m *migrateFlags) goal(cmd *cobra.Command, down bool) (g whimbrel.Goal, err error) {
	to, steps := cmd.Flags().Changed("to"), cmd.Flags().Changed("steps")
	switch {
	case down && m.all:
		g = whimbrel.DownTo(whimbrel.NilVersion)
	case down && to:
		g = whimbrel.DownTo(m.to)
	case down:
		g = whimbrel.By(-max(m.steps, 1))
	case to:
		g = whimbrel.UpTo(m.to)
	case steps:
		g = whimbrel.By(m.steps)
	default:
		g = whimbrel.Latest()
	}
	return g, exclusive(cmd, "all", "to", "steps")
}

// chosen returns the value of a flag or, if it is not given, that of the configuration.
func chosen(cmd *cobra.Command, name string, flag, configured bool) bool {
	if cmd.Flags().Changed(name) {
		return flag
	}
	return configured
}

// migrate migrates to a goal or, with --dry-run, shows the plan.
func (a *app) migrate(cmd *cobra.Command, m *migrateFlags, goal whimbrel.Goal, idle string) error {
	ctx := cmd.Context()
	t, err := a.openTo(ctx, &target{app: a, ahead: make(chan stateRead, 1), deferDowns: !m.dryRun, goesUp: !m.all && !m.down})
	if err != nil {
		return err
	}
	defer t.close()
	if !m.dryRun {
		t.begin(doing(cmd))
	}
	t.options.Atomic = chosen(cmd, "atomic", m.atomic, t.atomic)
	t.options.AllowOutOfOrder = chosen(cmd, "allow-out-of-order", m.outOfOrder, t.outOfOrder)
	t.options.Detach = chosen(cmd, "detach", m.detach, t.detach && cmd.Flags().Lookup("detach") != nil)
	t.options.WaitForBackfills = chosen(cmd, "wait", m.wait, t.wait && cmd.Flags().Lookup("wait") != nil)
	if goesUp := cmd.Flags().Lookup("allow-empty") != nil && !m.all && !m.down; goesUp {
		if err := a.needMigrations(ctx, t); err != nil {
			return err
		}
	}
	var unrecorded *render.Unrecorded
	if goesUp := cmd.Flags().Lookup("allow-unrecorded") != nil && !m.all && !m.down && !a.allowUnrecorded; goesUp {
		if unrecorded, err = a.unrecorded(ctx, t); err == nil && unrecorded != nil && !m.dryRun {
			err = &unrecordedError{unrecorded}
		}
		if err != nil {
			return err
		}
	}
	if cmd.Name() == "to" && m.to > 0 {
		idle = "Nothing to do: the database is at version " + a.print().Digits().Label(m.to) + "."
	}
	if isEmpty(t.set) {
		idle = "Nothing to do: there are no migrations in " + t.dir + "."
	}
	mig, begun := t.migrator(), time.Now()
	plan, err := t.plan(ctx, mig, goal)
	frozen := ""
	if err == nil {
		frozen = render.FrozenBy(plan.Settings())
		if plan.Current > plan.Newest && plan.Newest != whimbrel.NilVersion && goal == whimbrel.Latest() {
			digits := a.print().Digits()
			idle = "Nothing to do: the database is at version " + digits.Label(plan.Current) + ", newer than the files here, which end at " + digits.Label(plan.Newest) + "."
		}
	}
	if frozen != "" {
		idle += "\nThe database is frozen " + frozen + "."
	}
	if m.dryRun {
		if err != nil {
			return err
		}
		doc := render.NewPlan(plan, frozen)
		doc.Idle, doc.Unrecorded = idle, unrecorded
		a.print().Show(doc)
		return nil
	}
	result := &whimbrel.Result{Set: t.set.Name()}
	if err == nil {
		planned := time.Since(begun)
		result, err = confirmed(ctx, a, &m.overrule, func() (*whimbrel.Result, error) {
			begun = time.Now().Add(-planned) // without the time of a question
			return mig.Apply(ctx, plan, whimbrel.ApplyOptions{Reason: m.reason, Overrule: m.overrule})
		})
	}
	result.Duration = time.Since(begun)
	doc := render.NewResult(result)
	doc.Idle = idle
	doc.SetDowns(plan)
	if err == nil {
		return a.finishMigrated(ctx, t, doc, result, m.schemaFile.path(t.resolved))
	}
	return a.finishFailed(ctx, err, doc, plan, result, m.again(cmd, result, a.print().Digits()))
}

// finishMigrated writes the schema file and shows the result.
func (a *app) finishMigrated(ctx context.Context, t *target, doc *render.Result, r *whimbrel.Result, schemaFile string) (err error) {
	if doc.SchemaFile, err = writeSchema(ctx, t.db, schemaFile, r); err == nil {
		a.print().Show(doc)
		return nil
	}
	f, code := a.explain(ctx, err)
	a.print().FinishDone(doc, f)
	return exitError{code}
}

// doing says what a command that migrates does.
func doing(cmd *cobra.Command) string {
	if cmd.Name() == "down" {
		return rollingBack
	}
	return migrating
}

// finishFailed shows the result of a plan that failed. again is the command that resumes it.
func (a *app) finishFailed(ctx context.Context, err error, doc *render.Result, p *whimbrel.Plan, r *whimbrel.Result, again string) error {
	f, code := a.explain(ctx, err)
	a.nameRole(f)
	advise(f, p, r, again)
	a.print().Finish(doc, f)
	return exitError{code}
}

// again returns the command that resumes the interrupted run and then continues to the same goal.
func (m *migrateFlags) again(cmd *cobra.Command, done *whimbrel.Result, digits render.Digits) string {
	words := append([]string{cmd.CommandPath()}, cmd.Flags().Args()...)
	steps := 0
	switch name := cmd.Name(); {
	case name == "redo":
		return "whimbrel up"
	case cmd.Flags().Changed("to"):
		words = append(words, "--to", digits.Label(m.to))
	case m.all:
		words = append(words, "--all")
	case m.steps > 0:
		steps = m.steps - len(done.Applied) - len(done.RolledBack)
	}
	if steps > 0 {
		words = append(words, "--steps", strconv.Itoa(steps))
	}
	return strings.Join(words, " ")
}

// advise adds to a failure what the command did before it and what to do next. again is the command
// that resumes an interrupted run.
func advise(f *render.Failure, p *whimbrel.Plan, r *whimbrel.Result, again string) {
	var done []string
	if redone(f, r) {
		done = append(done, afterRedo(f, r))
	} else if before := completed(without(r, f.Backfill)); before != "" {
		done = append(done, before)
	} else if f.Direction == "" && (f.Backfill == nil || f.Kind == kindUnfinished && f.Backfill.Version != *f.Version) {
		done = append(done, nothingChanged)
	}
	switch {
	case f.Direction == "": // no migration failed
		if f.Next == nothingChanged {
			f.Next = ""
		}
	case f.Journal != nil:
		done = append(done, adviseInterrupted(p, f, again)...)
	case f.Unknown && p.Atomic:
		done = append(done, "All of it may or may not have taken effect.")
	case f.Unknown: // others may have been in the same message
		done = append(done, sentence(which(f)+" may or may not have taken effect"), "The next ones may have, too.")
	case p.Atomic && len(p.Steps) > 1:
		done = append(done, "Nothing was changed, because everything runs in one transaction.")
		if p.Steps[0].Direction == database.Down && f.Direction == string(database.Up) {
			done = append(done, "The rollback was undone, too.")
		}
	case isRun(p, f):
		done = append(done, "No statement of "+scriptOf(f)+" took effect.")
	case f.Direction == string(database.Down):
		done = append(done, sentence(which(f)+" remains applied"))
	default:
		done = append(done, sentence(which(f)+" made no changes"))
	}
	switch {
	case f.Next != "" || f.Direction == "":
	case f.Kind == kindStatement || f.Kind == kindSource:
		f.Next = fix(p, f, "") + ", then " + runAgain + "." + ifThere(f)
	default:
		f.Next = sentence(runAgain)
	}
	if redone(f, r) && f.Journal == nil { // the same command would roll back the migration before it
		f.Next = strings.Replace(f.Next, runAgain, fmt.Sprintf("run %q", again), 1)
	}
	f.Outcome = strings.Join(done, " ")
}

// without returns a result without the backfill that failed or was stopped, which is among the
// applied ones because it was started.
func without(r *whimbrel.Result, b *render.Backfill) *whimbrel.Result {
	if b == nil {
		return r
	}
	others := *r
	others.Applied = slices.DeleteFunc(slices.Clone(r.Applied), func(s whimbrel.StepResult) bool { return s.Version == b.Version })
	return &others
}

// completed describes the steps before the one that failed, "" for none.
func completed(r *whimbrel.Result) string {
	applied, back := len(r.Applied), len(r.RolledBack)
	switch others := len(r.Recorded) + len(r.Repeated) + len(r.Seeded); {
	case applied+back+others == 0:
		return ""
	case others > 0 || applied > 0 && back > 0:
		return "The steps before it remain done."
	case applied == 1:
		return "The migration before it remains applied."
	case applied > 1:
		return fmt.Sprintf("The %d migrations before it remain applied.", applied)
	case back == 1:
		return "The migration before it remains rolled back."
	}
	return fmt.Sprintf("The %d migrations before it remain rolled back.", back)
}

// fix advises to fix the script that failed. part says from which statement on.
func fix(p *whimbrel.Plan, f *render.Failure, part string) string {
	for _, s := range p.Steps {
		if s.From == whimbrel.FromHistory && f.Version != nil && s.Version == *f.Version && string(s.Direction) == f.Direction {
			return "Add a down script to the folder, corrected" + part + " (this one came from the history)"
		}
	}
	return "Fix the file" + part
}

// exists are the codes of a statement that creates what already exists.
var exists = []string{"42P07", "42P06", "42701", "42710", "42723", "mysql 1050", "mysql 1060", "mysql 1061", "mysql 1304", "mysql 1359"}

// ifThere says what else to do if a script creates what already exists.
func ifThere(f *render.Failure) string {
	codes := codesOf(&database.StatementError{Code: f.SQLState, Detail: f.Detail})
	there := slices.ContainsFunc(exists, func(code string) bool { return startsAny(codes, code) }) ||
		f.SQLState == "SQLITE_ERROR" && (strings.HasSuffix(f.Message, " already exists") || strings.HasPrefix(f.Message, "duplicate column name"))
	switch {
	case !there || f.Direction == string(database.Down):
		return ""
	case f.Direction == string(database.Repeat):
		return " A repeatable script runs again when its text changes, so it must replace what it creates."
	case f.Direction != string(database.Up) || f.Version == nil:
		return ""
	}
	return " If the database already has all its changes, run instead: whimbrel mark " + f.Label(*f.Version)
}

// adviseInterrupted sets f.Next for an interrupted run and returns what the run did.
func adviseInterrupted(p *whimbrel.Plan, f *render.Failure, again string) (done []string) {
	j, script, next := f.Journal, scriptOf(f), f.Journal.Done+1
	resume := fmt.Sprintf("to resume at statement %d of %d", next, j.Of)
	switch {
	case j.Done >= j.Of:
		done = append(done, fmt.Sprintf("All statements of %s ran outside a transaction and remain applied; only the history entry is missing.", script))
		resume = "to add the history entry"
	case j.Done == 1:
		done = append(done, fmt.Sprintf("The first statement of %s ran outside a transaction and remains applied.", script))
	case j.Done > 1:
		done = append(done, fmt.Sprintf("The first %d statements of %s ran outside a transaction and remain applied.", j.Done, script))
	}
	if j.Done < j.Of && j.Begun != "" {
		done = append(done, fmt.Sprintf("Statement %d may or may not have taken effect%s.", next, mayRemain(f.Leftover)))
		resume = fmt.Sprintf("to check the outcome of statement %d of %d and continue", next, j.Of)
	}
	same := f.Hint == f.Next // then it is shown once
	defer func() {
		if f.Next += orAbandon(f); same {
			f.Hint = f.Next
		}
	}()
	switch {
	case f.Kind == kindStatement && f.Next == "":
		f.Next = fmt.Sprintf("%s, then run %q %s.", fix(p, f, fmt.Sprintf(" from statement %d on", next)), again, resume)
	case f.Next == "":
		f.Next = fmt.Sprintf("Run %q %s.", again, resume)
	case f.Kind == kindStatement, f.Kind == kindBlocked && j.Begun != "":
		f.Next = strings.Replace(f.Next, runAgain, fmt.Sprintf("run %q %s", again, resume), 1)
	}
	return done
}

// mayRemain describes what an interrupted statement may have left behind.
func mayRemain(leftover string) string {
	if leftover == "" {
		return ""
	}
	return ", and may have left " + leftover + " behind"
}

// orAbandon says, on lines of its own, what the command that resumes a run removes, and how to give
// the run up instead. It is "" for a script that must be fixed first, and if only the history entry
// is missing.
func orAbandon(f *render.Failure) string {
	if j := f.Journal; j.Done >= j.Of || j.Begun == "" && f.Kind == kindStatement {
		return ""
	}
	words := ""
	if f.Leftover != "" {
		words = fmt.Sprintf("\nIf the statement left %s behind, that command removes it first.", f.Leftover)
	}
	script := f.Name
	if f.Version != nil {
		script = f.Label(*f.Version)
	}
	return words + "\nTo give it up instead, run: whimbrel abandon " + script
}

// scriptOf names the script that failed.
func scriptOf(f *render.Failure) string {
	if f.Direction == string(database.Down) {
		return "the down script of " + which(f)
	}
	return which(f)
}

// isRun reports whether the script that failed runs outside a transaction.
func isRun(p *whimbrel.Plan, f *render.Failure) bool {
	return slices.ContainsFunc(p.Steps, func(s whimbrel.Step) bool {
		return s.Mode == whimbrel.OutsideTransaction && s.Name == f.Name && string(s.Direction) == f.Direction && (f.Version == nil || s.Version == *f.Version)
	})
}
