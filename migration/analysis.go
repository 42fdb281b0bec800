package migration

import (
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Analysis says how a script can run, as far as its text shows. It states facts. The engine decides
// what follows from them.
type Analysis struct {
	// Statements is the number of statements without the wrapper.
	Statements int
	// Wrapped reports that the whole script is in a BEGIN; … COMMIT; of its own, which Body omits.
	// Wrapper is that BEGIN.
	Wrapped bool
	Wrapper *sqltext.Statement
	// Before are statements at the beginning that have no effect inside a transaction (SQLite's
	// PRAGMA foreign_keys). Misplaced is the first such statement between others.
	//
	// A PRAGMA foreign_keys may be anywhere. Toggled is the first one between other statements.
	// Before then has the one with whose value a single transaction has the effect of the script.
	// If there is no such value, Split is a statement that needs a different value than those
	// before it. Ignored is one inside a transaction that the script itself begins, before other
	// statements: it would have no effect.
	Before                  []sqltext.Statement
	Misplaced               *sqltext.Statement
	Toggled, Split, Ignored *sqltext.Statement
	// Enforced reports that the script inserts rows after it turned foreign keys on. Forgets
	// reports that a PRAGMA defer_foreign_keys = off drops checks that were due at the end of the
	// transaction. A driver that executes the script in one transaction then checks for rows
	// without a parent.
	Enforced, Forgets bool
	// Never is the first statement that cannot be in a transaction.
	Never *sqltext.Statement
	// Control is the first transaction control other than the wrapper and savepoints: the script
	// has transactions of its own. It may also end a transaction that it did not begin, and begin
	// an empty one at its end.
	Control *sqltext.Statement
	// Mode is the first statement that requests another kind of transaction than an ordinary one.
	Mode *sqltext.Statement
	// The following fields are about transactions that the script itself begins, even if one of
	// them is the whole script.
	//
	// Trapped is the first statement in such a transaction that cannot be there. Open is the BEGIN
	// of one that the script does not end. Nested is a BEGIN inside another transaction, which the
	// database refuses.
	Trapped, Open, Nested *sqltext.Statement
	// Handed is the first statement that detaches a transaction from the session: PREPARE
	// TRANSACTION, XA.
	Handed *sqltext.Statement
	// Loose are statements that need a transaction and are outside those of the script: SET LOCAL,
	// ROLLBACK.
	Loose []sqltext.Statement
	// NewEnums are the enums that the script creates. NewValues are the values that it adds to
	// enums.
	NewEnums  []string
	NewValues []EnumValue
	// UsedValues are the NewValues that the script uses after it adds them.
	UsedValues []UsedValue
	// Secrets are the positions of statements with a password, which the history would keep with
	// the script's text. A script with the directive secret has none.
	Secrets []sqltext.Position
	// Copies reports that the script has data for COPY.
	Copies bool
	// Session reports that a statement may change the session.
	Session bool
	// Suspects are statements that a driver may have to refuse: those that drop a database or
	// change SQLite's journal mode.
	Suspects []sqltext.Statement
	// Reserved is the first statement that mentions one of Whimbrel's own tables.
	Reserved *sqltext.Statement

	script  *Script
	dialect sqltext.Dialect
	kept    *pieces // nil if there are too many
}

// Analyze reads the whole script. It returns an [*sqltext.Error] for a text that it cannot split
// into statements, and the Problem of a script that has one. For a backfill it also returns the
// errors of its Body. reserved are the names of Whimbrel's
// own tables in the target. Analyze keeps its answer, so a second call is free.
func (s *Script) Analyze(d sqltext.Dialect, reserved []string) (*Analysis, error) {
	if s.Problem != nil {
		return nil, s.Problem
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.analysis != nil && s.analysis.dialect == d && slices.Equal(s.reserved, reserved) {
		return s.analysis, nil
	}
	a := &Analysis{script: s, dialect: d}
	if s.fn == nil {
		if err := a.read(reserved); err != nil {
			return nil, err
		}
		if s.Backfill != nil {
			if _, err := s.Body(d); err != nil {
				return nil, err
			}
		}
	}
	s.analysis, s.reserved = a, slices.Clone(reserved)
	return a, nil
}

// leastAhead is the size of a script from which AnalyzeNewest analyzes it.
const leastAhead = 32 << 10

// AnalyzeNewest calls [Script.Analyze] for the newest up script, which is the most likely to be
// pending, for a program that waits for the state of the database. It does nothing for a short
// script, of which that takes no time, and for one that is not kept in memory.
func (s *Set) AnalyzeNewest(d sqltext.Dialect, reserved []string) {
	if len(s.all) == 0 {
		return
	}
	if up := s.all[len(s.all)-1].Up; up.Size >= leastAhead && up.Size <= KeepInMemory {
		_, _ = up.Analyze(d, reserved) // the next call returns the same error
	}
}

// Mask is [Script.Mask] in the dialect of the analysis.
func (a *Analysis) Mask(text string) string { return a.script.Mask(text, a.dialect) }

func (a *Analysis) read(reserved []string) error {
	own := ownReader{tx: sqltext.TxState{Dialect: a.dialect}}
	var enums enumReader
	var begin, commit *sqltext.Statement // a wrapper, if nothing prevents it
	var trailing *sqltext.Statement      // a TxNoEffect statement after which only such may come
	var keys keysReader
	var toggles, pending []sqltext.Statement // of foreign_keys; pending: nothing came after them yet
	kept := newPieces(a.script)
	for st, err := range a.cut(reserved) {
		if err != nil {
			return err
		}
		if kept != nil && !kept.add(st) {
			kept = nil
		}
		if st.Kind == sqltext.CopyData {
			a.readEnum(&enums, st, "", own.in)
		}
		if st.Kind != sqltext.SQL && st.Kind != sqltext.CopyIn {
			continue
		}
		a.Statements++
		verb := st.Verb()
		a.Session = a.Session || st.Session
		a.Copies = a.Copies || st.Kind == sqltext.CopyIn
		if !a.script.Secret && st.HasSecret(a.dialect) {
			a.Secrets = append(a.Secrets, st.Pos)
		}
		if st.Reserved != "" {
			first(&a.Reserved, st)
		}
		if suspect(a.dialect, st, verb) {
			a.Suspects = append(a.Suspects, st)
		}
		a.readOwn(&own, st)
		a.readEnum(&enums, st, verb, own.in)
		if a.readKeys(&keys, st, verb) {
			if a.Open == nil {
				pending = append(pending, st)
			}
			continue
		}
		switch st.Tx {
		case sqltext.TxNoEffect:
			switch {
			case a.Statements == len(a.Before)+1:
				a.Before = append(a.Before, st)
			default:
				first(&trailing, st)
			}
			continue
		case sqltext.TxBegin:
			if a.Statements == len(a.Before)+1 {
				first(&begin, st)
				continue
			}
		case sqltext.TxCommit:
			if begin != nil && commit == nil {
				first(&commit, st)
				continue
			}
		}
		if trailing != nil {
			first(&a.Misplaced, *trailing)
		}
		toggles, pending = append(toggles, pending...), nil
		if commit != nil { // and yet something comes after it
			first(&a.Control, *commit)
		}
		if st.Tx.Control() && st.Tx != sqltext.TxSavepoint {
			first(&a.Control, st)
		}
		if st.Tx == sqltext.TxNever {
			first(&a.Never, st)
		}
	}
	switch {
	case begin != nil && commit != nil && a.Control == nil:
		a.Wrapped, a.Wrapper = true, begin
		a.Statements -= 2
	case begin != nil:
		a.Control = begin
	}
	if own.tx.Empty {
		a.Open = nil
	}
	a.settleKeys(&keys, toggles)
	a.kept = kept
	return nil
}

// suspect reports whether a statement is one of Analysis.Suspects.
func suspect(d sqltext.Dialect, st sqltext.Statement, verb string) bool {
	switch verb {
	case "DROP":
		_, drops := st.DroppedDatabase(d)
		return drops
	case "PRAGMA":
		return strings.Contains(strings.ToLower(st.Text), "journal_mode")
	}
	return false
}

// first stores the statement in to, unless to has one.
func first(to **sqltext.Statement, st sqltext.Statement) {
	if *to == nil {
		kept := st // only what is kept is allocated
		*to = &kept
	}
}

// All returns the statements in order, with the pieces of COPY data, but without directives to the
// client. A run executes these one by one.
func (a *Analysis) All() iter.Seq2[sqltext.Statement, error] {
	return without(a.pieces(), func(st sqltext.Statement) bool { return st.Kind == sqltext.Client || st.Kind == sqltext.Empty })
}

// Body returns what a transaction executes: All without the wrapper and without statements that
// have no effect inside a transaction.
func (a *Analysis) Body() iter.Seq2[sqltext.Statement, error] {
	return without(a.All(), func(st sqltext.Statement) bool {
		return st.Tx == sqltext.TxNoEffect || a.Wrapped && (st.Tx == sqltext.TxBegin || st.Tx == sqltext.TxCommit)
	})
}

// without omits statements. It ends after an error.
func without(all iter.Seq2[sqltext.Statement, error], omit func(sqltext.Statement) bool) iter.Seq2[sqltext.Statement, error] {
	return func(yield func(sqltext.Statement, error) bool) {
		for st, err := range all {
			if (err != nil || !omit(st)) && !yield(st, err) || err != nil {
				return
			}
		}
	}
}

// pieces returns the pieces of the script. It cuts the script only if it has too many.
func (a *Analysis) pieces() iter.Seq2[sqltext.Statement, error] {
	if a.kept == nil {
		return a.cut(nil)
	}
	return func(yield func(sqltext.Statement, error) bool) {
		r, err := a.kept.reader(a.script)
		if err != nil {
			yield(sqltext.Statement{}, err)
			return
		}
		defer r.close()
		all(r, yield)
	}
}

// cut reads the text of the script and cuts it into pieces.
func (a *Analysis) cut(reserved []string) iter.Seq2[sqltext.Statement, error] {
	return func(yield func(sqltext.Statement, error) bool) {
		s := a.script
		if s.fn != nil {
			return
		}
		opts := sqltext.Options{File: s.File, Line: s.Line, Reserved: reserved}
		if s.text != "" {
			all(sqltext.NewTextScanner(s.text, a.dialect, opts), yield)
			return
		}
		r, err := s.Open()
		if err != nil {
			yield(sqltext.Statement{}, err)
			return
		}
		defer r.Close()
		all(sqltext.NewScanner(r, a.dialect, opts), yield)
	}
}

// all yields the pieces of a reader. An error ends them.
func all(r interface {
	Next() (sqltext.Statement, error)
}, yield func(sqltext.Statement, error) bool,
) {
	for {
		st, err := r.Next()
		if err == io.EOF || !yield(st, err) || err != nil {
			return
		}
	}
}
