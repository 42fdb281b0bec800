package mysql

import (
	"slices"
	"strings"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// knows reports whether it is known without a query which of a statement's objects exist, and
// stores that.
func (r *run) knows(b *before) bool { return r.made.lacks(b) }

// refusals are the errors of a DROP of what does not exist, and of a CREATE of what exists. After
// one, the statement certainly had no effect, if it is about one object.
var refusals = []int{
	erNoSuchTable, erBadDropDB, erBadTable, erCantDropKey, erNoRoutine, erNoTrigger, erNoEvent, erUnknownSequence, erUnknownView, erTableExists, erDupKeyName,
}

// isRefused reports whether a statement failed because its object exists, or does not.
func isRefused(err error) bool { return slices.Contains(refusals, number(err)) }

// isInvalid reports whether the server has executed nothing of a statement, because it could not
// parse it, the account lacks a privilege, or the statement's only user exists or does not. A CALL
// or a compound statement has such an error also if a statement in it does, so there only an error
// at the first word counts.
func isInvalid(st sqltext.Statement, err error) bool {
	my, ok := drivers.AsType[*client.MySQLError](err)
	switch {
	case !ok:
		return false
	case changesSchema(st):
		oneUser := my.Number == erCannotUser && sqltext.List(st.Text, sqltext.MySQL).Index(",") < 0
		return my.Number == erParse || my.Number == erNeedsPrivilege || lacksPrivilege(err) || oneUser
	}
	near := nearText.FindStringSubmatch(my.Message)
	return my.Number == erParse && near != nil && near[1] != "" && strings.HasPrefix(st.Text, near[1])
}

// refuses notes for Outcome that the server has refused a statement, if it has.
func (r *run) refuses(st sqltext.Statement, err error) {
	r.refused, r.invalid = "", ""
	if isRefused(err) {
		r.refused = st.Text
	}
	if isInvalid(st, err) {
		r.invalid = st.Text
	}
}

const (
	erTableExists     = 1050
	erDupKeyName      = 1061
	erBadDropDB       = 1008
	erBadTable        = 1051
	erCantDropKey     = 1091
	erNoRoutine       = 1305
	erNoTrigger       = 1360
	erNoEvent         = 1539
	erUnknownSequence = 4091
	erUnknownView     = 4092
)

// madeLimit is how long it is certain enough that nobody else has changed a new table.
const madeLimit = time.Second

// made is the table that the run created with its last statement, or that before its last indexes.
type made struct {
	table     catalog.Object
	text      string // that created it; "" if there is none
	at        time.Time
	names     map[string]bool // those in its definition, in lower case; nil until they matter
	indexes   []string        // created since
	announced *before         // the statement that comes next
	next      string          // its text
}

// announce notes what a statement is about.
func (m *made) announce(st sqltext.Statement, b *before) { m.announced, m.next = b, st.Text }

// follow notes a statement that was executed.
func (m *made) follow(st sqltext.Statement, err error) {
	b, text := m.announced, m.next
	m.announced, m.next = nil, ""
	if err != nil || b == nil || text != st.Text || st.Verb() != "CREATE" || len(b.Objects) != 1 {
		*m = made{}
		return
	}
	o := b.Objects[0]
	switch {
	case o.Kind == catalog.Table:
		*m = made{table: o, text: text, at: time.Now()}
	case m.owns(o):
		m.indexes = append(m.indexes, o.Name)
	default:
		*m = made{}
	}
}

// owns reports whether an object is an index of the table.
func (m *made) owns(o catalog.Object) bool {
	return m.text != "" && o.Kind == catalog.Index && o.Of == m.table.Name && o.Schema == m.table.Schema
}

// numbered matches what the server appends to a name that it chooses for a second index.
var numbered = lazyregexp.New(`_[0-9]+$`)

// lacks reports whether the objects are one index that the table can't have.
func (m *made) lacks(b *before) bool {
	if b == nil || len(b.Objects) != 1 || !m.owns(b.Objects[0]) || time.Since(m.at) > madeLimit {
		return false
	}
	if m.names == nil {
		m.names = map[string]bool{}
		for name := range sqltext.List(m.text, sqltext.MySQL).Names() {
			m.names[strings.ToLower(name)] = true
		}
	}
	if m.names["like"] || m.names["select"] { // it may have the indexes of another table
		return false
	}
	has := func(name string) bool {
		return m.names[name] || slices.ContainsFunc(m.indexes, func(index string) bool { return strings.EqualFold(index, name) })
	}
	name := strings.ToLower(b.Objects[0].Name)
	return name != "primary" && !has(name) && !has(numbered.ReplaceAllString(name, ""))
}
