package sqltext

// TxState is the transaction that a script itself has begun, after some of its statements. Set the
// Dialect, then call Follow for each statement in order.
type TxState struct {
	Dialect Dialect
	// Begin are the statements that begin another transaction of the same kind. There are none if
	// no transaction is open.
	Begin []Statement
	// Next are statements that affect only the next transaction, as MySQL's SET TRANSACTION does.
	Next []Statement
	// ReadOnly reports that nothing can be written in the open transaction.
	ReadOnly bool
	// Empty reports that nothing has happened in the open transaction.
	Empty bool

	session bool // transactions are read only by default
}

// Open reports whether a transaction is open.
func (t *TxState) Open() bool { return len(t.Begin) > 0 }

// Close records that the transaction has ended.
func (t *TxState) Close() { t.Begin, t.Empty = nil, false }

// CommitsBefore reports whether the database commits the open transaction by itself before it
// executes a statement.
func (t *TxState) CommitsBefore(st Statement) bool {
	return t.Open() && t.Dialect.CommitsImplicitly() && (st.Tx == TxNever || st.Tx == TxBegin)
}

// Follow records that a statement is executed.
func (t *TxState) Follow(st Statement) {
	if st.Mode&ModeSession != 0 {
		t.session = readOnly(st, t.session)
	}
	if t.CommitsBefore(st) {
		t.Close()
	}
	switch open := t.Open(); {
	case open && (st.Tx == TxCommit || st.Tx == TxRollback):
		t.Close()
		return
	case open && (st.Tx == TxCommitChain || st.Tx == TxRollbackChain):
		t.begin(t.Begin)
		return
	case open && st.Tx != TxBegin && st.Mode&ModeOwn != 0:
		t.Begin = append(t.Begin, st)
		t.ReadOnly = readOnly(st, t.ReadOnly)
	case open:
	case st.Tx == TxBegin:
		t.begin(append(t.Next, st))
		return
	case st.Mode&ModeNext != 0:
		t.Next = append(t.Next, st)
	case st.Tx != TxCommit && st.Tx != TxRollback && len(t.Next) > 0 && !st.SetsSession():
		t.Next = nil
	}
	t.Empty = false
}

func (t *TxState) begin(with []Statement) {
	t.Begin, t.Next, t.Empty, t.ReadOnly = with, nil, true, t.session
	for _, st := range with {
		t.ReadOnly = readOnly(st, t.ReadOnly)
	}
}

// readOnly reports whether a transaction is read only after a statement about its mode.
func readOnly(st Statement, was bool) bool {
	switch {
	case st.Mode&ModeReadOnly != 0:
		return true
	case st.Mode&ModeReadWrite != 0:
		return false
	}
	return was
}
