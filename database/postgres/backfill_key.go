package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// ctid is the key of a table that is taken block by block.
const ctid = "ctid"

// tidType is the type of ctid.
const tidType = 27

// lastInBlock is the number of the last row that a block could have.
const lastInBlock = 65535

// relationInfo is what the catalogs say about the table of a backfill.
type relationInfo struct {
	Schema   string       `json:"schema"`
	Name     string       `json:"name"`
	Shown    string       `json:"shown"` // with the schema, quoted as far as necessary
	Kind     string       `json:"kind"`
	Temp     bool         `json:"temp"`
	Hidden   bool         `json:"hidden"` // row-level security applies to the role
	Parent   bool         `json:"parent"` // other tables inherit from it
	Rows     int64        `json:"rows"`   // estimated
	Pages    int64        `json:"pages"`
	Columns  []columnInfo `json:"columns"`
	Indexes  []indexInfo  `json:"indexes"`
	Writable bool         `json:"writable"`
}

type columnInfo struct {
	Name     string `json:"name"`
	Number   int    `json:"number"`
	NotNull  bool   `json:"not_null"`
	Type     uint32 `json:"type"`      // without domains
	TypeName string `json:"type_name"` // as declared
	Late     bool   `json:"late"`      // it is generated
	Default  string `json:"default"`
}

// indexInfo is a unique index.
type indexInfo struct {
	Name    string     `json:"name"`
	Primary bool       `json:"primary"`
	Why     string     `json:"why"` // why it can't be the key; NULL if it can
	Numbers []int      `json:"numbers"`
	Names   [][]string `json:"names"` // of each column's operators <, <=, >=, >
}

// relationQuery describes the relation whose oid an earlier query of the pipeline has found. The
// operators are those of the index, so that it can be used, whatever the schema of its type is.
const relationQuery = `SELECT pg_catalog.json_build_object('schema', n.nspname, 'name', c.relname, 'shown', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
	'kind', c.relkind, 'temp', c.relpersistence = 't', 'hidden', pg_catalog.row_security_active(c.oid),
	'parent', c.relkind <> 'p' AND EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid),
	'rows', CASE WHEN c.relkind = 'p' THEN (SELECT pg_catalog.sum(greatest(k.reltuples::bigint, pg_catalog.pg_stat_get_live_tuples(k.oid), 0))
			FROM pg_catalog.pg_partition_tree(c.oid) p JOIN pg_catalog.pg_class k ON k.oid = p.relid WHERE p.isleaf)::bigint
		ELSE greatest(c.reltuples::bigint, pg_catalog.pg_stat_get_live_tuples(c.oid), 0) END,
	'pages', CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint ELSE 0 END,
	'columns', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'number', a.attnum, 'not_null', a.attnotnull, 'type_name', pg_catalog.format_type(a.atttypid, a.atttypmod),
			'late', a.attgenerated <> '', 'default', CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(f.adbin, f.adrelid) END,
			'type', (WITH RECURSIVE d (oid) AS (SELECT a.atttypid UNION SELECT y.typbasetype FROM d JOIN pg_catalog.pg_type y ON y.oid = d.oid WHERE y.typtype = 'd')
				SELECT y.oid::bigint FROM d JOIN pg_catalog.pg_type y ON y.oid = d.oid WHERE y.typtype <> 'd')) ORDER BY a.attnum)
		FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
	'indexes', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', x.relname, 'primary', i.indisprimary,
			'why', CASE WHEN NOT i.indisvalid THEN 'it is invalid' WHEN NOT i.indimmediate THEN 'its constraint is deferrable' WHEN i.indpred IS NOT NULL THEN 'it is partial'
				WHEN i.indexprs IS NOT NULL THEN 'it has an expression' WHEN m.amname <> 'btree' THEN 'it is no B-tree' WHEN NOT o.defaults THEN 'it does not have the order of its columns' END,
			'numbers', o.numbers, 'names', o.names) ORDER BY NOT i.indisprimary, i.indexrelid)
		FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam
		CROSS JOIN LATERAL (
			SELECT pg_catalog.bool_and(oc.opcdefault AND i.indcollation[u.pos - 1] = coalesce(a.attcollation, 0)) AS defaults, pg_catalog.json_agg(u.number ORDER BY u.pos) AS numbers,
				pg_catalog.json_agg((SELECT pg_catalog.json_agg('OPERATOR(' || pg_catalog.quote_ident(os.nspname) || '.' || op.oprname || ')' ORDER BY ao.amopstrategy)
					FROM pg_catalog.pg_amop ao JOIN pg_catalog.pg_operator op ON op.oid = ao.amopopr JOIN pg_catalog.pg_namespace os ON os.oid = op.oprnamespace
					WHERE ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy IN (1, 2, 4, 5)) ORDER BY u.pos) AS names
			FROM (SELECT g.pos, i.indkey[g.pos - 1]::int AS number FROM pg_catalog.generate_series(1, i.indnkeyatts::int) AS g (pos)) AS u
			JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[u.pos - 1]
			LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number
		) AS o
		WHERE i.indrelid = c.oid AND i.indisunique))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = `

// keyPlan is how the rows of a table are taken.
type keyPlan struct {
	table   string // with its schema, quoted
	shown   string
	schema  string
	name    string
	columns []string
	types   []uint32
	// names are each column's operators <, <=, >=, >.
	names [][]string
	rows  int64 // estimated
	pages int64
	all   []columnInfo
}

// byBlocks reports whether the table is taken block by block.
func (k *keyPlan) byBlocks() bool { return k.columns[0] == ctid }

// lookUp describes the table that a name means in the session's path; nil if there is none.
func lookUp(ctx context.Context, c *conn, name string) (*relationInfo, error) {
	var info *relationInfo
	err := c.pipeline(ctx, query{
		sql:  "SELECT pg_catalog.set_config('whimbrel.relation_1', coalesce(pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.text, ''), true)",
		path: callers, args: []arg{text(name)},
	}, jsonInto(query{sql: relationQuery + relation(1)}, &info))
	return info, err
}

// planFor returns how the rows of a table are taken by a key: the columns of a unique index, or
// those of the primary key. wrong is the reason why they can't be.
func planFor(info *relationInfo, columns []string) (k *keyPlan, wrong string) {
	k = &keyPlan{
		table: table(info.Schema, info.Name), shown: info.Shown, schema: info.Schema, name: info.Name, rows: info.Rows, pages: info.Pages, all: info.Columns,
	}
	byName := map[string]columnInfo{}
	for _, c := range info.Columns {
		byName[c.Name] = c
	}
	for _, name := range columns {
		if _, ok := byName[name]; !ok && name != ctid {
			return nil, fmt.Sprintf("the table %s has no column %q", info.Shown, name)
		}
	}
	index, wrong := info.indexOf(columns)
	switch {
	case wrong != "":
		return nil, wrong
	case index == nil:
		k.columns, k.types = []string{ctid}, []uint32{tidType}
		return k, ""
	}
	for _, number := range index.Numbers {
		i := slices.IndexFunc(info.Columns, func(c columnInfo) bool { return c.Number == number })
		c := info.Columns[i]
		switch why := unstable(c.Type); {
		case !c.NotNull:
			return nil, fmt.Sprintf("the column %q of the key can be NULL", c.Name)
		case why != "":
			return nil, fmt.Sprintf("the column %q of the key has the type %s, %s", c.Name, c.TypeName, why)
		}
		k.columns, k.types = append(k.columns, c.Name), append(k.types, c.Type)
	}
	k.names = index.Names
	for _, names := range k.names {
		if len(names) != 4 {
			return nil, fmt.Sprintf("the index %q has an operator class without the usual operators", index.Name)
		}
	}
	return k, ""
}

// unstable says why the text of a type means something else in another session or later; "" if it
// does not.
func unstable(oid uint32) string {
	switch oid {
	case 790: // money
		return "whose text depends on the session"
	case 24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191: // regproc, regclass, …
		return "whose text changes when an object is renamed"
	}
	return ""
}

// indexOf returns the unique index that has exactly these columns, or that of the primary key. It
// is nil for a table without a primary key, and for the key "ctid".
func (info *relationInfo) indexOf(columns []string) (*indexInfo, string) {
	const blocks = "name another unique key (-- whimbrel: key COLUMNS)"
	if len(columns) == 0 {
		for i, x := range info.Indexes {
			switch {
			case x.Primary && x.Why != "":
				return nil, fmt.Sprintf("the primary key of %s can't be used, because %s; %s", info.Shown, strings.Replace(x.Why, "it ", "its index ", 1), blocks)
			case x.Primary:
				return &info.Indexes[i], ""
			}
		}
		return nil, info.blocksError()
	}
	if slices.Equal(columns, []string{ctid}) {
		return nil, info.blocksError()
	}
	why := ""
	for i, x := range info.Indexes {
		var names []string
		for _, number := range x.Numbers {
			for _, c := range info.Columns {
				if c.Number == number {
					names = append(names, c.Name)
				}
			}
		}
		if len(x.Numbers) != len(columns) || len(added(columns, names)) > 0 || len(names) != len(x.Numbers) {
			continue
		}
		if x.Why == "" {
			return &info.Indexes[i], ""
		}
		why = fmt.Sprintf("; the index %q does not count, because %s", x.Name, x.Why)
	}
	return nil, fmt.Sprintf("the key (%s) is not unique: %s has no unique index of exactly these columns%s", strings.Join(columns, ", "), info.Shown, why)
}

// blocksError says why the table can't be taken block by block.
func (info *relationInfo) blocksError() string {
	if info.Kind == "p" {
		return fmt.Sprintf("the partitioned table %s has no primary key; name a unique key (-- whimbrel: key COLUMNS)", info.Shown)
	}
	return ""
}

// typed are queries whose first parameters have the types of the key, once for each key.
func (k *keyPlan) typed(keys int) []uint32 {
	return slices.Concat(slices.Repeat([][]uint32{k.types}, keys)...)
}

// after returns the condition for rows behind the key whose first parameter is $n.
func (k *keyPlan) after(n int) string { return k.beyond(n, 3, 2) }

// upTo returns the condition for rows up to the key whose first parameter is $n.
func (k *keyPlan) upTo(n int) string { return k.beyond(n, 0, 1) }

// beyond compares the key with parameters. strict and loose are the indexes of the operators. With
// one operator for all columns, it is a comparison of rows, for which one scan of the index is
// enough.
func (k *keyPlan) beyond(n, strict, loose int) string {
	inclusive := strict == 0 // <= for the upper bound, > for the lower
	row := strict
	if inclusive {
		row = loose
	}
	same := true
	for _, names := range k.names {
		same = same && names[row] == k.names[0][row]
	}
	if same {
		params := make([]string, len(k.columns))
		for i := range params {
			params[i] = "$" + strconv.Itoa(n+i)
		}
		return "(" + k.list("t.") + ") " + k.names[0][row] + " (" + strings.Join(params, ", ") + ")"
	}
	sql, end := "", ""
	for i, c := range k.columns {
		column, param := "t."+quote(c), "$"+strconv.Itoa(n+i)
		if i == len(k.columns)-1 {
			sql += column + " " + k.names[i][row] + " " + param
			break
		}
		sql += "(" + column + " " + k.names[i][loose] + " " + param + " AND (" + column + " " + k.names[i][strict] + " " + param + " OR "
		end += "))"
	}
	return sql + end
}

// list returns the columns, each after a prefix.
func (k *keyPlan) list(prefix string) string {
	all := make([]string, len(k.columns))
	for i, c := range k.columns {
		all[i] = prefix + quote(c)
	}
	return strings.Join(all, ", ")
}

// readKeys prepares the implicit transaction of a pipeline for reading keys: their texts must mean
// the same in every session, and the index must be used even if the statistics are old.
func readKeys(timeout time.Duration) query {
	return query{
		sql: `SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('DateStyle', 'ISO', true), pg_catalog.set_config('TimeZone', 'UTC', true),
	pg_catalog.set_config('IntervalStyle', 'postgres', true), pg_catalog.set_config('extra_float_digits', '3', true), pg_catalog.set_config('bytea_output', 'hex', true),
	pg_catalog.set_config('enable_seqscan', 'off', true), pg_catalog.set_config('enable_bitmapscan', 'off', true), pg_catalog.set_config('jit', 'off', true),
	pg_catalog.set_config('max_parallel_workers_per_gather', '0', true), pg_catalog.set_config('statement_timeout', $1, true)`,
		args: []arg{number(timeout.Milliseconds())}, path: callers, quiet: true, often: true,
	}
}

// bounds are the first and the last key of a range, and the number of its rows.
type bounds struct {
	rows        int64
	first, last database.Key
	asked       int // the number that was asked for
}

// boundsQuery reads the bounds of up to limit rows behind a key (nil: from the beginning), up to
// another one (nil: to the end). It must follow readKeys.
func (k *keyPlan) boundsQuery(after, last database.Key, limit int, into *bounds) query {
	into.asked = limit
	if k.byBlocks() {
		return k.blocksQuery(after, last, limit, into)
	}
	q := query{path: callers, often: true, quiet: true}
	var where []string
	add := func(key database.Key, condition func(int) string) {
		if key == nil {
			return
		}
		where = append(where, condition(len(q.args)+1))
		q.oids = append(q.oids, k.types...)
		for _, v := range key {
			q.args = append(q.args, text(v))
		}
	}
	add(after, k.after)
	add(last, k.upTo)
	q.args, q.oids = append(q.args, number(int64(limit-1))), append(q.oids, 20)
	condition := func(also ...string) string {
		all := slices.Concat(where, also)
		if len(all) == 0 {
			return ""
		}
		return " WHERE " + strings.Join(all, " AND ")
	}
	// Most ranges are full: then the rows between the first and the last are only skipped.
	rows := func(order string, also ...string) string {
		return "(SELECT " + k.aliased("t.") + " FROM " + k.table + " AS t" + condition(also...) + " ORDER BY " + order + " LIMIT 1)"
	}
	before := "$" + strconv.Itoa(len(q.args))
	q.sql = "WITH whole AS MATERIALIZED " + rows(k.list("t.")+" OFFSET "+before) +
		", rest AS MATERIALIZED " + rows(k.descending(), "NOT EXISTS (SELECT FROM whole)") +
		"\nSELECT CASE WHEN EXISTS (SELECT FROM whole) THEN " + before + " + 1 ELSE (SELECT pg_catalog.count(*) FROM " + k.table + " AS t" + condition() + ") END, f.*, l.*" +
		" FROM " + rows(k.list("t.")) + " AS f, (SELECT * FROM whole UNION ALL SELECT * FROM rest) AS l"
	q.row = func(r *row) error {
		into.rows = r.number()
		into.first, into.last = k.read(r), k.read(r)
		return r.err
	}
	return q
}

// aliased returns the columns with names that can't conflict.
func (k *keyPlan) aliased(prefix string) string {
	all := make([]string, len(k.columns))
	for i, c := range k.columns {
		all[i] = fmt.Sprintf("%s%s AS k%d", prefix, quote(c), i)
	}
	return strings.Join(all, ", ")
}

func (k *keyPlan) read(r *row) database.Key {
	key := make(database.Key, len(k.columns))
	for i := range key {
		key[i] = r.text()
	}
	return key
}

// endQuery reads the last key of the table. It must follow readKeys.
func (k *keyPlan) endQuery(into *database.Key) query {
	if k.byBlocks() {
		return query{
			sql:  `SELECT pg_catalog.pg_relation_size($1::pg_catalog.regclass) OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::bigint`,
			args: []arg{text(k.table)}, path: callers, row: func(r *row) error {
				if pages := r.number(); pages > 0 {
					*into = tid(pages-1, lastInBlock)
				}
				return r.err
			},
		}
	}
	return query{
		sql: "SELECT " + k.list("t.") + " FROM " + k.table + " AS t ORDER BY " + k.descending() + " LIMIT 1", path: callers,
		row: func(r *row) error {
			*into = k.read(r)
			return r.err
		},
	}
}

// descending returns the order in which the last row comes first.
func (k *keyPlan) descending() string {
	all := make([]string, len(k.columns))
	for i, c := range k.columns {
		all[i] = "t." + quote(c) + " DESC"
	}
	return strings.Join(all, ", ")
}

// tid returns the address of a row.
func tid(block, row int64) database.Key {
	return database.Key{fmt.Sprintf("(%d,%d)", block, row)}
}

// blockOf returns the block of a key.
func blockOf(k database.Key) (block int64, err error) {
	var row int64
	_, err = fmt.Sscanf(k[0], "(%d,%d)", &block, &row)
	return block, err
}

// blocksQuery is boundsQuery for a table that is taken block by block: as many blocks as have about
// limit rows.
func (k *keyPlan) blocksQuery(after, last database.Key, limit int, into *bounds) query {
	first := int64(0)
	if after != nil {
		block, err := blockOf(after)
		if err != nil {
			return failing(fmt.Errorf("%q is not the address of a row: %w", after[0], err))
		}
		first = block + 1
	}
	perBlock := int64(1)
	if k.pages > 0 {
		perBlock = max(k.rows/k.pages, 1)
	}
	end := first + max(int64(limit)/perBlock, 1) - 1
	if last != nil {
		block, err := blockOf(last)
		if err != nil {
			return failing(fmt.Errorf("%q is not the address of a row: %w", last[0], err))
		}
		if end = min(end, block); first > block {
			return query{sql: "SELECT", path: callers}
		}
	}
	from, to := tid(first, 0), tid(end, lastInBlock)
	return query{
		sql:  "SELECT pg_catalog.count(*) FROM " + k.table + " AS t WHERE t.ctid OPERATOR(pg_catalog.>=) $1 AND t.ctid OPERATOR(pg_catalog.<=) $2",
		args: []arg{text(from[0]), text(to[0])}, oids: k.typed(2), path: callers, often: true,
		row: func(r *row) error {
			into.rows, into.first, into.last = r.number(), from, to
			return r.err
		},
	}
}

// failing returns a query whose answer is an error.
func failing(err error) query {
	return query{sql: "SELECT 1", path: callers, row: func(*row) error { return err }}
}
