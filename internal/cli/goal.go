package cli

import (
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

// migrateFlags are those of the commands that migrate.
type migrateFlags struct {
	to, steps  *number
	all        bool
	atomic     bool
	outOfOrder bool
	dryRun     bool
	note       string
	overrule   string
}

// number is a flag's value, nil-like until it is set.
type number struct {
	value int64
	set   bool
	parse func(string) (int64, error)
	what  string
}

func (n *number) Set(s string) (err error) {
	n.value, err = n.parse(s)
	n.set = err == nil
	return err
}

func (n *number) String() string {
	if n == nil || !n.set {
		return ""
	}
	return strconv.FormatInt(n.value, 10)
}

func (n *number) Type() string { return n.what }

func newVersion() *number { return &number{parse: parseVersion, what: "version"} }

func newSteps() *number {
	return &number{what: "n", parse: func(s string) (int64, error) {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number of migrations", s)
		}
		if n < 1 {
			return 0, fmt.Errorf("%d is not a number of migrations: want 1 or more", n)
		}
		return n, nil
	}}
}

func (m *migrateFlags) addTo(cmd *cobra.Command, verb string) {
	m.to = newVersion()
	cmd.Flags().Var(m.to, "to", verb)
}

func (m *migrateFlags) addSteps(cmd *cobra.Command, verb string) {
	m.steps = newSteps()
	cmd.Flags().Var(m.steps, "steps", verb)
}

func (m *migrateFlags) addPolicy(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&m.atomic, "atomic", false, "everything in one transaction, or nothing")
	f.BoolVar(&m.outOfOrder, "allow-out-of-order", false, "apply pending versions below the newest applied one too")
	f.SortFlags = false
}

func (m *migrateFlags) addRun(cmd *cobra.Command) {
	m.addPolicy(cmd)
	f := cmd.Flags()
	f.BoolVar(&m.dryRun, "dry-run", false, "show the plan and change nothing")
	f.StringVar(&m.note, "note", "", "`text` to keep with each entry of the history")
}

// addOverrule is for the commands that a protected database refuses.
func addOverrule(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "i-know", "", "`name` of the database, where it is protected and you mean it")
}

func conflicting(one, other string) error {
	return usage("Give one of them.", "%s and %s both say how far to go", one, other)
}

// up returns the goal of up's flags.
func (m *migrateFlags) up() (whimbrel.Goal, error) {
	switch {
	case m.to.set && m.steps.set:
		return whimbrel.Goal{}, conflicting("--to", "--steps")
	case m.to.set:
		return whimbrel.UpTo(m.to.value), nil
	case m.steps.set:
		return whimbrel.By(int(m.steps.value)), nil
	}
	return whimbrel.Latest(), nil
}

// down returns the goal of down's flags: one step where nothing is said.
func (m *migrateFlags) down() (whimbrel.Goal, error) {
	switch {
	case m.to.set && m.steps.set:
		return whimbrel.Goal{}, conflicting("--to", "--steps")
	case m.all && m.to.set:
		return whimbrel.Goal{}, conflicting("--all", "--to")
	case m.all && m.steps.set:
		return whimbrel.Goal{}, conflicting("--all", "--steps")
	case m.all:
		return whimbrel.DownTo(whimbrel.NilVersion), nil
	case m.to.set:
		return whimbrel.DownTo(m.to.value), nil
	case m.steps.set:
		return whimbrel.By(-int(m.steps.value)), nil
	}
	return whimbrel.By(-1), nil
}

// migrate goes to a goal, or shows how it would.
func (a *app) migrate(cmd *cobra.Command, m *migrateFlags, goal whimbrel.Goal, idle string) error {
	ctx := cmd.Context()
	t, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	t.options.Atomic = t.atomic
	if cmd.Flags().Changed("atomic") {
		t.options.Atomic = m.atomic
	}
	t.options.AllowOutOfOrder = t.outOfOrder
	if cmd.Flags().Changed("allow-out-of-order") {
		t.options.AllowOutOfOrder = m.outOfOrder
	}
	if t.set.Len() == 0 {
		idle = fmt.Sprintf("Nothing to do: there are no migrations in %s. Make the first one with \"whimbrel new NAME\".", t.dir)
	}
	mig, begun := t.migrator(), time.Now()
	plan, err := mig.Plan(ctx, goal)
	if m.dryRun {
		if err != nil {
			return err
		}
		doc := render.NewPlan(plan)
		doc.Idle = idle
		a.print().Show(doc)
		return nil
	}
	result := &whimbrel.Result{Set: t.set.Name()}
	if err == nil {
		result, err = mig.Apply(ctx, plan, whimbrel.ApplyOptions{Note: m.note, Overrule: m.overrule})
	}
	result.Duration = time.Since(begun)
	doc := render.NewResult(result)
	doc.Idle = idle
	doc.SetDowns(plan)
	if err == nil {
		a.print().Show(doc)
		return nil
	}
	f, code := explain(ctx, err)
	stands(f, plan, result, m.again(cmd, result))
	a.print().Finish(doc, f)
	return told{code}
}

// again is the command that goes on with what this one has left open, and then with its own goal.
func (m *migrateFlags) again(cmd *cobra.Command, done *whimbrel.Result) string {
	words := append([]string{cmd.CommandPath()}, cmd.Flags().Args()...)
	steps := 0
	switch name := cmd.Name(); {
	case name == "redo":
		return "whimbrel up"
	case m.to != nil && m.to.set:
		words = append(words, "--to", m.to.String())
	case m.all:
		words = append(words, "--all")
	case m.steps != nil && m.steps.set:
		steps = int(m.steps.value) - len(done.Applied) - len(done.RolledBack)
	}
	if steps > 0 {
		words = append(words, "--steps", strconv.Itoa(steps))
	}
	return strings.Join(words, " ")
}

// stands says, after a failure, what was done before it, and what to do: again is the command that goes
// on.
func stands(f *render.Failure, p *whimbrel.Plan, r *whimbrel.Result, again string) {
	var words []string
	switch done := len(r.Applied) + len(r.RolledBack); {
	case len(r.Recorded)+len(r.Repeated)+len(r.Seeded) > 0:
		words = append(words, "What was done before it stands.")
	case done == 1:
		words = append(words, "The migration before it is done and stands.")
	case done > 1:
		words = append(words, fmt.Sprintf("The %d migrations before it are done and stand.", done))
	case f.Direction == "":
		words = append(words, nothingChanged)
	}
	if f.Direction == "" { // it was not in a migration
		if f.Next == nothingChanged {
			f.Next = "" // what stands is said once
		}
		f.Stands = strings.Join(words, " ")
		return
	}
	which := which(f)
	mend := mending(p, f)
	switch {
	case f.Open != nil:
		stopped(f, words, mend, again)
		return
	case p.Atomic && len(p.Steps) > 1:
		words = append(words, "Nothing was changed: it was all one transaction.")
	case !runsAlone(p, f):
		if f.Direction == string(database.Down) {
			words = append(words, "Nothing of "+which+" was rolled back.")
			break
		}
		words = append(words, "Nothing of "+which+" is in the database.")
	default:
		words = append(words, "No statement of "+scriptOf(f)+" took effect.")
	}
	f.Stands = strings.Join(words, " ")
	if f.Next == "" {
		f.Next = mend + " and run the command again."
	}
}

// mending says where what failed is mended.
func mending(p *whimbrel.Plan, f *render.Failure) string {
	for _, s := range p.Steps {
		if s.From == whimbrel.FromHistory && f.Version != nil && s.Version == *f.Version && string(s.Direction) == f.Direction {
			return "The script is the history's, since the folder has none: put one into it that is mended,"
		}
	}
	return "Mend the file"
}

// stopped is stands for a run that is left open.
func stopped(f *render.Failure, words []string, mend, again string) {
	j, which := f.Open, scriptOf(f)
	n := j.Done
	switch {
	case n >= j.Of:
		words = append(words, fmt.Sprintf("All statements of %s ran outside of a transaction and stand; only the history lacks it.", which))
	case n > 0:
		words = append(words, fmt.Sprintf("%s of %s ran outside of a transaction and %s.", statements(n), which, plural(n, "stands", "stand")))
	}
	goesOn := fmt.Sprintf("it goes on with statement %d of %d", n+1, j.Of)
	switch {
	case n >= j.Of:
		goesOn = "it records that"
	case j.Begun != "":
		words = append(words, fmt.Sprintf("What became of statement %d is not known yet.", n+1))
		goesOn = fmt.Sprintf("it finds out what became of statement %d of %d, and goes on", n+1, j.Of)
	case n > 0:
		goesOn += ", and does not run again what stands"
	}
	f.Stands = strings.Join(words, " ")
	switch {
	case f.Kind == kindStatement && f.Next == "":
		f.Next = fmt.Sprintf("%s from statement %d on, and run %q: %s.", strings.TrimSuffix(mend, ","), n+1, again, goesOn)
	case f.Next == "":
		f.Next = fmt.Sprintf("Run %q: %s.", again, goesOn)
	case f.Kind == kindStatement:
		f.Next = fmt.Sprintf("That need not be the file's fault: see to it, and run %q: %s.", again, goesOn)
	}
}

// scriptOf names what was executed.
func scriptOf(f *render.Failure) string {
	if f.Direction == string(database.Down) {
		return "the down script of " + which(f)
	}
	return which(f)
}

// runsAlone reports whether the statements of what failed are not in a transaction.
func runsAlone(p *whimbrel.Plan, f *render.Failure) bool {
	return slices.ContainsFunc(p.Steps, func(s whimbrel.Step) bool {
		return s.Mode == whimbrel.OutsideTransaction && s.Name == f.Name && string(s.Direction) == f.Direction && (f.Version == nil || s.Version == *f.Version)
	})
}

func statements(n int) string {
	if n == 1 {
		return "The first statement"
	}
	return fmt.Sprintf("The first %d statements", n)
}
