package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// table is a relation of the database that has the name of a tool's table.
type table struct {
	schema, name string
	columns      []string // in lower case
	types        map[string]string
	id           string // changes if the table is replaced by another one
	// unsafe is why the table must not be read; "" if it may.
	unsafe string
	// triggers are the names of its enabled triggers: writing would execute them.
	triggers []string
	writable bool // the role may change its rows
}

// has reports whether the table has exactly these columns, with or without the optional ones.
func (t *table) has(columns, optional []string) bool {
	for _, c := range columns {
		if !slices.Contains(t.columns, c) {
			return false
		}
	}
	for _, c := range t.columns {
		if !slices.Contains(columns, c) && !slices.Contains(optional, c) {
			return false
		}
	}
	return true
}

// querier reads a database, inside or outside a transaction.
type querier struct {
	dialect sqltext.Dialect
	ask     func(ctx context.Context, statement string) (*database.Rows, error)
	locks   bool // it is in the transaction that takes over
}

func outside(db database.Database) *querier {
	return &querier{dialect: db.Dialect(), ask: func(ctx context.Context, statement string) (*database.Rows, error) {
		rows, err := database.ReadQuery(ctx, db, statement)
		return rows, ownError(err)
	}}
}

func inside(db database.Database, tx database.Tx) *querier {
	return &querier{dialect: db.Dialect(), locks: true, ask: func(ctx context.Context, statement string) (*database.Rows, error) {
		rows, err := database.TxQuery(ctx, tx, statement)
		return rows, ownError(err)
	}}
}

// ownError makes the error of a query the error of a statement of Whimbrel's own, which has no
// place.
func ownError(err error) error {
	var e *database.StatementError
	if errors.As(err, &e) && !e.Own {
		e.Own, e.Pos, e.Message = true, sqltext.Position{}, "reading the tables of other tools: "+e.Message
	}
	return err
}

// exec executes statements that return no rows.
func (q *querier) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := q.ask(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// one returns the first value of the first row.
func (q *querier) one(ctx context.Context, statement string) (any, error) {
	rows, err := q.ask(ctx, statement)
	if err != nil {
		return nil, err
	}
	if len(rows.Rows) == 0 || len(rows.Rows[0]) == 0 {
		return nil, nil
	}
	return rows.Rows[0][0], nil
}

// ident quotes a name.
func (q *querier) ident(name string) string {
	if q.dialect == sqltext.MySQL {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// text quotes a string. It has one meaning whatever the settings of the session are.
func (q *querier) text(s string) string {
	switch {
	case !strings.ContainsAny(s, `\'`):
		return "'" + s + "'"
	case q.dialect == sqltext.MySQL:
		return fmt.Sprintf("CONVERT(X'%x' USING utf8mb4)", s)
	case q.dialect == sqltext.PostgreSQL:
		return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

func (q *querier) texts(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = q.text(s)
	}
	return strings.Join(quoted, ", ")
}

// full returns the quoted name of a table with its schema.
func (q *querier) full(t *table) string {
	if t.schema == "" {
		return q.ident(t.name)
	}
	return q.ident(t.schema) + "." + q.ident(t.name)
}

// name returns the name of a table for people: quoted only where that is necessary.
func (q *querier) name(t *table) string {
	var parts []string
	for _, part := range []string{t.schema, t.name} {
		if part == "" || part == "main" && q.dialect == sqltext.SQLite {
			continue
		}
		if strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			part = q.ident(part)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ".")
}

// rows reads columns of a table, in an order. In the transaction that takes over, the rows are
// locked where the table can't be.
func (q *querier) rows(ctx context.Context, t *table, columns []string, order string) ([][]any, error) {
	statement := "SELECT " + strings.Join(columns, ", ") + " FROM " + q.full(t)
	if order != "" {
		statement += " ORDER BY " + order
	}
	if q.dialect == sqltext.MySQL {
		statement += " LIMIT 9223372036854775807" // whatever sql_select_limit is
		if q.locks && t.writable {
			statement += " FOR UPDATE"
		}
	}
	rows, err := q.ask(ctx, statement)
	if err != nil {
		return nil, err
	}
	return rows.Rows, nil
}

// find returns the relations with the given names, in any schema, ordered by schema and name.
func (q *querier) find(ctx context.Context, names []string) ([]*table, error) {
	var statement string
	switch q.dialect {
	case sqltext.PostgreSQL:
		statement = fmt.Sprintf(postgresTables, q.texts(names))
	case sqltext.SQLite:
		statement = fmt.Sprintf(sqliteTables, q.texts(names))
	case sqltext.MySQL:
		statement = fmt.Sprintf(mysqlTables, q.texts(names))
	default:
		return nil, nil
	}
	rows, err := q.ask(ctx, statement)
	if err != nil {
		return nil, err
	}
	var all []*table
	byName := map[[2]string]*table{}
	for _, r := range rows.Rows {
		schema, name := asText(r[0]), asText(r[1])
		t := byName[[2]string{schema, name}]
		if t == nil {
			t = &table{schema: schema, name: name, id: asText(r[2]), unsafe: asText(r[3]), types: map[string]string{}}
			if triggers := asText(r[4]); triggers != "" {
				t.triggers = strings.Split(triggers, "\n")
			}
			t.writable, _ = asBool(r[5])
			byName[[2]string{schema, name}] = t
			all = append(all, t)
		}
		if r[6] == nil {
			continue
		}
		c := strings.ToLower(asText(r[6]))
		t.columns = append(t.columns, c)
		t.types[c] = strings.ToLower(asText(r[7]))
	}
	return all, nil
}

// postgresTables finds relations by name. It uses nothing outside pg_catalog: every name and every
// operator is qualified, since the session's search path applies. The rules are those for
// Whimbrel's own tables: the owner must be trusted, and reading must run no code.
const postgresTables = `WITH RECURSIVE me AS MATERIALIZED (
	SELECT oid, rolsuper AS super FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user
), mine AS (
	SELECT oid FROM me UNION SELECT m.roleid FROM mine JOIN pg_catalog.pg_auth_members m ON m.member OPERATOR(pg_catalog.=) mine.oid
)
SELECT s.nspname, c.relname, c.oid::pg_catalog.int8,
	CASE
	WHEN c.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char" THEN
		CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'v'::pg_catalog."char" THEN 'it is a view' ELSE 'it is no ordinary table' END
	WHEN NOT (o.rolsuper OR CASE WHEN me.super THEN EXISTS (SELECT FROM mine WHERE mine.oid OPERATOR(pg_catalog.=) o.oid)
		ELSE pg_catalog.pg_has_role(o.oid, 'USAGE'::pg_catalog.text) OR EXISTS (
			SELECT FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND d.datdba OPERATOR(pg_catalog.=) o.oid) END)
		THEN pg_catalog.concat('it belongs to the role ', o.rolname, ', which is not trusted')
	WHEN c.relispartition OR EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid OR i.inhparent OPERATOR(pg_catalog.=) c.oid)
		THEN 'it is part of an inheritance'
	WHEN pg_catalog.row_security_active(c.oid) THEN 'row-level security hides rows of it'
	WHEN EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE c.relhasrules AND w.ev_class OPERATOR(pg_catalog.=) c.oid) THEN 'it has a rule'
	WHEN EXISTS (
		SELECT FROM (
			SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS classid, c.oid AS objid
			UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid FROM pg_catalog.pg_attrdef WHERE adrelid OPERATOR(pg_catalog.=) c.oid
			UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid FROM pg_catalog.pg_constraint WHERE conrelid OPERATOR(pg_catalog.=) c.oid
			UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid FROM pg_catalog.pg_index WHERE indrelid OPERATOR(pg_catalog.=) c.oid
			UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, oid FROM pg_catalog.pg_statistic_ext WHERE stxrelid OPERATOR(pg_catalog.=) c.oid
		) AS own JOIN pg_catalog.pg_depend dep ON dep.classid OPERATOR(pg_catalog.=) own.classid AND dep.objid OPERATOR(pg_catalog.=) own.objid
		WHERE dep.refobjid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid AND (dep.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
			OR dep.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass OR dep.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
			OR dep.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_opclass'::pg_catalog.regclass)
	) THEN 'it depends on a user-defined function, operator or type'
	WHEN NOT pg_catalog.has_schema_privilege(s.oid, 'USAGE'::pg_catalog.text) OR NOT pg_catalog.has_table_privilege(c.oid, 'SELECT'::pg_catalog.text)
		THEN pg_catalog.concat('the role ', current_user, ' may not read it')
	ELSE '' END,
	(SELECT pg_catalog.string_agg(t.tgname::pg_catalog.text, E'\n'::pg_catalog.text) FROM pg_catalog.pg_trigger t
		WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal AND t.tgenabled OPERATOR(pg_catalog.<>) 'D'::pg_catalog."char"),
	pg_catalog.has_table_privilege(c.oid, 'INSERT'::pg_catalog.text) AND pg_catalog.has_table_privilege(c.oid, 'UPDATE'::pg_catalog.text)
		AND pg_catalog.has_table_privilege(c.oid, 'DELETE'::pg_catalog.text),
	a.attname, pg_catalog.format_type(a.atttypid, NULL::pg_catalog.int4)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_roles o ON o.oid OPERATOR(pg_catalog.=) c.relowner
CROSS JOIN me
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) '0'::pg_catalog.int2 AND NOT a.attisdropped
WHERE c.relname OPERATOR(pg_catalog.=) ANY (ARRAY[%s]::pg_catalog.name[]) AND NOT s.nspname OPERATOR(pg_catalog.~) '^pg_'::pg_catalog.text
	AND c.relkind OPERATOR(pg_catalog.<>) ALL (ARRAY['i', 'I', 'S', 't', 'c']::pg_catalog."char"[])
ORDER BY s.nspname, c.relname, a.attnum`

// sqliteTables finds relations by name. The names of SQLite ignore case.
const sqliteTables = `SELECT 'main', m.name, m.rootpage,
	CASE WHEN m.type = 'view' THEN 'it is a view' WHEN m.sql LIKE 'CREATE VIRTUAL%%' THEN 'it is a virtual table' ELSE '' END,
	(SELECT group_concat(t.name, char(10)) FROM main.sqlite_schema t WHERE t.type = 'trigger' AND lower(t.tbl_name) = lower(m.name)),
	1, p.name, p.type
FROM main.sqlite_schema m LEFT JOIN pragma_table_info(m.name) p ON m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%%'
WHERE m.type IN ('table', 'view') AND lower(m.name) IN (%s) ORDER BY m.name, p.cid`

// mysqlTables finds relations of the database by name.
const mysqlTables = `SELECT DATABASE(), t.TABLE_NAME, t.CREATE_TIME,
	CASE WHEN t.TABLE_TYPE = 'VIEW' THEN 'it is a view' WHEN t.TABLE_TYPE <> 'BASE TABLE' THEN 'it is no ordinary table'
		WHEN t.ENGINE <> 'InnoDB' THEN CONCAT('its engine ', t.ENGINE, ' has no transactions') ELSE '' END,
	(SELECT GROUP_CONCAT(g.TRIGGER_NAME SEPARATOR '\n') FROM information_schema.TRIGGERS g WHERE g.EVENT_OBJECT_SCHEMA = t.TABLE_SCHEMA AND g.EVENT_OBJECT_TABLE = t.TABLE_NAME),
	1, c.COLUMN_NAME, c.COLUMN_TYPE
FROM information_schema.TABLES t LEFT JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
WHERE t.TABLE_SCHEMA = DATABASE() AND LOWER(t.TABLE_NAME) IN (%s) ORDER BY t.TABLE_NAME, c.ORDINAL_POSITION LIMIT 9223372036854775807`
