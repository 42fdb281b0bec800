package sqlite

import (
	"slices"
	"strconv"
	"strings"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// inserts executes the INSERTs of a script that follow each other and differ in their values alone,
// with one prepared statement. Preparing a short INSERT takes SQLite longer than executing it.
//
// An INSERT is executed so only if its values are plain literals, which have the same effect as
// parameters: the value and its type are all that SQLite takes from them.
type inserts struct {
	native    native
	head      string  // of the last INSERT, up to its first value; "" if the last statement was none
	count     int     // of its values
	statement uintptr // prepared; 0 if the statement before had another form
	values    []plainValue
	prepared  int // how often a statement was prepared
}

// plainValue is a literal in a statement.
type plainValue struct {
	kind     valueKind
	from, to int // the inside of a string
	number   int64
}

type valueKind uint8

const (
	valueNull valueKind = iota
	valueNumber
	valueText
)

// mostValues is how many values an INSERT may have. Binding many takes as long as preparing.
const mostValues = 64

// exec executes a statement like native.exec. It leaves to that all but an INSERT of the same form
// as the statement before.
func (r *inserts) exec(statement string) (done bool, err error) {
	if r.head == "" || !strings.HasPrefix(statement, r.head) {
		r.end()
		r.head = head(statement)
		if r.head == "" {
			return false, nil
		}
	}
	if !r.read(statement, len(r.head)) {
		return false, nil
	}
	if len(r.values) != r.count {
		r.finalize()
		r.count = len(r.values)
		return false, nil
	}
	if r.statement == 0 && !r.prepare() {
		r.end()
		return false, nil
	}
	return r.insert(statement)
}

// end finalizes the prepared statement.
func (r *inserts) end() {
	if r != nil {
		r.finalize()
		r.head, r.count = "", 0
	}
}

func (r *inserts) finalize() {
	if r.statement != 0 {
		lib.Xsqlite3_finalize(r.native.tls, r.statement)
		r.statement = 0
	}
}

// head returns what comes before the first value of an INSERT: "INSERT INTO t (a, b) VALUES (". It
// returns "" for most other statements; see prepare.
func head(statement string) string {
	const verb = "INSERT"
	if len(statement) < len(verb) || !strings.EqualFold(statement[:len(verb)], verb) {
		return ""
	}
	for _, word := range []string{"VALUES", "values"} {
		_, after, found := strings.Cut(statement, word)
		if rest := strings.TrimLeft(after, spaces); found && rest != "" && rest[0] == '(' {
			return statement[:len(statement)-len(rest)+1]
		}
	}
	return ""
}

// spaces are SQLite's.
const spaces = " \t\n\f\r"

// read reads the values of a statement, from an offset to the closing parenthesis that ends it. It
// returns false if they are not plain literals.
func (r *inserts) read(statement string, i int) bool {
	r.values = r.values[:0]
	if strings.IndexByte(statement, 0) >= 0 { // SQLite reads up to there
		return false
	}
	for len(r.values) < mostValues {
		rest := strings.TrimLeft(statement[i:], spaces)
		v, length := readLiteral(rest)
		if length == 0 {
			return false
		}
		begin := len(statement) - len(rest)
		v.from, v.to = v.from+begin, v.to+begin
		r.values = append(r.values, v)
		rest = strings.TrimLeft(rest[length:], spaces)
		switch {
		case rest == ")":
			return true
		case rest == "" || rest[0] != ',':
			return false
		}
		i = len(statement) - len(rest) + 1
	}
	return false
}

// readLiteral reads the literal at the beginning of a text: a string without quotes in it, a whole
// number, or NULL. The length is 0 if there is none.
func readLiteral(s string) (v plainValue, length int) {
	if strings.HasPrefix(s, "'") {
		to := strings.IndexByte(s[1:], '\'') + 1
		if to == 0 || to+1 < len(s) && s[to+1] == '\'' {
			return v, 0
		}
		return plainValue{kind: valueText, from: 1, to: to}, to + 1
	}
	length = strings.IndexAny(s, spaces+",)")
	switch {
	case length <= 0:
		return v, 0
	case strings.EqualFold(s[:length], "NULL"):
		return v, length
	case length > len("-999999999999999999") || strings.Trim(strings.TrimPrefix(s[:length], "-"), "0123456789") != "":
		return v, 0
	}
	n, err := strconv.ParseInt(s[:length], 10, 64)
	if err != nil {
		return v, 0
	}
	return plainValue{kind: valueNumber, number: n}, length
}

// prepare prepares the statement with parameters in the place of the values.
func (r *inserts) prepare() bool {
	if !isHead(r.head) {
		return false
	}
	r.statement = r.native.prepare(r.head + "?" + strings.Repeat(", ?", r.count-1) + ")")
	if r.statement == 0 {
		return false
	}
	r.prepared++
	return true
}

// isHead reports whether a text that ends with VALUES and a parenthesis is the beginning of an
// INSERT, and nothing else.
func isHead(text string) bool {
	all := sqltext.List(text, sqltext.SQLite)
	next := func(words ...string) bool {
		if len(all) == 0 || !slices.ContainsFunc(words, all[0].Is) {
			return false
		}
		all = all[1:]
		return true
	}
	name := func() bool {
		if len(all) == 0 || all[0].Name() == "" {
			return false
		}
		all = all[1:]
		return true
	}
	if !next("INSERT") || next("OR") && !next("ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE") || !next("INTO") || !name() || next(".") && !name() {
		return false
	}
	if next("(") {
		for more := true; more; more = next(",") {
			if !name() {
				return false
			}
		}
		if !next(")") {
			return false
		}
	}
	return next("VALUES") && next("(") && len(all) == 0
}

// insert executes the prepared statement with the values of another one.
func (r *inserts) insert(statement string) (done bool, err error) {
	tls := r.native.tls
	sql, err := libc.CString(statement)
	if err != nil {
		return false, nil
	}
	defer libc.Xfree(tls, sql)
	for i, v := range r.values {
		at, rc := int32(i+1), int32(0)
		switch v.kind {
		case valueNull:
			rc = lib.Xsqlite3_bind_null(tls, r.statement, at)
		case valueNumber:
			rc = lib.Xsqlite3_bind_int64(tls, r.statement, at, v.number)
		case valueText: // which SQLite does not copy
			rc = lib.Xsqlite3_bind_text(tls, r.statement, at, sql+uintptr(v.from), int32(v.to-v.from), 0)
		}
		if rc != lib.SQLITE_OK {
			r.end()
			return false, nil
		}
	}
	for {
		switch rc := lib.Xsqlite3_step(tls, r.statement); rc {
		case lib.SQLITE_ROW: // PRAGMA count_changes
		case lib.SQLITE_DONE:
			lib.Xsqlite3_reset(tls, r.statement)
			return true, nil
		case lib.SQLITE_LOCKED_SHAREDCACHE: // for which the client waits
			r.end()
			return false, nil
		default:
			err := r.native.error(rc)
			r.end()
			return true, err
		}
	}
}
