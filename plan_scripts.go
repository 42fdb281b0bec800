package whimbrel

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// steps reads the scripts of moves and returns their steps. The error lists all problems of all
// scripts.
func (m *Migrator) steps(st *database.State, moves []move) ([]Step, error) {
	steps := make([]Step, len(moves))
	var problems []error
	e := enums{major: st.ServerMajor}
	for i, mv := range moves {
		if mv.direction == database.Mark {
			steps[i] = newStep(m.set.Name(), mv, &migration.Analysis{}, e)
			continue
		}
		a, err := mv.script.Analyze(m.db.Dialect(), m.db.Tables())
		if err != nil {
			problems = append(problems, err)
			continue
		}
		s := newStep(m.set.Name(), mv, a, e)
		if s.metadata, err = m.readMetadata(mv); err != nil {
			problems = append(problems, err)
		}
		if len(s.metadata) > 0 && mv.metadata != nil {
			s.Metadata = mv.metadata.File
		}
		wrong := refusals(s, a, e)
		if s.Mode == InBatches {
			_, err := mv.script.Body(m.db.Dialect())
			wrong = append(wrong, flat(err)...)
		}
		for _, st := range a.Suspects {
			if why := database.Check(m.db, st); why != "" {
				wrong = append(wrong, &sqltext.Error{Pos: st.Pos, Msg: why})
			}
		}
		problems = append(problems, wrong...)
		if m.opts.Atomic {
			if err := checkAtomic(s, a, i, &e); err != nil && len(wrong) == 0 {
				problems = append(problems, err)
			}
		}
		steps[i] = s
	}
	if err := joined(problems); err != nil {
		return nil, err
	}
	return steps, nil
}

// newStep returns the step of a move with the analysis of its script.
func newStep(set string, m move, a *migration.Analysis, e enums) Step {
	why, statements, secrets := whyOutside(m, a, e), a.Statements, a.Secrets
	mode := InTransaction
	var fill *migration.Backfill
	if m.direction == database.Start || m.direction == database.Finish {
		mode, why, fill = InBatches, "", m.script.Backfill
	} else if why != "" {
		mode = OutsideTransaction
		if a.Wrapped {
			statements += 2 // its BEGIN and its COMMIT
		}
	}
	if m.direction == database.Down { // the history already has its text
		secrets = nil
	}
	return Step{
		Set: set, Version: m.version, Name: m.name, Direction: m.direction, Script: m.script, From: m.from,
		Mode: mode, Why: why, Statements: statements, Unwrapped: mode == InTransaction && a.Wrapped,
		Secrets: secrets, Backfill: fill, move: m,
	}
}

// whyOutside returns what prevents a script from running in a transaction, "" for nothing.
func whyOutside(m move, a *migration.Analysis, e enums) string {
	uses := e.uses(a)
	switch {
	case m.direction == database.Mark:
		return ""
	case m.resume != nil:
		return fmt.Sprintf("it was interrupted at statement %d of %d", m.resume.Done+1, m.resume.Of)
	case m.script.NoTransaction:
		return "the script asks to run without a transaction"
	case a.Never != nil:
		return fmt.Sprintf("%s: %s can't be in a transaction", a.Never.Pos, a.Never.Why)
	case a.Split != nil:
		return fmt.Sprintf("%s: this statement needs another value of PRAGMA foreign_keys than others, and the PRAGMA has no effect inside a transaction", a.Split.Pos)
	case a.Control != nil:
		return fmt.Sprintf("%s: the script has its own transactions", a.Control.Pos)
	case a.Mode != nil:
		return fmt.Sprintf("%s: %s sets a kind of transaction that differs from Whimbrel's", a.Mode.Pos, firstWords(a.Mode.Text))
	case uses != nil:
		return fmt.Sprintf("%s: a new enum value can't be used before it is committed", uses.Pos)
	}
	return ""
}

// refusals returns errors for the statements of a script that the database would refuse half-way,
// or that would have no effect.
func refusals(s Step, a *migration.Analysis, e enums) (all []error) {
	add := func(st *sqltext.Statement, why string) {
		if st != nil {
			all = append(all, &sqltext.Error{Pos: st.Pos, Msg: why})
		}
	}
	refuse := func(st *sqltext.Statement, why string) {
		if st != nil {
			add(st, cmp.Or(st.Why, firstWords(st.Text))+" "+why)
		}
	}
	if a.Reserved != nil {
		add(a.Reserved, fmt.Sprintf("the script uses %s, which is one of Whimbrel's own tables", a.Reserved.Reserved))
	}
	if s.Mode == InBatches { // its statements are those of a body
		return all
	}
	refuse(a.Ignored, "has no effect between BEGIN and COMMIT; put it before the BEGIN")
	if s.Mode == InTransaction {
		refuse(a.Misplaced, "has no effect inside a transaction; put it before all other statements of the file, or start the file with -- whimbrel: no-transaction")
		return all
	}
	refuse(a.Trapped, "can't be in a transaction, and the script begins one before it; remove that BEGIN, or put the COMMIT before this statement")
	refuse(a.Handed, "detaches the transaction from the session, so an interrupted script could not resume; end the transaction with COMMIT")
	refuse(a.Nested, "fails inside a transaction, and the script begins one before it; put a COMMIT before this statement")
	refuse(a.Open, "begins a transaction that the script does not end; add a COMMIT")
	add(e.trapped(a), "this uses an enum value that the same transaction adds, which must be committed first; put COMMIT and BEGIN between the two")
	for i := range a.Loose {
		add(&a.Loose[i], whyLoose(&a.Loose[i], s))
	}
	return all
}

// whyLoose returns why a statement can't be outside a transaction, and how to fix the script.
func whyLoose(st *sqltext.Statement, s Step) string {
	const enclose = "put BEGIN before it and COMMIT after the last statement that needs it"
	switch st.Tx {
	case sqltext.TxRollback:
		return firstWords(st.Text) + " ends no transaction of the script; put BEGIN before the statements to roll back, or remove it"
	case sqltext.TxCommitChain, sqltext.TxRollbackChain:
		return firstWords(st.Text) + " ends no transaction of the script; replace it with BEGIN"
	case sqltext.TxSavepoint:
		return fmt.Sprintf("%s needs a transaction, but this script runs outside a transaction (%s); %s", firstWords(st.Text), s.Why, enclose)
	}
	return fmt.Sprintf("%s has no effect outside a transaction, and this script runs outside a transaction (%s); %s", st.OnlyInTx, s.Why, enclose)
}

// checkAtomic refuses a step that cannot share one transaction with the others.
func checkAtomic(s Step, a *migration.Analysis, index int, e *enums) error {
	use, err := a.Uses(e.pending)
	e.add(a)
	if s.Mode == InBatches {
		return &AtomicError{Step: s, Why: "a backfill has a transaction for each batch"}
	}
	if s.Mode == OutsideTransaction {
		return &AtomicError{Step: s, Why: s.Why}
	}
	if len(a.Before) > 0 && index > 0 {
		return &AtomicError{Step: s, Why: fmt.Sprintf("%s: %s has no effect inside a transaction", a.Before[0].Pos, a.Before[0].Why)}
	}
	if err != nil {
		return err
	}
	if use != nil {
		return &AtomicError{Step: s, Why: fmt.Sprintf("%s: an enum value that an earlier migration adds can't be used before it is committed", use.Pos)}
	}
	return nil
}

func firstWords(text string) string {
	f := strings.Fields(text)
	return strings.Join(f[:min(len(f), 3)], " ")
}
