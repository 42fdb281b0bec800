package memdb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// content is what scripts have created. A copy shares its tables until one side changes them.
type content struct {
	tables   map[string]*table
	indexes  map[string]index
	comments map[metadata.Name]string
}

type table struct {
	rows    []string
	defined string         // the text in its parentheses
	owner   *content       // the content that may append in place
	touched map[string]int // by row, how often a backfill has changed it
}

type index struct {
	on, columns string
	invalid     bool // an interrupted CREATE or DROP INDEX CONCURRENTLY left it
}

func newContent() *content {
	return &content{map[string]*table{}, map[string]index{}, map[metadata.Name]string{}}
}

func (c *content) clone() *content {
	return &content{maps.Clone(c.tables), maps.Clone(c.indexes), maps.Clone(c.comments)}
}

// definitions yields the names and the definitions of a table's columns.
func (t *table) definitions() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for part := range strings.SplitSeq(t.defined, ",") {
			name, definition, _ := strings.Cut(strings.TrimSpace(part), " ")
			if name != "" && !yield(unquote(name), strings.TrimSpace(definition)) {
				return
			}
		}
	}
}

func (t *table) columns() (names []string) {
	for name := range t.definitions() {
		names = append(names, name)
	}
	return names
}

func (c *content) rows(name string, err error) ([]string, error) {
	t := c.tables[name]
	if t == nil && err == nil {
		return nil, sqlError("42P01", "relation %q does not exist", name)
	}
	if err != nil {
		return nil, err
	}
	return slices.Clone(t.rows), nil
}

// own returns a table that only c has.
func (c *content) own(name string) (*table, error) {
	t := c.tables[name]
	if t == nil {
		return nil, sqlError("42P01", "relation %q does not exist", name)
	}
	if t.owner != c {
		t = &table{slices.Clone(t.rows), t.defined, c, maps.Clone(t.touched)}
		c.tables[name] = t
	}
	return t, nil
}

// change is the effect of a statement on the content. Commit repeats it on another content.
type change func(*content) error

// session holds the settings that SET changes.
type session map[string]string

// codeError is an error with a code, as a server sends it.
type codeError struct {
	code, msg string
	lock      error // ErrLockTimeout or ErrDeadlock
}

func (e *codeError) Error() string { return fmt.Sprintf("%s (%s)", e.msg, e.code) }

var errDeadlock = &codeError{code: "40P01", msg: "deadlock detected", lock: database.ErrDeadlock}

func sqlError(code, format string, args ...any) error {
	return &codeError{code: code, msg: fmt.Sprintf(format, args...)}
}

const (
	nameSQL  = `("(?:[^"]|"")+"|[\pL_][\pL\pN_$]*)`
	emptySQL = `\s*`
)

// form is one kind of statement.
type form struct {
	re *lazyregexp.Regexp
	do func(m []string, s session) change
}

func stmt(pattern string, do func(m []string, s session) change) form {
	pattern = strings.ReplaceAll(pattern, "NAME", nameSQL)
	pattern = strings.ReplaceAll(pattern, " ", `\s+`)
	return form{lazyregexp.New(`(?is)^` + pattern + emptySQL + `$`), do}
}

var forms = []form{
	stmt(`CREATE TABLE NAME\s*\((.*)\)`, func(m []string, _ session) change { return createTable(unquote(m[1]), m[2]) }),
	stmt(`DROP TABLE NAME`, func(m []string, _ session) change { return dropTable(unquote(m[1])) }),
	stmt(`INSERT INTO NAME VALUES\s*\((.*)\) WHERE NAME\s*=\s*(\S+)`, func(m []string, s session) change {
		if s[strings.ToLower(m[3])] != strings.Trim(m[4], "'") {
			return insert(unquote(m[1]))
		}
		return insert(unquote(m[1]), m[2])
	}),
	stmt(`INSERT INTO NAME VALUES\s*\((.*)\)`, func(m []string, _ session) change { return insert(unquote(m[1]), m[2]) }),
	stmt(`DELETE FROM NAME`, func(m []string, _ session) change { return deleteAll(unquote(m[1])) }),
	{createIndexForm, func(m []string, _ session) change { return createIndex(unquote(m[1]), unquote(m[2]), m[3]) }},
	{dropIndexForm, func(m []string, _ session) change { return dropIndex(unquote(m[2]), m[1] != "") }},
	{alterSystemForm, func([]string, session) change { return nothing }},
	stmt(`SET (?:TRANSACTION|SESSION CHARACTERISTICS|LOCAL)\b.*`, func([]string, session) change { return nothing }),
	stmt(`SET NAME(?:\s*=\s*| TO )(\S.*)`, func(m []string, s session) change {
		s[strings.ToLower(m[1])] = strings.Trim(strings.TrimSpace(m[2]), "'")
		return nothing
	}),
	stmt(`SELECT\b.*`, func([]string, session) change { return nothing }),
}

var (
	createIndexForm = stmt(`CREATE INDEX(?: CONCURRENTLY)? NAME ON NAME\s*\((.*)\)`, nil).re
	dropIndexForm   = stmt(`DROP INDEX(?: CONCURRENTLY)?( IF EXISTS)? NAME`, nil).re
	alterSystemForm = stmt(`ALTER SYSTEM SET NAME(?:\s*=\s*| TO )(\S.*)`, nil).re
	copyForm        = stmt(`COPY NAME FROM stdin`, nil).re
	noticeForm      = stmt(`NOTICE '(.*)'`, nil).re
	foreverForm     = stmt(`SELECT forever\(\)`, nil).re
)

func unquote(name string) string {
	if inner, ok := strings.CutPrefix(name, `"`); ok {
		return strings.ReplaceAll(strings.TrimSuffix(inner, `"`), `""`, `"`)
	}
	return strings.ToLower(name)
}

// parse returns the change of a statement.
func parse(text string, s session) (change, error) {
	for _, f := range forms {
		if m := f.re.FindStringSubmatch(text); m != nil {
			return f.do(m, s), nil
		}
	}
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return nil, sqlError("42601", "syntax error at or near %q", word)
}

func nothing(*content) error { return nil }

func createTable(name, columns string) change {
	return func(c *content) error {
		if c.tables[name] != nil {
			return sqlError("42P07", "relation %q already exists", name)
		}
		c.tables[name] = &table{defined: columns, owner: c}
		return nil
	}
}

func dropTable(name string) change {
	return func(c *content) error {
		if c.tables[name] == nil {
			return sqlError("42P01", "table %q does not exist", name)
		}
		c.drop(name)
		return nil
	}
}

// drop drops a table with its indexes and comments.
func (c *content) drop(name string) {
	delete(c.tables, name)
	maps.DeleteFunc(c.indexes, func(_ string, i index) bool { return i.on == name })
	maps.DeleteFunc(c.comments, func(n metadata.Name, _ string) bool { return n.Object == name })
}

func insert(name string, rows ...string) change {
	return func(c *content) error {
		t, err := c.own(name)
		if err == nil {
			t.rows = append(t.rows, rows...)
		}
		return err
	}
}

func deleteAll(name string) change {
	return func(c *content) error {
		t, err := c.own(name)
		if err == nil {
			t.rows, t.touched = nil, nil
		}
		return err
	}
}

func createIndex(name, on, columns string) change {
	return func(c *content) error {
		if c.tables[on] == nil {
			return sqlError("42P01", "relation %q does not exist", on)
		}
		if _, ok := c.indexes[name]; ok {
			return sqlError("42P07", "relation %q already exists", name)
		}
		c.indexes[name] = index{on: on, columns: columns}
		return nil
	}
}

func dropIndex(name string, ifExists bool) change {
	return func(c *content) error {
		if _, ok := c.indexes[name]; !ok && ifExists {
			return nil
		} else if !ok {
			return sqlError("42704", "index %q does not exist", name)
		}
		delete(c.indexes, name)
		return nil
	}
}

// run returns the change of a statement. It sends notices and waits, which are no changes.
func (d *Database) run(ctx context.Context, st sqltext.Statement, data io.Reader, s session, w waiter) (change, error) {
	if err := d.wait(ctx, st, w); err != nil {
		return nil, err
	}
	if st.Kind == sqltext.CopyIn {
		m := copyForm.FindStringSubmatch(st.Text)
		if m == nil {
			return nil, sqlError("42601", "syntax error at or near %q", "COPY")
		}
		rows, err := lines(data)
		return insert(unquote(m[1]), rows...), err
	}
	if m := noticeForm.FindStringSubmatch(st.Text); m != nil {
		if d.opts.Notice != nil {
			d.opts.Notice(database.Notice{Severity: "NOTICE", Code: "00000", Message: m[1]})
		}
		return nothing, nil
	}
	if foreverForm.MatchString(st.Text) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-d.gone:
			return nil, d.err()
		}
	}
	return parse(st.Text, s)
}

// limit applies the statement timeout of a script's directives.
func limit(ctx context.Context, d migration.Directives) (context.Context, context.CancelFunc) {
	if d.StatementTimeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d.StatementTimeout, sqlError("57014", "canceling statement due to statement timeout"))
}

func lines(data io.Reader) (rows []string, err error) {
	if data == nil {
		return nil, nil
	}
	sc := bufio.NewScanner(data)
	for sc.Scan() {
		rows = append(rows, sc.Text())
	}
	return rows, sc.Err()
}

// statementError returns a server's error with the place of its statement.
func statementError(st sqltext.Statement, err error) error {
	e := &database.StatementError{
		Pos: st.Pos, Index: st.Index, Statement: st.Text, Message: err.Error(), Err: err,
	}
	if server, ok := err.(*codeError); ok {
		e.Code, e.Message, e.Lock = server.code, server.msg, server.lock
	}
	return e
}
