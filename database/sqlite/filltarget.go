package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// CheckBackfill finds the table and the key, and has SQLite compile the body.
func (d *db) CheckBackfill(ctx context.Context, s *migration.Script) (t database.BackfillTarget, err error) {
	err = d.read(ctx, func(ctx context.Context) error {
		if d.absent() {
			return noTable(s, s.Backfill.Table)
		}
		c, err := d.reader(ctx)
		if err != nil {
			return err
		}
		defer c.release()
		if err := c.do("BEGIN DEFERRED"); err != nil {
			return d.connectError(err)
		}
		defer c.rollback()
		t, err = d.fillTarget(ctx, c, s)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = noTable(s, s.Backfill.Table)
	}
	return t, err
}

// fillTarget checks a script in the open transaction.
func (d *db) fillTarget(ctx context.Context, c *conn, s *migration.Script) (database.BackfillTarget, error) {
	t := fillTable{d: d, c: c, s: s}
	if err := t.find(ctx); err != nil {
		return database.BackfillTarget{}, err
	}
	target := database.BackfillTarget{Table: ident(t.name)}
	var err error
	if target.Key, err = t.key(ctx); err != nil {
		return target, err
	}
	if err := t.compile(ctx, target); err != nil {
		return target, err
	}
	if target.Sync = t.syncTable(target.Key); target.Sync != nil {
		if err := t.compileSync(ctx, *target.Sync); err != nil {
			return target, err
		}
	}
	target.RowsEstimated, err = t.estimate(ctx)
	return target, d.ownError("counting the rows", err)
}

// fillTable finds out about the table of a backfill.
type fillTable struct {
	d *db
	c *conn
	s *migration.Script

	name         string
	withoutRowid bool
	columns      []tableColumn
}

type tableColumn struct {
	name    string
	kind    string
	notNull bool
	pk      int    // its place in the primary key, from 1
	preset  string // its default, as SQL writes it
}

// wrong is an error about a directive of the script.
func (t *fillTable) wrong(word, format string, args ...any) error {
	return wrongAt(t.s, word, fmt.Sprintf(format, args...))
}

func wrongAt(s *migration.Script, word, msg string) error {
	return &sqltext.Error{Pos: s.Place(word, sqltext.SQLite), Msg: msg}
}

// noTable is the error for a table that does not exist.
func noTable(s *migration.Script, name string) error {
	return errors.Join(wrongAt(s, "backfill", "the table "+name+" does not exist"), database.ErrNoTable)
}

// ident returns a name as SQL writes it: quoted if that is necessary.
func ident(name string) string {
	l := sqltext.List(name, sqltext.SQLite)
	if len(l) == 1 && l[0].Kind == sqltext.TokenWord && l[0].Text == name && !keywords[strings.ToLower(name)] {
		return name
	}
	return quote(name)
}

// find finds the table that the script names.
func (t *fillTable) find(ctx context.Context) error {
	named := t.s.Backfill.Table
	l := sqltext.List(named, sqltext.SQLite)
	at := 0
	if l.Is(1, ".") {
		if at = 2; !strings.EqualFold(nameOf(l.At(0)), "main") {
			return t.wrong("backfill", "%s is not in the database that is migrated; only its tables can be backfilled", named)
		}
	}
	if len(l) != at+1 {
		return t.wrong("backfill", "%q is not the name of a table", named)
	}
	name := nameOf(l.At(at))
	if slices.Contains(t.d.Tables(), strings.ToLower(name)) {
		return t.wrong("backfill", "%s is one of Whimbrel's own tables", named)
	}
	list, err := texts(ctx, t.c, "PRAGMA main.table_list("+quote(name)+")")
	if err != nil {
		return t.d.connectError(err)
	}
	for _, row := range list {
		if row[0] != "main" {
			continue
		}
		if kind := row[2]; kind != "table" {
			return t.wrong("backfill", "%s is a %s, and only a table can be backfilled", named, kind)
		}
		t.name, t.withoutRowid = row[1], row[4] == "1"
		return t.readColumns(ctx)
	}
	return noTable(t.s, named)
}

func (t *fillTable) readColumns(ctx context.Context) error {
	err := drivers.Each(ctx, t.c, "PRAGMA main.table_xinfo("+quote(t.name)+")", nil, func(scan func(...any) error) error {
		var c tableColumn
		var other any
		var preset sql.NullString
		err := scan(&other, &c.name, &c.kind, &c.notNull, &preset, &c.pk, &other)
		c.preset = preset.String
		t.columns = append(t.columns, c)
		return err
	})
	return t.d.connectError(err)
}

// column returns the column of a name, nil for none.
func (t *fillTable) column(name string) *tableColumn {
	for i := range t.columns {
		if strings.EqualFold(t.columns[i].name, name) {
			return &t.columns[i]
		}
	}
	return nil
}

// primary returns the columns of the primary key.
func (t *fillTable) primary() []string {
	var pk []tableColumn
	for _, c := range t.columns {
		if c.pk > 0 {
			pk = append(pk, c)
		}
	}
	slices.SortFunc(pk, func(a, b tableColumn) int { return a.pk - b.pk })
	var names []string
	for _, c := range pk {
		names = append(names, c.name)
	}
	return names
}

// rowids are the names of the number that SQLite gives a row, unless a column has them.
var rowids = []string{"rowid", "_rowid_", "oid"}

// key returns the columns of the key, in the order of its index.
func (t *fillTable) key(ctx context.Context) ([]string, error) {
	asked, primary := t.s.Backfill.Key, t.primary()
	indexes, err := t.uniqueIndexes(ctx)
	if err != nil {
		return nil, err
	}
	var key []string
	switch {
	case len(asked) == 0 && len(primary) > 0:
		key = primary
	case len(asked) == 0:
		return t.rowid(rowids)
	case len(asked) == 1 && t.column(asked[0]) == nil && slices.Contains(rowids, strings.ToLower(asked[0])):
		return t.rowid(asked)
	default:
		if key, err = t.matching(asked, primary, indexes); err != nil {
			return nil, err
		}
	}
	if err := t.notNull(ctx, key, slices.Equal(key, primary)); err != nil {
		return nil, err
	}
	return key, t.sorted(ctx, key)
}

// rowid returns the first of the names that means the rows' numbers.
func (t *fillTable) rowid(names []string) ([]string, error) {
	if t.withoutRowid {
		return nil, t.wrong("key", "the table %s has no rowid", t.name)
	}
	for _, name := range names {
		if t.column(name) == nil {
			return []string{name}, nil
		}
	}
	return nil, t.wrong("key", "the table %s has no key: its columns hide the rowid", t.name)
}

// uniqueIndexes returns the columns of the indexes that are unique and have all rows.
func (t *fillTable) uniqueIndexes(ctx context.Context) (all [][]string, err error) {
	list, err := texts(ctx, t.c, "PRAGMA main.index_list("+quote(t.name)+")")
	for _, row := range list {
		if unique, partial := row[2] == "1", row[4] == "1"; !unique || partial {
			continue
		}
		columns, err := texts(ctx, t.c, "PRAGMA main.index_info("+quote(row[1])+")")
		if err != nil {
			return nil, t.d.connectError(err)
		}
		var names []string
		for _, c := range columns {
			names = append(names, c[2]) // "" for an expression
		}
		all = append(all, names)
	}
	return all, t.d.connectError(err)
}

// matching returns the columns of the unique index with exactly the columns that the script names.
func (t *fillTable) matching(asked, primary []string, indexes [][]string) ([]string, error) {
	for _, name := range asked {
		if t.column(name) == nil {
			return nil, t.wrong("key", "the table %s has no column %s", t.name, name)
		}
	}
	fold := func(names []string) []string {
		names = slices.Clone(names)
		for i := range names {
			names[i] = strings.ToLower(names[i])
		}
		slices.Sort(names)
		return names
	}
	for _, names := range append([][]string{primary}, indexes...) {
		if slices.Equal(fold(names), fold(asked)) {
			return names, nil
		}
	}
	return nil, t.wrong("key", "(%s) is not unique in the table %s: no unique index has exactly these columns", strings.Join(asked, ", "), t.name)
}

// notNull refuses a key that can be NULL. The columns of a primary key can be, in SQLite, if they
// are not declared NOT NULL; then no row may have NULL now.
func (t *fillTable) notNull(ctx context.Context, key []string, primary bool) error {
	for _, name := range key {
		c := t.column(name)
		switch {
		case c.notNull, primary && t.withoutRowid, primary && len(key) == 1 && strings.EqualFold(c.kind, "integer"):
			continue
		case !primary:
			return t.wrong("key", "the column %s of the key can be NULL, so a row may have no key; declare it NOT NULL, or use another key", name)
		}
		var has bool
		if err := t.c.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM main."+quote(t.name)+" WHERE "+quote(name)+" IS NULL)").Scan(&has); err != nil {
			return t.d.ownError("looking for rows without a key", err)
		}
		if has {
			return t.wrong("key", "rows of the table %s have NULL in the column %s of the key", t.name, name)
		}
	}
	return nil
}

// sorted refuses a key whose index sorts otherwise than SQLite compares the columns: each batch
// would sort the table.
func (t *fillTable) sorted(ctx context.Context, key []string) error {
	q := newKeyQuery(quote(t.name), key)
	rows, err := texts(ctx, t.c, "EXPLAIN QUERY PLAN "+q.values()+" ORDER BY "+q.list("", "")+" LIMIT 1")
	if err != nil {
		return t.d.ownError("reading the order of the key", err)
	}
	for _, row := range rows {
		if strings.Contains(row[len(row)-1], "TEMP B-TREE") {
			return t.wrong("key", "the index on (%s) of the table %s sorts otherwise than its columns (another collation, or both directions), so batches can't follow it; use another key",
				strings.Join(key, ", "), t.name)
		}
	}
	return nil
}

// compile lets SQLite compile the statements of the body, with parameters that have no value.
func (t *fillTable) compile(ctx context.Context, target database.BackfillTarget) error {
	body, err := t.s.Body(sqltext.SQLite)
	if err != nil || body == nil {
		return err
	}
	var wrong []error
	for _, st := range body.Statements {
		text, args, err := renderBody(st, target.Key, nil, nil)
		if err == nil {
			_, err = texts(ctx, t.c, "EXPLAIN "+text, args...)
			if code(err) != 0 && !isBusy(err) {
				err = &sqltext.Error{Pos: statementError(st.Statement, err).Pos, Msg: message(err)}
			}
		}
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// renderBody returns a statement of the body with numbered placeholders, and the values of those
// that it has: NULL if first and last are nil.
func renderBody(st migration.BodyStatement, columns []string, first, last []any) (text string, args []any, err error) {
	type bound struct {
		last   bool
		column int
	}
	numbers := map[bound]int{}
	text, err = drivers.Render(st, sqltext.SQLite, columns, strings.EqualFold, func(isLast bool, column int) string {
		b := bound{isLast, column}
		if numbers[b] == 0 {
			values, v := first, any(nil)
			if isLast {
				values = last
			}
			if values != nil {
				v = values[column]
			}
			args = append(args, v)
			numbers[b] = len(args)
		}
		return fmt.Sprintf("?%d", numbers[b])
	})
	return text, args, err
}

// manyRows is how many rows are counted.
const manyRows = 200_000

// estimate counts the rows of a small table. For a large one it takes what ANALYZE has found, or
// the range of the rowids.
func (t *fillTable) estimate(ctx context.Context) (n int64, err error) {
	table := "main." + quote(t.name)
	if err := t.c.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d)", table, manyRows)).Scan(&n); err != nil || n < manyRows {
		return n, err
	}
	var stat int64
	if has := texts1(ctx, t.c, "SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_stat1'"); has == "1" {
		fmt.Sscan(texts1(ctx, t.c, "SELECT stat FROM main.sqlite_stat1 WHERE tbl = "+literal(t.name)+" COLLATE NOCASE AND stat IS NOT NULL LIMIT 1"), &stat)
	}
	if names, rerr := t.rowid(rowids); stat == 0 && rerr == nil {
		fmt.Sscan(texts1(ctx, t.c, fmt.Sprintf("SELECT max(%[1]s) - min(%[1]s) + 1 FROM %[2]s", names[0], table)), &stat)
	}
	return max(n, stat), nil
}

// texts1 returns the only value of a query, "" if there is none.
func texts1(ctx context.Context, c *conn, query string) string {
	rows, err := texts(ctx, c, query)
	if err != nil || len(rows) == 0 {
		return ""
	}
	return rows[0][0]
}
