package migration

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// ownReader tracks the transactions that a script begins itself.
type ownReader struct {
	tx     sqltext.TxState
	in     int  // the number of the open transaction, from 1; 0 for none
	begun  int  // how many transactions have begun
	manual bool // MySQL's autocommit may be off
}

// readOwn reads one statement. Analysis.Open is then the BEGIN of the open transaction.
func (a *Analysis) readOwn(o *ownReader, st sqltext.Statement) {
	if st.Mode&(sqltext.ModeOwn|sqltext.ModeNext|sqltext.ModeSession) != 0 {
		first(&a.Mode, st)
	}
	if o.tx.Open() {
		a.readInside(st)
	} else {
		a.readLoose(o, st)
	}
	o.tx.Follow(st)
	if st.Tx == sqltext.TxOther {
		o.tx.Close()
		o.manual = o.manual || st.Verb() == "SET"
		if st.Verb() != "SET" {
			first(&a.Handed, st)
		}
	}
	switch {
	case !o.tx.Open():
		a.Open, o.in = nil, 0
	case o.tx.Empty: // it has just begun
		a.Open = &o.tx.Begin[slices.IndexFunc(o.tx.Begin, func(st sqltext.Statement) bool { return st.Tx == sqltext.TxBegin })]
		o.begun++
		o.in = o.begun
	}
}

// readLoose reads a statement outside the script's transactions.
func (a *Analysis) readLoose(o *ownReader, st sqltext.Statement) {
	loose := st.OnlyInTx != ""
	switch st.Tx {
	case sqltext.TxSavepoint, sqltext.TxCommitChain, sqltext.TxRollbackChain:
		loose = true
	case sqltext.TxRollback: // with autocommit each statement is committed by then
		loose = !a.dialect.CommitsImplicitly() || o.manual
	}
	if loose {
		a.Loose = append(a.Loose, st)
	}
}

// readInside reads a statement in one of the script's transactions.
func (a *Analysis) readInside(st sqltext.Statement) {
	switch {
	case st.Tx == sqltext.TxBegin && a.dialect.RefusesNestedBegin(), st.Mode&sqltext.ModeNext != 0:
		first(&a.Nested, st)
	case st.Tx == sqltext.TxNever && !a.dialect.CommitsImplicitly():
		first(&a.Trapped, st)
	}
}
