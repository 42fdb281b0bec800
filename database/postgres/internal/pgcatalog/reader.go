// Package pgcatalog builds a catalog.Snapshot from PostgreSQL's system catalogs.
//
// A [Reader] provides the queries ([Reader.Queries]), whose number does not depend on the number of
// objects. The caller executes them in one transaction that sees one state of the database. Names
// resolve in pg_catalog only (see [Settings]), so the results qualify all other names with their
// schema. [Reader.Snapshot] builds the snapshot from the results.
//
// Each file covers related kinds of objects: their queries, rows, attributes and SQL.
package pgcatalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// Options select what is read.
type Options struct {
	catalog.Options
	// Major is the server's major version.
	Major int
	// OwnSchema and OwnTables are the schema and names of Whimbrel's own tables, which are omitted.
	OwnSchema string
	OwnTables []string
	// OwnSchemaToo also omits their schema, if it contains nothing else.
	OwnSchemaToo bool
}

// Query is one query. Row receives each result row, in text form.
type Query struct {
	SQL  string
	Args []*string
	Row  func(values [][]byte) error
}

// Reader collects the results.
type Reader struct {
	opts     Options
	queries  []Query
	version  string
	keywords map[string]bool

	schemas           map[oid]string
	relations         map[oid]*relation
	indexes           map[oid]*index
	types             map[oid]*typ
	own               map[oid]bool // Whimbrel's own relations
	sequencesOf       map[columnKey][]*relation
	domainConstraints map[oid][]*constraint
	comments          map[sub]string
	privileges        map[sub]*privileges
	depends           []dependency
	extensions        map[oid]string
	omitted           []string
	builders          []func(*builder) // called in order, after all queries
}

type oid uint32

// The oids of system catalogs, which are the same in every version.
const (
	pgType       oid = 1247
	pgProc       oid = 1255
	pgClass      oid = 1259
	pgAttrdef    oid = 2604
	pgConstraint oid = 2606
	pgLanguage   oid = 2612
	pgNamespace  oid = 2615
	pgRewrite    oid = 2618
	pgTrigger    oid = 2620
	pgExtension  oid = 3079
	pgPolicy     oid = 3256
)

// obj identifies an object as in pg_depend. sub identifies one of its columns, or with 0 the
// object.
type obj struct{ class, oid oid }

type sub struct {
	obj
	column int
}

// firstNormal is the first oid of user-defined objects.
const firstNormal = "16384"

// NewReader returns a Reader without results.
func NewReader(opts Options) *Reader {
	r := &Reader{
		opts: opts, keywords: map[string]bool{}, schemas: map[oid]string{}, relations: map[oid]*relation{},
		indexes: map[oid]*index{}, types: map[oid]*typ{}, own: map[oid]bool{}, extensions: map[oid]string{}, comments: map[sub]string{}, privileges: map[sub]*privileges{},
	}
	r.askBasics()
	r.askDependencies()
	r.askExtensions()
	r.askRelations()
	r.askColumns()
	r.askConstraints()
	r.askIndexes()
	r.askSequences()
	r.askCollations()
	r.askTypes()
	r.askBaseTypes()
	r.askLanguages()
	r.askRoutines()
	r.askOperators()
	r.askMethods()
	r.askTextSearch()
	r.askForeign()
	r.askStatistics()
	r.askTriggers()
	r.askEventTriggers()
	r.askPublications()
	r.askPolicies()
	r.askComments()
	r.askPrivileges()
	r.askOthersPrivileges()
	r.askDefaultPrivileges()
	r.askOmitted()
	return r
}

// Settings is the first query of the transaction. Until it ends, names have their schema, and
// constants have one form. The path has pg_temp at its end: otherwise the server would search
// temporary tables and types before pg_catalog.
const Settings = `SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), set_config('datestyle', 'ISO, YMD', true), set_config('intervalstyle', 'postgres', true),
	set_config('timezone', 'UTC', true), set_config('extra_float_digits', '3', true), set_config('bytea_output', 'hex', true),
	set_config('quote_all_identifiers', 'off', true), set_config('standard_conforming_strings', 'on', true), set_config('lc_monetary', 'C', true), set_config('jit', 'off', true)`

// Queries returns the queries.
func (r *Reader) Queries() []Query { return r.queries }

// ask adds a query. {schemas} represents the oids of the selected schemas, and {none CLASS OID} the
// condition that the object does not belong to an extension.
func (r *Reader) ask(sql string, read func(*row)) {
	sql = strings.ReplaceAll(sql, "{schemas}", `(SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND ($1::text[] IS NULL OR nspname = ANY ($1)))`)
	for {
		before, rest, ok := strings.Cut(sql, "{none ")
		if !ok {
			break
		}
		args, after, _ := strings.Cut(rest, "}")
		class, id, _ := strings.Cut(args, " ")
		sql = before + `NOT EXISTS (SELECT FROM pg_depend member WHERE member.classid = '` + class + `'::regclass AND member.objid = ` + id + ` AND member.deptype IN ('e', 'i'))` + after
	}
	q := Query{SQL: sql, Row: func(values [][]byte) error {
		answer := &row{values: values}
		read(answer)
		return answer.err
	}}
	if strings.Contains(sql, "$1") {
		q.Args = []*string{TextArray(r.opts.Schemas)}
	}
	r.queries = append(r.queries, q)
}

// wholeDatabase reports whether objects outside schemas are included.
func (r *Reader) wholeDatabase() bool { return r.opts.Schemas == nil }

func (r *Reader) build(f func(*builder)) { r.builders = append(r.builders, f) }

func (r *Reader) askBasics() {
	r.ask(`SELECT current_setting('server_version')`, func(a *row) { r.version = a.text() })
	r.ask(`SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'`, func(a *row) { r.keywords[a.text()] = true })
	r.ask(`SELECT oid, nspname FROM pg_namespace WHERE oid IN {schemas}`, func(a *row) { r.schemas[a.oid()] = a.text() })
	r.build(func(b *builder) {
		for id, name := range r.schemas {
			o := catalog.Object{Kind: catalog.Schema, Name: name}
			if name != "public" { // every new database has it
				// Whimbrel may have created the schema for its own tables in the target database.
				o.SQL = []string{"CREATE SCHEMA IF NOT EXISTS " + r.quote(name)}
			}
			b.add(obj{pgNamespace, id}, &o, "SCHEMA "+r.quote(name))
		}
	})
}

// askExtensions queries the extensions except plpgsql, which is in every new database.
func (r *Reader) askExtensions() {
	r.ask(`SELECT oid, extname, extnamespace FROM pg_extension WHERE extname <> 'plpgsql' AND ($1::text[] IS NULL OR extnamespace IN {schemas})`, func(a *row) {
		id, name, schema := a.oid(), a.text(), a.oid()
		r.extensions[id] = name
		r.build(func(b *builder) {
			o := catalog.Object{Kind: catalog.Extension, Name: name}
			sql := "CREATE EXTENSION " + r.quote(name)
			if s, ok := r.schemas[schema]; ok {
				o.Set("schema", s)
				o.Needs = []string{"schema " + (&catalog.Object{Name: s}).FullName()}
				sql += " WITH SCHEMA " + r.quote(s)
			}
			o.SQL = []string{sql}
			b.add(obj{pgExtension, id}, &o, "EXTENSION "+r.quote(name))
		})
	})
}

func (r *Reader) askComments() {
	r.ask(`SELECT classoid, objoid, objsubid, description FROM pg_description WHERE objoid >= `+firstNormal+
		` UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = 'public' AND oid < `+firstNormal, func(a *row) {
		key := sub{obj{a.oid(), a.oid()}, int(a.number())}
		r.comments[key] = a.text()
	})
}

// quote quotes a name like the server: only if necessary.
func (r *Reader) quote(name string) string {
	plain := name != "" && !r.keywords[name]
	for i, c := range []byte(name) {
		if !(c == '_' || 'a' <= c && c <= 'z' || i > 0 && '0' <= c && c <= '9') {
			plain = false
		}
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// qualified returns a quoted name with its schema, if it has one.
func (r *Reader) qualified(schema, name string) string {
	switch {
	case schema != "":
		return r.quote(schema) + "." + r.quote(name)
	case name != "":
		return r.quote(name)
	}
	return ""
}

func (r *Reader) quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = r.quote(n)
	}
	return strings.Join(quoted, ", ")
}

// Literal quotes a string constant.
func Literal(s string) string {
	if strings.Contains(s, `\`) {
		return "E'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// TextArray formats a text[]; nil is NULL.
func TextArray(values []string) *string {
	if values == nil {
		return nil
	}
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = `"` + strings.ReplaceAll(strings.ReplaceAll(v, `\`, `\\`), `"`, `\"`) + `"`
	}
	array := "{" + strings.Join(parts, ",") + "}"
	return &array
}

// row is a result row, read column by column.
type row struct {
	values [][]byte
	next   int
	err    error
}

func (a *row) bytes() []byte {
	if a.next >= len(a.values) {
		a.err = errors.New("the answer has too few columns")
		return nil
	}
	a.next++
	return a.values[a.next-1]
}

// text reads a text; NULL is "".
func (a *row) text() string { return string(a.bytes()) }

func (a *row) bool() bool { return string(a.bytes()) == "t" }

func (a *row) char() byte {
	if b := a.bytes(); len(b) > 0 {
		return b[0]
	}
	return 0
}

func (a *row) number() int64 {
	b := a.bytes()
	if len(b) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		a.err = err
	}
	return n
}

func (a *row) oid() oid { return oid(a.number()) }

// list reads a JSON array of strings.
func (a *row) list() (list []string) {
	if b := a.bytes(); len(b) > 0 {
		if err := json.Unmarshal(b, &list); err != nil {
			a.err = fmt.Errorf("list %q: %w", b, err)
		}
	}
	return list
}

// numbers reads an int2vector, or an array of integers as JSON.
func (a *row) numbers() (list []int) {
	for f := range strings.FieldsFuncSeq(a.text(), func(c rune) bool { return c != '-' && (c < '0' || c > '9') }) {
		n, err := strconv.Atoi(f)
		if err != nil {
			a.err = err
		}
		list = append(list, n)
	}
	return list
}
