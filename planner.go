package whimbrel

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Plan reads the database's state, with one question, verifies the checksum of
// everything applied, and returns the plan that leads to the goal. It changes and
// locks nothing. A plan without units means that there is nothing to do.
func (m *Migrator) Plan(ctx context.Context, g Goal) (*Plan, error) {
	m = m.usable()
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return nil, err
	}
	return m.planFrom(ctx, st, g)
}

func (m *Migrator) planFrom(ctx context.Context, st *database.State, g Goal) (*Plan, error) {
	steps, err := decide(m.set, st, g, m.anyOrder(st.Settings))
	if verr := m.verify(ctx, st, steps); verr != nil {
		return nil, verr
	}
	if err != nil {
		return nil, err
	}
	p := &Plan{Set: m.set.Name(), Goal: g, base: st}
	if len(steps) == 0 {
		return p, nil
	}
	if err := checkMode(st.Settings); err != nil {
		return nil, err
	}
	if err := m.readDowns(ctx, steps); err != nil {
		return nil, err
	}
	if p.Units, err = m.units(st, steps); err != nil {
		return p, err
	}
	p.Downs = m.downProblems(st, steps)
	return p, nil
}

// anyOrder reports whether late migrations may be applied.
func (m *Migrator) anyOrder(s database.Settings) bool {
	order, err := s.Get(database.Order)
	return m.opts.AllowOutOfOrder || err == nil && order.Value == database.OrderAny
}

// allowed refuses what the target's settings do not allow.
func (m *Migrator) allowed(st *database.State, steps []Step) error {
	if err := checkMode(st.Settings); err != nil {
		return err
	}
	if hasStep(steps, database.Seed) {
		if err := checkProtected(st, seedWord, m.opts.Overrule); err != nil {
			return err
		}
	}
	if hasStep(steps, database.Down) {
		return checkProtected(st, "roll back", m.opts.Overrule)
	}
	return nil
}

// hasStep reports whether there is a step of a direction that begins: what was allowed once goes on.
func hasStep(steps []Step, d database.Direction) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Direction == d && s.resume == nil })
}

// checkMode refuses while migration_mode is off.
func checkMode(s database.Settings) error {
	if s.Bool(database.MigrationMode) {
		return nil
	}
	v, err := s.Get(database.MigrationMode)
	if err != nil {
		return err
	}
	return &FrozenError{Reason: v.Reason, By: v.ChangedBy, Since: v.ChangedAt, Until: v.Until}
}

// checkProtected refuses to do what can't be taken back to a protected database, unless
// its name was said.
func checkProtected(st *database.State, what, overrule string) error {
	v, err := st.Settings.Get(database.Protected)
	if err != nil || v.Value == v.Default || overrule != "" && overrule == st.Database {
		return err
	}
	return &ProtectedError{Database: st.Database, What: what, Overrule: overrule, Reason: v.Reason, By: v.ChangedBy, Since: v.ChangedAt}
}

// readDowns fills in the down scripts that come from the history.
func (m *Migrator) readDowns(ctx context.Context, steps []Step) error {
	for i := range steps {
		s := &steps[i]
		if s.Script != nil {
			continue
		}
		q := database.HistoryQuery{Set: m.set.Name(), Version: &s.Version, Texts: true}
		for e, err := range m.db.History(ctx, q) {
			if err != nil {
				return err
			}
			if e.ID != s.applied.EventID {
				continue
			}
			file := fmt.Sprintf("history event %d (%d %s, down)", e.ID, e.Version, e.Name)
			s.Script = migration.Text(file, e.DownText)
			s.Script.Directives = e.DownDirectives
			s.down = s.Script
		}
		if s.Script == nil {
			return &ConflictError{Set: m.set.Name(), Version: s.Version, Problem: fmt.Sprintf("lost its event %d from the history", s.applied.EventID)}
		}
	}
	return nil
}

// units analyses the scripts and groups the steps: one unit each, or one for all. It names everything that is wrong with
// any of them.
func (m *Migrator) units(st *database.State, steps []Step) ([]Unit, error) {
	units := make([]Unit, len(steps))
	var problems []error
	enums := enums{major: st.ServerMajor}
	for i := range steps {
		s := &steps[i]
		if !s.runs() {
			units[i] = Unit{Kind: BatchUnit, Steps: []Step{*s}}
			continue
		}
		a, err := s.Script.Analyze(m.db.Dialect(), m.db.Tables())
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if s.metadata, err = m.carried(s); err != nil {
			problems = append(problems, err)
		}
		units[i] = unitOf(s, a, enums)
		wrong := append(refusals(units[i], a, enums), m.refusedByDriver(a)...)
		problems = append(problems, wrong...)
		if m.opts.Atomic {
			if err := checkAtomic(units[i], a, i, &enums); err != nil && len(wrong) == 0 {
				problems = append(problems, err)
			}
		}
	}
	if err := joined(problems); err != nil {
		return nil, err
	}
	if m.opts.Atomic {
		return []Unit{{Kind: BatchUnit, Steps: steps}}, nil
	}
	return units, nil
}

// refusedByDriver are the statements of a script that the driver would not execute.
func (m *Migrator) refusedByDriver(a *migration.Analysis) (problems []error) {
	for _, st := range a.Suspects {
		if why := database.Check(m.db, st); why != "" {
			problems = append(problems, &sqltext.Error{Pos: st.Pos, Msg: why})
		}
	}
	return problems
}

// unitOf decides whether a script is a batch or a run.
func unitOf(s *Step, a *migration.Analysis, e enums) Unit {
	s.Statements = a.Statements
	if s.Direction != database.Down { // what goes down was recorded when it came
		s.Secrets = a.Secrets
	}
	u := Unit{Kind: BatchUnit}
	if why := whyRun(s, a, e); why != "" {
		u.Kind, u.Why = RunUnit, why
	}
	s.Unwrapped = u.Kind == BatchUnit && a.Wrapped
	if u.Kind == RunUnit && a.Wrapped {
		s.Statements += 2
	}
	u.Steps = []Step{*s}
	return u
}

// whyRun says what keeps a script from being a batch, "" for nothing.
func whyRun(s *Step, a *migration.Analysis, e enums) string {
	uses := e.uses(a)
	switch {
	case s.resume != nil:
		return fmt.Sprintf("it was stopped at statement %d of %d", s.Resumes(), s.resume.Of)
	case s.Script.NoTransaction:
		return "the script asks for no transaction"
	case a.Never != nil:
		return fmt.Sprintf("%s: %s can't be in a transaction", a.Never.Pos, a.Never.Why)
	case a.Split != nil:
		return fmt.Sprintf("%s: PRAGMA foreign_keys has no effect inside a transaction, and this statement needs another value of it than others", a.Split.Pos)
	case a.Control != nil:
		return fmt.Sprintf("%s: the script has transactions of its own", a.Control.Pos)
	case a.Mode != nil:
		return fmt.Sprintf("%s: %s asks for another kind of transaction than Whimbrel's", a.Mode.Pos, firstWords(a.Mode.Text))
	case uses != nil:
		return fmt.Sprintf("%s: a new enum value can't be used before it is committed", uses.Pos)
	}
	return ""
}

// refusals are the statements of a script that the database would refuse half-way, or that would do nothing.
func refusals(u Unit, a *migration.Analysis, e enums) (all []error) {
	add := func(st *sqltext.Statement, format string, args ...any) {
		if st != nil {
			all = append(all, &sqltext.Error{Pos: st.Pos, Msg: fmt.Sprintf(format, args...)})
		}
	}
	if a.Reserved != nil {
		add(a.Reserved, "the script touches %s, which is Whimbrel's own table; leave it to Whimbrel", a.Reserved.Reserved)
	}
	if a.Ignored != nil {
		add(a.Ignored, "%s does nothing between BEGIN and COMMIT, where the script has it; put it before the BEGIN", a.Ignored.Why)
	}
	if u.Kind == BatchUnit {
		if a.Misplaced != nil {
			add(a.Misplaced, "%s has no effect inside a transaction; put it before all other statements of the file, or ask for no transaction (-- whimbrel: no-transaction)", a.Misplaced.Why)
		}
		return all
	}
	if a.Trapped != nil {
		add(a.Trapped, "%s can't be in a transaction, and the script begins one before it; take that BEGIN out, or put the COMMIT before this statement", a.Trapped.Why)
	}
	if a.Handed != nil {
		add(a.Handed, "%s takes the transaction out of the session's hands, and an interrupted script could not continue; end it with COMMIT", firstWords(a.Handed.Text))
	}
	if a.Nested != nil {
		add(a.Nested, "%s is refused inside a transaction, and the script begins one before it; put a COMMIT before this statement", firstWords(a.Nested.Text))
	}
	if a.Open != nil {
		add(a.Open, "%s begins a transaction that the script does not end; its COMMIT is missing", firstWords(a.Open.Text))
	}
	add(e.trapped(a), "a value that was added to an enum can't be used before it is committed, and this transaction adds it; put COMMIT and BEGIN between the two")
	for i := range a.Loose {
		add(&a.Loose[i], "%s", whyLoose(&a.Loose[i], u))
	}
	return all
}

// whyLoose says why a statement can't be outside of a transaction, and what to do.
func whyLoose(st *sqltext.Statement, u Unit) string {
	const enclose = "put BEGIN before it and COMMIT behind the last statement that needs it"
	switch st.Tx {
	case sqltext.TxRollback:
		return firstWords(st.Text) + " ends no transaction that the script begins; put BEGIN before what it is to take back, or leave it out"
	case sqltext.TxCommitChain, sqltext.TxRollbackChain:
		return firstWords(st.Text) + " ends no transaction that the script begins; write BEGIN in its place"
	case sqltext.TxSavepoint:
		return fmt.Sprintf("%s needs a transaction, and the statements of this script run one by one (%s); %s", firstWords(st.Text), u.Why, enclose)
	}
	return fmt.Sprintf("%s needs a transaction, and would do nothing here: the statements of this script run one by one (%s); %s", st.OnlyInTx, u.Why, enclose)
}

// checkAtomic refuses a step that cannot share one transaction with the others.
func checkAtomic(u Unit, a *migration.Analysis, index int, e *enums) error {
	use, err := a.Uses(e.pending)
	e.add(a)
	if u.Kind == RunUnit {
		return &AtomicError{Step: u.Steps[0], Why: u.Why}
	}
	if len(a.Before) > 0 && index > 0 {
		return &AtomicError{Step: u.Steps[0], Why: fmt.Sprintf("%s: %s has no effect inside a transaction", a.Before[0].Pos, a.Before[0].Why)}
	}
	if err != nil {
		return err
	}
	if use != nil {
		return &AtomicError{Step: u.Steps[0], Why: fmt.Sprintf("%s: an enum value that an earlier migration adds can't be used before it is committed", use.Pos)}
	}
	return nil
}

func firstWords(text string) string {
	f := strings.Fields(text)
	return strings.Join(f[:min(len(f), 3)], " ")
}
