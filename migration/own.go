package migration

import (
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// ownReader tracks the transactions that a script begins itself. Analysis.Open is the BEGIN of the
// one that is open.
type ownReader struct {
	empty  bool // nothing has happened in it
	in     int  // its number, from 1; 0 where none is open
	begun  int  // how many there were
	manual bool // MySQL's autocommit may be off
}

// readOwn reads one statement.
func (a *Analysis) readOwn(o *ownReader, st sqltext.Statement) {
	if st.Mode&(sqltext.ModeOwn|sqltext.ModeNext|sqltext.ModeSession) != 0 {
		first(&a.Mode, st)
	}
	if a.Open == nil {
		a.readLoose(o, st)
	} else {
		a.readInside(st)
	}
	switch st.Tx {
	case sqltext.TxBegin:
		if a.Open == nil || a.dialect.ImplicitCommit() { // which commits what was open
			a.Open, o.empty = &st, true
			o.begun++
			o.in = o.begun
			return
		}
	case sqltext.TxCommitChain, sqltext.TxRollbackChain:
		o.empty = true
		o.begun++
		o.in = o.begun
		return
	case sqltext.TxCommit, sqltext.TxRollback:
		a.Open = nil
	case sqltext.TxNever:
		if a.dialect.ImplicitCommit() { // which takes it, and commits what was open
			a.Open = nil
		}
	case sqltext.TxOther:
		a.Open = nil
		if st.Verb() == "SET" {
			o.manual = true
		} else {
			first(&a.Handed, st)
		}
	}
	o.empty = false
	if a.Open == nil {
		o.in = 0
	}
}

// readLoose reads a statement outside the script's transactions.
func (a *Analysis) readLoose(o *ownReader, st sqltext.Statement) {
	loose := st.OnlyInTx != ""
	switch st.Tx {
	case sqltext.TxSavepoint, sqltext.TxCommitChain, sqltext.TxRollbackChain:
		loose = true
	case sqltext.TxRollback: // with MySQL's autocommit each statement is committed by then, whoever executes the script
		loose = !a.dialect.ImplicitCommit() || o.manual
	}
	if loose {
		a.Loose = append(a.Loose, st)
	}
}

// readInside reads a statement in one of the script's transactions.
func (a *Analysis) readInside(st sqltext.Statement) {
	switch {
	case st.Tx == sqltext.TxBegin && a.dialect == sqltext.SQLite, st.Mode&sqltext.ModeNext != 0:
		first(&a.Nested, st)
	case st.Tx == sqltext.TxNever && !a.dialect.ImplicitCommit():
		first(&a.Trapped, st)
	}
}
