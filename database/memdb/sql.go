package memdb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// content is what scripts made. A clone shares its tables until one side writes.
type content struct {
	tables   map[string]*table
	indexes  map[string]string // the table of each
	comments map[metadata.Name]string
	invalid  map[string]bool   // indexes that a CREATE INDEX CONCURRENTLY has left behind
	defined  map[string]string // what stood in the parentheses: of tables by "table name", of indexes by "index name"
}

type table struct {
	rows  []string
	owner *content // who may append in place
}

func newContent() *content {
	return &content{tables: map[string]*table{}, indexes: map[string]string{}, invalid: map[string]bool{}, defined: map[string]string{}, comments: map[metadata.Name]string{}}
}

func (c *content) clone() *content {
	return &content{tables: maps.Clone(c.tables), indexes: maps.Clone(c.indexes), invalid: maps.Clone(c.invalid), defined: maps.Clone(c.defined), comments: maps.Clone(c.comments)}
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

// own returns a table that c may append to.
func (c *content) own(name string) (*table, error) {
	t := c.tables[name]
	if t == nil {
		return nil, sqlError("42P01", "relation %q does not exist", name)
	}
	if t.owner != c {
		t = &table{rows: slices.Clone(t.rows), owner: c}
		c.tables[name] = t
	}
	return t, nil
}

// change is what a statement does to the content. It can be done again, to another
// content, when a transaction is committed.
type change func(*content) error

// session is what SET changes.
type session map[string]string

// codeError is an error as a server sends it.
type codeError struct{ code, msg string }

func (e *codeError) Error() string { return fmt.Sprintf("%s (%s)", e.msg, e.code) }

func sqlError(code, format string, args ...any) error {
	return &codeError{code, fmt.Sprintf(format, args...)}
}

const (
	nameSQL  = `("(?:[^"]|"")+"|[\pL_][\pL\pN_$]*)`
	emptySQL = `\s*`
)

// form is one kind of statement.
type form struct {
	re *regexp.Regexp
	do func(m []string, s session) (change, error)
}

func stmt(pattern string, do func(m []string, s session) (change, error)) form {
	pattern = strings.ReplaceAll(pattern, "NAME", nameSQL)
	pattern = strings.ReplaceAll(pattern, " ", `\s+`)
	return form{regexp.MustCompile(`(?is)^` + pattern + emptySQL + `$`), do}
}

var forms = []form{
	stmt(`CREATE TABLE NAME\s*\((.*)\)`, func(m []string, _ session) (change, error) { return createTable(unquote(m[1]), m[2]), nil }),
	stmt(`DROP TABLE NAME`, func(m []string, _ session) (change, error) { return dropTable(unquote(m[1])), nil }),
	stmt(`INSERT INTO NAME VALUES\s*\((.*)\) WHERE NAME\s*=\s*(\S+)`, func(m []string, s session) (change, error) {
		if s[strings.ToLower(m[3])] != strings.Trim(m[4], "'") {
			return insert(unquote(m[1])), nil
		}
		return insert(unquote(m[1]), m[2]), nil
	}),
	stmt(`INSERT INTO NAME VALUES\s*\((.*)\)`, func(m []string, _ session) (change, error) { return insert(unquote(m[1]), m[2]), nil }),
	stmt(`DELETE FROM NAME`, func(m []string, _ session) (change, error) { return deleteAll(unquote(m[1])), nil }),
	{createIndexForm, func(m []string, _ session) (change, error) {
		return createIndex(unquote(m[1]), unquote(m[2]), m[3]), nil
	}},
	stmt(`DROP INDEX(?: CONCURRENTLY)?( IF EXISTS)? NAME`, func(m []string, _ session) (change, error) {
		return dropIndex(unquote(m[2]), m[1] != ""), nil
	}),
	stmt(`SET (?:TRANSACTION|SESSION CHARACTERISTICS|LOCAL)\b.*`, func([]string, session) (change, error) { return nothing, nil }),
	stmt(`SET NAME(?:\s*=\s*| TO )(\S.*)`, func(m []string, s session) (change, error) {
		s[strings.ToLower(m[1])] = strings.Trim(strings.TrimSpace(m[2]), "'")
		return nothing, nil
	}),
	stmt(`SELECT\b.*`, func([]string, session) (change, error) { return nothing, nil }),
}

var (
	createIndexForm = stmt(`CREATE INDEX(?: CONCURRENTLY)? NAME ON NAME\s*\((.*)\)`, nil).re
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

// parse returns what a statement does.
func parse(text string, s session) (change, error) {
	for _, f := range forms {
		if m := f.re.FindStringSubmatch(text); m != nil {
			return f.do(m, s)
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
		c.tables[name] = &table{owner: c}
		c.defined["table "+name] = columns
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

// drop drops a table that is there, with what belongs to it.
func (c *content) drop(name string) {
	delete(c.tables, name)
	maps.DeleteFunc(c.indexes, func(_, of string) bool { return of == name })
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
			t.rows = nil
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
		c.indexes[name] = on
		c.defined["index "+name] = columns
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
		delete(c.invalid, name)
		return nil
	}
}

// run works out what a statement does, and does all of it that isn't a change of the
// content: it sends notices and waits.
func (d *Database) run(ctx context.Context, st sqltext.Statement, data io.Reader, s session) (change, error) {
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

// limit bounds a statement's time as the directives of its script ask for.
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

// statementError says of a server's error in which statement of which script it is.
func statementError(st sqltext.Statement, err error) error {
	e := &database.StatementError{
		Pos: st.Pos, Index: st.Index, Statement: st.Text, Message: err.Error(), Err: err,
	}
	if server, ok := err.(*codeError); ok {
		e.Code, e.Message = server.code, server.msg
	}
	return e
}
