package sqltext

import "bytes"

// names are the identifiers that a scanner looks for.
type names struct {
	wanted   wanted
	reserved []string // lower case
	session  []string // names in a statement that changes the session
	inTx     []string // functions whose effect ends with the transaction
	fold     bool     // quoted names are compared without regard to case, too
}

func newNames(reserved []string, d Dialect) names {
	n := names{reserved: reserved, fold: d != PostgreSQL}
	if d == PostgreSQL {
		n.session = []string{"set_config", "pg_temp"}
		n.inTx = inTransaction
	}
	for _, list := range [][]string{n.reserved, n.session, n.inTx} {
		for _, name := range list {
			n.wanted.add(name)
		}
	}
	return n
}

// wanted rules out most words fast: those that have another length, or begin with another letter,
// than all names.
type wanted struct {
	lengths uint64 // bit n: some name has n bytes (bit 63: 63 or more)
	letters uint32 // bit n: some name begins with a byte whose last five bits are n
}

func (w *wanted) add(name string) {
	if name != "" {
		w.lengths |= 1 << min(len(name), 63)
		w.letters |= 1 << (name[0] & 31)
	}
}

// may reports whether a word without quotes may be one of the names.
func (w *wanted) may(word []byte) bool {
	return w.lengths>>min(len(word), 63)&1 != 0 && w.letters>>(word[0]&31)&1 != 0
}

// find returns the reserved name that tok is, "" if none, and whether tok is a name that may change
// the session, or one whose effect ends with the transaction.
func (n *names) find(tok []byte, quoted bool) (reserved string, session, inTx bool) {
	if quoted {
		tok = unquoteName(tok)
	}
	same := foldEqual[[]byte]
	if quoted && !n.fold {
		same = func(tok []byte, name string) bool { return string(tok) == name }
	}
	for _, name := range n.session {
		session = session || same(tok, name)
	}
	for _, name := range n.inTx {
		inTx = inTx || same(tok, name)
	}
	for _, name := range n.reserved {
		if same(tok, name) {
			return name, session, inTx
		}
	}
	return "", session, inTx
}

// foldEqual compares without regard to the case of ASCII letters. name is in lower case.
func foldEqual[T string | []byte](tok T, name string) bool {
	if len(tok) != len(name) {
		return false
	}
	for i := range len(tok) {
		c := tok[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// unquoteName returns the content of a quoted identifier, in any of the forms. It decodes the
// escapes of U&"…" as without UESCAPE.
func unquoteName(tok []byte) []byte {
	open := bytes.IndexAny(tok, "\"`[")
	q := tok[open]
	tok = tok[open+1 : len(tok)-1]
	if q != '[' && bytes.IndexByte(tok, q) >= 0 {
		tok = bytes.ReplaceAll(tok, []byte{q, q}, []byte{q})
	}
	if open > 0 && bytes.IndexByte(tok, '\\') >= 0 {
		value, _ := unescapeUnicode(string(tok), '\\')
		tok = []byte(value)
	}
	return tok
}
