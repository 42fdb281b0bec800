package whimbrel

import (
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// DownProblem is a down script that can't run, so it can't roll its migration back. Err is the
// error that a rollback would return: a *[sqltext.Error], an *[AtomicError], or a *[ScriptsError]
// of several.
type DownProblem struct {
	Version int64
	Name    string
	Err     error
}

// wrong returns the problems that prevent a script from running on its own.
func (m *Migrator) wrong(st *database.State, mv move) []error {
	a, err := mv.script.Analyze(m.db.Dialect(), m.db.Tables())
	if err != nil {
		return []error{err}
	}
	e := enums{major: st.ServerMajor}
	s := newStep(m.set.Name(), mv, a, e)
	problems := refusals(s, a, e)
	if s.Mode == InBatches {
		_, err := mv.script.Body(m.db.Dialect())
		return append(problems, flat(err)...)
	}
	if m.opts.Atomic && len(problems) == 0 {
		if err := checkAtomic(s, a, 0, &e); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// downProblems returns the problems of the down scripts that moves record in the history.
func (m *Migrator) downProblems(st *database.State, moves []move) (all []DownProblem) {
	for _, mv := range moves {
		recorded := mv.marks
		if mv.applies() {
			recorded = []migration.Migration{{Version: mv.version, Name: mv.name, Down: mv.down}}
		}
		for _, mig := range recorded {
			if mig.Down == nil || mig.Down.Func() != nil {
				continue
			}
			if err := joined(m.wrong(st, move{version: mig.Version, name: mig.Name, direction: database.Down, script: mig.Down})); err != nil {
				all = append(all, DownProblem{Version: mig.Version, Name: mig.Name, Err: err})
			}
		}
	}
	return all
}

// verifyScripts checks all scripts that may still run: the down scripts, and the up scripts of what
// is not applied. It leaves out unfinished scripts, which only prevent plans that would run them.
func (m *Migrator) verifyScripts(st *database.State) error {
	var problems []error
	check := func(mv move) {
		if mv.script != nil && mv.script.Func() == nil && mv.script.Problem == nil {
			problems = append(problems, m.wrong(st, mv)...)
		}
	}
	now := viewOf(m.set, st.Applied)
	for mig := range m.set.Each() {
		if !now.isApplied(mig.Version) {
			check(upMove(mig))
		}
		check(move{version: mig.Version, name: mig.Name, direction: database.Down, script: mig.Down})
	}
	return joined(problems)
}

// warnOfDowns reports the down scripts that entries record and that could not run.
func (m *Migrator) warnOfDowns(st *database.State, entries []database.Entry) {
	var recorded move
	for _, e := range entries {
		mig, ok := viewOf(m.set, st.Applied).get(e.Version)
		if !ok {
			mig, ok = m.set.Original(e.Version)
		}
		if ok && (e.Direction == database.Mark || e.Direction == database.Accept) {
			recorded.marks = append(recorded.marks, mig)
		}
	}
	for _, p := range m.downProblems(st, []move{recorded}) {
		m.observe(DownRefused{Set: m.set.Name(), Problem: p})
	}
}
