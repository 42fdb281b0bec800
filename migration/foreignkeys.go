package migration

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// keysReader follows SQLite's PRAGMA foreign_keys through a script. SQLite ignores it inside a
// transaction. So the reader searches for one value with which a single transaction has the effect
// of the statements executed one by one.
type keysReader struct {
	state  sqltext.ForeignKeys          // KeysAny: what the session has
	needs  [sqltext.KeysOn + 1]keysNeed // of each state
	legacy bool                         // PRAGMA legacy_alter_table makes the effect of RENAME depend on foreign keys
	inOwn  *sqltext.Statement           // the last pragma inside a transaction of the script's own
}

// keysNeed are the first statements of one state that depend on it.
type keysNeed struct{ checked, followed *sqltext.Statement }

// needed returns the statement that a transaction with another value would execute differently. An
// INSERT needs foreign keys off exactly if they are off; otherwise its rows can be checked at the
// end.
func (n keysNeed) needed(state sqltext.ForeignKeys) *sqltext.Statement {
	if n.followed == nil && state == sqltext.KeysOff {
		return n.checked
	}
	return n.followed
}

// readKeys reads one statement. It reports whether the statement is a PRAGMA foreign_keys after
// other statements, which then needs no further handling.
func (a *Analysis) readKeys(k *keysReader, st sqltext.Statement, verb string) (toggle bool) {
	if a.dialect != sqltext.SQLite {
		return false
	}
	pragma := st.ForeignKeys == sqltext.KeysOff || st.ForeignKeys == sqltext.KeysOn
	switch own := a.Open != nil && st.Tx != sqltext.TxBegin; {
	case pragma && own: // a client would have it ignored
		k.inOwn = nil
		first(&k.inOwn, st)
		return true
	case pragma:
		k.state = st.ForeignKeys
		return a.Statements != len(a.Before)+1
	case own && k.inOwn != nil:
		first(&a.Ignored, *k.inOwn)
	}
	k.depends(st, verb)
	a.Forgets = a.Forgets || st.ForeignKeys == sqltext.KeysForgotten && a.Statements > len(a.Before)+1
	return false
}

// depends records a statement that depends on foreign keys.
func (k *keysReader) depends(st sqltext.Statement, verb string) {
	kind := st.ForeignKeys
	switch {
	case verb == "PRAGMA":
		k.legacy = k.legacy || strings.Contains(strings.ToLower(st.Text), "legacy_alter_table")
	case verb == "ALTER" && k.legacy:
		kind = sqltext.KeysFollowed
	}
	switch need := &k.needs[k.state]; kind {
	case sqltext.KeysChecked:
		first(&need.checked, st)
	case sqltext.KeysFollowed:
		first(&need.followed, st)
	}
}

// settleKeys chooses the value of foreign_keys with which a transaction has the effect of a script
// that changes it. toggles are the pragmas that change it, in order.
func (a *Analysis) settleKeys(k *keysReader, toggles []sqltext.Statement) {
	if len(toggles) == 0 {
		return
	}
	a.Toggled = &toggles[0]
	toggles = append(slices.Clone(a.Before), toggles...)
	a.Before = slices.DeleteFunc(a.Before, func(st sqltext.Statement) bool { return st.ForeignKeys != sqltext.KeysAny })
	value, chosen := sqltext.KeysAny, false
	for _, state := range []sqltext.ForeignKeys{sqltext.KeysOff, sqltext.KeysOn, sqltext.KeysAny} {
		st := k.needs[state].needed(state)
		switch {
		case st == nil:
		case !chosen:
			value, chosen = state, true
		default:
			a.Split = st
		}
	}
	if on := k.needs[sqltext.KeysOn]; on.checked != nil && value != sqltext.KeysOn {
		a.Enforced = true
	}
	if value != sqltext.KeysAny {
		i := slices.IndexFunc(toggles, func(st sqltext.Statement) bool { return st.ForeignKeys == value })
		a.Before = append(a.Before, toggles[i])
	}
}
