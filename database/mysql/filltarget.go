package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// CheckBackfill finds the table and the key, and has the server prepare the body.
func (db *Database) CheckBackfill(ctx context.Context, s *migration.Script) (t database.BackfillTarget, err error) {
	err = db.reading(ctx, func(ctx context.Context, c *conn) error {
		if _, err := db.learn(ctx, c); err != nil {
			return err
		}
		t, _, err = db.fillTarget(ctx, c, s)
		return err
	})
	return t, err
}

func (db *Database) fillTarget(ctx context.Context, c *conn, s *migration.Script) (t database.BackfillTarget, k keyOf, err error) {
	f := fillTable{db: db, c: c, s: s}
	if err := f.find(ctx); err != nil {
		return t, k, err
	}
	if k, err = f.key(s.Backfill.Key); err != nil {
		return t, k, err
	}
	t = database.BackfillTarget{Table: ident(f.name), Key: k.names(), RowsEstimated: f.rows, Sync: f.syncTable(k.names())}
	if err := f.prepare(ctx, k); err != nil || t.Sync == nil {
		return t, k, err
	}
	return t, k, f.prepareSync(ctx, *t.Sync)
}

// keyOfTable returns the key of a backfill that was started. Its index may be another one now.
func (db *Database) keyOfTable(ctx context.Context, c *conn, b database.Backfill) (k keyOf, err error) {
	s := migration.Func("", nil)
	s.File, s.Backfill = "backfill "+number64(b.Version), &migration.Backfill{Table: b.Table}
	f := fillTable{db: db, c: c, s: s}
	if err := f.find(ctx); err != nil {
		return k, err
	}
	return f.key(b.Key)
}

// fillTable finds out about the table of a backfill.
type fillTable struct {
	db *Database
	c  *conn
	s  *migration.Script

	name    string
	rows    int64
	columns []fillColumn
	indexes []fillIndex
}

type fillColumn struct {
	name, kind string
	null       bool
	late       bool   // a trigger before the row is written does not see its value
	preset     string // its default, as MariaDB writes it in SQL
}

// fillIndex is a unique index.
type fillIndex struct {
	name    string
	columns []string // "" for an expression
	why     string   // why it does not sort the table; "" if it does
	down    int      // how many of its columns are descending
}

// wrong is an error about a directive of the script.
func (f *fillTable) wrong(word, format string, args ...any) error {
	return &sqltext.Error{Pos: f.s.Place(word, sqltext.MySQL), Msg: fmt.Sprintf(format, args...)}
}

// ident returns a name as SQL writes it: quoted if that is necessary.
func ident(name string) string {
	l := sqltext.List(name, sqltext.MySQL)
	if len(l) == 1 && l[0].Kind == sqltext.TokenWord && l[0].Text == name && strings.ContainsAny(name, "_0123456789") {
		return name // no word of the language has these
	}
	return quote(name)
}

// find finds the table that the script names.
func (f *fillTable) find(ctx context.Context) error {
	named := f.s.Backfill.Table
	l := sqltext.List(named, sqltext.MySQL)
	at := 0
	if l.Is(1, ".") {
		if at = 2; !f.db.isOwn(l.At(0).Name()) {
			return f.wrong("backfill", "%s is not in the database that is migrated; only its tables can be backfilled", named)
		}
	}
	name := l.At(at).Name()
	if len(l) != at+1 || name == "" {
		return f.wrong("backfill", "%q is not the name of a table", named)
	}
	if slices.Contains(f.db.Tables(), strings.ToLower(name)) {
		return f.wrong("backfill", "%s is one of Whimbrel's own tables", named)
	}
	var kind string
	var engine sql.NullString
	var rows sql.NullInt64
	err := f.c.row(ctx, "SELECT table_name, table_type, engine, table_rows FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = "+literal(name), nil, &f.name, &kind, &engine, &rows)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errors.Join(f.wrong("backfill", "the table %s does not exist", named), database.ErrNoTable)
	case err != nil:
		return ownError("looking for the table", err)
	case kind != "BASE TABLE" && kind != "SYSTEM VERSIONED":
		return f.wrong("backfill", "%s is a %s, and only a table can be backfilled", named, strings.ToLower(kind))
	case !strings.EqualFold(engine.String, "InnoDB"):
		return f.wrong("backfill", "the table %s has the engine %s; a backfill needs InnoDB, so that rows and position are committed together", named, engine.String)
	}
	f.rows = rows.Int64
	if err := f.readColumns(ctx); err != nil {
		return ownError("reading the columns of the table", err)
	}
	return ownError("reading the indexes of the table", f.readIndexes(ctx))
}

func (f *fillTable) where() string {
	return " WHERE table_schema = DATABASE() AND table_name = " + literal(f.name)
}

func (f *fillTable) readColumns(ctx context.Context) error {
	return f.c.each(ctx, "SELECT column_name, data_type, is_nullable = 'YES', extra LIKE '%auto_increment%' OR extra LIKE '%GENERATED%' AND extra NOT LIKE '%DEFAULT_GENERATED%', column_default FROM information_schema.columns"+f.where()+" ORDER BY ordinal_position", nil, func(scan func(...any) error) error {
		var c fillColumn
		var preset sql.NullString
		err := scan(&c.name, &c.kind, &c.null, &c.late, &preset)
		c.preset = preset.String
		f.columns = append(f.columns, c)
		return err
	})
}

func (f *fillTable) readIndexes(ctx context.Context) error {
	query := "SELECT index_name, column_name, sub_part IS NOT NULL, ifnull(collation, '') FROM information_schema.statistics" + f.where() +
		" AND NOT non_unique AND index_type = 'BTREE' ORDER BY index_name = 'PRIMARY' DESC, index_name, seq_in_index"
	return f.c.each(ctx, query, nil, func(scan func(...any) error) error {
		var index, order string
		var column sql.NullString
		var part bool
		if err := scan(&index, &column, &part, &order); err != nil {
			return err
		}
		if n := len(f.indexes); n == 0 || f.indexes[n-1].name != index {
			f.indexes = append(f.indexes, fillIndex{name: index})
		}
		i := &f.indexes[len(f.indexes)-1]
		i.columns = append(i.columns, column.String)
		if part {
			i.why = "has only the beginning of column " + column.String
		}
		if order == "D" {
			i.down++
		}
		return nil
	})
}

func (f *fillTable) column(name string) *fillColumn {
	for i := range f.columns {
		if strings.EqualFold(f.columns[i].name, name) {
			return &f.columns[i]
		}
	}
	return nil
}

// key returns the key with the columns that are asked for; by default the primary key.
func (f *fillTable) key(asked []string) (k keyOf, err error) {
	index, err := f.indexFor(asked)
	if err != nil {
		return k, err
	}
	k = keyOf{table: quote(f.name), index: index.name}
	for _, name := range index.columns {
		c := f.column(name)
		kind, ok := kindOf(c.kind)
		switch {
		case c.null:
			return k, f.wrong("key", "the column %s of the key can be NULL, so a row may have no key; declare it NOT NULL, or use another key", name)
		case !ok:
			return k, f.wrong("key", "the column %s has the type %s, whose order batches can't follow; use another key", name, c.kind)
		}
		k.columns = append(k.columns, keyColumn{name: c.name, kind: kind, zoned: strings.EqualFold(c.kind, "timestamp")})
	}
	if index.down != 0 && index.down != len(index.columns) {
		index.why = "has ascending and descending columns"
	}
	if index.why != "" {
		return k, f.wrong("key", "the index %s of the table %s %s, so batches can't follow it; use another key", index.name, f.name, index.why)
	}
	return k, nil
}

func (f *fillTable) indexFor(asked []string) (fillIndex, error) {
	if len(asked) == 0 {
		if len(f.indexes) > 0 && f.indexes[0].name == "PRIMARY" {
			return f.indexes[0], nil
		}
		return fillIndex{}, f.wrong("key", "the table %s has no primary key; name the columns of a unique index without NULL (key)", f.name)
	}
	for _, name := range asked {
		if f.column(name) == nil {
			return fillIndex{}, f.wrong("key", "the table %s has no column %s", f.name, name)
		}
	}
	for _, index := range f.indexes {
		if slices.Equal(folded(index.columns), folded(asked)) {
			return index, nil
		}
	}
	return fillIndex{}, f.wrong("key", "(%s) is not unique in the table %s: no unique index has exactly these columns", strings.Join(asked, ", "), f.name)
}

// folded returns names in lower case, in alphabetical order.
func folded(names []string) []string {
	names = slices.Clone(names)
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	slices.Sort(names)
	return names
}

// erUnpreparable is the number of the error for a statement that can't be prepared.
const erUnpreparable = 1295

// prepare has the server prepare the statements of the body, which executes nothing.
func (f *fillTable) prepare(ctx context.Context, k keyOf) error {
	body, err := f.s.Body(sqltext.MySQL)
	if err != nil || body == nil {
		return err
	}
	var wrong []error
	for _, st := range body.Statements {
		text, err := drivers.Render(st, sqltext.MySQL, k.names(), strings.EqualFold, func(bool, int) string { return "?" })
		if err == nil {
			err = f.c.do(ctx, func(ctx context.Context) error {
				prepared, err := f.c.PrepareContext(ctx, text)
				if err == nil {
					err = prepared.Close()
				}
				return err
			})
			if n := number(err); n == erUnpreparable {
				err = nil
			} else if n != 0 {
				var failed *database.StatementError
				if errors.As(statementError(st.Statement, err), &failed) {
					err = &sqltext.Error{Pos: failed.Pos, Msg: failed.Message}
				}
			} else if err != nil {
				return err
			}
		}
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// renderBody returns a statement of the body with the keys as constants.
func renderBody(st migration.BodyStatement, k keyOf, r rowRange) (string, error) {
	first, err := k.constants(r.first)
	if err != nil {
		return "", err
	}
	last, err := k.constants(r.last)
	if err != nil {
		return "", err
	}
	return drivers.Render(st, sqltext.MySQL, k.names(), strings.EqualFold, func(isLast bool, column int) string {
		if isLast {
			return last[column]
		}
		return first[column]
	})
}
